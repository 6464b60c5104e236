/* The pools of the process: found by (database, user), kept up once a second, configured anew at a reload. */
#include "proxy/backend/pool_private.h"

#include <stdio.h>

struct pools *pools_new(struct host **hosts, unsigned nhosts)
{
	struct pools *p = check_alloc(sizeof *p);

	check(nhosts <= HOSTS_MAX);
	pthread_mutex_init(&p->lock, NULL);
	p->hosts = hosts;
	p->nhosts = nhosts;
	return p;
}

static void pool_free(struct pool *p)
{
	while (p->welcomes != NULL) {
		struct pool_welcome *w = p->welcomes;

		p->welcomes = w->next;
		pool_welcome_unref(w);
	}
	pool_defaults_unref(p->defaults);
	target_unref(p->target);
	pthread_mutex_destroy(&p->lock);
	free(p->tallies);
	free(p->key);
	free(p);
}

void pools_free(struct pools **pp)
{
	struct pools *ps = *pp;
	struct pool *p, *next;

	if (ps == NULL)
		return;
	HASH_ITER (hh, ps->table, p, next) {
		HASH_DEL(ps->table, p);
		pool_free(p);
	}
	gates_free(ps);
	pthread_mutex_destroy(&ps->lock);
	free(ps);
	*pp = NULL;
}

static struct pool *pool_new(struct pools *ps, struct pool_target *target, const char *key, size_t nkey)
{
	struct pool *p = check_alloc(sizeof *p);

	pthread_mutex_init(&p->lock, NULL);
	p->pools = ps;
	p->key = check_alloc(nkey);
	memcpy(p->key, key, nkey);
	p->nkey = nkey;
	p->database = p->key;
	p->user = p->key + strlen(p->key) + 1;
	p->target = target;
	p->tallies = check_alloc(ps->nhosts * sizeof *p->tallies);
	for (unsigned i = 0; i < HOSTS_MAX; i++)
		ring_init(&p->idle[i]);
	ring_init(&p->waiters);
	return p;
}

/* One connection in each worker, whatever the sizes of the other pools. */
static void size_for_listening(struct pools *ps, struct pool_target *target)
{
	target->policy.default_pool_size = (int)ps->nhosts;
	target->policy.min_pool_size = 0;
	target->policy.reserve_pool_size = 0;
}

static struct pool *get(struct pools *ps, struct config *cfg, struct tls *tls, const char *database,
			const char *user, const char *replication, bool listening, struct err *err)
{
	char key[1024];
	int n = snprintf(key, sizeof key, "%s%c%s%c%s%c%c", database, '\0', user, '\0', replication, '\0',
			 listening ? 'l' : 's');
	struct pool_target *target;
	struct pool *p;

	if (n < 0 || (size_t)n + 1 > sizeof key) {
		err_state(err, "08P01", "the names of database and user are too long");
		return NULL;
	}
	if (config_database(cfg, database) == NULL) { /* a pool may be left from before a reload */
		err_state(err, "3D000", "no such database: %s", database);
		return NULL;
	}
	pthread_mutex_lock(&ps->lock);
	HASH_FIND(hh, ps->table, key, (size_t)n + 1, p);
	if (p == NULL) {
		target = target_new(cfg, tls, database, user, replication);
		check(target != NULL);
		p = pool_new(ps, target, key, (size_t)n + 1);
		p->listening = listening;
		if (listening)
			size_for_listening(ps, target);
		p->paused = !listening && gates_paused(ps, p->database);
		HASH_ADD_KEYPTR(hh, ps->table, p->key, p->nkey, p);
	}
	pthread_mutex_unlock(&ps->lock);
	return p;
}

struct pool *pools_get(struct pools *ps, struct config *cfg, struct tls *tls, const char *database,
		       const char *user, const char *replication, struct err *err)
{
	return get(ps, cfg, tls, database, user, replication, false, err);
}

