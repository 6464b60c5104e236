/* evict.h - who goes when there is no room: S3-FIFO within one shard.
 * Source  Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
 * Shape   newcomers enter a small queue (a tenth of the bytes); who was hit there moves on to the main queue, who was not leaves a
 *         trace, and enters the main queue at once if it comes back soon. So a scan passes through the small queue only.
 * Owner   the shard; entries are the store's.
 * Thread  under the shard's lock.
 * Errors  none; without room for traces there are none. */
#ifndef PROXY_CACHE_EVICT_H
#define PROXY_CACHE_EVICT_H

#include "proxy/cache/entry.h"

struct ghost {
	uint32_t mark; /* of the hash */
	uint32_t when;
};

struct evict {
	struct ring small, main;
	size_t small_bytes, main_bytes;
	uint32_t nmain;
	uint32_t clock; /* traces left so far */
	uint32_t ghost_mask;
	struct ghost *ghosts; /* owned; NULL or ghost_mask + 1 */
};

void evict_init(struct evict *ev);
/* Takes `ghosts` (zeroed, a power of two); returns the old ones, to be freed. */
struct ghost *evict_ghosts(struct evict *ev, struct ghost *ghosts, uint32_t n);
void evict_add(struct evict *ev, struct entry *entry);
void evict_remove(struct evict *ev, struct entry *entry);
static inline void evict_hit(struct entry *entry)
{
	if (entry->freq < 3)
		entry->freq++;
}
/* The one that has to go, still listed; NULL when there is none. Dead ones go first. */
struct entry *evict_victim(struct evict *ev, const struct versions *v);
/* It goes, and if it is stored again soon it belongs into the main queue. */
void evict_trace(struct evict *ev, const struct entry *entry);

#endif
