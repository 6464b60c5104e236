/* flight.h - one filler per key: those who miss while it is being filled wait for the filler.
 * Source  docs/coherence.md, "fill"; memcache leases.
 * Shape   sharded lists of keys under way, each with its followers in order of arrival.
 * Owner   the cache; waits are their owners' objects.
 * Thread  any.
 * Errors  no memory: the caller leads, unlisted. */
#ifndef PROXY_CACHE_FLIGHT_H
#define PROXY_CACHE_FLIGHT_H

#include "proxy/cache/cache.h"

#include <pthread.h>

#define FLIGHT_SHARDS 64u
/* After that time a newcomer leads as well: whoever leads now may be gone, or ask for something that takes long. */
#define FLIGHT_PATIENCE_US 2000000u

struct flight;

struct flight_shard {
	pthread_mutex_t lock;
	struct flight *first; /* owned */
};

struct flights {
	_Atomic size_t bytes;
	struct flight_shard shard[FLIGHT_SHARDS];
};

void flights_init(struct flights *f);
/* Followers that are still there are woken. */
void flights_done(struct flights *f);
size_t flights_bytes(const struct flights *f);

bool flights_join(struct flights *f, struct span key, struct flight_wait *wait);
void flights_end(struct flights *f, struct span key);
bool flights_cancel(struct flights *f, struct span key, struct flight_wait *wait);

#endif
