/* The floor of a server: speaks just enough of the protocol to answer every statement with the same row. What it costs is
 * what the kernel, the event loop and the cutting of messages cost; a cache cannot be cheaper.
 *   null_server PORT
 * Single-threaded; one recv and one send for each wake-up. */
#include "tests/bench/loopback.h"

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
	size_t nout;
};

static struct server server;

/* A result of one int4 column with one row. */
static const char row_description[] = "T\0\0\0\x21\0\x01"
				      "abalance\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
static const char data_row[] = "D\0\0\0\x0b\0\x01\0\0\0\x01"
			       "0";
static const char complete[] = "C\0\0\0\x0dSELECT 1";
static const char ready[] = "Z\0\0\0\x05I";
static const char parameters[] = "t\0\0\0\x0a\0\x01\0\0\0\x17";

static void put(const void *p, size_t n)
{
	if (server.nout + n > OUT_MAX)
		abort();
	memcpy(server.out + server.nout, p, n);
	server.nout += n;
}

static void answer(uint8_t type, const uint8_t *body)
{
	switch (type) {
	case 'Q':
		put(row_description, sizeof row_description - 1);
		put(data_row, sizeof data_row - 1);
		put(complete, sizeof complete);
		put(ready, sizeof ready - 1);
		break;
	case 'P': put("1\0\0\0\x04", 5); break;
	case 'B': put("2\0\0\0\x04", 5); break;
	case 'C': put("3\0\0\0\x04", 5); break;
	case 'D':
		if (body[0] == 'S')
			put(parameters, sizeof parameters - 1);
		put(row_description, sizeof row_description - 1);
		break;
	case 'E':
		put(data_row, sizeof data_row - 1);
		put(complete, sizeof complete);
		break;
	case 'S': put(ready, sizeof ready - 1); break;
	default: break;
	}
}

static uint32_t number(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The startup packet, or a question for encryption before it. */
static void greet(struct client *c, const uint8_t *p, size_t n)
{
	if (n == 8) {
		put("N", 1);
		return;
	}
	(void)p;
	c->started = true;
	put("R\0\0\0\x08\0\0\0\0", 9);
	put("S\0\0\0\x19"
	    "client_encoding\0UTF8",
	    26);
	put("S\0\0\0\x18server_version\00015.0", 25);
	put("S\0\0\0\x23standard_conforming_strings\0on", 36);
	put("K\0\0\0\x0c\0\0\0\x01\0\0\0\x02", 13);
	put(ready, sizeof ready - 1);
}

/* Answers the whole messages; the number of bytes they had. (size_t)-1 = goodbye. */
static size_t take(struct client *c, const uint8_t *p, size_t n)
{
	size_t at = 0;

	for (;;) {
		size_t head = c->started ? 1 : 0, total;

		if (n - at < head + 4)
			return at;
		total = head + number(p + at + head);
		if (n - at < total)
			return at;
		if (!c->started)
			greet(c, p + at, total);
		else if (p[at] == 'X')
			return SIZE_MAX;
		else
			answer(p[at], p + at + 5);
		at += total;
	}
}

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
	server.nout = 0;
	used = take(c, server.in, c->nrest + (size_t)n);
	if (used == SIZE_MAX ||
	    (server.nout > 0 && send(fd, server.out, server.nout, MSG_NOSIGNAL) != (ssize_t)server.nout)) {
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
