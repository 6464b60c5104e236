#include "proxy/admin/stats.h"

#include "proxy/admin/quote.h"

#include <inttypes.h>

/* The comma in front of all members but the first. */
struct json {
	struct buf *out;
	bool first;
};

static void key(struct json *j, const char *name)
{
	if (!j->first)
		buf_add_u8(j->out, ',');
	j->first = false;
	buf_add_u8(j->out, '"');
	quote_json(j->out, name);
	buf_add(j->out, "\":", 2);
}

static void element(struct json *j)
{
	if (!j->first)
		buf_add_u8(j->out, ',');
	j->first = false;
}

static void open_as(struct json *j, char bracket)
{
	buf_add_u8(j->out, (uint8_t)bracket);
	j->first = true;
}

static void close_as(struct json *j, char bracket)
{
	buf_add_u8(j->out, (uint8_t)bracket);
	j->first = false;
}

static void member_text(struct json *j, const char *name, const char *value)
{
	key(j, name);
	buf_add_u8(j->out, '"');
	quote_json(j->out, value != NULL ? value : "");
	buf_add_u8(j->out, '"');
}

static void member_u64(struct json *j, const char *name, uint64_t value)
{
	key(j, name);
	quote_printf(j->out, "%" PRIu64, value);
}

static void member_i64(struct json *j, const char *name, int64_t value)
{
	key(j, name);
	quote_printf(j->out, "%" PRId64, value);
}

static void member_bool(struct json *j, const char *name, bool value)
{
	key(j, name);
	quote_printf(j->out, "%s", value ? "true" : "false");
}

static void write_clients(struct json *j, const struct reading *r)
{
	const struct report_clients *c = &r->clients;

	key(j, "clients");
	open_as(j, '{');
	member_u64(j, "total", c->total);
	member_u64(j, "active", c->active);
	member_u64(j, "idle", c->idle);
	member_u64(j, "waiting", c->waiting);
	member_u64(j, "pinned", c->pinned);
	member_u64(j, "login", c->login);
	key(j, "pins");
	open_as(j, '{');
	for (unsigned i = 0; r->pin_name != NULL && r->pin_name(i) != NULL && i < REPORT_PINS; i++)
		member_u64(j, r->pin_name(i), c->pins[i]);
	close_as(j, '}');
	close_as(j, '}');
}

static void write_tallies(struct json *j, const uint64_t v[NTALLIES])
{
	for (unsigned i = 0; i < NTALLIES; i++)
		member_u64(j, tally_rows[i].name, v[i]);
}

static void write_pool(struct json *j, const struct report_pool *pool)
{
	element(j);
	open_as(j, '{');
	member_text(j, "database", pool->database);
	member_text(j, "user", pool->user);
	member_text(j, "mode", pool->mode);
	member_u64(j, "active", pool->active);
	member_u64(j, "idle", pool->idle);
	member_u64(j, "login", pool->login);
	member_u64(j, "pinned", pool->pinned);
	member_u64(j, "waiting", pool->waiting);
	member_u64(j, "size", pool->size);
	member_u64(j, "maxwait_us", pool->maxwait_us);
	member_bool(j, "paused", pool->paused);
	write_tallies(j, pool->v);
	close_as(j, '}');
}

static void write_cache(struct json *j, const struct report_cache *c)
{
	element(j);
	open_as(j, '{');
	member_text(j, "database", c->database);
	member_bool(j, "on", c->on);
	member_text(j, "state", c->state);
	member_text(j, "off_reason", c->off_reason);
	key(j, "pos");
	quote_printf(j->out, "\"%X/%X\"", (unsigned)(c->pos >> 32), (unsigned)c->pos);
	member_u64(j, "bytes", c->bytes);
	member_u64(j, "entries", c->entries);
	member_u64(j, "epoch", c->epoch);
	member_u64(j, "lag_us", c->lag_us);
	member_u64(j, "rtt_us", c->rtt_us);
	member_u64(j, "since_us", c->since_us);
	member_u64(j, "restarts", c->restarts);
	member_u64(j, "transactions", c->transactions);
	member_u64(j, "changes", c->changes);
	member_u64(j, "evictions", c->evictions);
	member_u64(j, "invalidations", c->invalidations);
	member_u64(j, "resets", c->resets);
	member_text(j, "last_error", c->last_error);
	close_as(j, '}');
}

