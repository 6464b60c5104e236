/* context.h - what one transaction of a client has been answered, so that it is answered the same again (repeatable_context).
 * Source  docs/coherence.md, "One transaction's own view".
 * Shape   key of the cache -> answer, with references of its own: the cache may kill or evict the entry meanwhile.
 * Owner   the session, from the first answer to the end of the transaction; never used for another one.
 * Thread  its worker's.
 * Errors  what does not fit is not kept. */
#ifndef PROXY_SESSION_CONTEXT_H
#define PROXY_SESSION_CONTEXT_H

#include "proxy/cache/cache.h"
#include "proxy/session/context_rows.h"

#define CONTEXT_RELATIONS 16u

struct context;

struct context *context_new(void);
void context_free(struct context **c);

/* The answer that was given for that key under that epoch of the cache, borrowed; NULL = none, or the transaction may have written what
 * it depends on. */
struct blob *context_find(struct context *c, struct cache *cache, uint64_t epoch, struct span key);

struct context_answer {
	struct span key;
	struct blob *blob;
	struct entry *entry; /* where it was found, or .. */
	const struct lease
		*lease; /* .. what was registered before it was asked for; NULL too: made of rows */
	uint64_t epoch;
	const uint32_t *relids; /* that it depends on */
	unsigned nrels;
};
/* Takes references and copies. false = it does not fit into `max` bytes, or depends on what was written. */
bool context_keep(struct context *c, const struct context_answer *answer, size_t max);

/* The transaction writes: to that table only, or (0) nobody knows where. */
void context_wrote(struct context *c, struct cache *cache, uint32_t relid);
bool context_ended(const struct context *c); /* the latter */
/* Has it written to one of these? */
bool context_written(const struct context *c, const uint32_t *relids, unsigned nrels);

/* The rows that it was shown; they and the answers share `max`, of which this is left for the rows. */
struct context_rows *context_rows(struct context *c);
size_t context_rows_room(const struct context *c, size_t max);

/* How many of its answers others have changed so far, and rows that it was shown in two versions. */
unsigned context_changed(struct context *c, struct cache *cache);

#endif
