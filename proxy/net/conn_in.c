/* Reading. Bytes land in the loop's scratch, the owner sees them there, and only what it leaves is copied
 * into memory of the connection, which goes when it is empty. */
#include "proxy/base/check.h"
#include "proxy/net/conn_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* One connection's share of a round. */
#define READ_BUDGET (256u * 1024)

static bool in_scratch(const struct conn *c)
{
	return c->in != NULL && c->loop != NULL && c->in >= c->loop->scratch &&
	       c->in <= c->loop->scratch + LOOP_LEFT_MAX + LOOP_READ_MAX;
}

static void hold_drop(struct conn *c)
{
	struct loop *l = c->loop;

	if (c->hold_cap == LOOP_HOLD_SIZE && l != NULL && l->nholds < LOOP_HOLDS)
		l->holds[l->nholds++] = c->hold;
	else
		free(c->hold);
	c->hold = NULL;
	c->hold_cap = 0;
}

/* Unread bytes to the front of `hold`, with room for `cap` in all. */
static int hold_reserve(struct conn *c, size_t cap)
{
	uint8_t *p;

	if (cap <= c->hold_cap) {
		if (c->in_n > 0 && c->in != c->hold)
			memmove(c->hold, c->in, c->in_n);
		c->in = c->hold;
		return 0;
	}
	if (cap < LOOP_HOLD_SIZE)
		cap = LOOP_HOLD_SIZE;
	p = cap == LOOP_HOLD_SIZE && c->loop != NULL && c->loop->nholds > 0
		    ? c->loop->holds[--c->loop->nholds]
		    : malloc(cap);
	if (p == NULL)
		return -1;
	if (c->in_n > 0)
		memcpy(p, c->in, c->in_n);
	hold_drop(c);
	c->hold = p;
	c->hold_cap = cap;
	c->in = p;
	return 0;
}

int conn_keep_input(struct conn *c)
{
	if (!in_scratch(c))
		return 0;
	if (c->in_n > 0)
		return hold_reserve(c, c->in_n);
	c->in = NULL;
	return 0;
}

void conn_tidy_input(struct conn *c)
{
	if (c->in_n > 0)
		return;
	hold_drop(c);
	c->in = NULL;
}

struct span conn_input(const struct conn *c)
{
	return span_of(c->in, c->in_n);
}

static bool in_open(const struct conn *c)
{
	return c->state == CONN_OPEN && !c->paused && c->in_n < c->in_max;
}

/* Reading had stopped and may go on. */
static void in_restart(struct conn *c)
{
	if (!c->stalled || c->loop == NULL || !in_open(c))
		return;
	c->stalled = false;
	conn_want_read(c);
	if (c->ssl != NULL)
		conn_todo(c, CONN_TODO_READ);
}

void conn_consume(struct conn *c, size_t n)
{
	check(n <= c->in_n);
	c->in += n;
	c->in_n -= n;
	if (c->in_n == 0 && c->hold != NULL && c->loop != NULL)
		conn_todo(c, 0); /* the memory goes at the end of the round, not under a span in use */
	in_restart(c);
}

int conn_unread(struct conn *c, struct span bytes)
{
	size_t n = bytes.n + c->in_n;
	uint8_t *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		return -1;
	memcpy(p, bytes.p, bytes.n);
	if (c->in_n > 0)
		memcpy(p + bytes.n, c->in, c->in_n);
	free(c->hold);
	c->hold = p;
	c->hold_cap = n;
	c->in = p;
	c->in_n = n;
	conn_todo(c, CONN_TODO_INPUT);
	return 0;
}

void conn_input_max(struct conn *c, size_t n)
{
	check(n > 0);
	c->in_max = n;
	in_restart(c);
}

void conn_pause(struct conn *c)
{
	/* Lazy: the event is taken off only when it fires, since most pauses are short. */
	c->paused = true;
}

void conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	in_restart(c);
	if (c->in_n > 0)
		conn_todo(c, CONN_TODO_INPUT);
}

static ssize_t fd_recv(struct conn *c, void *p, size_t n)
{
	ssize_t r;

	do
		r = recv(c->fd, p, n, 0);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		return r;
	if (r == 0 || errno == ECONNRESET || errno == EPIPE)
		return CONN_IO_END;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return CONN_IO_AGAIN;
	conn_fail(c, "cannot read: %s", strerror(errno));
	return CONN_IO_FAILED;
}

