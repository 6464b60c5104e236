/* Lending: the queue of sessions that wait for a backend, over all workers. */
#include "proxy/backend/pool_private.h"
#include "proxy/backend/settle.h"

#define LOGINS_AT_ONCE 8 /* logins of one pool under way at the same time */
#define RETRY_SEVERAL_US \
	1000000u /* longest pause when there are several servers: one may be promoted any moment */
#define RETRY_FIRST_US 100000u /* pause after the first failed login; doubles up to server_login_retry */

static const char outdated[] = "RECONNECT, or the server or its settings have changed";

/* Asks a worker to open a backend: mail carries what backend_new needs. */
struct open_mail {
	struct mail mail;
	struct pool *pool;
	struct pool_target *target; /* counted */
	struct host *host;
	uint32_t generation;
};

/* --- lending; the functions below run with the pool's lock held --- */

static void run_lend(struct mail *mail, void *ctx)
{
	struct lend *l = (struct lend *)(void *)((char *)mail - offsetof(struct lend, mail));
	struct backend *b = l->backend;
	struct err err = l->err != NULL ? *l->err : (struct err){0};

	(void)ctx;
	free(l->err);
	l->err = NULL;
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
	l->err = check_alloc(sizeof *l->err);
	*l->err = *err;
	loop_post(l->host->loop, &l->mail);
}

