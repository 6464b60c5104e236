/* pool_private.h - the inside of a pool, for pool.c, pools.c and welcome.c.
 * Source  see pool.h.
 * Shape   -
 * Owner   struct pools.
 * Thread  `lock` guards what is written after pools_get.
 * Errors  - */
#ifndef PROXY_BACKEND_POOL_PRIVATE_H
#define PROXY_BACKEND_POOL_PRIVATE_H

#include "proxy/backend/pool.h"
#include "proxy/backend/target.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/map.h"

struct pool {
	pthread_mutex_t lock;
	struct pools *pools; /* borrowed */
	char *key;	     /* owned: database NUL user NUL replication NUL */
	size_t nkey;
	const char *database, *user;	/* into key */
	struct pool_target *target;	/* counted */
	struct pool_defaults *defaults; /* counted, NULL until learned */
	struct pool_welcome *welcomes;	/* counted each */
	unsigned nwelcomes;
	struct ring idle[HOSTS_MAX]; /* per worker, last used first */
	struct ring waiters;	     /* struct lend, first come first served */
	unsigned nidle, nwaiters, total, connecting;
	uint64_t retry_at_us, backoff_us;
	struct err last_error;
	unsigned npinned;
	atomic_bool asks_sequences, customs, limits;
	_Atomic bool paused; /* see gates.h */
	_Atomic uint32_t
		generation;	   /* written with the lock; backends of an older one are not lent any more */
	uint32_t swept[HOSTS_MAX]; /* per worker, for its thread: none that is older is idle there */
	uint64_t looked_us;	   /* for another server, servers_read_only */
	bool listening;
	_Atomic uint64_t schema;     /* how often our clients have changed it */
	_Atomic uint64_t suspect_us; /* when DDL was seen last; 0 = its effect is known */
	_Atomic uint32_t
		suspect_generation; /* what older backends have said of the database's code is out of date */
	struct tally *tallies;	    /* owned: one per worker */
	UT_hash_handle hh;
};

struct pools {
	pthread_mutex_t lock;
	struct pool *table;
	struct host **hosts; /* borrowed */
	unsigned nhosts;
	struct gate_row *gates; /* databases that are paused or disabled */
	bool all_paused;
	_Atomic bool suspended;
	_Atomic bool closing; /* shutdown: nothing is opened any more */
};

/* --- in pool.c; with the lock held unless said otherwise --- */

/* Serves the queue as far as it goes. */
void pool_match(struct pool *p);
/* Starts one more backend in that worker; the budget has been taken. */
void pool_open_one(struct pool *p, struct host *host);
/* Why it ends when it is free, static; NULL = it does not. */
const char *pool_worn_out(const struct pool *p, const struct backend *b, uint64_t now);
/* --- in gates.c; with the lock of struct pools held --- */
bool gates_paused(struct pools *ps, const char *database);
void gates_free(struct pools *ps);

/* --- in pool.c --- */
/* Without the lock: closes a backend that is in no list. */
void pool_retire(struct pool *p, struct backend *b, const char *why);

#endif
