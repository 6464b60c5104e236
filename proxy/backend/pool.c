#include "proxy/backend/pool.h"

#include "proxy/backend/settle.h"
#include "proxy/backend/target.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/map.h"

#include <stdio.h>

#define LOGINS_AT_ONCE 8       /* logins of one pool under way at the same time */
#define RETRY_FIRST_US 100000u /* pause after the first failed login; doubles up to server_login_retry */
#define WELCOMES_MAX 1000      /* learned login images of one pool */

struct pool {
	pthread_mutex_t lock;
	struct pools *pools; /* borrowed */
	char *key;	     /* owned: database NUL user NUL replication NUL */
	size_t nkey;
	const char *database, *user;	/* into key */
	struct pool_target *target;	/* counted */
	struct pool_defaults *defaults; /* counted, NULL until learned */
	struct pool_welcome *welcomes;	/* counted each */
	unsigned nwelcomes;
	struct ring idle[HOSTS_MAX]; /* per worker, last used first */
	struct ring waiters;	     /* struct lend, first come first served */
	unsigned nidle, nwaiters, total, connecting;
	uint64_t retry_at_us, backoff_us;
	struct err last_error;
	unsigned npinned;
	uint32_t generation;
	UT_hash_handle hh;
};

struct pools {
	pthread_mutex_t lock;
	struct pool *table;
	struct host **hosts; /* borrowed */
	unsigned nhosts;
	_Atomic bool closing; /* shutdown: nothing is opened any more */
};

/* Asks a worker to open a backend: mail carries what backend_new needs. */
struct open_mail {
	struct mail mail;
	struct pool *pool;
	struct pool_target *target; /* counted */
	struct host *host;
	uint32_t generation;
};

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
	for (unsigned i = 0; i < HOSTS_MAX; i++)
		ring_init(&p->idle[i]);
	ring_init(&p->waiters);
	return p;
}

