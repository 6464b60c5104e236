/* batch.h - the messages of one request, cut out of the client's input.
 * Source  PostgreSQL manual, "Message Flow".
 * Shape   a simple query, or the extended messages up to and with Sync or Flush; bodies point into the input.
 * Owner   nothing; valid until the input changes.
 * Thread  batch_scan is pure; batch_stmt: the memo's.
 * Errors  BATCH_BAD with static text. */
#ifndef PROXY_SESSION_BATCH_H
#define PROXY_SESSION_BATCH_H

#include "protocol/frame.h"
#include "protocol/front.h"

#define BATCH_OPS 24
#define BATCH_BYTES (48u * 1024u) /* what a batch may be to be looked at as a whole */

struct memo;
struct stmt;

struct op {
	char type;
	struct span body;
	size_t end; /* offset in the input behind the message */
};

struct batch {
	unsigned n;
	struct op op[BATCH_OPS];
	bool whole; /* ends with Sync (or is one simple query): may be answered without a backend */
	/* What the first message, a simple query or a Parse, brings (batch_stmt), so that it is looked up once; borrowed from who did, NULL
	 * after a scan. With `parse` if it is a Parse. */
	struct stmt *stmt;
	struct front_parse parse;
};

enum batch_status {
	BATCH_MORE,  /* not complete, come back with more input */
	BATCH_OK,    /* complete */
	BATCH_LARGE, /* too long or of a kind to be looked at: forward message by message */
	BATCH_BAD,
};

enum batch_status batch_scan(struct span in, uint32_t max_body, struct batch *batch_r, const char **why_r);
/* The statement of message `i`, a simple query or a Parse, which is decoded to *parse_r; counted. NULL: another message, one that cannot be
 * decoded, or no memory. */
struct stmt *batch_stmt(struct memo *memo, const struct batch *batch, unsigned i,
			struct front_parse *parse_r);

#endif