struct pool *pools_get_listening(struct pools *ps, struct config *cfg, struct tls *tls, const char *database,
				 const char *user, struct err *err)
{
	return get(ps, cfg, tls, database, user, "", true, err);
}

bool pool_listening(const struct pool *p)
{
	return p->listening;
}

bool pool_moved(struct pool *p, const struct backend *b)
{
	bool moved;

	pthread_mutex_lock(&p->lock);
	moved = strcmp(p->target->db->host, b->target->db->host) != 0 ||
		p->target->db->port != b->target->db->port ||
		strcmp(p->target->dbname, b->target->dbname) != 0;
	pthread_mutex_unlock(&p->lock);
	return moved;
}

const char *pool_database(const struct pool *p)
{
	return p->database;
}

const char *pool_user(const struct pool *p)
{
	return p->user;
}

struct policy pool_policy(struct pool *p)
{
	struct policy policy;

	pthread_mutex_lock(&p->lock);
	policy = p->target->policy;
	pthread_mutex_unlock(&p->lock);
	return policy;
}

struct pool_target *pool_target(struct pool *p)
{
	struct pool_target *target;

	pthread_mutex_lock(&p->lock);
	target = target_ref(p->target);
	pthread_mutex_unlock(&p->lock);
	return target;
}

struct pool_defaults *pool_defaults(struct pool *p)
{
	struct pool_defaults *d;

	pthread_mutex_lock(&p->lock);
	d = p->defaults;
	if (d != NULL)
		atomic_fetch_add(&d->refs, 1);
	pthread_mutex_unlock(&p->lock);
	return d;
}

struct pool_defaults *pool_defaults_new(const struct backend *b)
{
	struct pool_defaults *d = check_alloc(sizeof *d);

	atomic_init(&d->refs, 1);
	settings_init(&d->params);
	settings_init(&d->defaults);
	settings_init(&d->base);
	check(settings_copy(&b->own_params, &d->params) == 0 &&
	      settings_copy(&b->defaults, &d->defaults) == 0 && settings_copy(&b->base, &d->base) == 0);
	memcpy(d->code, b->code, sizeof d->code);
	return d;
}

void pool_defaults_unref(struct pool_defaults *d)
{
	if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	settings_free(&d->params);
	settings_free(&d->defaults);
	settings_free(&d->base);
	free(d);
}

/* --- code that came with DDL --- */

#define SUSPECT_US 2000000u /* without further DDL the database is looked at anew */

static void reconnect_each(void *arg, struct pool *p);

static void suspect_each(void *arg, struct pool *p)
{
	const char *database = arg;

	if (strcmp(database, p->database) == 0)
		p->suspect_us = clock_us();
}

void pools_suspect(struct pools *ps, const char *database)
{
	pools_each(ps, suspect_each, (void *)(uintptr_t)database);
}

static void schema_each(void *arg, struct pool *p)
{
	if (strcmp(p->database, arg) == 0)
		atomic_fetch_add(&p->schema, 1);
}

void pools_schema_changed(struct pools *ps, const char *database)
{
	pools_each(ps, schema_each, (void *)(uintptr_t)database);
}

uint64_t pool_schema(const struct pool *p)
{
	return atomic_load_explicit(&p->schema, memory_order_relaxed);
}

bool pool_suspect(const struct pool *p, const struct backend *b)
{
	return p->suspect_us != 0 || (int32_t)(b->generation - p->suspect_generation) < 0;
}

/* New backends ask again; what the old ones have said is not believed any more. */
static void look_anew(struct pool *p, uint64_t now)
{
	uint64_t since = p->suspect_us;

	if (since == 0 || now < since + SUSPECT_US)
		return;
	reconnect_each(NULL, p);
	p->suspect_generation = pool_generation(p);
	atomic_compare_exchange_strong(&p->suspect_us, &since, 0);
}

/* --- upkeep --- */