struct pool *pools_get(struct pools *ps, struct config *cfg, struct tls *tls, const char *database,
		       const char *user, const char *replication, struct err *err)
{
	char key[1024];
	int n = snprintf(key, sizeof key, "%s%c%s%c%s", database, '\0', user, '\0', replication);
	struct pool_target *target;
	struct pool *p;

	if (n < 0 || (size_t)n + 1 > sizeof key) {
		err_state(err, "08P01", "the names of database and user are too long");
		return NULL;
	}
	pthread_mutex_lock(&ps->lock);
	HASH_FIND(hh, ps->table, key, (size_t)n + 1, p);
	if (p == NULL) {
		target = target_new(cfg, tls, database, user, replication, err);
		if (target != NULL) {
			p = pool_new(ps, target, key, (size_t)n + 1);
			HASH_ADD_KEYPTR(hh, ps->table, p->key, p->nkey, p);
		}
	}
	pthread_mutex_unlock(&ps->lock);
	return p;
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

char *pool_server_user(struct pool *p)
{
	char *user;

	pthread_mutex_lock(&p->lock);
	user = strdup(p->target->user);
	pthread_mutex_unlock(&p->lock);
	check(user != NULL);
	return user;
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

void pool_defaults_unref(struct pool_defaults *d)
{
	if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	settings_free(&d->params);
	settings_free(&d->defaults);
	free(d);
}

/* --- lending; the functions below run with the pool's lock held --- */

static void run_lend(struct mail *mail, void *ctx)
{
	struct lend *l = (struct lend *)(void *)((char *)mail - offsetof(struct lend, mail));
	struct backend *b = l->backend;
	struct err err = l->err;

	(void)ctx;
	l->state = LEND_NONE;
	l->backend = NULL;
	if (b != NULL && b->broken) {
		/* It was lost on the way here. */
		struct pool *p = b->pool;

		backend_close(b, "lost before it was used");
		pool_backend_gone(p, b, false, &err);
		b = pool_lend(p, l->host, l);
		if (b == NULL)
			return;
	} else if (b != NULL) {
		b->state = BACKEND_RESERVED;
	}
	l->fn(l, b, &err);
}

static void leave_queue(struct pool *p, struct lend *l)
{
	ring_remove(&l->node);
	p->nwaiters--;
	l->state = LEND_ASSIGNED;
	l->mail.run = run_lend;
}

static void refuse(struct pool *p, struct lend *l, const struct err *err)
{
	leave_queue(p, l);
	l->backend = NULL;
	l->err = *err;
	loop_post(l->host->loop, &l->mail);
}

/* The backend, which lives in the waiter's worker, is his. */
static void assign(struct pool *p, struct lend *l, struct backend *b)
{
	leave_queue(p, l);
	l->backend = b; /* its worker moves its state on, in run_lend */
	l->err = (struct err){0};
	loop_post(l->host->loop, &l->mail);
}

static void run_open(struct mail *mail, void *ctx)
{
	struct open_mail *m = (struct open_mail *)(void *)mail;
	struct backend *b;

	(void)ctx;
	if (!m->pool->pools->closing) {
		b = backend_new(m->pool, m->target, m->host);
		b->generation = m->generation;
	}
	target_unref(m->target);
	free(m);
}

static void open_one(struct pool *p, struct host *host)
{
	struct open_mail *m = check_alloc(sizeof *m);

	p->total++;
	p->connecting++;
	m->mail.run = run_open;
	m->pool = p;
	m->target = target_ref(p->target);
	m->host = host;
	m->generation = p->generation;
	loop_post(host->loop, &m->mail);
}

static unsigned size_now(const struct pool *p)
{
	const struct policy *policy = &p->target->policy;
	unsigned size = (unsigned)policy->default_pool_size;
	struct ring *first = ring_first(&p->waiters);

	if (first != NULL && policy->reserve_pool_size > 0 && p->target->config->reserve_pool_timeout > 0) {
		struct lend *l = ring_item(first, struct lend, node);

		if (clock_us() - l->since_us >= p->target->config->reserve_pool_timeout)
			size += (unsigned)policy->reserve_pool_size;
	}
	return size;
}

/* Mail to a worker: move one of your idle backends of this pool over there. */
struct move_mail {
	struct mail mail;
	struct pool *pool;
	struct host *from, *to;
};

static void run_move(struct mail *mail, void *ctx);

static struct host *host_with_idle(struct pool *p)
{
	for (unsigned i = 0; i < p->pools->nhosts; i++)
		if (!ring_empty(&p->idle[i]))
			return p->pools->hosts[i];
	return NULL;
}

static void ask_to_move(struct pool *p, struct host *from, struct host *to)
{
	struct move_mail *m = check_alloc(sizeof *m);

	m->mail.run = run_move;
	m->pool = p;
	m->from = from;
	m->to = to;
	loop_post(from->loop, &m->mail);
}

/* Serves the queue as far as it goes. */
static void match(struct pool *p)
{
	struct ring *first;

	while ((first = ring_first(&p->waiters)) != NULL) {
		struct lend *l = ring_item(first, struct lend, node);
		struct ring *idle = ring_first(&p->idle[l->host->index]);

		if (idle == NULL)
			break;
		ring_remove(idle);
		p->nidle--;
		assign(p, l, ring_item(idle, struct backend, node));
	}
	if (first == NULL)
		return;
	if (p->nidle > 0) {
		struct lend *l = ring_item(first, struct lend, node);

		ask_to_move(p, host_with_idle(p), l->host);
		return;
	}
	if (clock_us() < p->retry_at_us) {
		/* The server refused us a moment ago and there is nothing else to wait for. */
		while (p->total == 0 && (first = ring_first(&p->waiters)) != NULL)
			refuse(p, ring_item(first, struct lend, node), &p->last_error);
		return;
	}
	ring_each (it, &p->waiters) {
		if (p->pools->closing || p->total >= size_now(p) || p->connecting >= p->nwaiters ||
		    p->connecting >= LOGINS_AT_ONCE || !target_budget_take(p->target))
			break;
		open_one(p, ring_item(it, struct lend, node)->host);
	}
}

static void run_move(struct mail *mail, void *ctx)
{
	struct move_mail *m = (struct move_mail *)(void *)mail;
	struct pool *p = m->pool;
	struct ring *idle;

	(void)ctx;
	pthread_mutex_lock(&p->lock);
	idle = ring_first(&p->idle[m->from->index]);
	/* The first in the queue may be another one by now; the one on the way back will find it. */
	if (idle != NULL && !ring_empty(&p->waiters)) {
		ring_remove(idle);
		ring_item(idle, struct backend, node)->state = BACKEND_RESERVED;
		p->nidle--;
	} else {
		idle = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	if (idle != NULL)
		backend_move(ring_item(idle, struct backend, node), m->to);
	free(m);
}

struct backend *pool_lend(struct pool *p, struct host *host, struct lend *l)
{
	struct backend *b = NULL;
	struct ring *idle;

	check(l->state == LEND_NONE);
	l->host = host;
	l->since_us = clock_us();
	pthread_mutex_lock(&p->lock);
	idle = ring_first(&p->idle[host->index]);
	if (idle != NULL && p->nwaiters == 0) {
		if (p->target->config->server_round_robin)
			idle = p->idle[host->index].prev;
		ring_remove(idle);
		p->nidle--;
		b = ring_item(idle, struct backend, node);
		b->state = BACKEND_RESERVED;
	} else {
		ring_add(&p->waiters, &l->node);
		p->nwaiters++;
		l->state = LEND_QUEUED;
		match(p);
	}
	pthread_mutex_unlock(&p->lock);
	return b;
}

bool pool_lend_cancel(struct pool *p, struct lend *l)
{
	bool removed = true;

	pthread_mutex_lock(&p->lock);
	if (l->state == LEND_QUEUED) {
		ring_remove(&l->node);
		p->nwaiters--;
		l->state = LEND_NONE;
		match(p);
	} else if (l->state == LEND_ASSIGNED) {
		removed = false;
	}
	pthread_mutex_unlock(&p->lock);
	return removed;
}

/* --- what backend.c tells; the caller does not hold the lock --- */

void pool_backend_ready(struct pool *p, struct backend *b)
{
	struct pool_defaults *d = check_alloc(sizeof *d), *old;

	atomic_init(&d->refs, 1);
	settings_init(&d->params);
	settings_init(&d->defaults);
	settings_copy(&b->params, &d->params);
	settings_copy(&b->defaults, &d->defaults);
	pthread_mutex_lock(&p->lock);
	p->connecting--;
	p->backoff_us = 0;
	p->retry_at_us = 0;
	old = p->defaults;
	p->defaults = d;
	pthread_mutex_unlock(&p->lock);
	pool_defaults_unref(old);
}

static bool worn_out(struct pool *p, const struct backend *b)
{
	uint64_t lifetime = p->target->policy.server_lifetime;

	return b->generation != p->generation || (b->loans > 0 && clock_us() - b->born_us >= lifetime) ||
	       p->total > size_now(p) + (unsigned)p->target->policy.reserve_pool_size;
}

static void retire(struct pool *p, struct backend *b, const char *why)
{
	backend_close(b, why);
	pool_backend_gone(p, b, false, &(struct err){0});
}

void pool_backend_free(struct pool *p, struct backend *b)
{
	bool old;

	check(b->state == BACKEND_SETTLING);
	pthread_mutex_lock(&p->lock);
	old = worn_out(p, b);
	if (!old) {
		b->state = BACKEND_IDLE;
		b->idle_us = clock_us();
		ring_push(&p->idle[b->host->index], &b->node);
		p->nidle++;
		if (p->nwaiters > 0)
			match(p);
	}
	pthread_mutex_unlock(&p->lock);
	if (old)
		retire(p, b, "server_lifetime or new configuration");
}

void pool_backend_gone(struct pool *p, struct backend *b, bool login_failed, const struct err *err)
{
	pthread_mutex_lock(&p->lock);
	check(p->total > 0);
	p->total--;
	target_budget_give(b->target);
	if (login_failed) {
		uint64_t most = p->target->config->server_login_retry;

		p->connecting--;
		p->last_error = *err;
		p->backoff_us = p->backoff_us == 0 ? RETRY_FIRST_US : p->backoff_us * 2;
		if (p->backoff_us > most)
			p->backoff_us = most;
		p->retry_at_us = clock_us() + p->backoff_us;
	}
	match(p);
	pthread_mutex_unlock(&p->lock);
}

bool pool_backend_not_idle(struct pool *p, struct backend *b)
{
	bool was_idle;

	pthread_mutex_lock(&p->lock);
	was_idle = !ring_empty(&b->node);
	if (was_idle) {
		ring_remove(&b->node);
		p->nidle--;
	}
	pthread_mutex_unlock(&p->lock);
	return was_idle;
}

/* --- upkeep --- */

static void tick_pool(struct pool *p, struct host *host)
{
	uint64_t now = clock_us(), idle_limit;
	struct ring out;

	ring_init(&out);
	pthread_mutex_lock(&p->lock);
	idle_limit = p->target->config->server_idle_timeout;
	ring_each_safe (it, &p->idle[host->index]) {
		struct backend *b = ring_item(it, struct backend, node);
		bool idle_long = idle_limit > 0 && now - b->idle_us >= idle_limit &&
				 p->total > (unsigned)p->target->policy.min_pool_size;

		if (!idle_long && !worn_out(p, b))
			continue;
		ring_remove(it);
		p->nidle--;
		ring_add(&out, it);
	}
	if (p->nwaiters > 0)
		match(p);
	if (host->index == 0 && now >= p->retry_at_us && p->defaults != NULL &&
	    p->total < (unsigned)p->target->policy.min_pool_size && p->connecting == 0 &&
	    target_budget_take(p->target))
		open_one(p, host);
	pthread_mutex_unlock(&p->lock);
	ring_each_safe (it, &out) {
		struct backend *b = ring_item(it, struct backend, node);

		ring_remove(it);
		retire(p, b, "server_idle_timeout or server_lifetime");
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
		retire(p, ring_item(it, struct backend, node), "shutdown");
	}
}

void pools_close_idle(struct pools *ps, struct host *host)
{
	pools_each(ps, close_idle_each, host);
}

static void reconnect_each(void *arg, struct pool *p)
{
	(void)arg;
	pthread_mutex_lock(&p->lock);
	p->generation++;
	pthread_mutex_unlock(&p->lock);
}

void pools_close(struct pools *ps)
{
	ps->closing = true;
}

void pools_reconnect(struct pools *ps)
{
	pools_each(ps, reconnect_each, NULL);
}

struct configure {
	struct config *cfg;
	struct tls *tls;
};

static void configure_each(void *arg, struct pool *p)
{
	struct configure *c = arg;
	struct err err;
	struct pool_target *target = target_new(c->cfg, c->tls, p->database, p->user, p->target->replication,
						&err),
			   *old;

	if (target == NULL) {
		/* The database was removed: its sessions keep what they have, new ones are refused at their login. */
		return;
	}
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

/* --- learned logins --- */

void pool_welcome_unref(struct pool_welcome *w)
{
	if (w == NULL || atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	settings_free(&w->params);
	settings_free(&w->image);
	free(w->key);
	free(w);
}

struct pool_welcome *pool_welcome_find(struct pool *p, struct span key)
{
	struct pool_welcome *w;

	pthread_mutex_lock(&p->lock);
	for (w = p->welcomes; w != NULL; w = w->next)
		if (span_eq(span_of(w->key, w->nkey), key))
			break;
	if (w != NULL)
		atomic_fetch_add(&w->refs, 1);
	pthread_mutex_unlock(&p->lock);
	return w;
}

void pool_welcome_add(struct pool *p, struct span key, const struct settings *params,
		      const struct settings *image)
{
	struct pool_welcome *w = check_alloc(sizeof *w), *last = NULL;

	atomic_init(&w->refs, 1);
	w->key = check_alloc(key.n + 1);
	memcpy(w->key, key.p, key.n);
	w->nkey = key.n;
	settings_copy(params, &w->params);
	settings_copy(image, &w->image);
	pthread_mutex_lock(&p->lock);
	w->next = p->welcomes;
	p->welcomes = w;
	if (++p->nwelcomes > WELCOMES_MAX) {
		/* The oldest goes. */
		struct pool_welcome **at = &p->welcomes;

		while ((*at)->next != NULL)
			at = &(*at)->next;
		last = *at;
		*at = NULL;
		p->nwelcomes--;
	}
	pthread_mutex_unlock(&p->lock);
	pool_welcome_unref(last);
}
