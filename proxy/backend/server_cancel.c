#include "proxy/backend/server_cancel.h"

#include "proxy/backend/pool.h"
#include "proxy/backend/settle.h"
#include "proxy/backend/target.h"
#include "proxy/base/check.h"
#include "protocol/write.h"

#include <stdlib.h>

#define CANCEL_PATIENCE_US 10000000u

struct server_cancel {
	struct ring node;  /* in host->server_cancels */
	struct backend *b; /* NULL: the backend has gone */
	struct loop *loop;
	struct conn *conn;
	struct timer timer;
	uint32_t pid;
	uint8_t secret[256];
	unsigned nsecret;
	bool sent;
	bool again;
};

static void free_late(void *arg)
{
	struct server_cancel *c = arg;

	timer_free(&c->timer);
	free(c);
}

static void over(struct server_cancel *c)
{
	struct backend *b = c->b;
	bool again = c->again;

	ring_remove(&c->node);
	conn_free(&c->conn);
	timer_cancel(&c->timer);
	loop_retire(c->loop, free_late, c);
	if (b == NULL)
		return;
	b->cancel = NULL;
	if (again && b->expects.visible > 0)
		server_cancel_start(b);
	else if (b->state == BACKEND_LENT)
		b->ops->on_output(b->user); /* it may have waited for this */
	else
		settle_go_on(b);
}

static void on_input(void *owner)
{
	struct server_cancel *c = owner;

	conn_consume(c->conn, conn_input(c->conn).n);
}

static void on_connected(void *owner)
{
	struct server_cancel *c = owner;

	/* Also when the backend has been closed meanwhile: its query would run on. */
	c->sent = true;
	write_cancel(conn_out(c->conn), c->pid, span_of(c->secret, c->nsecret));
	conn_flush_later(c->conn);
}

static void on_closed(void *owner, const struct err *err)
{
	struct server_cancel *c = owner;

	if (c->b != NULL && c->sent && err->text[0] != '\0')
		c->b->broken = true; /* it may still arrive, and must not hit the next user */
	over(c);
}

static void timed_out(void *arg)
{
	struct server_cancel *c = arg;

	if (c->b != NULL)
		c->b->broken = true; /* the same */
	over(c);
}

static const struct conn_ops ops = {.on_input = on_input, .on_output = on_connected, .on_closed = on_closed};

void server_cancel_start(struct backend *b)
{
	struct server_cancel *c = b->cancel;
	struct tcp_settings tcp;
	struct err err;
	int fd;

	if (c != NULL) {
		c->again = true;
		return;
	}
	check(b->addr_at > 0);
	tcp = target_tcp(b->target->config);
	fd = resolve_connect(&b->addrs.addr[b->addr_at - 1], &tcp, &err);
	if (fd < 0)
		return;
	c = check_alloc(sizeof *c);
	ring_add(&b->host->server_cancels, &c->node);
	c->b = b;
	c->pid = b->pid;
	c->nsecret = b->nsecret;
	memcpy(c->secret, b->secret, b->nsecret);
	c->loop = b->host->loop;
	timer_init(&c->timer, timed_out, c);
	timer_set(c->loop, &c->timer, CANCEL_PATIENCE_US);
	c->conn = conn_new(c->loop, fd, &ops, c);
	b->cancel = c;
}

void server_cancel_forget(struct backend *b)
{
	if (b->cancel != NULL)
		b->cancel->b = NULL;
	b->cancel = NULL;
}

void server_cancel_close_all(struct host *host)
{
	struct ring *it;

	while ((it = ring_first(&host->server_cancels)) != NULL) {
		struct server_cancel *c = ring_item(it, struct server_cancel, node);

		if (c->b != NULL)
			server_cancel_forget(c->b);
		over(c);
	}
}
