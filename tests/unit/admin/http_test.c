#include "proxy/admin/http.h"
#include "proxy/base/clock.h"
#include "tests/support/test.h"
#include "tests/unit/admin/fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The port on a thread of its own; the test is its client. */
struct site {
	struct fake fake;
	struct loop *loop;
	struct http *http;
	pthread_t thread;
};

static void *run(void *arg)
{
	loop_run(((struct site *)arg)->loop);
	return NULL;
}

static void site_begin(struct site *s, unsigned max_conns, uint64_t limit_us)
{
	struct http_settings set = {.addr = "127.0.0.1", .max_conns = max_conns, .limit_us = limit_us};
	struct report_source source = fake_source(&s->fake);
	struct err err;

	signal(SIGPIPE, SIG_IGN); /* as the process does */
	s->loop = loop_new(s, &err);
	REQUIRE(s->loop != NULL);
	s->http = http_new(s->loop, &set, &source, &err);
	REQUIRE(s->http != NULL);
	REQUIRE(pthread_create(&s->thread, NULL, run, s) == 0);
}

static void site_end(struct site *s)
{
	loop_stop(s->loop);
	pthread_join(s->thread, NULL);
	http_free(&s->http);
	loop_free(&s->loop);
}

static int dial_with(struct site *s, bool narrow)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)http_port(s->http)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM, 0), room = 2048, segment = 536;

	REQUIRE(fd >= 0);
	if (narrow) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	REQUIRE(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
	return fd;
}

static int dial(struct site *s)
{
	return dial_with(s, false);
}

/* Asks for much and reads none of it; the kernel's buffers of both sides cannot hold it. */
static int dial_and_not_read(struct site *s)
{
	static const char request[] = "GET /stats.json HTTP/1.1\r\n\r\n";
	int fd = dial_with(s, true);

	REQUIRE(send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1);
	return fd;
}

