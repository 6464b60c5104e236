#include "proxy/reporting.h"

#include "proxy/backend/gates.h"
#include "proxy/base/clock.h"
#include "proxy/session/roster.h"

#include <stdio.h>
#include <string.h>

_Static_assert(REPORT_PINS == SESSION_PINS, "every pin is reported");

static void counters(void *arg, int64_t sum[NCOUNTERS])
{
	struct reporting *r = arg;

	for (unsigned i = 0; i < r->nworkers; i++)
		counters_sum(sum, &worker_host(r->workers[i])->counters);
	origins_counters(r->origins, sum);
}

static void clients(void *arg, struct report_clients *out)
{
	struct reporting *r = arg;

	for (unsigned i = 0; i < r->nworkers; i++) {
		struct session_counts c = worker_counts(r->workers[i]);

		out->total += c.total;
		out->active += c.active;
		out->idle += c.idle;
		out->waiting += c.waiting;
		out->pinned += c.pinned;
		out->login += c.login;
		for (unsigned j = 0; j < REPORT_PINS; j++)
			out->pins[j] += c.pins[j];
	}
}

struct pool_rows {
	struct report_pool *out;
	unsigned n, max;
};

static void pool_row(void *arg, struct pool *pool)
{
	static const char *const modes[] = {"session", "transaction", "statement"};
	struct pool_rows *rows = arg;
	struct report_pool *p;
	struct pool_counts c;
	struct tally_sum sum = {0};

	if (pool_listening(pool) || rows->n++ >= rows->max)
		return;
	p = &rows->out[rows->n - 1];
	pool_count(pool, &c);
	*p = (struct report_pool){.mode = modes[pool_policy(pool).pool_mode],
				  .active = c.lent,
				  .idle = c.idle,
				  .login = c.connecting,
				  .pinned = c.pinned,
				  .waiting = c.waiting,
				  .size = c.size,
				  .maxwait_us = c.oldest_wait_us,
				  .paused = pool_paused(pool)};
	pool_tally_sum(pool, &sum);
	memcpy(p->v, sum.v, sizeof p->v);
	snprintf(p->database, sizeof p->database, "%s", pool_database(pool));
	snprintf(p->user, sizeof p->user, "%s", pool_user(pool));
}

static unsigned pools(void *arg, struct report_pool *out, unsigned max)
{
	struct reporting *r = arg;
	struct pool_rows rows = {.out = out, .max = max};

	pools_each(r->pools, pool_row, &rows);
	return rows.n;
}

struct cache_rows {
	struct report_cache *out;
	unsigned n, max;
};

static void cache_row(void *arg, const char *database, struct origin *origin)
{
	struct cache_rows *rows = arg;
	struct cache *cache = origin_cache(origin);
	struct origin_state st;
	struct report_cache *c;
	int64_t sum[NCOUNTERS] = {0};

	if (rows->n++ >= rows->max)
		return;
	c = &rows->out[rows->n - 1];
	origin_state(origin, &st);
	*c = (struct report_cache){.state = st.phase,
				   .off_reason = cache_on(cache) ? "" : cache_off_reason(cache),
				   .on = cache_on(cache),
				   .pos = cache_position(cache),
				   .bytes = cache_bytes(cache),
				   .entries = cache_entries(cache),
				   .epoch = cache_epoch(cache),
				   .lag_us = st.lag_us,
				   .rtt_us = st.rtt_us,
				   .since_us = clock_us() - st.since_us,
				   .restarts = st.restarts};
	origin_counters(origin, sum);
	cache_counters(cache, sum);
	c->transactions = (uint64_t)sum[COUNTER_feed_transactions];
	c->changes = (uint64_t)sum[COUNTER_feed_changes];
	c->evictions = (uint64_t)sum[COUNTER_cache_evictions];
	c->invalidations = (uint64_t)sum[COUNTER_invalidations];
	c->resets = (uint64_t)sum[COUNTER_cache_resets];
	c->refreshes = (uint64_t)sum[COUNTER_cache_refreshes];
	snprintf(c->last_error, sizeof c->last_error, "%s", st.last_error);
	snprintf(c->database, sizeof c->database, "%s", database);
}

static unsigned caches(void *arg, struct report_cache *out, unsigned max)
{
	struct reporting *r = arg;
	struct cache_rows rows = {.out = out, .max = max};

	origins_each(r->origins, cache_row, &rows);
	return rows.n;
}

struct database_rows {
	struct report_database *out;
	unsigned n, max;
};

/* Whoever comes when all rows but one are taken shares the last one, which has no name. */
static void database_row(void *arg, struct pool *pool)
{
	struct database_rows *rows = arg;
	const char *name = pool_database(pool);
	unsigned i = 0;

	while (i < rows->n && strncmp(rows->out[i].database, name, REPORT_NAME - 1) != 0 && i + 1 < rows->max)
		i++;
	if (i == rows->n) {
		memset(&rows->out[i], 0, sizeof rows->out[i]);
		if (i + 1 < rows->max)
			snprintf(rows->out[i].database, REPORT_NAME, "%.63s", name);
		rows->n++;
	}
	pool_tally_sum(pool, &rows->out[i].tally);
}

static unsigned databases(void *arg, struct report_database *out, unsigned max)
{
	struct reporting *r = arg;
	struct database_rows rows = {.out = out, .max = max};

	pools_each(r->pools, database_row, &rows);
	return rows.n;
}

struct top_rows {
	struct toplist_row *rows;
	unsigned n, max;
};

static void changed_relations(void *arg, const char *database, struct origin *origin)
{
	struct top_rows *rows = arg;

	(void)database;
	rows->n = toplist_add(origin_changes(origin), rows->rows, rows->n, rows->max);
}

static unsigned tops(void *arg, enum report_top which, struct toplist_row *rows, unsigned max)
{
	struct top_rows all = {.rows = rows, .max = max};
	struct reporting *r = arg;

	for (unsigned i = 0; i < r->nworkers; i++) {
		const struct house *h = worker_house(r->workers[i]);

		all.n = toplist_add(which == REPORT_STATEMENTS ? h->statements : h->relations, rows, all.n,
				    max);
	}
	if (which == REPORT_RELATIONS)
		origins_each(r->origins, changed_relations, &all);
	return all.n;
}

struct can_lend {
	bool any, some;
};

static void lendable(void *arg, struct pool *pool)
{
	struct can_lend *can = arg;
	struct pool_counts c;

	if (pool_listening(pool))
		return;
	pool_count(pool, &c);
	can->any = true;
	can->some |= c.total > c.connecting;
}

/* Before the first client nothing is known of the servers: that counts as ready. */
static bool ready(void *arg)
{
	struct reporting *r = arg;
	struct can_lend can = {0};

	if (*r->draining || pools_suspended(r->pools) || pools_paused(r->pools, NULL))
		return false;
	pools_each(r->pools, lendable, &can);
	return !can.any || can.some;
}

struct report_source reporting_source(struct reporting *r)
{
	return (struct report_source){.arg = r,
				      .counters = counters,
				      .pools = pools,
				      .caches = caches,
				      .databases = databases,
				      .clients = clients,
				      .tops = tops,
				      .ready = ready,
				      .pin_name = pin_name};
}
