/* SHOW CACHE, COHERENCE, REASONS: what the cache does, and why not. */
#include "proxy/admin/shows.h"

#include "proxy/admin/averages.h"
#include "proxy/base/check.h"
#include "proxy/session/console.h"
#include "proxy/session/explain.h"
#include "proxy/sql/verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct column columns_cache[] = {{"database", COLUMN_TEXT},	{"state", COLUMN_TEXT},
				       {"entries", COLUMN_INT8},	{"bytes", COLUMN_INT8},
				       {"hits", COLUMN_INT8},		{"row_hits", COLUMN_INT8},
				       {"refreshes", COLUMN_INT8},	{"misses", COLUMN_INT8},
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
	table_unsigned(t, v[TALLY_row_hits]);
	table_unsigned(t, c->refreshes);
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
	bool found;
};

static void add_reasons(void *arg, struct pool *pool)
{
	struct reason_sums *r = arg;

	if (!run_wants(r->run, pool_database(pool)))
		return;
	r->found = true;
	pool_tally_sum(pool, &r->sum);
}

void show_reasons(struct run *run)
{
	struct reason_sums r = {.run = run};

	pools_each(run->parts->pools, add_reasons, &r);
	for (unsigned i = 1; i < NREASONS && (r.found || !run_database_unknown(run)); i++) {
		table_text(&run->table, reason_name((enum reason)i));
		table_unsigned(&run->table, r.sum.pass[i]);
		table_text(&run->table, reason_text((enum reason)i));
	}
	run_done(run);
}

/* --- top lists --- */

const struct column columns_statements[] = {{"database", COLUMN_TEXT},
					    {"statement", COLUMN_TEXT},
					    {"hits", COLUMN_INT8},
					    {"misses", COLUMN_INT8},
					    {"fills", COLUMN_INT8},
					    {"kills", COLUMN_INT8},
					    {NULL, 0}};
const struct column columns_relations[] = {{"database", COLUMN_TEXT}, {"relation", COLUMN_TEXT},
					   {"hits", COLUMN_INT8},     {"misses", COLUMN_INT8},
					   {"fills", COLUMN_INT8},    {"kills", COLUMN_INT8},
					   {"changes", COLUMN_INT8},  {NULL, 0}};
const struct column columns_explain[] = {{"item", COLUMN_TEXT}, {"value", COLUMN_TEXT}, {NULL, 0}};

static void show_top(struct run *run, enum report_top which)
{
	const struct report_source *source = &run->parts->report;
	struct toplist_row *rows = check_alloc(REPORT_TOPS * sizeof *rows);
	unsigned n = source->tops(source->arg, which, rows, REPORT_TOPS);

	toplist_sort(rows, n);
	for (unsigned i = 0; i < n; i++) {
		if (!run_wants(run, rows[i].group))
			continue;
		table_text(&run->table, rows[i].group);
		table_text(&run->table, rows[i].name);
		table_unsigned(&run->table, rows[i].count[TOPLIST_HITS]);
		table_unsigned(&run->table, rows[i].count[TOPLIST_MISSES]);
		table_unsigned(&run->table, rows[i].count[TOPLIST_FILLS]);
		table_unsigned(&run->table, rows[i].count[TOPLIST_KILLS]);
		if (which == REPORT_RELATIONS)
			table_unsigned(&run->table, rows[i].count[TOPLIST_CHANGES]);
	}
	free(rows);
	run_done(run);
}

void show_statements(struct run *run)
{
	show_top(run, REPORT_STATEMENTS);
}

void show_relations(struct run *run)
{
	show_top(run, REPORT_RELATIONS);
}

/* --- EXPLAIN CACHE FOR: asked of the first worker --- */

static void add_line(void *arg, const char *item, const char *value)
{
	struct buf *text = arg;

	buf_add_cstr(text, item);
	buf_add_cstr(text, value);
}

static void explain(struct house *h, const struct round_order *order, struct round_part *part)
{
	if (h->host.index == 0)
		explain_cache(h, order->database, order->user, span_str(order->text), add_line, &part->text);
}

static void have_lines(struct run *run, struct round *r)
{
	const struct buf *text = &r->parts[0].text;
	size_t at = 0;

	if (!r->parts[0].back || text->failed) {
		run_fail(run, "57014", "the worker that was asked is busy");
		return;
	}
	while (at < text->len) {
		const char *cell = (const char *)text->p + at;

		table_text(&run->table, cell);
		at += strlen(cell) + 1;
	}
	run_done(run);
}

void show_explain(struct run *run)
{
	const char *database = run->parsed.arg[0];
	struct round_order order = {
		.work = explain, .text = run->parsed.arg[1], .user = run->who.user, .database = database};

	if (console_name(database) ||
	    config_database(run->parts->control.config(run->parts->control.arg), database) == NULL) {
		run_fail(run, "3D000", "no such database: %s", database);
		return;
	}
	run_round(run, &order, have_lines);
}
