/* The floor of a pooler: passes bytes on, both ways, and looks at none. One server connection for each client.
 *   null_relay PORT SERVER_PORT
 * Single-threaded; one recv and one send for each wake-up, as long as the receiver keeps up. */
#include "tests/bench/loopback.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_MAX (64u * 1024u)

struct pair;

struct side {
	struct pair *pair;
	struct side *other;
	struct event *readable, *writable;
	int fd;
	uint8_t *rest; /* what this side's socket has not taken yet */
	size_t nrest, done;
};

struct pair {
	struct side side[2];
};

static struct event_base *base;
static const char *server_port;
static uint8_t room[READ_MAX];

static void leave(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		event_free(p->side[i].readable);
		event_free(p->side[i].writable);
		close(p->side[i].fd);
		free(p->side[i].rest);
	}
	free(p);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct side *from = arg, *to = from->other;
	ssize_t n = recv(fd, room, READ_MAX, 0), sent;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		leave(from->pair);
		return;
	}
	sent = send(to->fd, room, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN) {
		leave(from->pair);
		return;
	}
	sent = sent < 0 ? 0 : sent;
	if (sent == n)
		return;
	to->nrest = (size_t)(n - sent);
	to->done = 0;
	to->rest = malloc(to->nrest);
	if (to->rest == NULL)
		abort();
	memcpy(to->rest, room + sent, to->nrest);
	event_del(from->readable);
	event_add(to->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct side *to = arg;
	ssize_t sent = send(fd, to->rest + to->done, to->nrest - to->done, MSG_NOSIGNAL);

	(void)what;
	if (sent < 0 && errno != EAGAIN) {
		leave(to->pair);
		return;
	}
	to->done += sent > 0 ? (size_t)sent : 0;
	if (to->done < to->nrest)
		return;
	free(to->rest);
	to->rest = NULL;
	event_del(to->writable);
	event_add(to->other->readable, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), server;
	struct pair *p;

	(void)what;
	(void)arg;
	if (client < 0)
		return;
	server = loopback_connect(server_port);
	if (server < 0) {
		perror("null_relay");
		close(client);
		return;
	}
	evutil_make_socket_nonblocking(server);
	loopback_nodelay(client);
	p = calloc(1, sizeof *p);
	if (p == NULL)
		abort();
	for (int i = 0; i < 2; i++) {
		struct side *s = &p->side[i];

		s->pair = p;
		s->other = &p->side[1 - i];
		s->fd = i == 0 ? client : server;
		s->readable = event_new(base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
		s->writable = event_new(base, s->fd, EV_WRITE | EV_PERSIST, on_writable, s);
		if (s->readable == NULL || s->writable == NULL || event_add(s->readable, NULL) != 0)
			abort();
	}
}

int main(int argc, char **argv)
{
	struct event *event;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	if (argc != 3) {
		fprintf(stderr, "null_relay PORT SERVER_PORT\n");
		return 2;
	}
	server_port = argv[2];
	fd = loopback_listen(argv[1]);
	if (fd < 0) {
		perror("null_relay");
		return 1;
	}
	base = event_base_new();
	event = base == NULL ? NULL : event_new(base, fd, EV_READ | EV_PERSIST, on_accept, NULL);
	if (event == NULL || event_add(event, NULL) != 0)
		return 1;
	return event_base_dispatch(base) == 0 ? 0 : 1;
}
