#include "proxy/admin/metrics.h"

#include "proxy/admin/quote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct page {
	struct buf *out;
	bool open;
};

/* --- families and samples --- */

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM, FAMILY_INFO };

static void help_text(struct buf *out, const char *help)
{
	/* HELP escapes as labels do; in the older format a quote would stand for itself, so our texts have none. */
	quote_label(out, help);
}

static void family(struct page *p, const char *name, enum family_type type, const char *unit,
		   const char *help)
{
	static const char *const words[] = {"counter", "gauge", "histogram", "info"};
	const char *word = words[type], *suffix = "";

	if (!p->open && type == FAMILY_COUNTER)
		suffix = "_total";
	if (!p->open && type == FAMILY_INFO) {
		suffix = "_info";
		word = "gauge";
	}
	quote_printf(p->out, "# HELP %s%s ", name, suffix);
	help_text(p->out, help);
	quote_printf(p->out, "\n# TYPE %s%s %s\n", name, suffix, word);
	if (unit[0] != '\0')
		quote_printf(p->out, "# UNIT %s%s %s\n", name, suffix, unit);
}

static void seconds(struct buf *out, uint64_t us)
{
	quote_printf(out, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

static void sample_count(struct page *p, const char *name, int64_t value)
{
	quote_printf(p->out, "%s %" PRId64 "\n", name, value);
}

/* One label more: label(p, "{", "database", x), label(p, ",", "user", y), then "} ". */
static void label(struct page *p, const char *before, const char *name, const char *value)
{
	quote_printf(p->out, "%s%s=\"", before, name);
	quote_label(p->out, value);
	buf_add_u8(p->out, '"');
}

/* --- counters.def --- */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

void metrics_counter_name(const struct counter_row *row, char *out, size_t n)
{
	int length = (int)strlen(row->name);

	if (strcmp(row->unit, "us") == 0)
		snprintf(out, n, "%.*s_seconds", ends_with(row->name, "_us") ? length - 3 : length,
			 row->name);
	else if (strcmp(row->unit, "bytes") != 0 || ends_with(row->name, "_bytes"))
		snprintf(out, n, "%s", row->name);
	else
		snprintf(out, n, "%s_bytes",
			 strncmp(row->name, "bytes_", 6) == 0 ? row->name + 6 : row->name);
}

static void write_counter(struct page *p, const struct counter_row *row, int64_t value)
{
	bool us = strcmp(row->unit, "us") == 0;
	char base[96], name[128];

	metrics_counter_name(row, base, sizeof base);
	snprintf(name, sizeof name, "pgweir_%s", base);
	family(p, name, row->is_gauge ? FAMILY_GAUGE : FAMILY_COUNTER, us ? "seconds" : row->unit, row->help);
	quote_printf(p->out, "%s%s ", name, row->is_gauge ? "" : "_total");
	if (us && value >= 0)
		seconds(p->out, (uint64_t)value);
	else
		quote_printf(p->out, "%" PRId64, value);
	buf_add_u8(p->out, '\n');
}

/* Reasons that did not occur are left out. */
static void write_reasons(struct page *p, const struct reading *r)
{
	family(p, "pgweir_pass", FAMILY_COUNTER, "", "Statements not answered from the cache, by reason.");
	for (unsigned k = 0; k < r->ndatabases; k++) {
		for (unsigned i = 1; i < NREASONS; i++) {
			if (r->databases[k].tally.pass[i] == 0)
				continue;
			buf_add(p->out, "pgweir_pass_total", 17);
			label(p, "{", "database", r->databases[k].database);
			label(p, ",", "reason", reason_name((enum reason)i));
			quote_printf(p->out, "} %" PRIu64 "\n", r->databases[k].tally.pass[i]);
		}
	}
}

/* --- clients, pools --- */

static void write_clients(struct page *p, const struct report_clients *c)
{
	const struct {
		const char *state;
		unsigned n;
	} rows[] = {{"active", c->active}, {"idle", c->idle}, {"waiting", c->waiting}, {"login", c->login}};

	family(p, "pgweir_clients", FAMILY_GAUGE, "", "Client connections by what they are doing.");
	for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		buf_add(p->out, "pgweir_clients", 14);
		label(p, "{", "state", rows[i].state);
		quote_printf(p->out, "} %u\n", rows[i].n);
	}
	family(p, "pgweir_clients_connected", FAMILY_GAUGE, "", "Client connections.");
	sample_count(p, "pgweir_clients_connected", c->total);
	family(p, "pgweir_clients_pinned", FAMILY_GAUGE, "",
	       "Client connections that keep their backend beyond a transaction.");
	sample_count(p, "pgweir_clients_pinned", c->pinned);
}

static void write_pins(struct page *p, const struct reading *r)
{
	family(p, "pgweir_pins", FAMILY_GAUGE, "", "Client connections that keep their backend, by reason.");
	for (unsigned i = 0; r->pin_name != NULL && r->pin_name(i) != NULL && i < REPORT_PINS; i++) {
		buf_add(p->out, "pgweir_pins", 11);
		label(p, "{", "reason", r->pin_name(i));
		quote_printf(p->out, "} %u\n", r->clients.pins[i]);
	}
}

static void pool_labels(struct page *p, const char *name, const struct report_pool *pool)
{
	buf_add_span(p->out, span_str(name));
	label(p, "{", "database", pool->database);
	label(p, ",", "user", pool->user);
}

static void write_pool_states(struct page *p, const struct report_pool *pool)
{
	const struct {
		const char *state;
		unsigned n;
	} rows[] = {{"active", pool->active}, {"idle", pool->idle}, {"login", pool->login}};

	for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		pool_labels(p, "pgweir_pools", pool);
		label(p, ",", "state", rows[i].state);
		quote_printf(p->out, "} %u\n", rows[i].n);
	}
}

