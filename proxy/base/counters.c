#include "proxy/base/counters.h"

enum { COUNTER, GAUGE };

const struct counter_row counter_rows[NCOUNTERS] = {
#define CNT(kind, name, unit, help) {#name, unit, help, kind == GAUGE},
#include "proxy/base/counters.def"
#undef CNT
};

void counters_sum(int64_t sum[NCOUNTERS], const struct counters *from)
{
	for (unsigned i = 0; i < NCOUNTERS; i++)
		sum[i] += atomic_load_explicit(&from->v[i], memory_order_relaxed);
}