/* With the lock. Why an idle one ends, static; NULL = it stays. */
static const char *idle_end(const struct pool *p, const struct backend *b, uint64_t now)
{
	uint64_t limit = p->target->config->server_idle_timeout;

	if (limit > 0 && now - b->idle_us >= limit && p->total > (unsigned)p->target->policy.min_pool_size)
		return "server_idle_timeout";
	return backend_overslept(b, now) ? "idle_session_timeout" : pool_worn_out(p, b, now);
}

static void tick_pool(struct pool *p, struct host *host)
{
	uint64_t now = clock_us();
	struct ring out;

	if (host->index == 0)
		look_anew(p, now);
	ring_init(&out);
	pthread_mutex_lock(&p->lock);
	ring_each_safe (it, &p->idle[host->index]) {
		struct backend *b = ring_item(it, struct backend, node);

		b->end_why = idle_end(p, b, now);
		if (b->end_why == NULL)
			continue;
		ring_remove(it);
		p->nidle--;
		ring_add(&out, it);
	}
	if (p->nwaiters > 0)
		pool_match(p);
	if (host->index == 0 && !p->paused && now >= p->retry_at_us && p->defaults != NULL &&
	    p->total < (unsigned)p->target->policy.min_pool_size && p->connecting == 0 &&
	    target_budget_take(p->target))
		pool_open_one(p, host);
	pthread_mutex_unlock(&p->lock);
	ring_each_safe (it, &out) {
		struct backend *b = ring_item(it, struct backend, node);

		ring_remove(it);
		pool_retire(p, b, b->end_why);
	}
}

void pools_each(struct pools *ps, void (*fn)(void *arg, struct pool *pool), void *arg)
{
	pthread_mutex_lock(&ps->lock);
	for (struct pool *p = ps->table; p != NULL; p = p->hh.next)
		fn(arg, p);
	pthread_mutex_unlock(&ps->lock);
}

static void tick_each(void *arg, struct pool *p)
{
	tick_pool(p, arg);
}

void pools_tick(struct pools *ps, struct host *host)
{
	pools_each(ps, tick_each, host);
}

static void close_idle_each(void *arg, struct pool *p)
{
	struct host *host = arg;
	struct ring *it;

	for (;;) {
		pthread_mutex_lock(&p->lock);
		it = ring_first(&p->idle[host->index]);
		if (it != NULL) {
			ring_remove(it);
			p->nidle--;
		}
		pthread_mutex_unlock(&p->lock);
		if (it == NULL)
			return;
		pool_retire(p, ring_item(it, struct backend, node), "shutdown");
	}
}

void pools_close_idle(struct pools *ps, struct host *host)
{
	pools_each(ps, close_idle_each, host);
}

static void replace_all(struct pool *p)
{
	struct pool_defaults *d;
	struct pool_welcome *w;

	pthread_mutex_lock(&p->lock);
	p->generation++;
	d = p->defaults;
	w = p->welcomes;
	p->defaults = NULL;
	p->welcomes = NULL;
	p->nwelcomes = 0;
	pthread_mutex_unlock(&p->lock);
	pool_defaults_unref(d);
	while (w != NULL) {
		struct pool_welcome *next = w->next;

		pool_welcome_unref(w);
		w = next;
	}
}

static void reconnect_each(void *arg, struct pool *p)
{
	const char *database = arg;

	/* One that listens runs nothing that settings could change. */
	if (!p->listening && (database == NULL || strcmp(database, p->database) == 0))
		replace_all(p);
}

static void leave_each(void *arg, struct pool *p)
{
	if (strcmp(p->database, arg) == 0)
		replace_all(p);
}

void pools_leave(struct pools *ps, const char *database)
{
	pools_each(ps, leave_each, (void *)(uintptr_t)database);
}

void pools_close(struct pools *ps)
{
	ps->closing = true;
}

void pools_reconnect(struct pools *ps, const char *database)
{
	/* pools_each hands the argument through untouched. */
	pools_each(ps, reconnect_each, (void *)(uintptr_t)database);
}

struct names {
	const struct pool_target *where;
	const char *dbname;
	void (*fn)(void *arg, const char *database);
	void *arg;
};

