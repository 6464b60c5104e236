#include "proxy/net/conn.h"

#include "proxy/base/check.h"
#include "proxy/net/conn_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_INPUT_MAX (64u * 1024)

/* The owner may free, finish or move the connection in its callback; the moved one may already run in
 * another thread. So `c` is not looked at again unless the loop still names it. */
bool conn_call(struct conn *c, void (*fn)(void *owner))
{
	struct loop *l = c->loop;

	check(l->calling == NULL);
	l->calling = c;
	fn(c->owner);
	if (l->calling != c)
		return false;
	l->calling = NULL;
	return true;
}

static void conn_forget_call(struct conn *c)
{
	if (c->loop->calling == c)
		c->loop->calling = NULL;
}

void conn_todo(struct conn *c, unsigned todo)
{
	c->todo |= todo;
	if (c->loop != NULL)
		loop_flush_later(c->loop, &c->round);
}

static void conn_events_off(struct conn *c)
{
	if (c->read_on)
		event_del(&c->ev_read);
	c->read_on = false;
	if (c->write_on)
		event_del(c->ev_write);
	c->write_on = false;
}

/* After this nothing moves; the owner is told from the loop. Without an owner it is just the end. */
void conn_end(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	conn_events_off(c);
	conn_drop_output(c);
	c->state = CONN_CLOSED;
	conn_todo(c, CONN_TODO_CLOSE);
}

int conn_fail(struct conn *c, const char *fmt, ...)
{
	va_list ap;

	if (c->state != CONN_CLOSED) {
		c->why = check_alloc(sizeof *c->why);
		va_start(ap, fmt);
		vsnprintf(c->why->text, sizeof c->why->text, fmt, ap);
		va_end(ap);
	}
	conn_end(c);
	return -1;
}

void conn_want_read(struct conn *c)
{
	if (c->read_on)
		return;
	if (event_add(&c->ev_read, NULL) == 0)
		c->read_on = true;
	else
		conn_fail(c, "cannot watch the socket");
}

static void conn_on_write(evutil_socket_t fd, short what, void *arg);

static void conn_assign_write(struct conn *c)
{
	check(event_assign(c->ev_write, c->loop->base, c->fd, EV_WRITE | EV_PERSIST, conn_on_write, c) == 0);
}

void conn_want_write(struct conn *c, bool on)
{
	if (on == c->write_on)
		return;
	c->write_on = on;
	if (!on) {
		event_del(c->ev_write);
		return;
	}
	if (c->ev_write == NULL) {
		c->ev_write = check_alloc(sizeof *c->ev_write);
		conn_assign_write(c);
	}
	if (event_add(c->ev_write, NULL) != 0) {
		c->write_on = false;
		conn_fail(c, "cannot watch the socket");
	}
}

static void conn_connected(struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof error;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		error = errno;
	if (error != 0) {
		conn_fail(c, "cannot connect: %s", strerror(error));
		return;
	}
	c->state = CONN_OPEN;
	conn_want_write(c, false);
	conn_want_read(c);
	conn_todo(c, CONN_TODO_CONNECTED);
}

static void conn_on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	switch (c->state) {
	case CONN_OPEN:
		if (c->write_wants_read)
			conn_todo(c, 0);
		conn_read(c);
		break;
	case CONN_SHAKING: conn_shake(c); break;
	case CONN_FINISHING:
		if (c->write_wants_read)
			conn_todo(c, 0);
		conn_discard_input(c);
		break;
	case CONN_LINGERING: conn_discard_input(c); break;
	case CONN_CONNECTING:
	case CONN_CLOSED: break;
	}
}

static void conn_on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	switch (c->state) {
	case CONN_CONNECTING: conn_connected(c); break;
	case CONN_SHAKING: conn_shake(c); break;
	case CONN_OPEN:
		/* Written at the end of the round, with what else comes up until then. */
		conn_todo(c, c->read_wants_write ? CONN_TODO_READ : 0);
		if (c->read_wants_write)
			conn_want_write(c, false);
		c->read_wants_write = false;
		break;
	case CONN_FINISHING: conn_todo(c, 0); break;
	case CONN_LINGERING:
	case CONN_CLOSED: conn_want_write(c, false); break;
	}
}

static void conn_bury(void *arg)
{
	struct conn *c = arg;

	free(c->hold);
	free(c->ev_write);
	free(c);
}

static void conn_parting_free(struct conn *c)
{
	struct conn_parting *p = c->parting;

	c->parting = NULL;
	if (p == NULL)
		return;
	later_cancel(&p->at_free);
	timer_free(&p->linger);
	free(p);
}

