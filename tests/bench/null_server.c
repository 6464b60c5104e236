/* The floor of a server: speaks just enough of the protocol to answer every statement with the same row. What it costs is
 * what the kernel, the event loop and the cutting of messages cost; a cache cannot be cheaper.
 *   null_server PORT
 * Single-threaded; one recv and one send for each wake-up. */
#include "tests/bench/loopback.h"
#include "tests/bench/null_protocol.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_MAX (64u * 1024u)
#define OUT_MAX (1024u * 1024u)

struct client {
	struct event *event;
	int fd;
	bool started;
	uint8_t *rest; /* of a message that was cut */
	size_t nrest;
};

struct server {
	struct event_base *base;
	uint8_t in[IN_MAX];
	uint8_t out[OUT_MAX];
};

static struct server server;

static void leave(struct client *c)
{
	event_free(c->event);
	close(c->fd);
	free(c->rest);
	free(c);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct null_out out = {.p = server.out, .max = OUT_MAX};
	ssize_t n;
	size_t used;

	(void)what;
	if (c->nrest > 0)
		memcpy(server.in, c->rest, c->nrest);
	n = recv(fd, server.in + c->nrest, IN_MAX - c->nrest, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		leave(c);
		return;
	}
	used = null_take(&out, &c->started, server.in, c->nrest + (size_t)n);
	if (used == SIZE_MAX || (out.n > 0 && send(fd, out.p, out.n, MSG_NOSIGNAL) != (ssize_t)out.n)) {
		leave(c);
		return;
	}
	c->nrest = c->nrest + (size_t)n - used;
	free(c->rest);
	c->rest = NULL;
	if (c->nrest > 0) {
		c->rest = malloc(c->nrest);
		if (c->rest == NULL)
			abort();
		memcpy(c->rest, server.in + used, c->nrest);
	}
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c;

	(void)what;
	(void)arg;
	if (client < 0)
		return;
	loopback_nodelay(client);
	c = calloc(1, sizeof *c);
	if (c == NULL)
		abort();
	c->fd = client;
	c->event = event_new(server.base, client, EV_READ | EV_PERSIST, on_client, c);
	if (c->event == NULL || event_add(c->event, NULL) != 0)
		abort();
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? loopback_listen(argv[1]) : -1;
	struct event *event;

	signal(SIGPIPE, SIG_IGN);
	if (fd < 0) {
		perror("null_server");
		return 1;
	}
	server.base = event_base_new();
	event = server.base == NULL ? NULL
				    : event_new(server.base, fd, EV_READ | EV_PERSIST, on_accept, NULL);
	if (event == NULL || event_add(event, NULL) != 0)
		return 1;
	return event_base_dispatch(server.base) == 0 ? 0 : 1;
}
