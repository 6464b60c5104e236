/* tally.h - what is counted for each (database, user).
 * Source  tally.def; PgBouncer's SHOW STATS.
 * Shape   one block per pool and worker, added up by the reader; only rises. `pass` is indexed by the session's reasons, which
 *         this folder does not know.
 * Owner   the pool.
 * Thread  tally_add and hist_add from the block's worker only; tally_sum any (relaxed atomics).
 * Errors  none. */
#ifndef PROXY_BACKEND_TALLY_H
#define PROXY_BACKEND_TALLY_H

#include "proxy/base/hist.h"

enum tally_id {
#define TALLY(name, unit, help) TALLY_##name,
#include "proxy/backend/tally.def"
#undef TALLY
	NTALLIES
};

struct tally_row {
	const char *name;
	const char *unit; /* "" when it counts things */
	const char *help;
};
extern const struct tally_row tally_rows[NTALLIES];

#define TALLY_REASONS 64

struct tally {
	_Atomic uint64_t v[NTALLIES];
	_Atomic uint64_t pass[TALLY_REASONS];
	struct hist query;   /* statement arrived -> answered */
	struct hist wait;    /* wait for a backend */
	struct hist fresh;   /* wait for the proof of freshness */
	struct hist connect; /* backend connect and login */
};

struct tally_hist {
	uint64_t bucket[HIST_BUCKETS];
	uint64_t sum_us;
};

struct tally_sum {
	uint64_t v[NTALLIES];
	uint64_t pass[TALLY_REASONS];
	struct tally_hist query, wait, fresh, connect;
};

static inline void tally_raise(_Atomic uint64_t *v, uint64_t n)
{
	/* Single writer: no locked instruction is needed. */
	atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void tally_add(struct tally *t, enum tally_id id, uint64_t n)
{
	tally_raise(&t->v[id], n);
}

/* Adds all of `from` to `sum`. */
void tally_add_up(struct tally_sum *sum, const struct tally *from);
void tally_sum_add(struct tally_sum *sum, const struct tally_sum *from);

#endif
