/* Input: what clients of the stats port send. 0xff: this client has said all, the next one comes; 0xfe: the next one comes while
 * this one stays; 0xfd: what came so far is read before the rest comes. All else are bytes as they are. */
#include "proxy/admin/http.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/admin/fake.h"

#include <errno.h>
#include <event2/listener.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS 3u	 /* at once; as many places as the port has */
#define ROUNDS_MAX 1000u /* a connection whose client has said all is closed long before */
#define ANSWER_MAX (1u << 18)
#define CODED "Ym9iOnMzY3JldA==" /* bob:s3cret */

struct client {
	int fd; /* -1 = none */
	size_t nsent;
	char sent[4096]; /* the beginning of it */
	size_t n;
	char answer[ANSWER_MAX];
};

static struct {
	struct fake fake;
	struct loop *loop;
	struct http *http;
	struct later pause;
	struct sockaddr_un addr;
	socklen_t naddr;
	struct client client[CLIENTS];
} world;

/* In the place of libevent's: the port is a unix socket without a name in the file system. */
struct evconnlistener *evconnlistener_new_bind(struct event_base *base, evconnlistener_cb cb, void *arg,
					       unsigned flags, int backlog, const struct sockaddr *addr,
					       int naddr)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)addr;
	(void)naddr;
	FUZZ_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any.sun_family) == 0);
	world.naddr = sizeof world.addr;
	FUZZ_CHECK(getsockname(fd, (struct sockaddr *)&world.addr, &world.naddr) == 0);
	return evconnlistener_new(base, cb, arg, flags, backlog, fd);
}

static void pause_loop(struct later *later)
{
	(void)later;
	loop_stop(world.loop);
}

static void one_round(void)
{
	loop_later(world.loop, &world.pause);
	loop_run(world.loop);
}

static void begin(void)
{
	struct http_settings set = {
		.addr = "127.0.0.1", .port = 1, .max_conns = CLIENTS, .user = "bob", .password = "s3cret"};
	struct report_source source = fake_source(&world.fake);
	struct err err;

	signal(SIGPIPE, SIG_IGN); /* as the process does */
	world.loop = loop_new(&world, &err);
	FUZZ_CHECK(world.loop != NULL);
	world.http = http_new(world.loop, &set, &source, &err);
	FUZZ_CHECK(world.http != NULL);
	later_init(&world.pause, pause_loop);
	for (unsigned i = 0; i < CLIENTS; i++)
		world.client[i].fd = -1;
}

static void client_open(struct client *c)
{
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(c->fd >= 0 && connect(c->fd, (struct sockaddr *)&world.addr, world.naddr) == 0);
	c->n = c->nsent = 0;
}

/* true = the port has closed. */
static bool client_read(struct client *c)
{
	ssize_t got;

	while ((got = recv(c->fd, c->answer + c->n, ANSWER_MAX - 1 - c->n, 0)) > 0) {
		c->n += (size_t)got;
		FUZZ_CHECK(c->n < ANSWER_MAX - 1);
	}
	c->answer[c->n] = '\0';
	return got == 0 || (errno != EAGAIN && errno != EINTR);
}

/* What the port has not read when it closes is lost, and so may be the end of its answer: nothing to complain of. */
static void client_write(struct client *c, const char *p, size_t n)
{
	size_t room = sizeof c->sent - c->nsent;

	memcpy(c->sent + c->nsent, p, n < room ? n : room);
	c->nsent += n < room ? n : room;
	for (unsigned i = 0; n > 0 && i < ROUNDS_MAX; i++) {
		ssize_t put = send(c->fd, p, n, MSG_NOSIGNAL);

		if (put < 0 && errno != EAGAIN)
			return;
		p += put > 0 ? put : 0;
		n -= put > 0 ? (size_t)put : 0;
		if (n > 0)
			one_round();
	}
}

/* --- the answer --- */

static const char *header(const char *head, const char *end, const char *name)
{
	for (const char *line = strstr(head, "\r\n"); line != NULL && line < end;
	     line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, strlen(name)) == 0)
			return line + strlen(name);
	}
	return NULL;
}

/* Pages that are not for everybody, by what only they show. */
static bool shows_much(const char *body)
{
	return strstr(body, "pgweir_") != NULL || strstr(body, "<html") != NULL ||
	       strstr(body, "\"pools\"") != NULL;
}

/* HTTP/1.1 200 OK: 200; 0 = that is no answer. */
static int status_of(const char *head)
{
	int status = 0;

	return sscanf(head, "HTTP/%*d.%*d %d ", &status) == 1 ? status : 0;
}

static void judge(const struct client *c)
{
	const char *head = c->answer, *body;
	int status;
	bool ours;

	while (status_of(head) == 100 && (body = strstr(head, "\r\n\r\n")) != NULL)
		head = body + 4;
	if (*head == '\0')
		return;
	status = status_of(head);
	FUZZ_CHECK(status == 200 || (status >= 400 && status < 600));
	body = strstr(head, "\r\n\r\n");
	FUZZ_CHECK(body != NULL);
	body += 4;
	ours = header(head, body, "Cache-Control: ") != NULL;
	if (shows_much(body) || (status == 200 && !ours))
		FUZZ_CHECK(memmem(c->sent, c->nsent, CODED, strlen(CODED)) != NULL);
	if (!ours)
		return; /* evhttp does not close behind all of its own */
	head = header(head, body, "Content-Length: ");
	FUZZ_CHECK(head != NULL);
	if (*body != '\0') /* HEAD has none */
		FUZZ_CHECK(strtoul(head, NULL, 10) == (size_t)(c->answer + c->n - body));
}

/* It has said all: the port answers, or does not, and closes. */
static void client_end(struct client *c)
{
	if (c->fd < 0)
		return;
	shutdown(c->fd, SHUT_WR);
	for (unsigned i = 0; !client_read(c); i++) {
		FUZZ_CHECK(i < ROUNDS_MAX);
		one_round();
	}
	judge(c);
	close(c->fd);
	c->fd = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *at = (const char *)p, *end = at + n;
	unsigned who = 0;

	if (world.loop == NULL)
		begin();
	while (at < end) {
		struct client *c = &world.client[who % CLIENTS];
		size_t part = 0;

		if (c->fd < 0)
			client_open(c);
		while (at + part < end && (uint8_t)at[part] < 0xfd)
			part++;
		client_write(c, at, part);
		at += part;
		if (at == end)
			break;
		for (unsigned i = 0; i < 4; i++)
			one_round();
		if ((uint8_t)*at == 0xff)
			client_end(c);
		if ((uint8_t)*at++ != 0xfd)
			client_end(&world.client[++who % CLIENTS]);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		client_end(&world.client[i]);
	for (unsigned i = 0; http_conns(world.http) > 0; i++) {
		FUZZ_CHECK(i < ROUNDS_MAX);
		one_round();
	}
	return 0;
}
