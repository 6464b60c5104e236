#include "proxy/worker.h"
#include "proxy/session/tops.h"

#include "proxy/backend/server_cancel.h"
#include "proxy/base/check.h"
#include "proxy/session/listen.h"
#include "proxy/session/peer_cancel.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_US 100000u
#define TICKS_OF_SWEEPS 10		 /* upkeep of the pools once a second */
#define MEMO_BYTES (32u * 1024u * 1024u) /* analysed statements of one worker */

struct worker {
	struct house house;
	pthread_t thread;
	bool started;
	struct timer sweep;
	unsigned sweeps;
	atomic_bool beat; /* a sweep was made since worker_alive */
	pthread_mutex_t counts_lock;
	struct session_counts counts;
	struct acceptor *acceptors[WORKER_LISTENERS]; /* owned */
	atomic_uint nacceptors;			      /* written by who runs the loop */
	struct worker *const *crew;		      /* borrowed: all workers */
	unsigned ncrew;
	atomic_uint ncoming; /* clients in the mail */
	bool stopped;	     /* what still comes finds nobody at home */
};

struct client_mail {
	struct mail mail;
	struct worker *worker;
	int fd;
	enum session_door door;
};

struct order_mail {
	struct mail mail;
	struct worker *worker;
	struct config *cfg;		     /* counted */
	struct tls *client_tls, *server_tls; /* counted */
	uint64_t patience_us;
};

static void sweep(void *arg)
{
	struct worker *w = arg;
	struct session_counts counts;

	atomic_store(&w->beat, true);
	session_sweep(&w->house);
	if (++w->sweeps % TICKS_OF_SWEEPS == 0) {
		pools_tick(w->house.pools, &w->house.host);
		house_let_go(&w->house);
	}
	session_count_all(&w->house, &counts);
	pthread_mutex_lock(&w->counts_lock);
	w->counts = counts;
	pthread_mutex_unlock(&w->counts_lock);
	timer_set(w->house.host.loop, &w->sweep, SWEEP_US);
}

struct worker *worker_new(const struct house *model, unsigned index, struct err *err)
{
	struct worker *w = check_alloc(sizeof *w);

	w->house = *model;
	w->house.host.index = index;
	ring_init(&w->house.sessions);
	ring_init(&w->house.peer_cancels);
	ring_init(&w->house.host.backends);
	ring_init(&w->house.host.server_cancels);
	pthread_mutex_init(&w->counts_lock, NULL);
	w->house.host.loop = loop_new(w, err);
	w->house.memo = memo_new(MEMO_BYTES);
	w->house.statements = toplist_new(TOPS_ROWS);
	w->house.relations = toplist_new(TOPS_ROWS);
	buf_init(&w->house.scratch, FACTS_TEXT_MAX);
	if (w->house.host.loop == NULL || w->house.memo == NULL) {
		worker_free(&w);
		return NULL;
	}
	config_ref(w->house.config);
	if (w->house.client_tls != NULL)
		tls_ref(w->house.client_tls);
	if (w->house.server_tls != NULL)
		tls_ref(w->house.server_tls);
	timer_init(&w->sweep, sweep, w);
	return w;
}

struct host *worker_host(struct worker *w)
{
	return &w->house.host;
}

struct house *worker_house(struct worker *w)
{
	return &w->house;
}

static void *thread(void *arg)
{
	struct worker *w = arg;

	timer_set(w->house.host.loop, &w->sweep, SWEEP_US);
	loop_run(w->house.host.loop);
	return NULL;
}

int worker_start(struct worker *w, struct err *err)
{
	int rc = pthread_create(&w->thread, NULL, thread, w);

	if (rc != 0)
		return err_set(err, "cannot start a worker thread: %s", strerror(rc));
	w->started = true;
	return 0;
}

static void close_doors(struct worker *w)
{
	for (unsigned i = atomic_load(&w->nacceptors); i > 0; i--)
		acceptor_free(&w->acceptors[i - 1]);
	/* Last: the listeners may be freed from then on. */
	atomic_store(&w->nacceptors, 0);
}

static void last_round(struct mail *mail, void *ctx)
{
	struct order_mail *m = (struct order_mail *)(void *)mail;
	struct house *h = &m->worker->house;

	(void)ctx;
	close_doors(m->worker);
	m->worker->stopped = true;
	session_close_all(h, "the proxy is shutting down");
	listen_close_house(h);
	pools_close_idle(h->pools, &h->host);
	backend_close_all(&h->host);
	server_cancel_close_all(&h->host);
	peer_cancel_close_all(h);
	house_free_served(h);
	loop_stop(h->host.loop);
	free(m);
}

static struct order_mail *order(struct worker *w, void (*run)(struct mail *mail, void *ctx))
{
	struct order_mail *m = check_alloc(sizeof *m);

	m->mail.run = run;
	m->worker = w;
	return m;
}

void worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	loop_post(w->house.host.loop, &order(w, last_round)->mail);
	pthread_join(w->thread, NULL);
	w->started = false;
}

void worker_free(struct worker **wp)
{
	struct worker *w = *wp;

	if (w == NULL)
		return;
	close_doors(w);
	timer_free(&w->sweep);
	loop_free(&w->house.host.loop);
	memo_free(&w->house.memo);
	toplist_free(&w->house.statements);
	toplist_free(&w->house.relations);
	buf_free(&w->house.scratch);
	config_unref(w->house.config);
	tls_unref(w->house.client_tls);
	tls_unref(w->house.server_tls);
	pthread_mutex_destroy(&w->counts_lock);
	free(w);
	*wp = NULL;
}

