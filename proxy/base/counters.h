/* counters.h - the numbers that stats show, one row each in counters.def.
 * Source  none.
 * Shape   one block per thread, summed by the reader; counters only rise, gauges go both ways.
 * Owner   each thread its block; counters_sum reads all.
 * Thread  count() from the block's thread only; readers any (relaxed atomics).
 * Errors  none. */
#ifndef PROXY_BASE_COUNTERS_H
#define PROXY_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

enum counter {
#define CNT(kind, name, unit, help) COUNTER_##name,
#include "proxy/base/counters.def"
#undef CNT
	NCOUNTERS
};

struct counters {
	_Atomic int64_t v[NCOUNTERS];
};

struct counter_row {
	const char *name;
	const char *unit; /* "" when it counts things */
	const char *help;
	int is_gauge;
};

extern const struct counter_row counter_rows[NCOUNTERS];

static inline void count_add(struct counters *c, enum counter id, int64_t n)
{
	/* Single writer: no locked instruction is needed. */
	atomic_store_explicit(&c->v[id], atomic_load_explicit(&c->v[id], memory_order_relaxed) + n,
			      memory_order_relaxed);
}

#define count(c, name) count_add((c), COUNTER_##name, 1)

/* Adds all of `from` to the plain array `sum`. */
void counters_sum(int64_t sum[NCOUNTERS], const struct counters *from);

#endif
