/* entry.h - one cached answer, as the store and the eviction see it.
 * Source  none.
 * Shape   one allocation: the struct, its lease, its key. The answer is a blob of its own, which clients may outlive it with.
 * Owner   counted: the store holds one reference, each reader one.
 * Thread  immutable but for the links, freq and queue, which belong to the shard's lock.
 * Errors  entry_new returns NULL when memory is gone. */
#ifndef PROXY_CACHE_ENTRY_H
#define PROXY_CACHE_ENTRY_H

#include "proxy/base/ring.h"
#include "proxy/cache/versions.h"

#include <xxhash.h>

struct entry {
	atomic_uint refs;
	uint8_t freq;	 /* hits since it was last passed over, up to 3 */
	uint8_t in_main; /* which of the two queues */
	bool made;	 /* entry_made */
	uint32_t nkeys;
	uint32_t took_us; /* that PostgreSQL took to answer */
	size_t key_n;
	size_t cost; /* bytes with all that belongs to it */
	XXH128_hash_t hash;
	uint64_t epoch;
	uint64_t stored_us;	  /* clock_us() when the answer was complete: it shows nothing later */
	struct blob *answer;	  /* counted */
	struct entry *chain;	  /* next in its bucket */
	struct ring node;	  /* in its queue */
	struct lease_key lease[]; /* then the key */
};

/* What it depends on: keys of the lease, and rows of the answer. */
struct entry_lease {
	uint64_t epoch, began_us;
	const struct lease_key *key, *row;
	unsigned nkeys, nrows;
	bool made; /* entry_made */
};

struct entry *entry_new(struct span key, XXH128_hash_t hash, struct blob *answer,
			const struct entry_lease *l);

static inline struct span entry_key(const struct entry *entry)
{
	return span_of(&entry->lease[entry->nkeys], entry->key_n);
}

static inline bool entry_alive(const struct entry *entry, const struct versions *v)
{
	return versions_unchanged(v, entry->epoch, entry->lease, entry->nkeys);
}

#endif