static void run_client(struct mail *mail, void *ctx)
{
	struct client_mail *m = (struct client_mail *)(void *)mail;

	(void)ctx;
	/* Another worker may have sent it while this one was stopped. */
	if (m->worker->stopped)
		close(m->fd);
	else
		session_new(&m->worker->house, m->fd, m->door);
	atomic_fetch_sub(&m->worker->ncoming, 1);
	free(m);
}

void worker_client(struct worker *w, int fd, enum session_door door)
{
	struct client_mail *m = check_alloc(sizeof *m);

	*m = (struct client_mail){.mail.run = run_client, .worker = w, .fd = fd, .door = door};
	atomic_fetch_add(&w->ncoming, 1);
	loop_post(w->house.host.loop, &m->mail);
}

/* All have as many, give or take one: clients that stay must not share a core while another one rests. Letting this one keep two or
 * three more saved nothing that could be measured. */
static void take_client(void *arg, int fd, bool is_unix)
{
	struct worker *w = arg, *best = worker_emptiest(w->crew, w->ncrew);
	enum session_door door = is_unix ? DOOR_UNIX : DOOR_TCP;

	if (worker_sessions(best) < worker_sessions(w))
		worker_client(best, fd, door);
	else
		session_new(&w->house, fd, door);
}

int worker_open(struct worker *w, struct listener *li, struct worker *const *crew, unsigned ncrew,
		struct err *err)
{
	unsigned n = atomic_load(&w->nacceptors);

	check(!w->started && n < WORKER_LISTENERS);
	w->crew = crew;
	w->ncrew = ncrew;
	w->acceptors[n] = acceptor_new(w->house.host.loop, li, take_client, w, err);
	if (w->acceptors[n] == NULL)
		return -1;
	atomic_store(&w->nacceptors, n + 1);
	return 0;
}

static void run_shut(struct mail *mail, void *ctx)
{
	struct order_mail *m = (struct order_mail *)(void *)mail;

	(void)ctx;
	close_doors(m->worker);
	free(m);
}

void worker_shut(struct worker *w)
{
	loop_post(w->house.host.loop, &order(w, run_shut)->mail);
}

bool worker_is_shut(const struct worker *w)
{
	return atomic_load(&w->nacceptors) == 0;
}

static void run_reload(struct mail *mail, void *ctx)
{
	struct order_mail *m = (struct order_mail *)(void *)mail;
	struct house *h = &m->worker->house;

	(void)ctx;
	config_unref(h->config);
	tls_unref(h->client_tls);
	tls_unref(h->server_tls);
	h->config = m->cfg;
	h->client_tls = m->client_tls;
	h->server_tls = m->server_tls;
	for (struct served *sv = h->served; sv != NULL; sv = sv->next) {
		struct policy p;

		policy_of(h->config, sv->database, NULL, &p);
		if (sv->fresh != NULL)
			fresh_patience(sv->fresh, p.probe_patience, p.probe_patience_max);
	}
	house_renew_served(h);
	free(m);
}

void worker_reload(struct worker *w, struct config *cfg, struct tls *client_tls, struct tls *server_tls)
{
	struct order_mail *m = order(w, run_reload);

	m->cfg = config_ref(cfg);
	m->client_tls = client_tls != NULL ? tls_ref(client_tls) : NULL;
	m->server_tls = server_tls != NULL ? tls_ref(server_tls) : NULL;
	loop_post(w->house.host.loop, &m->mail);
}

static void run_tidy(struct mail *mail, void *ctx)
{
	struct order_mail *m = (struct order_mail *)(void *)mail;
	struct house *h = &m->worker->house;

	(void)ctx;
	house_renew_served(h);
	listen_rest_house(h);
	pools_tick(h->pools, &h->host);
	free(m);
}

void worker_tidy(struct worker *w)
{
	loop_post(w->house.host.loop, &order(w, run_tidy)->mail);
}

static void run_drain(struct mail *mail, void *ctx)
{
	struct order_mail *m = (struct order_mail *)(void *)mail;

	(void)ctx;
	session_drain_all(&m->worker->house, m->patience_us);
	free(m);
}

void worker_drain(struct worker *w, uint64_t patience_us)
{
	struct order_mail *m = order(w, run_drain);

	m->patience_us = patience_us;
	loop_post(w->house.host.loop, &m->mail);
}

bool worker_alive(struct worker *w)
{
	return atomic_exchange(&w->beat, false);
}

unsigned worker_sessions(const struct worker *w)
{
	return atomic_load(&w->house.nsessions) + atomic_load(&w->ncoming);
}

struct worker *worker_emptiest(struct worker *const *crew, unsigned n)
{
	struct worker *best = crew[0];

	for (unsigned i = 1; i < n; i++)
		if (worker_sessions(crew[i]) < worker_sessions(best))
			best = crew[i];
	return best;
}

struct session_counts worker_counts(struct worker *w)
{
	struct session_counts c;

	pthread_mutex_lock(&w->counts_lock);
	c = w->counts;
	pthread_mutex_unlock(&w->counts_lock);
	return c;
}