static void write_hist(struct json *j, const char *name, const struct tally_hist *h)
{
	uint64_t count = 0;

	key(j, name);
	open_as(j, '{');
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		count += h->bucket[i];
	member_u64(j, "count", count);
	member_u64(j, "sum_us", h->sum_us);
	key(j, "buckets"); /* [i]: at most 2^i us, not cumulative; the last takes the rest */
	open_as(j, '[');
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		element(j);
		quote_printf(j->out, "%" PRIu64, h->bucket[i]);
	}
	close_as(j, ']');
	close_as(j, '}');
}

static void write_durations(struct json *j, const struct tally_sum *sum)
{
	key(j, "durations");
	open_as(j, '{');
#define HIST(name, help) write_hist(j, #name, &sum->name);
	REPORT_HISTS(HIST)
#undef HIST
	close_as(j, '}');
}

static void write_database(struct json *j, const struct report_database *d)
{
	element(j);
	open_as(j, '{');
	member_text(j, "database", d->database);
	write_tallies(j, d->tally.v);
	key(j, "pass");
	open_as(j, '{');
	for (unsigned i = 1; i < NREASONS; i++)
		if (d->tally.pass[i] > 0)
			member_u64(j, reason_name((enum reason)i), d->tally.pass[i]);
	close_as(j, '}');
	write_durations(j, &d->tally);
	close_as(j, '}');
}

static void write_lists(struct json *j, const struct reading *r)
{
	key(j, "pools");
	open_as(j, '[');
	for (unsigned i = 0; i < r->npools; i++)
		write_pool(j, &r->pools[i]);
	close_as(j, ']');
	member_u64(j, "pools_hidden", r->hidden_pools);
	key(j, "caches");
	open_as(j, '[');
	for (unsigned i = 0; i < r->ncaches; i++)
		write_cache(j, &r->caches[i]);
	close_as(j, ']');
}

#define TOPS_SHOWN 50u

static void write_tops(struct json *j, const char *name, const struct toplist_row *rows, unsigned n)
{
	static const char *const kinds[TOPLIST_KINDS] = {"hits", "misses", "fills", "kills", "changes"};

	key(j, name);
	open_as(j, '[');
	for (unsigned i = 0; i < n && i < TOPS_SHOWN; i++) {
		element(j);
		open_as(j, '{');
		member_text(j, "database", rows[i].group);
		member_text(j, "name", rows[i].name);
		for (unsigned kind = 0; kind < TOPLIST_KINDS; kind++)
			member_u64(j, kinds[kind], rows[i].count[kind]);
		close_as(j, '}');
	}
	close_as(j, ']');
}

static void write_reasons(struct json *j, const struct reading *r)
{
	key(j, "pass");
	open_as(j, '[');
	for (unsigned i = 1; i < NREASONS; i++) {
		element(j);
		open_as(j, '{');
		member_text(j, "reason", reason_name((enum reason)i));
		member_text(j, "text", reason_text((enum reason)i));
		member_u64(j, "count", r->all.pass[i]);
		close_as(j, '}');
	}
	close_as(j, ']');
}

void stats_write(struct buf *out, const struct reading *r)
{
	struct json json = {.out = out, .first = true}, *j = &json;

	open_as(j, '{');
	member_text(j, "version", PGWEIR_VERSION);
	member_u64(j, "uptime_us", r->uptime_us);
	member_bool(j, "ready", r->ready);
	key(j, "counters");
	open_as(j, '{');
	for (unsigned i = 0; i < NCOUNTERS; i++)
		member_i64(j, counter_rows[i].name, r->counters[i]);
	close_as(j, '}');
	write_reasons(j, r);
	write_clients(j, r);
	write_lists(j, r);
	write_tops(j, "statements", r->tops[REPORT_STATEMENTS], r->ntops[REPORT_STATEMENTS]);
	write_tops(j, "relations", r->tops[REPORT_RELATIONS], r->ntops[REPORT_RELATIONS]);
	write_durations(j, &r->all);
	key(j, "databases");
	open_as(j, '[');
	for (unsigned i = 0; i < r->ndatabases; i++)
		write_database(j, &r->databases[i]);
	close_as(j, ']');
	close_as(j, '}');
	buf_add_u8(out, '\n');
}
