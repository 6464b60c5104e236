#include "proxy/session/peer_cancel.h"

#include "proxy/backend/target.h"
#include "proxy/base/check.h"
#include "proxy/base/log.h"
#include "proxy/net/conn.h"
#include "proxy/net/resolve.h"
#include "proxy/session/cancel.h"
#include "protocol/write.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUSY_US 10000u	      /* looks again whether the peer has room */
#define KIN_MAX 64u	      /* under way at a time, in a worker: nobody needs more, and strangers may ask */
#define PATIENCE_US 10000000u /* cancel_wait_timeout = 0 must not keep a dead peer's connection for ever */

struct peer_cancel {
	struct ring node; /* in house->peer_cancels */
	struct house *house;
	struct config *config;		/* counted: `peer` is in it */
	const struct config_peer *peer; /* NULL: for kin, each of `addrs` is asked */
	uint32_t number;
	uint8_t secret[CANCEL_SECRET_LONG + 1]; /* with the hops behind */
	unsigned nsecret;
	void (*done)(void *arg); /* NULL = nobody waits */
	void *arg;
	bool counted; /* as under way to its peer */
	bool sent;
	struct resolve_req *resolve;
	struct resolve_answer addrs;
	unsigned addr_at;
	struct conn *conn;
	struct timer retry, patience;
};

static void free_late(void *arg)
{
	struct peer_cancel *c = arg;

	timer_free(&c->retry);
	timer_free(&c->patience);
	config_unref(c->config);
	free(c);
}

static void over(struct peer_cancel *c, const char *trouble)
{
	struct log_who who = {.kind = "peer", .id = c->peer != NULL ? (uint64_t)c->peer->id : 0};
	void (*done)(void *arg) = c->done;

	if (trouble != NULL && c->peer != NULL)
		log_warn(&who, "cancel request not delivered", F_STR("reason", trouble));
	if (trouble != NULL)
		count(&c->house->host.counters, cancels_missed);
	else if (c->peer == NULL)
		count(&c->house->host.counters, cancels_forwarded);
	ring_remove(&c->node);
	resolve_cancel(&c->resolve);
	conn_free(&c->conn);
	timer_cancel(&c->retry);
	timer_cancel(&c->patience);
	if (c->counted)
		cancels_peer_give(c->house->cancels, c->peer->id);
	else if (c->peer == NULL)
		c->house->nkin_cancels--;
	loop_retire(c->house->host.loop, free_late, c);
	c->done = NULL;
	if (done != NULL)
		done(c->arg);
}

static const struct conn_ops ops;

/* Anybody on this machine can listen on an abstract address. */
static bool of_our_user(int fd)
{
	struct ucred cred;
	socklen_t n = sizeof cred;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.uid == geteuid();
}

static void connect_next(struct peer_cancel *c, const struct err *last)
{
	struct tcp_settings tcp = target_tcp(c->house->config);
	struct err err = {0};

	if (last != NULL)
		err = *last;
	conn_free(&c->conn);
	while (c->addr_at < c->addrs.n) {
		int fd = resolve_connect(&c->addrs.addr[c->addr_at++], &tcp, &err);

		if (fd < 0)
			continue;
		if (c->peer == NULL && !of_our_user(fd)) {
			close(fd);
			continue;
		}
		c->conn = conn_new(c->house->host.loop, fd, &ops, c);
		return;
	}
	over(c, c->sent ? NULL : err.text[0] != '\0' ? err.text : "the peer has no address");
}

static void on_input(void *owner)
{
	struct peer_cancel *c = owner;

	conn_consume(c->conn, conn_input(c->conn).n);
}

static void on_connected(void *owner)
{
	struct peer_cancel *c = owner;

	c->sent = true;
	if (c->peer != NULL)
		c->addr_at = c->addrs.n; /* it has been reached: no other address now */
	write_cancel(conn_out(c->conn), c->number, span_of(c->secret, c->nsecret));
	conn_flush_later(c->conn);
}

static void on_closed(void *owner, const struct err *err)
{
	struct peer_cancel *c = owner;

	if (err->text[0] != '\0' || c->peer == NULL)
		connect_next(c, err);
	else
		over(c, NULL);
}

static const struct conn_ops ops = {.on_input = on_input, .on_output = on_connected, .on_closed = on_closed};