static void write_pools(struct page *p, const struct reading *r)
{
	const struct report_pool *pools = r->pools;

	family(p, "pgweir_pools", FAMILY_GAUGE, "", "Backend connections by what they are doing.");
	for (unsigned i = 0; i < r->npools; i++)
		write_pool_states(p, &pools[i]);
	family(p, "pgweir_pool_size", FAMILY_GAUGE, "", "Most backend connections of the pool.");
	for (unsigned i = 0; i < r->npools; i++) {
		pool_labels(p, "pgweir_pool_size", &pools[i]);
		quote_printf(p->out, "} %u\n", pools[i].size);
	}
	family(p, "pgweir_pool_pinned", FAMILY_GAUGE, "",
	       "Backend connections kept by a client beyond a transaction.");
	for (unsigned i = 0; i < r->npools; i++) {
		pool_labels(p, "pgweir_pool_pinned", &pools[i]);
		quote_printf(p->out, "} %u\n", pools[i].pinned);
	}
	family(p, "pgweir_pool_waiting", FAMILY_GAUGE, "", "Clients that wait for a backend.");
	for (unsigned i = 0; i < r->npools; i++) {
		pool_labels(p, "pgweir_pool_waiting", &pools[i]);
		quote_printf(p->out, "} %u\n", pools[i].waiting);
	}
	family(p, "pgweir_pool_maxwait_seconds", FAMILY_GAUGE, "seconds",
	       "Wait so far of the client that has waited longest.");
	for (unsigned i = 0; i < r->npools; i++) {
		pool_labels(p, "pgweir_pool_maxwait_seconds", &pools[i]);
		buf_add(p->out, "} ", 2);
		seconds(p->out, pools[i].maxwait_us);
		buf_add_u8(p->out, '\n');
	}
	family(p, "pgweir_pools_hidden", FAMILY_GAUGE, "", "Pools beyond the most that are shown.");
	sample_count(p, "pgweir_pools_hidden", r->hidden_pools);
}

/* tally.def for each pool: pgweir_pool_transactions_total, pgweir_pool_wait_seconds_total, .. */
static void write_tally(struct page *p, const struct reading *r, unsigned id)
{
	const struct tally_row *row = &tally_rows[id];
	struct counter_row like = {row->name, row->unit, row->help, 0};
	bool us = strcmp(row->unit, "us") == 0;
	char base[96], name[128];

	metrics_counter_name(&like, base, sizeof base);
	snprintf(name, sizeof name, "pgweir_pool_%s", base);
	family(p, name, FAMILY_COUNTER, us ? "seconds" : row->unit, row->help);
	for (unsigned i = 0; i < r->npools; i++) {
		snprintf(name, sizeof name, "pgweir_pool_%s_total", base);
		pool_labels(p, name, &r->pools[i]);
		buf_add(p->out, "} ", 2);
		if (us)
			seconds(p->out, r->pools[i].v[id]);
		else
			quote_printf(p->out, "%" PRIu64, r->pools[i].v[id]);
		buf_add_u8(p->out, '\n');
	}
}

/* --- caches --- */

struct cache_column {
	enum family_type type;
	const char *name;
	const char *unit;
	const char *help;
	uint64_t (*value)(const struct report_cache *c);
};

static uint64_t cache_is_on(const struct report_cache *c)
{
	return c->on;
}

static uint64_t cache_pos(const struct report_cache *c)
{
	return c->pos;
}

static uint64_t cache_size(const struct report_cache *c)
{
	return c->bytes;
}

static uint64_t cache_count(const struct report_cache *c)
{
	return c->entries;
}

static uint64_t cache_generation(const struct report_cache *c)
{
	return c->epoch;
}

static uint64_t cache_lag(const struct report_cache *c)
{
	return c->lag_us;
}

static uint64_t cache_rtt(const struct report_cache *c)
{
	return c->rtt_us;
}

static uint64_t cache_restarts(const struct report_cache *c)
{
	return c->restarts;
}

static uint64_t cache_transactions(const struct report_cache *c)
{
	return c->transactions;
}

static uint64_t cache_invalidations(const struct report_cache *c)
{
	return c->invalidations;
}

static uint64_t cache_evictions(const struct report_cache *c)
{
	return c->evictions;
}

