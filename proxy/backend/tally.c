#include "proxy/backend/tally.h"

const struct tally_row tally_rows[NTALLIES] = {
#define TALLY(name, unit, help) {#name, unit, help},
#include "proxy/backend/tally.def"
#undef TALLY
};

static void add_hist(struct tally_hist *sum, const struct hist *from)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		sum->bucket[i] += atomic_load_explicit(&from->bucket[i], memory_order_relaxed);
	sum->sum_us += atomic_load_explicit(&from->sum_us, memory_order_relaxed);
}

void tally_add_up(struct tally_sum *sum, const struct tally *from)
{
	for (unsigned i = 0; i < NTALLIES; i++)
		sum->v[i] += atomic_load_explicit(&from->v[i], memory_order_relaxed);
	for (unsigned i = 0; i < TALLY_REASONS; i++)
		sum->pass[i] += atomic_load_explicit(&from->pass[i], memory_order_relaxed);
	add_hist(&sum->query, &from->query);
	add_hist(&sum->wait, &from->wait);
	add_hist(&sum->fresh, &from->fresh);
	add_hist(&sum->connect, &from->connect);
}

static void sum_hist(struct tally_hist *sum, const struct tally_hist *from)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		sum->bucket[i] += from->bucket[i];
	sum->sum_us += from->sum_us;
}

void tally_sum_add(struct tally_sum *sum, const struct tally_sum *from)
{
	for (unsigned i = 0; i < NTALLIES; i++)
		sum->v[i] += from->v[i];
	for (unsigned i = 0; i < TALLY_REASONS; i++)
		sum->pass[i] += from->pass[i];
	sum_hist(&sum->query, &from->query);
	sum_hist(&sum->wait, &from->wait);
	sum_hist(&sum->fresh, &from->fresh);
	sum_hist(&sum->connect, &from->connect);
}
