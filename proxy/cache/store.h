/* store.h - the entries: found by their whole key, bounded in bytes.
 * Source  docs/coherence.md, "memory".
 * Shape   64 shards, each a lock, a table of chains and its queues. `used` counts everything that the cache owns, so `limit` is
 *         the bound of all; room is made shard by shard in turn, where at least the average is in use.
 * Owner   the cache. It holds one reference to each entry.
 * Thread  any.
 * Errors  store_init: -1 when memory is gone. */
#ifndef PROXY_CACHE_STORE_H
#define PROXY_CACHE_STORE_H

#include "proxy/cache/evict.h"

#include <pthread.h>

#define STORE_SHARDS 64u

struct store_shard {
	pthread_mutex_t lock;
	uint32_t mask;	       /* of the buckets and of the traces */
	uint32_t n;	       /* entries */
	_Atomic size_t bytes;  /* of these; written under the lock */
	struct entry **bucket; /* owned */
	struct evict evict;
} __attribute__((aligned(64)));

struct store {
	const struct versions *versions; /* borrowed */
	size_t fixed;			 /* what is in use when there are no entries */
	_Atomic size_t limit;
	_Atomic size_t used;
	_Atomic size_t listed; /* bytes of the entries that are in the shards */
	_Atomic size_t entries;
	_Atomic int64_t evictions;
	atomic_uint turn; /* the shard that makes room next */
	struct store_shard shard[STORE_SHARDS];
};

/* `other`: bytes that the cache owns besides. */
int store_init(struct store *st, const struct versions *v, size_t limit, size_t other);
void store_done(struct store *st);
void store_resize(struct store *st, size_t limit);

/* 1 = stored, 0 = its epoch has passed, -1 = too large or no memory. */
int store_put(struct store *st, struct span key, struct blob *answer, const struct entry_lease *l);
/* Alive and counted, or NULL. */
/* *killed_r: it was there, but something that it depends on has changed; now it is not. */
struct entry *store_find(struct store *st, struct span key, bool *killed_r);
/* The same, but it does not count as a hit. */
struct entry *store_peek(struct store *st, struct span key);
/* Counted, of the present epoch, and it may be dead: what was there last. */
struct entry *store_last(struct store *st, struct span key);
void store_clear(struct store *st);

#endif