static const struct cache_column cache_columns[] = {
	{FAMILY_GAUGE, "pgweir_cache_on", "", "1 while reads of the database can be answered from the cache.",
	 cache_is_on},
	{FAMILY_GAUGE, "pgweir_feed_position_lsn", "", "Log position up to which all changes are applied.",
	 cache_pos},
	{FAMILY_GAUGE, "pgweir_watermark_lag_seconds", "seconds",
	 "How long the feed was behind the last question for the log's position.", cache_lag},
	{FAMILY_GAUGE, "pgweir_probe_rtt_seconds", "seconds",
	 "Round trip of the question for the log's position, smoothed.", cache_rtt},
	{FAMILY_GAUGE, "pgweir_database_cache_bytes", "bytes", "Memory of the database's cache.", cache_size},
	{FAMILY_GAUGE, "pgweir_database_cache_entries", "", "Entries in the database's cache.", cache_count},
	{FAMILY_GAUGE, "pgweir_cache_epoch", "", "Times that the database's cache began anew.",
	 cache_generation},
	{FAMILY_COUNTER, "pgweir_database_feed_restarts", "",
	 "Times that the database's feed had to start again.", cache_restarts},
	{FAMILY_COUNTER, "pgweir_database_feed_transactions", "",
	 "Committed transactions received from the database's feed.", cache_transactions},
	{FAMILY_COUNTER, "pgweir_database_invalidations", "", "Versions raised by the database's changes.",
	 cache_invalidations},
	{FAMILY_COUNTER, "pgweir_database_evictions", "", "Entries removed to make room.", cache_evictions},
};

static void write_caches(struct page *p, const struct reading *r)
{
	for (unsigned i = 0; i < sizeof cache_columns / sizeof cache_columns[0]; i++) {
		const struct cache_column *col = &cache_columns[i];

		family(p, col->name, col->type, col->unit, col->help);
		for (unsigned k = 0; k < r->ncaches; k++) {
			quote_printf(p->out, "%s%s", col->name, col->type == FAMILY_COUNTER ? "_total" : "");
			label(p, "{", "database", r->caches[k].database);
			buf_add(p->out, "} ", 2);
			if (strcmp(col->unit, "seconds") == 0)
				seconds(p->out, col->value(&r->caches[k]));
			else
				quote_printf(p->out, "%" PRIu64, col->value(&r->caches[k]));
			buf_add_u8(p->out, '\n');
		}
	}
}

/* --- histograms --- */

static void hist_labels(struct page *p, const char *name, const char *suffix, const char *database)
{
	quote_printf(p->out, "%s%s", name, suffix);
	label(p, "{", "database", database);
}

static void write_hist(struct page *p, const char *name, const char *database, const struct tally_hist *h)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		below += h->bucket[i];
		hist_labels(p, name, "_bucket", database);
		buf_add(p->out, ",le=\"", 5);
		if (i == HIST_BUCKETS - 1)
			buf_add(p->out, "+Inf", 4);
		else
			seconds(p->out, UINT64_C(1) << i);
		quote_printf(p->out, "\"} %" PRIu64 "\n", below);
	}
	hist_labels(p, name, "_sum", database);
	buf_add(p->out, "} ", 2);
	seconds(p->out, h->sum_us);
	buf_add_u8(p->out, '\n');
	hist_labels(p, name, "_count", database);
	quote_printf(p->out, "} %" PRIu64 "\n", below);
}

static void write_hists(struct page *p, const struct reading *r)
{
#define HIST(name, help)                                                                     \
	family(p, "pgweir_" #name "_duration_seconds", FAMILY_HISTOGRAM, "seconds", help);   \
	for (unsigned i = 0; i < r->ndatabases; i++)                                         \
		write_hist(p, "pgweir_" #name "_duration_seconds", r->databases[i].database, \
			   &r->databases[i].tally.name);
	REPORT_HISTS(HIST)
#undef HIST
}

void metrics_write(struct buf *out, const struct reading *r, bool open)
{
	struct page page = {.out = out, .open = open};

	family(&page, "pgweir", FAMILY_INFO, "", "What runs here.");
	quote_printf(out, "pgweir_info{version=\"%s\"} 1\n", PGWEIR_VERSION);
	family(&page, "pgweir_uptime_seconds", FAMILY_GAUGE, "seconds", "Time since the start.");
	buf_add(out, "pgweir_uptime_seconds ", 22);
	seconds(out, r->uptime_us);
	buf_add_u8(out, '\n');
	family(&page, "pgweir_ready", FAMILY_GAUGE, "", "1 while a backend can be lent.");
	sample_count(&page, "pgweir_ready", r->ready);
	for (unsigned i = 0; i < NCOUNTERS; i++)
		write_counter(&page, &counter_rows[i], r->counters[i]);
	write_reasons(&page, r);
	write_clients(&page, &r->clients);
	write_pins(&page, r);
	write_pools(&page, r);
	for (unsigned i = 0; i < NTALLIES; i++)
		write_tally(&page, r, i);
	write_caches(&page, r);
	write_hists(&page, r);
	buf_add(out, "# EOF\n", 6);
}
