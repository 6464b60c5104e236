#include "proxy/base/hist.h"

/* The smallest i with us <= 2^i. */
static unsigned hist_bucket(uint64_t us)
{
	unsigned i;

	if (us <= 1)
		return 0;
	i = 64u - (unsigned)__builtin_clzll(us - 1);
	return i < HIST_BUCKETS ? i : HIST_BUCKETS - 1;
}

/* Single writer: load and store, no locked instruction. */
static void hist_raise(_Atomic uint64_t *v, uint64_t n)
{
	atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}

void hist_add(struct hist *h, uint64_t us)
{
	hist_raise(&h->bucket[hist_bucket(us)], 1);
	hist_raise(&h->sum_us, us);
}