/* The backend, which lives in the waiter's worker, is his. */
static void assign(struct pool *p, struct lend *l, struct backend *b)
{
	leave_queue(p, l);
	l->backend = b; /* its worker moves its state on, in run_lend */
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

void pool_open_one(struct pool *p, struct host *host)
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

static bool limited(const struct pool *p)
{
	return atomic_load_explicit(&p->limits, memory_order_relaxed);
}

/* Why nobody may get it any more, static; NULL = it may be lent. */
static const char *lapsed(const struct pool *p, const struct backend *b)
{
	if (b->generation != p->generation)
		return outdated;
	return limited(p) && backend_overslept(b, clock_us()) ? "idle_session_timeout" : NULL;
}

/* The wanted one if it is idle here, else the one used last. A strict session gets one that does not fit only if no other can be
 * made: it closes it and comes again. */
static struct ring *choose(struct pool *p, const struct lend *l)
{
	struct ring *idle = &p->idle[l->host->index], *best = NULL, *any = NULL;

	ring_each (it, idle) {
		struct backend *b = ring_item(it, struct backend, node);

		if (lapsed(p, b) != NULL)
			continue;
		if (any == NULL)
			any = it;
		if (l->fits != NULL && !l->fits(l, b))
			continue;
		if (best == NULL || b->id == l->prefer || p->target->config->server_round_robin)
			best = it;
		if (b->id == l->prefer || (l->prefer == 0 && !p->target->config->server_round_robin))
			break;
	}
	return best == NULL && (!l->strict || p->total >= size_now(p)) ? any : best;
}

/* Serves the queue as far as it goes. */
void pool_match(struct pool *p)
{
	struct ring *first;

	if (p->paused)
		return;
	while ((first = ring_first(&p->waiters)) != NULL) {
		struct lend *l = ring_item(first, struct lend, node);
		struct ring *idle = choose(p, l);

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

		if (!l->strict || p->total >= size_now(p)) {
			ask_to_move(p, host_with_idle(p), l->host);
			return;
		}
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
		pool_open_one(p, ring_item(it, struct lend, node)->host);
	}
}

/* What the server is about to end, or what is of an older generation, ends before somebody gets it. In the host's worker, without the
 * lock. */
static void retire_lapsed(struct pool *p, struct host *host)
{
	struct ring out;

	if (!limited(p) && p->swept[host->index] == p->generation)
		return;
	ring_init(&out);
	pthread_mutex_lock(&p->lock);
	p->swept[host->index] = p->generation;
	ring_each_safe (it, &p->idle[host->index]) {
		struct backend *b = ring_item(it, struct backend, node);

		b->end_why = lapsed(p, b);
		if (b->end_why == NULL)
			continue;
		ring_remove(it);
		p->nidle--;
		ring_add(&out, it);
	}
	pthread_mutex_unlock(&p->lock);
	ring_each_safe (it, &out) {
		struct backend *b = ring_item(it, struct backend, node);

		ring_remove(it);
		pool_retire(p, b, b->end_why);
	}
}

static void run_move(struct mail *mail, void *ctx)
{
	struct move_mail *m = (struct move_mail *)(void *)mail;
	struct pool *p = m->pool;
	struct ring *idle;

	(void)ctx;
	retire_lapsed(p, m->from);
	pthread_mutex_lock(&p->lock);
	idle = ring_first(&p->idle[m->from->index]);
	/* The first in the queue may be another one by now; the one on the way back will find it. */
	if (idle != NULL && !ring_empty(&p->waiters) &&
	    lapsed(p, ring_item(idle, struct backend, node)) == NULL) {
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
	retire_lapsed(p, host);
	pthread_mutex_lock(&p->lock);
	idle = choose(p, l);
	if (idle != NULL && p->nwaiters == 0 && !p->paused) {
		ring_remove(idle);
		p->nidle--;
		b = ring_item(idle, struct backend, node);
		b->state = BACKEND_RESERVED;
	} else {
		l->since_us = clock_us();
		ring_add(&p->waiters, &l->node);
		p->nwaiters++;
		l->state = LEND_QUEUED;
		pool_match(p);
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
		pool_match(p);
	} else if (l->state == LEND_ASSIGNED) {
		removed = false;
	}
	pthread_mutex_unlock(&p->lock);
	return removed;
}

/* --- what backend.c tells; the caller does not hold the lock --- */

void pool_backend_ready(struct pool *p, struct backend *b)
{
	struct pool_defaults *d = pool_defaults_new(b), *old;

	pthread_mutex_lock(&p->lock);
	p->connecting--;
	p->backoff_us = 0;
	p->retry_at_us = 0;
	p->last_error.text[0] = '\0';
	old = p->defaults;
	if (old != NULL && !settings_equal(&old->defaults, &d->defaults)) {
		/* ALTER ROLE or DATABASE .. SET since the others logged in: they go when they are free. */
		p->generation++;
		b->generation = p->generation;
	}
	p->defaults = d;
	pthread_mutex_unlock(&p->lock);
	pool_defaults_unref(old);
}

const char *pool_worn_out(const struct pool *p, const struct backend *b, uint64_t now)
{
	uint64_t lifetime = p->target->policy.server_lifetime;

	if (p->paused)
		return "paused";
	if (b->generation != p->generation)
		return outdated;
	if (b->loans > 0 && now > b->born_us && now - b->born_us >= lifetime)
		return "server_lifetime";
	if (p->total > size_now(p) + (unsigned)p->target->policy.reserve_pool_size)
		return "more than the size of the pool";
	return NULL;
}

void pool_retire(struct pool *p, struct backend *b, const char *why)
{
	backend_close(b, why);
	pool_backend_gone(p, b, false, &(struct err){0});
}

void pool_backend_free(struct pool *p, struct backend *b)
{
	uint64_t now = loop_now_us(b->host->loop);
	const char *why;

	check(b->state == BACKEND_SETTLING);
	pthread_mutex_lock(&p->lock);
	why = pool_worn_out(p, b, now);
	if (why == NULL) {
		b->state = BACKEND_IDLE;
		b->idle_us = now;
		ring_push(&p->idle[b->host->index], &b->node);
		p->nidle++;
		if (p->nwaiters > 0)
			pool_match(p);
	}
	pthread_mutex_unlock(&p->lock);
	if (why != NULL)
		pool_retire(p, b, why);
}

bool pool_login_error(struct pool *p, struct err *err_r)
{
	bool failed;

	pthread_mutex_lock(&p->lock);
	failed = p->last_error.text[0] != '\0';
	if (failed)
		*err_r = p->last_error;
	pthread_mutex_unlock(&p->lock);
	return failed;
}

void pool_backend_gone(struct pool *p, struct backend *b, bool login_failed, const struct err *err)
{
	pthread_mutex_lock(&p->lock);
	check(p->total > 0);
	p->total--;
	target_budget_give(b->target);
	if (login_failed) {
		uint64_t most = p->target->config->server_login_retry;

		if (p->target->db->host_count > 1 && most > RETRY_SEVERAL_US)
			most = RETRY_SEVERAL_US;
		p->connecting--;
		p->last_error = *err;
		p->backoff_us = p->backoff_us == 0 ? RETRY_FIRST_US : p->backoff_us * 2;
		if (p->backoff_us > most)
			p->backoff_us = most;
		p->retry_at_us = clock_us() + p->backoff_us;
	}
	pool_match(p);
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
