/* batch.h - the messages of one request, cut out of the client's input.
 * Source  PostgreSQL manual, "Message Flow".
 * Shape   a simple query, or the extended messages up to and with Sync or Flush; bodies point into the input.
 * Owner   nothing; valid until the input changes.
 * Thread  pure; any.
 * Errors  BATCH_BAD with static text. */
#ifndef PROXY_SESSION_BATCH_H
#define PROXY_SESSION_BATCH_H

#include "protocol/frame.h"
#include "protocol/front.h"

#define BATCH_OPS 24
#define BATCH_BYTES (48u * 1024u) /* what a batch may be to be looked at as a whole */

struct stmt;

struct op {
	char type;
	struct span body;
	size_t end; /* offset in the input behind the message */
};

struct batch {
	unsigned n;
	struct op op[BATCH_OPS];
	bool whole;	    /* ends with Sync (or is one simple query): may be answered without a backend */
	struct stmt *query; /* of a simple one; borrowed from who looked it up, NULL after a scan */
};

enum batch_status {
	BATCH_MORE,  /* not complete, come back with more input */
	BATCH_OK,    /* complete */
	BATCH_LARGE, /* too long or of a kind to be looked at: forward message by message */
	BATCH_BAD,
};

enum batch_status batch_scan(struct span in, uint32_t max_body, struct batch *batch_r, const char **why_r);

#endif
