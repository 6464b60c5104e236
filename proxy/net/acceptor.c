#include "proxy/net/acceptor.h"

#include "proxy/base/check.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Out of descriptors: a pause, so that the waiting connection does not wake us at once and for ever. */
#define ACCEPTOR_REST_US (100u * 1000)
/* One round's share; epoll tells again while there are more. */
#define ACCEPTOR_BATCH 16

struct door {
	struct acceptor *acceptor;
	struct event ev;
};

struct acceptor {
	struct loop *loop;
	acceptor_fn fn;
	void *arg;
	bool is_unix;
	struct timer rest;
	unsigned n;
	struct door doors[LISTENER_SOCKETS];
};

/* The next in line; -1 and errno. One that left while it waited is not counted as one. */
static int take(int fd)
{
	int got;

	do
		got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (got < 0 && (errno == EINTR || errno == ECONNABORTED));
	return got;
}

static void close_doors(struct acceptor *a)
{
	for (unsigned i = 0; i < a->n; i++)
		event_del(&a->doors[i].ev);
}

static void rest(struct acceptor *a)
{
	close_doors(a);
	timer_set(a->loop, &a->rest, ACCEPTOR_REST_US);
}

static int open_doors(struct acceptor *a)
{
	for (unsigned i = 0; i < a->n; i++)
		if (event_add(&a->doors[i].ev, NULL) != 0)
			return -1;
	return 0;
}

static void rested(void *arg)
{
	struct acceptor *a = arg;

	if (open_doors(a) != 0)
		rest(a);
}

static void knocked(evutil_socket_t fd, short what, void *arg)
{
	struct door *door = arg;
	struct acceptor *a = door->acceptor;

	(void)what;
	for (unsigned i = 0; i < ACCEPTOR_BATCH; i++) {
		int got = take(fd);

		if (got < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				rest(a);
			return;
		}
		a->fn(a->arg, got, a->is_unix);
	}
}

struct acceptor *acceptor_new(struct loop *l, struct listener *li, acceptor_fn fn, void *arg, struct err *err)
{
	struct acceptor *a = check_alloc(sizeof *a);

	a->loop = l;
	a->fn = fn;
	a->arg = arg;
	a->is_unix = listener_is_unix(li);
	timer_init(&a->rest, rested, a);
	for (; a->n < listener_count(li); a->n++) {
		struct door *door = &a->doors[a->n];

		door->acceptor = a;
		check(event_assign(&door->ev, loop_base(l), listener_fd(li, a->n), EV_READ | EV_PERSIST,
				   knocked, door) == 0);
	}
	if (open_doors(a) != 0) {
		err_set(err, "cannot watch a listening socket: %s", strerror(errno));
		acceptor_free(&a);
	}
	return a;
}

void acceptor_free(struct acceptor **ap)
{
	struct acceptor *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	close_doors(a);
	timer_free(&a->rest);
	free(a);
}

void acceptor_rest(struct listener *li, acceptor_fn fn, void *arg)
{
	for (unsigned i = 0; i < listener_count(li); i++)
		for (int got; (got = take(listener_fd(li, i))) >= 0;)
			fn(arg, got, listener_is_unix(li));
}
