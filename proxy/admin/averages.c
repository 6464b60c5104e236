#include "proxy/admin/averages.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct averages {
	struct pools *pools; /* borrowed */
	struct totals older, newer;
};

static void add_pool(void *arg, struct pool *pool)
{
	struct totals *t = arg;
	struct database_totals *d = NULL;
	struct tally_sum sum = {0};

	for (unsigned i = 0; i < t->n && d == NULL; i++)
		if (strncmp(t->at[i].database, pool_database(pool), sizeof d->database - 1) == 0)
			d = &t->at[i];
	if (d == NULL) {
		if (t->n == t->room) {
			t->room = t->room == 0 ? 16 : t->room * 2;
			t->at = realloc(t->at, t->room * sizeof *t->at);
			check(t->at != NULL);
		}
		d = &t->at[t->n++];
		memset(d, 0, sizeof *d);
		snprintf(d->database, sizeof d->database, "%.63s", pool_database(pool));
	}
	pool_tally_sum(pool, &sum);
	for (unsigned i = 0; i < NTALLIES; i++)
		d->v[i] += sum.v[i];
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct database_totals *)a)->database,
		      ((const struct database_totals *)b)->database);
}

void totals_take(struct totals *t, struct pools *pools)
{
	*t = (struct totals){.taken_us = clock_us()};
	pools_each(pools, add_pool, t);
	if (t->n > 0)
		qsort(t->at, t->n, sizeof *t->at, by_name);
}

void totals_free(struct totals *t)
{
	free(t->at);
	*t = (struct totals){0};
}

struct averages *averages_new(struct pools *pools)
{
	struct averages *a = check_alloc(sizeof *a);

	a->pools = pools;
	totals_take(&a->older, pools);
	totals_take(&a->newer, pools);
	return a;
}

void averages_free(struct averages **ap)
{
	struct averages *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	totals_free(&a->older);
	totals_free(&a->newer);
	free(a);
}

void averages_turn(struct averages *a)
{
	totals_free(&a->older);
	a->older = a->newer;
	totals_take(&a->newer, a->pools);
}

/* Times are per thing: of a transaction, of a statement. */
static enum tally_id divisor(unsigned id)
{
	switch (id) {
	case TALLY_transaction_us: return TALLY_transactions;
	case TALLY_statement_us: return TALLY_statements;
	case TALLY_wait_us: return TALLY_assignments;
	default: return NTALLIES;
	}
}

void averages_of(const struct averages *a, const struct database_totals *now, uint64_t now_us,
		 uint64_t out[NTALLIES])
{
	static const struct database_totals none;
	uint64_t us = now_us > a->older.taken_us ? now_us - a->older.taken_us : 1;
	const struct database_totals *then = NULL;

	if (a->older.n > 0)
		then = bsearch(now, a->older.at, a->older.n, sizeof *now, by_name);
	if (then == NULL)
		then = &none;
	for (unsigned i = 0; i < NTALLIES; i++) {
		uint64_t added = now->v[i] - then->v[i];
		enum tally_id by = divisor(i);

		if (by != NTALLIES) {
			uint64_t things = now->v[by] - then->v[by];

			out[i] = things > 0 ? added / things : 0;
		} else {
			out[i] = (uint64_t)((double)added * 1e6 / (double)us);
		}
	}
}
