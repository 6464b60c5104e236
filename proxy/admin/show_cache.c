/* SHOW CACHE, COHERENCE, REASONS: what the cache does, and why not. */
#include "proxy/admin/shows.h"

#include "proxy/admin/averages.h"
#include "proxy/base/check.h"
#include "proxy/sql/verdict.h"

#include <inttypes.h>
#include <stdlib.h>

const struct column columns_cache[] = {{"database", COLUMN_TEXT},	{"state", COLUMN_TEXT},
				       {"entries", COLUMN_INT8},	{"bytes", COLUMN_INT8},
				       {"hits", COLUMN_INT8},		{"misses", COLUMN_INT8},
				       {"hit_percent", COLUMN_NUMERIC}, {"fills", COLUMN_INT8},
				       {"evictions", COLUMN_INT8},	{"invalidations", COLUMN_INT8},
				       {"resets", COLUMN_INT8},		{"epoch", COLUMN_INT8},
				       {"off_reason", COLUMN_TEXT},	{NULL, 0}};
const struct column columns_coherence[] = {{"database", COLUMN_TEXT},
					   {"feed", COLUMN_TEXT},
					   {"since_us", COLUMN_INT8},
					   {"position", COLUMN_TEXT},
					   {"lag_us", COLUMN_INT8},
					   {"probe_us", COLUMN_INT8},
					   {"restarts", COLUMN_INT8},
					   {"transactions", COLUMN_INT8},
					   {"changes", COLUMN_INT8},
					   {"last_error", COLUMN_TEXT},
					   {NULL, 0}};
const struct column columns_reasons[] = {
	{"reason", COLUMN_TEXT}, {"statements", COLUMN_INT8}, {"text", COLUMN_TEXT}, {NULL, 0}};

/* Calls fn for each cache that the command asks for. */
static void each_cache(struct run *run, void (*fn)(struct run *run, const struct report_cache *c))
{
	const struct report_source *source = &run->parts->report;
	struct report_cache *caches = check_alloc(REPORT_CACHES * sizeof *caches);
	unsigned n = source->caches(source->arg, caches, REPORT_CACHES);

	for (unsigned i = 0; i < n && i < REPORT_CACHES; i++)
		if (run_wants(run, caches[i].database))
			fn(run, &caches[i]);
	free(caches);
	run_done(run);
}

static void totals_of(struct run *run, const char *database, uint64_t v[NTALLIES])
{
	struct totals t;

	totals_take(&t, run->parts->pools);
	for (unsigned i = 0; i < t.n; i++)
		if (strcmp(t.at[i].database, database) == 0)
			memcpy(v, t.at[i].v, sizeof t.at[i].v);
	totals_free(&t);
}

static void cache_row(struct run *run, const struct report_cache *c)
{
	uint64_t v[NTALLIES] = {0}, looked;
	struct table *t = &run->table;

	totals_of(run, c->database, v);
	looked = v[TALLY_hits] + v[TALLY_misses];
	table_text(t, c->database);
	table_text(t, c->on ? "on" : "off");
	table_unsigned(t, c->entries);
	table_unsigned(t, c->bytes);
	table_unsigned(t, v[TALLY_hits]);
	table_unsigned(t, v[TALLY_misses]);
	if (looked == 0)
		table_null(t);
	else
		table_unsigned(t, v[TALLY_hits] * 100 / looked);
	table_unsigned(t, v[TALLY_fills]);
	table_unsigned(t, c->evictions);
	table_unsigned(t, c->invalidations);
	table_unsigned(t, c->resets);
	table_unsigned(t, c->epoch);
	table_text(t, c->off_reason != NULL ? c->off_reason : "");
}

void show_cache(struct run *run)
{
	each_cache(run, cache_row);
}

static void coherence_row(struct run *run, const struct report_cache *c)
{
	struct table *t = &run->table;

	table_text(t, c->database);
	table_text(t, c->state);
	table_unsigned(t, c->since_us);
	table_printf(t, "%" PRIX32 "/%" PRIX32, (uint32_t)(c->pos >> 32), (uint32_t)c->pos);
	table_unsigned(t, c->lag_us);
	table_unsigned(t, c->rtt_us);
	table_unsigned(t, c->restarts);
	table_unsigned(t, c->transactions);
	table_unsigned(t, c->changes);
	table_text(t, c->last_error);
}

void show_coherence(struct run *run)
{
	each_cache(run, coherence_row);
}

struct reason_sums {
	struct run *run;
	struct tally_sum sum;
};

static void add_reasons(void *arg, struct pool *pool)
{
	struct reason_sums *r = arg;

	if (run_wants(r->run, pool_database(pool)))
		pool_tally_sum(pool, &r->sum);
}

void show_reasons(struct run *run)
{
	struct reason_sums r = {.run = run};

	pools_each(run->parts->pools, add_reasons, &r);
	for (unsigned i = 1; i < NREASONS; i++) {
		table_text(&run->table, reason_name((enum reason)i));
		table_unsigned(&run->table, r.sum.pass[i]);
		table_text(&run->table, reason_text((enum reason)i));
	}
	run_done(run);
}
