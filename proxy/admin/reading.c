#include "proxy/admin/reading.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Clients' names can be any bytes, and are cut somewhere. Made text before equal ones are looked for: names that only read the same
 * would make two series of one name. */
static void make_text(char *name)
{
	for (size_t n; *name != '\0'; name += n) {
		n = utf8_length(span_str(name));
		if (n == 0) {
			*name = '?';
			n = 1;
		}
	}
}

static int pool_order(const void *a, const void *b)
{
	const struct report_pool *x = a, *y = b;
	int by_database = strcmp(x->database, y->database);

	return by_database != 0 ? by_database : strcmp(x->user, y->user);
}

static int cache_order(const void *a, const void *b)
{
	const struct report_cache *x = a, *y = b;

	return strcmp(x->database, y->database);
}

static void pool_add(struct report_pool *to, const struct report_pool *from)
{
	to->active += from->active;
	to->idle += from->idle;
	to->login += from->login;
	to->pinned += from->pinned;
	to->waiting += from->waiting;
	/* The size is the pool's, however many workers share it. */
	if (from->size > to->size)
		to->size = from->size;
	if (from->maxwait_us > to->maxwait_us)
		to->maxwait_us = from->maxwait_us;
	for (unsigned i = 0; i < NTALLIES; i++)
		to->v[i] += from->v[i];
}

static void take_pools(const struct report_source *source, struct reading *r)
{
	unsigned n, kept = 0;

	r->pools = check_alloc(REPORT_POOLS * sizeof *r->pools);
	n = source->pools(source->arg, r->pools, REPORT_POOLS);
	if (n > REPORT_POOLS) {
		r->hidden_pools = n - REPORT_POOLS;
		n = REPORT_POOLS;
	}
	for (unsigned i = 0; i < n; i++) {
		make_text(r->pools[i].database);
		make_text(r->pools[i].user);
	}
	qsort(r->pools, n, sizeof *r->pools, pool_order);
	for (unsigned i = 0; i < n; i++) {
		if (kept > 0 && pool_order(&r->pools[kept - 1], &r->pools[i]) == 0)
			pool_add(&r->pools[kept - 1], &r->pools[i]);
		else
			r->pools[kept++] = r->pools[i];
	}
	r->npools = kept;
}

static void take_caches(const struct report_source *source, struct reading *r)
{
	unsigned n, kept = 0;

	r->caches = check_alloc(REPORT_CACHES * sizeof *r->caches);
	n = source->caches(source->arg, r->caches, REPORT_CACHES);
	if (n > REPORT_CACHES)
		n = REPORT_CACHES;
	for (unsigned i = 0; i < n; i++)
		make_text(r->caches[i].database);
	qsort(r->caches, n, sizeof *r->caches, cache_order);
	/* There is one per database; a second one would make the whole page unreadable to scrapers. */
	for (unsigned i = 0; i < n; i++)
		if (kept == 0 || cache_order(&r->caches[kept - 1], &r->caches[i]) != 0)
			r->caches[kept++] = r->caches[i];
	r->ncaches = kept;
}

static void take_tops(const struct report_source *source, struct reading *r)
{
	for (unsigned which = 0; which < 2; which++) {
		r->tops[which] = check_alloc(REPORT_TOPS * sizeof *r->tops[which]);
		r->ntops[which] =
			source->tops(source->arg, (enum report_top)which, r->tops[which], REPORT_TOPS);
		toplist_sort(r->tops[which], r->ntops[which]);
	}
}

static int database_order(const void *a, const void *b)
{
	return strcmp(((const struct report_database *)a)->database,
		      ((const struct report_database *)b)->database);
}

static void take_databases(const struct report_source *source, struct reading *r)
{
	unsigned n, kept = 0;

	r->databases = check_alloc(REPORT_DATABASES * sizeof *r->databases);
	n = source->databases(source->arg, r->databases, REPORT_DATABASES);
	check(n <= REPORT_DATABASES);
	for (unsigned i = 0; i < n; i++)
		make_text(r->databases[i].database);
	if (n > 0)
		qsort(r->databases, n, sizeof *r->databases, database_order);
	for (unsigned i = 0; i < n; i++) {
		tally_sum_add(&r->all, &r->databases[i].tally);
		if (kept > 0 && database_order(&r->databases[kept - 1], &r->databases[i]) == 0)
			tally_sum_add(&r->databases[kept - 1].tally, &r->databases[i].tally);
		else
			r->databases[kept++] = r->databases[i];
	}
	r->ndatabases = kept;
}

void reading_take(const struct report_source *source, uint64_t started_us, struct reading *r)
{
	memset(r, 0, sizeof *r);
	r->uptime_us = clock_us() - started_us;
	r->ready = source->ready == NULL || source->ready(source->arg);
	if (source->counters != NULL)
		source->counters(source->arg, r->counters);
	if (source->clients != NULL)
		source->clients(source->arg, &r->clients);
	r->pin_name = source->pin_name;
	if (source->databases != NULL)
		take_databases(source, r);
	if (source->pools != NULL)
		take_pools(source, r);
	if (source->caches != NULL)
		take_caches(source, r);
	if (source->tops != NULL)
		take_tops(source, r);
}

void reading_free(struct reading *r)
{
	free(r->pools);
	free(r->caches);
	free(r->tops[REPORT_STATEMENTS]);
	free(r->tops[REPORT_RELATIONS]);
	free(r->databases);
	memset(r, 0, sizeof *r);
}