static void resolved(void *arg, const struct resolve_answer *answer, const struct err *err)
{
	struct peer_cancel *c = arg;

	c->resolve = NULL;
	if (answer == NULL) {
		over(c, err->text);
		return;
	}
	c->addrs = *answer;
	connect_next(c, NULL);
}

/* pool_size of the peer bounds how many are under way to it. */
static void go(void *arg)
{
	struct peer_cancel *c = arg;
	struct host *host = &c->house->host;
	int limit = c->peer->pool_size > 0 ? c->peer->pool_size : c->config->default_pool_size;

	c->counted = cancels_peer_take(c->house->cancels, c->peer->id, limit > 0 ? (unsigned)limit : 1);
	if (c->counted)
		c->resolve =
			resolve_start(host->loop, host->askers, c->peer->host, c->peer->port, resolved, c);
	else
		timer_set(host->loop, &c->retry, BUSY_US);
}

static void timed_out(void *arg)
{
	over(arg, "cancel_wait_timeout");
}

/* `hops` that it may still pass; `start` is for the caller to call or to have called by `retry`. */
static struct peer_cancel *cancel_new(struct house *h, uint32_t number, struct span secret, unsigned hops,
				      void (*start)(void *arg))
{
	struct peer_cancel *c = check_alloc(sizeof *c);

	c->house = h;
	c->config = config_ref(h->config);
	c->number = number;
	memcpy(c->secret, secret.p, secret.n);
	c->secret[secret.n] = (uint8_t)hops;
	c->nsecret = (unsigned)secret.n + 1;
	ring_add(&h->peer_cancels, &c->node);
	timer_init(&c->retry, start, c);
	timer_init(&c->patience, timed_out, c);
	timer_set(h->host.loop, &c->patience,
		  h->config->cancel_wait_timeout > 0 ? h->config->cancel_wait_timeout : PATIENCE_US);
	return c;
}

struct peer_cancel *peer_cancel_start(struct house *h, int peer, uint32_t number, struct span secret,
				      unsigned hops, void (*done)(void *arg), void *arg)
{
	const struct config_peer *known = config_peer(h->config, peer);
	struct peer_cancel *c;

	if (known == NULL || hops == 0 || secret.n > CANCEL_SECRET_LONG)
		return NULL;
	c = cancel_new(h, number, secret, hops - 1, go);
	c->peer = known;
	c->done = done;
	c->arg = arg;
	go(c);
	return c;
}

static void ask_kin(void *arg)
{
	connect_next(arg, NULL);
}

struct peer_cancel *kin_cancel_start(struct house *h, uint32_t number, struct span secret,
				     void (*done)(void *arg), void *arg)
{
	struct peer_cancel *c;
	struct err err;

	if (h->kin.dir[0] == '\0' || secret.n > CANCEL_SECRET_LONG || h->nkin_cancels >= KIN_MAX)
		return NULL;
	c = cancel_new(h, number, secret, 0, ask_kin);
	h->nkin_cancels++;
	c->done = done;
	c->arg = arg;
	for (int place = 0; place < KIN_PLACES; place++)
		if (place != h->kin.place &&
		    resolve_unix(h->kin.dir, place, &c->addrs.addr[c->addrs.n], &err) == 0)
			c->addrs.n++;
	timer_set(h->host.loop, &c->retry, 0); /* `done` comes later, also when nobody is there */
	return c;
}

void peer_cancel_forget(struct peer_cancel *c)
{
	if (c != NULL)
		c->done = NULL;
}

bool peer_cancel_hops(struct span *secret, unsigned *hops_r)
{
	*hops_r = PEER_CANCEL_HOPS;
	if (secret->n != 5 && secret->n != CANCEL_SECRET_LONG + 1)
		return true;
	secret->n--;
	*hops_r = secret->p[secret->n];
	return *hops_r < PEER_CANCEL_HOPS;
}

void peer_cancel_count(const struct house *h, int peer, struct peer_cancel_tally *tally)
{
	ring_each (it, &h->peer_cancels) {
		const struct peer_cancel *c = ring_item(it, struct peer_cancel, node);

		if (c->peer == NULL || c->peer->id != peer)
			continue;
		if (!c->counted)
			tally->waiting++;
		else if (!c->sent)
			tally->connecting++;
		else
			tally->sent++;
	}
}

void peer_cancel_close_all(struct house *h)
{
	struct ring *it;

	while ((it = ring_first(&h->peer_cancels)) != NULL)
		over(ring_item(it, struct peer_cancel, node), NULL);
}