/* All that comes until the end; NULL = an error or no end in time. */
static char *read_all(int fd)
{
	size_t n = 0, cap = 1 << 20;
	char *text = malloc(cap);
	ssize_t got;

	while ((got = recv(fd, text + n, cap - n - 1, 0)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(fd);
	if (got == 0)
		return text;
	free(text);
	return NULL;
}

static char *ask(struct site *s, const char *request)
{
	int fd = dial(s);
	char *text;

	REQUIRE(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
	text = read_all(fd);
	REQUIRE(text != NULL);
	return text;
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static void expect_answer(struct site *s, const char *request, const char *status, const char *part)
{
	char *text = ask(s, request), line[64];

	snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\r"), text);
	EXPECT_STR(line, status);
	if (!has(text, part))
		EXPECT_STR(text, part);
	free(text);
}

TEST(http, serves_its_pages)
{
	struct site s = {0};

	site_begin(&s, 0, 0);
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\r\n\r\nok\n");
	expect_answer(&s, "GET /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\r\n\r\nready\n");
	expect_answer(&s, "GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "text/plain; version=0.0.4");
	expect_answer(&s,
		      "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n",
		      "HTTP/1.1 200 OK",
		      "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
	expect_answer(&s, "GET /stats.json HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\"cache_hits\":41");
	expect_answer(&s, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK",
		      "Content-Security-Policy: default-src 'none'; style-src 'sha256-");
	expect_answer(&s, "GET /?a=b HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "</html>");
	expect_answer(&s, "GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "not found");
	expect_answer(&s, "GET /../etc/passwd HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", "not found");
	expect_answer(&s, "GET /metrics?x=1 HTTP/1.1\nACCEPT: Application/OpenMetrics-Text\n\n",
		      "HTTP/1.1 200 OK", "# EOF\n");
	site_end(&s);
}

TEST(http, only_get_and_head)
{
	static const char *const others[] = {"POST",  "PUT",   "DELETE", "OPTIONS", "CONNECT",
					     "TRACE", "PATCH", "BREW",	 "get"};
	struct site s = {0};
	char request[128];

	site_begin(&s, 0, 0);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		snprintf(request, sizeof request, "%s /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
			 others[i]);
		expect_answer(&s, request, "HTTP/1.1 405 Method Not Allowed", "Allow: GET, HEAD\r\n");
	}
	expect_answer(&s, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
		      "HTTP/1.1 405 Method Not Allowed", "\r\n\r\nonly GET and HEAD\n");
	site_end(&s);
}

static unsigned times(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		n++;
	return n;
}

TEST(http, every_answer_ends_its_connection)
{
	static const char *const requests[] = {
		"GET /healthz HTTP/1.1\r\nConnection: keep-alive\r\n\r\n",
		"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET http://here/healthz HTTP/1.1\r\nProxy-Connection: keep-alive\r\n\r\n",
		"GET /healthz HTTP/1.0\r\n\r\n",
	};
	struct site s = {0};

	/* The limit is far away: read_all would see no end in time. */
	site_begin(&s, 0, 60000000);
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		char *text = ask(&s, requests[i]);

		EXPECT(has(text, "\r\nConnection: close\r\n") && has(text, "\r\nContent-Length: 3\r\n"));
		EXPECT_EQ(times(text, "Connection: "), 1);
		EXPECT(has(text, "\r\n\r\nok\n"));
		free(text);
	}
	site_end(&s);
}

TEST(http, head_has_the_length_and_no_body)
{
	struct site s = {0};
	char *text;

	site_begin(&s, 0, 0);
	text = ask(&s, "HEAD /healthz HTTP/1.1\r\n\r\n");
	EXPECT(has(text, "Content-Length: 3\r\n"));
	EXPECT_STR(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	free(text);
	site_end(&s);
}

TEST(http, says_when_it_is_not_ready)
{
	struct site s = {.fake = {.not_ready = true}};

	site_begin(&s, 0, 0);
	expect_answer(&s, "GET /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 503 Service Unavailable", "not ready");
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ok\n");
	site_end(&s);
}

TEST(http, takes_a_request_byte_by_byte)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	struct site s = {0};
	char *text;
	int fd;

	site_begin(&s, 0, 0);
	fd = dial(&s);
	for (size_t i = 0; i < sizeof request - 1; i++)
		REQUIRE(send(fd, request + i, 1, MSG_NOSIGNAL) == 1);
	text = read_all(fd);
	EXPECT(text != NULL && has(text, "\r\n\r\nok\n"));
	free(text);
	site_end(&s);
}

TEST(http, a_second_request_behind_the_first_gets_no_answer)
{
	struct site s = {0};
	char *text;

	site_begin(&s, 0, 60000000);
	text = ask(&s, "GET /healthz HTTP/1.1\r\n\r\nGET /again HTTP/1.1\r\n\r\n");
	EXPECT(has(text, "\r\n\r\nok\n") && !has(text, "404"));
	free(text);
	text = ask(&s, "CONNECT a:1 HTTP/1.1\r\n\r\nGET /again HTTP/1.1\r\n\r\n");
	EXPECT(has(text, "HTTP/1.1 405 ") && !has(text, "404"));
	free(text);
	site_end(&s);
}

TEST(http, what_is_no_request_is_refused)
{
	static const char *const cases[] = {
		"\r\n\r\n",
		"GET\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET /\r\n\r\n",
		"\x16\x03\x01\x02\x01\xfc\x03\x03\n",
		"GET / HTTP/1.1\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
	};
	struct site s = {0};

	site_begin(&s, 0, 60000000);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		expect_answer(&s, cases[i], "HTTP/1.1 400 Bad Request", "Connection: close\r\n");
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ok\n");
	site_end(&s);
}

/* Sends more and more of it; true = the connection ended soon, with an error status or none. */
static bool refused(struct site *s, const char *begin, const char *more)
{
	uint64_t start = clock_us();
	size_t n = strlen(more);
	int fd = dial(s);
	char *text;
	bool fine;

	(void)!send(fd, begin, strlen(begin), MSG_NOSIGNAL);
	while (clock_us() - start < 10000000 && send(fd, more, n, MSG_NOSIGNAL) == (ssize_t)n)
		;
	fine = clock_us() - start < 10000000;
	/* It may have been reset before the answer was read. */
	text = read_all(fd);
	fine &= text == NULL ? errno == ECONNRESET : text[0] == '\0' || has(text, "HTTP/1.1 4");
	free(text);
	return fine;
}

TEST(http, requests_are_bounded)
{
	struct site s = {0};

	site_begin(&s, 0, 60000000);
	EXPECT(refused(&s, "", "xxxxxxxxxxxxxxxx"));
	EXPECT(refused(&s, "GET /", "aaaaaaaaaaaaaaaa"));
	EXPECT(refused(&s, "GET / HTTP/1.1\r\na: ", "aaaaaaaaaaaaaaaa"));
	EXPECT(refused(&s, "GET / HTTP/1.1\r\n", "a: b\r\n"));
	EXPECT(refused(&s, "POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n", "aaaaaaaaaaaaaaaa"));
	EXPECT(refused(&s, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"));
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ok\n");
	site_end(&s);
}

TEST(http, a_stalled_client_is_closed_even_if_it_drips)
{
	struct site s = {0};
	uint64_t start;
	char c;
	int fd;

	site_begin(&s, 0, 300000);
	fd = dial(&s);
	start = clock_us();
	/* A byte now and then must not buy time. */
	while (clock_us() - start < 10000000) {
		if (send(fd, "x", 1, MSG_NOSIGNAL) != 1 || recv(fd, &c, 1, MSG_DONTWAIT) == 0)
			break;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			break;
		usleep(20000);
	}
	EXPECT(clock_us() - start >= 250000);
	EXPECT(clock_us() - start < 5000000);
	close(fd);
	site_end(&s);
}

TEST(http, many_connections_cost_only_each_other)
{
	enum { CROWD = 200 };
	struct site s = {0};
	int fds[CROWD], closed = 0;
	char c;

	site_begin(&s, 8, 0);
	for (int i = 0; i < CROWD; i++)
		fds[i] = dial(&s);
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ok\n");
	EXPECT(http_conns(s.http) <= 8);
	for (int i = 0; i < CROWD; i++) {
		ssize_t got = recv(fds[i], &c, 1, MSG_DONTWAIT);

		closed += got == 0 || (got < 0 && errno == ECONNRESET);
		close(fds[i]);
	}
	EXPECT(closed >= CROWD - 8);
	site_end(&s);
}

TEST(http, a_crowd_that_asks_is_served)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
	enum { CROWD = 100 };
	struct site s = {0};
	int fds[CROWD];

	site_begin(&s, 8, 0);
	for (int i = 0; i < CROWD; i++) {
		fds[i] = dial(&s);
		REQUIRE(send(fds[i], request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1);
	}
	for (int i = 0; i < CROWD; i++) {
		char *text = read_all(fds[i]);

		EXPECT(text != NULL && has(text, "pgweir_cache_hits_total 41\n"));
		free(text);
	}
	site_end(&s);
}

TEST(http, who_do_not_take_their_answers_make_place_in_the_end)
{
	struct site s = {.fake = {.many_pools = REPORT_POOLS}};
	int fds[4];

	site_begin(&s, 4, 60000000);
	for (int i = 0; i < 4; i++)
		fds[i] = dial_and_not_read(&s);
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ok\n");
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	site_end(&s);
}

TEST(http, who_does_not_take_the_answer_is_closed)
{
	struct site s = {.fake = {.many_pools = REPORT_POOLS}};
	uint64_t start = clock_us();
	int fd;

	site_begin(&s, 0, 600000);
	fd = dial_and_not_read(&s);
	while (http_conns(s.http) == 0 && clock_us() - start < 10000000)
		usleep(1000);
	while (http_conns(s.http) != 0 && clock_us() - start < 10000000)
		usleep(1000);
	EXPECT_EQ(http_conns(s.http), 0);
	/* Neither before its time, because the answer fitted somewhere. */
	EXPECT(clock_us() - start >= 250000);
	close(fd);
	site_end(&s);
}

/* A client may close its half once it has asked; the kernel's buffers cannot hold the answer when the loop hears of it. */
TEST(http, who_has_said_all_gets_the_whole_answer)
{
	struct site s = {.fake = {.many_pools = REPORT_POOLS}};
	const char *body, *length;
	char *text;
	int fd;

	site_begin(&s, 0, 60000000);
	fd = dial_and_not_read(&s);
	REQUIRE(shutdown(fd, SHUT_WR) == 0);
	text = read_all(fd);
	REQUIRE(text != NULL);
	length = strstr(text, "Content-Length: ");
	body = strstr(text, "\r\n\r\n");
	REQUIRE(length != NULL && body != NULL);
	EXPECT_EQ(strtoul(length + strlen("Content-Length: "), NULL, 10), strlen(body + 4));
	free(text);
	site_end(&s);
}

TEST(http, says_where_it_cannot_listen)
{
	struct site s = {0};
	struct http_settings set = {.addr = "127.0.0.1"};
	struct report_source source = fake_source(&s.fake);
	struct err err = {0};
	struct loop *other;

	site_begin(&s, 0, 0);
	set.port = http_port(s.http);
	other = loop_new(NULL, &err);
	REQUIRE(other != NULL);
	EXPECT(http_new(other, &set, &source, &err) == NULL);
	EXPECT(has(err.text, "127.0.0.1"));
	EXPECT(has(err.text, "in use"));
	loop_free(&other);
	site_end(&s);
}

TEST(http, may_be_freed_with_open_connections)
{
	struct site s = {0};
	int fd;

	site_begin(&s, 0, 0);
	fd = dial(&s);
	while (http_conns(s.http) == 0)
		usleep(1000);
	site_end(&s);
	close(fd);
}