/* The struct and the input stay until the round ends: a caller up the stack may still look at a span. */
static void conn_release(struct conn *c)
{
	struct loop *l = c->loop;

	if (l != NULL) {
		conn_forget_call(c);
		conn_events_off(c);
		later_cancel(&c->round);
		conn_parting_free(c);
	}
	if (c->ssl != NULL)
		conn_tls_goodbye(c);
	conn_drop_output(c);
	conn_tls_free(c);
	close(c->fd);
	c->fd = -1;
	free(c->why);
	c->why = NULL;
	if (l != NULL)
		loop_retire(l, conn_bury, c);
	else
		conn_bury(c);
}

/* The peer gets the end of our stream and may take its time to read it: closing at once, with bytes of
 * its own unread, would make the kernel send a reset that can destroy what it has not read yet. */
static void conn_finish_step(struct conn *c)
{
	if (c->state == CONN_FINISHING && conn_flush(c)) {
		if (c->ssl != NULL)
			conn_tls_goodbye(c);
		shutdown(c->fd, SHUT_WR);
		c->state = CONN_LINGERING;
		conn_want_write(c, false);
		conn_discard_input(c);
	}
	if ((c->todo & (CONN_TODO_CLOSE | CONN_TODO_HANGUP)) != 0)
		conn_release(c);
}

static void conn_report_closed(struct conn *c)
{
	static const struct err none;
	const struct err *why = c->why != NULL ? c->why : &none;
	struct loop *l = c->loop;

	c->todo = 0;
	check(l->calling == NULL);
	l->calling = c;
	c->ops->on_closed(c->owner, why);
	if (l->calling == c) {
		l->calling = NULL;
		conn_tidy_input(c);
	}
}

/* The peer has left, and writing told us first. Its last words may say why (a server's FATAL error). */
static bool conn_hangup(struct conn *c)
{
	conn_drop_output(c);
	c->todo &= ~(unsigned)CONN_TODO_HANGUP;
	conn_read_rest(c);
	if (c->in_n > 0 && !c->paused && c->state == CONN_OPEN && !conn_call(c, c->ops->on_input))
		return false;
	conn_end(c);
	return true;
}

static bool conn_low(const struct conn *c)
{
	return c->was_full && c->state == CONN_OPEN && conn_pending(c) <= CONN_LOW_MARK;
}

/* The end of the loop's round, for a connection that has something to send or to tell. */
static void conn_round(struct later *later)
{
	struct conn *c = ring_item(later, struct conn, round);
	unsigned todo;

	if (c->ops == NULL) {
		conn_finish_step(c);
		return;
	}
	if (c->state == CONN_OPEN && (c->todo & CONN_TODO_CONNECTED) != 0) {
		c->todo &= ~(unsigned)CONN_TODO_CONNECTED;
		if (!conn_call(c, c->ops->on_output))
			return;
	}
	conn_flush(c);
	if ((c->todo & CONN_TODO_HANGUP) != 0 && !conn_hangup(c))
		return;
	if ((c->todo & CONN_TODO_CLOSE) != 0) {
		conn_report_closed(c);
		return;
	}
	if (conn_low(c)) {
		c->was_full = false;
		if (!conn_call(c, c->ops->on_output))
			return;
	}
	todo = c->todo & (CONN_TODO_INPUT | CONN_TODO_READ);
	c->todo &= ~todo;
	if (c->state == CONN_SHAKING)
		conn_shake(c);
	else if ((todo & CONN_TODO_INPUT) != 0 && !conn_deliver_held(c))
		return; /* told first: reading may find nothing new, and then tells nobody */
	else if ((todo & CONN_TODO_READ) != 0)
		conn_read(c);
	else if ((todo & CONN_TODO_INPUT) == 0)
		conn_tidy_input(c);
}

static void conn_linger_over(void *arg)
{
	conn_release(arg);
}

static void conn_loop_ends(struct later *later)
{
	conn_release(ring_item(later, struct conn_parting, at_free)->conn);
}

static void conn_part(struct conn *c, uint64_t linger_us)
{
	struct conn_parting *p = check_alloc(sizeof *p);

	p->conn = c;
	later_init(&p->at_free, conn_loop_ends);
	timer_init(&p->linger, conn_linger_over, c);
	timer_set(c->loop, &p->linger, linger_us);
	loop_at_free(c->loop, &p->at_free);
	c->parting = p;
}

static void conn_join(struct conn *c, struct loop *l)
{
	c->loop = l;
	check(event_assign(&c->ev_read, l->base, c->fd, EV_READ | EV_PERSIST, conn_on_read, c) == 0);
	if (c->ev_write != NULL)
		conn_assign_write(c);
}