static void names_each(void *arg, struct pool *p)
{
	const struct names *n = arg;
	bool leads;

	pthread_mutex_lock(&p->lock);
	leads = strcmp(p->target->db->host, n->where->db->host) == 0 &&
		p->target->db->port == n->where->db->port && strcmp(p->target->dbname, n->dbname) == 0;
	pthread_mutex_unlock(&p->lock);
	if (leads)
		n->fn(n->arg, p->database);
}

void pools_names(struct pools *ps, const struct pool_target *where, const char *dbname,
		 void (*fn)(void *arg, const char *database), void *arg)
{
	struct names n = {where, dbname, fn, arg};

	pools_each(ps, names_each, &n);
}

struct configure {
	struct config *cfg;
	struct tls *tls;
};

static void configure_each(void *arg, struct pool *p)
{
	struct configure *c = arg;
	struct pool_target *target = target_new(c->cfg, c->tls, p->database, p->user, p->target->replication),
			   *old;

	if (target == NULL) {
		/* The database was removed: its sessions keep what they have, new ones are refused at their login. */
		return;
	}
	if (p->listening)
		size_for_listening(p->pools, target);
	pthread_mutex_lock(&p->lock);
	old = p->target;
	if (!target_same_server(old, target))
		p->generation++;
	p->target = target;
	p->retry_at_us = 0;
	pthread_mutex_unlock(&p->lock);
	target_unref(old);
}

void pools_configure(struct pools *ps, struct config *cfg, struct tls *tls)
{
	struct configure c = {cfg, tls};

	pools_each(ps, configure_each, &c);
}

struct tally *pool_tally(struct pool *p, const struct host *host)
{
	check(host->index < p->pools->nhosts);
	return &p->tallies[host->index];
}

void pool_tally_sum(struct pool *p, struct tally_sum *sum)
{
	for (unsigned i = 0; i < p->pools->nhosts; i++)
		tally_add_up(sum, &p->tallies[i]);
}

bool pool_paused(const struct pool *p)
{
	return p->paused;
}

uint32_t pool_generation(const struct pool *p)
{
	return p->generation;
}

void pool_ask_sequences(struct pool *p)
{
	if (!pool_asks_sequences(p))
		atomic_store_explicit(&p->asks_sequences, true, memory_order_relaxed);
}

bool pool_asks_sequences(struct pool *p)
{
	return atomic_load_explicit(&p->asks_sequences, memory_order_relaxed);
}

void pool_has_limit(struct pool *p)
{
	atomic_store_explicit(&p->limits, true, memory_order_relaxed);
}

void pool_has_custom(struct pool *p)
{
	if (!pool_customs(p))
		atomic_store_explicit(&p->customs, true, memory_order_relaxed);
}

bool pool_customs(struct pool *p)
{
	return atomic_load_explicit(&p->customs, memory_order_relaxed);
}

bool pool_pin(struct pool *p, unsigned max)
{
	bool ok;

	pthread_mutex_lock(&p->lock);
	ok = max == 0 || p->npinned < max;
	if (ok)
		p->npinned++;
	pthread_mutex_unlock(&p->lock);
	return ok;
}

void pool_unpin(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	check(p->npinned > 0);
	p->npinned--;
	pthread_mutex_unlock(&p->lock);
}

void pool_count(struct pool *p, struct pool_counts *c)
{
	struct ring *first;

	pthread_mutex_lock(&p->lock);
	first = ring_first(&p->waiters);
	*c = (struct pool_counts){.size = (unsigned)p->target->policy.default_pool_size,
				  .total = p->total,
				  .connecting = p->connecting,
				  .idle = p->nidle,
				  .lent = p->total - p->connecting - p->nidle,
				  .waiting = p->nwaiters,
				  .pinned = p->npinned};
	if (first != NULL)
		c->oldest_wait_us = clock_us() - ring_item(first, struct lend, node)->since_us;
	pthread_mutex_unlock(&p->lock);
}
