/* arena.h - memory that is given back all at once.
 * Source  none.
 * Shape   chunks that grow; nothing inside is freed alone.
 * Owner   whoever embeds the struct; arena_free releases everything.
 * Thread  one at a time.
 * Errors  NULL when memory is gone or `max` would be exceeded; `failed` stays set. */
#ifndef PROXY_SQL_ARENA_H
#define PROXY_SQL_ARENA_H

#include "protocol/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* owned, newest first */
	size_t next;		   /* bytes of the next chunk */
	size_t bytes;		   /* taken from the system */
	size_t max;
	bool failed;
};

void arena_init(struct arena *a, size_t first, size_t max);
void arena_free(struct arena *a);
void *arena_get(struct arena *a, size_t n); /* not cleared */
void *arena_zero(struct arena *a, size_t n);
char *arena_str(struct arena *a, struct span s); /* a copy with a NUL behind it */
/* Moves `n` bytes of old content to `m` bytes of new room; for arrays that grow. */
void *arena_grow(struct arena *a, const void *old, size_t n, size_t m);

#endif
