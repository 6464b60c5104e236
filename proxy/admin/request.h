/* request.h - the head of an HTTP request.
 * Source  RFC 9112, sections 2 to 5.
 * Shape   in = what has come so far; nothing is copied.
 * Owner   the caller's bytes.
 * Thread  pure; any.
 * Errors  REQUEST_MORE: come back with more bytes. REQUEST_BAD: answer with *status_r and close. */
#ifndef PROXY_ADMIN_REQUEST_H
#define PROXY_ADMIN_REQUEST_H

#include "protocol/span.h"

#define REQUEST_MAX 8192u

enum request_result { REQUEST_OK, REQUEST_MORE, REQUEST_BAD };

struct request {
	bool head_only;	    /* HEAD */
	struct span path;   /* without the query */
	struct span accept; /* value of the Accept header, or .n == 0 */
};

enum request_result request_parse(struct span in, struct request *r, int *status_r);

/* Is `word` in `text`, whatever the case? */
bool request_has_word(struct span text, const char *word);

#endif