static struct conn *conn_make(struct loop *l, int fd, const struct conn_ops *ops, void *owner)
{
	struct conn *c = check_alloc(sizeof *c);

	c->fd = fd;
	c->ops = ops;
	c->owner = owner;
	c->in_max = CONN_INPUT_MAX;
	conn_out_init(c);
	later_init(&c->round, conn_round);
	conn_join(c, l);
	return c;
}

static void conn_open(struct conn *c, unsigned todo)
{
	c->state = CONN_OPEN;
	conn_want_read(c);
	conn_todo(c, CONN_TODO_CONNECTED | todo);
}

struct conn *conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *owner)
{
	struct conn *c = conn_make(l, fd, ops, owner);
	struct sockaddr_storage peer;
	socklen_t n = sizeof peer;

	if (getpeername(fd, (struct sockaddr *)&peer, &n) != 0 && errno == ENOTCONN) {
		c->state = CONN_CONNECTING;
		conn_want_write(c, true);
	} else {
		conn_open(c, 0);
	}
	return c;
}

struct conn *conn_accepted(struct loop *l, int fd, const struct conn_ops *ops, void *owner)
{
	struct conn *c = conn_make(l, fd, ops, owner);

	conn_open(c, CONN_TODO_READ);
	return c;
}

void conn_free(struct conn **cp)
{
	struct conn *c = *cp;

	*cp = NULL;
	if (c != NULL)
		conn_release(c);
}

void conn_leave(struct conn **cp, uint64_t linger_us)
{
	struct conn *c = *cp;

	if (c != NULL && c->loop != NULL && c->state == CONN_OPEN && (conn_pending(c) == 0 || conn_flush(c)))
		conn_free(cp);
	else
		conn_finish(cp, linger_us);
}

void conn_finish(struct conn **cp, uint64_t linger_us)
{
	struct conn *c = *cp;

	if (c == NULL || c->loop == NULL || c->state != CONN_OPEN) {
		conn_free(cp);
		return;
	}
	*cp = NULL;
	conn_forget_call(c);
	c->ops = NULL;
	c->owner = NULL;
	c->todo = 0;
	c->state = CONN_FINISHING;
	conn_want_read(c);
	conn_part(c, linger_us);
	conn_todo(c, 0);
}

SSL *conn_ssl(const struct conn *c)
{
	return c->ssl;
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}

void conn_peer(const struct conn *c, char *out, size_t outsz)
{
	struct sockaddr_storage peer = {0};
	socklen_t n = sizeof peer;
	char host[INET6_ADDRSTRLEN] = "";

	if (getpeername(c->fd, (struct sockaddr *)&peer, &n) != 0)
		peer.ss_family = AF_UNSPEC;
	if (peer.ss_family == AF_INET) {
		struct sockaddr_in *in4 = (struct sockaddr_in *)&peer;

		inet_ntop(AF_INET, &in4->sin_addr, host, sizeof host);
		snprintf(out, outsz, "%s:%u", host, ntohs(in4->sin_port));
	} else if (peer.ss_family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&peer;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
		snprintf(out, outsz, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		snprintf(out, outsz, "%s", peer.ss_family == AF_UNIX ? "unix" : "unknown");
	}
}

void conn_traffic(const struct conn *c, uint64_t *received_r, uint64_t *sent_r)
{
	*received_r = c->received;
	*sent_r = c->sent;
}

void conn_detach(struct conn *c)
{
	check(c->state == CONN_OPEN || (c->todo & CONN_TODO_CLOSE) != 0);
	check(conn_pending(c) == 0 && c->ops != NULL);
	if (conn_keep_input(c) != 0)
		conn_fail(c, "no memory for unread input");
	conn_forget_call(c);
	conn_events_off(c);
	later_cancel(&c->round);
	conn_drop_output(c); /* there is none; its buffer stays with the loop */
	c->loop = NULL;
	c->ops = NULL;
	c->owner = NULL;
}

void conn_attach(struct conn *c, struct loop *l, const struct conn_ops *ops, void *owner)
{
	check(c->loop == NULL);
	c->ops = ops;
	c->owner = owner;
	conn_join(c, l);
	if (c->state == CONN_OPEN)
		conn_want_read(c);
	c->stalled = false;
	/* What is held, noted or hidden in the TLS layer makes no event here. */
	conn_tidy_input(c);
	if (c->in_n > 0)
		c->todo |= CONN_TODO_INPUT;
	if (c->ssl != NULL && SSL_has_pending(c->ssl))
		c->todo |= CONN_TODO_READ;
	if (c->todo != 0)
		conn_todo(c, 0);
}