ssize_t conn_recv(struct conn *c, void *p, size_t n)
{
	return c->ssl != NULL ? conn_tls_recv(c, p, n) : fd_recv(c, p, n);
}

/* Where the next bytes go: behind the unread ones. A small rest moves to the front of the scratch; a large
 * one, part of a long message, stays in memory of its own so that it is not copied again and again. */
static uint8_t *in_room(struct conn *c, size_t *room_r)
{
	uint8_t *scratch = c->loop->scratch;
	size_t want = c->in_max - c->in_n, cap;

	if (c->in_n <= LOOP_LEFT_MAX) {
		if (c->in_n > 0)
			memmove(scratch, c->in, c->in_n);
		c->in = scratch;
		*room_r = want < LOOP_READ_MAX ? want : LOOP_READ_MAX;
		return scratch + c->in_n;
	}
	cap = c->in_n < c->in_max / 2 ? 2 * c->in_n : c->in_max;
	if (hold_reserve(c, cap) != 0) {
		conn_fail(c, "no memory for unread input");
		return NULL;
	}
	*room_r = c->hold_cap - c->in_n < want ? c->hold_cap - c->in_n : want;
	return c->hold + c->in_n;
}

static ssize_t read_once(struct conn *c, size_t *room_r)
{
	uint8_t *p = in_room(c, room_r);
	ssize_t n;

	if (p == NULL)
		return CONN_IO_FAILED;
	n = conn_recv(c, p, *room_r);
	if (n > 0) {
		c->in_n += (size_t)n;
		c->received += (uint64_t)n;
	}
	return n;
}

/* A short read has emptied the socket: the next byte makes an event. In the TLS layer bytes can wait unseen. */
static bool read_more(struct conn *c, size_t *budget, size_t n, size_t room)
{
	*budget = n < *budget ? *budget - n : 0;
	if (!in_open(c)) {
		c->stalled = true;
		return false;
	}
	if (c->ssl == NULL)
		return n == room && *budget > 0;
	if (c->drained && !SSL_has_pending(c->ssl))
		return false;
	if (*budget == 0)
		conn_todo(c, CONN_TODO_READ);
	return *budget > 0;
}

void conn_read(struct conn *c)
{
	size_t budget = READ_BUDGET, room;
	ssize_t n = CONN_IO_AGAIN;

	if (!in_open(c)) {
		c->stalled = true;
		if (c->read_on && c->state == CONN_OPEN) {
			event_del(&c->ev_read);
			c->read_on = false;
		}
		return;
	}
	do {
		n = read_once(c, &room);
		if (n <= 0)
			break;
		if (!conn_call(c, c->ops->on_input))
			return; /* gone: not a byte of it may be touched */
	} while (read_more(c, &budget, (size_t)n, room));
	if (conn_keep_input(c) != 0)
		conn_fail(c, "no memory for unread input");
	conn_tidy_input(c);
	if (n == CONN_IO_END)
		conn_end(c);
}

void conn_read_rest(struct conn *c)
{
	size_t room;

	while (c->state == CONN_OPEN && c->in_n < c->in_max && read_once(c, &room) > 0)
		;
	if (conn_keep_input(c) != 0)
		conn_fail(c, "no memory for unread input");
}

bool conn_deliver_held(struct conn *c)
{
	if (c->state == CONN_OPEN && !c->paused && c->in_n > 0 && !conn_call(c, c->ops->on_input))
		return false;
	conn_tidy_input(c);
	return true;
}

/* Without an owner: nobody wants these bytes, only the end of them. Before that our own output still has
 * its chance. */
void conn_discard_input(struct conn *c)
{
	bool finishing = c->state == CONN_FINISHING;
	size_t budget = READ_BUDGET;
	ssize_t n;

	do
		n = finishing ? conn_recv(c, c->loop->scratch, LOOP_READ_MAX)
			      : fd_recv(c, c->loop->scratch, LOOP_READ_MAX);
	while (n > 0 && (budget = (size_t)n < budget ? budget - (size_t)n : 0) > 0);
	if (n != CONN_IO_END)
		return;
	if (!finishing) {
		conn_end(c);
		return;
	}
	if (c->read_on)
		event_del(&c->ev_read);
	c->read_on = false;
}
