#include "proxy/admin/http.h"
#include "proxy/base/clock.h"
#include "tests/support/test.h"
#include "tests/unit/admin/fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
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

static void site_begin(struct site *s, unsigned max_conns, uint64_t request_us, uint64_t answer_us)
{
	struct http_settings set = {.addr = "127.0.0.1",
				    .max_conns = max_conns,
				    .request_us = request_us,
				    .answer_us = answer_us};
	struct report_source source = fake_source(&s->fake);
	struct err err;

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

static int dial(struct site *s)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)http_port(s->http)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	REQUIRE(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	REQUIRE(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
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

	site_begin(&s, 0, 0, 0);
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
	expect_answer(&s, "POST / HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed",
		      "Allow: GET, HEAD\r\n");
	site_end(&s);
}

TEST(http, head_has_the_length_and_no_body)
{
	struct site s = {0};
	char *text;

	site_begin(&s, 0, 0, 0);
	text = ask(&s, "HEAD /healthz HTTP/1.1\r\n\r\n");
	EXPECT(has(text, "Content-Length: 3\r\n"));
	EXPECT_STR(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	free(text);
	site_end(&s);
}

TEST(http, says_when_it_is_not_ready)
{
	struct site s = {.fake = {.not_ready = true}};

	site_begin(&s, 0, 0, 0);
	expect_answer(&s, "GET /readyz HTTP/1.1\r\n\r\n", "HTTP/1.1 503 Service Unavailable", "not ready");
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ok\n");
	site_end(&s);
}

TEST(http, takes_a_request_byte_by_byte_and_more_behind_it)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /again HTTP/1.1\r\n\r\n";
	struct site s = {0};
	char *text;
	int fd;

	site_begin(&s, 0, 0, 0);
	fd = dial(&s);
	for (size_t i = 0; i < sizeof request - 1; i++)
		if (send(fd, request + i, 1, MSG_NOSIGNAL) != 1)
			break;
	text = read_all(fd);
	EXPECT(text != NULL && has(text, "\r\n\r\nok\n") && !has(text, "404"));
	free(text);
	site_end(&s);
}

TEST(http, garbage_is_refused_and_hurts_nobody)
{
	static const char tls_hello[] = "\x16\x03\x01\x02\x01\xfc\x03\x03\n";
	struct site s = {0};
	char *text, *huge = malloc(100000);
	int fd;

	site_begin(&s, 0, 0, 0);
	expect_answer(&s, "\r\n\r\n", "HTTP/1.1 400 Bad Request", "bad request");
	expect_answer(&s, tls_hello, "HTTP/1.1 400 Bad Request", "bad request");
	memset(huge, 'x', 100000);
	fd = dial(&s);
	/* It may close before all of it is sent. */
	(void)!send(fd, huge, 100000, MSG_NOSIGNAL);
	text = read_all(fd);
	EXPECT(text == NULL || has(text, "HTTP/1.1 431 "));
	free(text);
	free(huge);
	expect_answer(&s, "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "ok\n");
	site_end(&s);
}

TEST(http, a_stalled_client_is_closed_even_if_it_drips)
{
	struct site s = {0};
	uint64_t start;
	char c;
	int fd;

	site_begin(&s, 0, 300000, 0);
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

	site_begin(&s, 8, 0, 0);
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

TEST(http, who_does_not_take_the_answer_is_closed)
{
	struct site s = {.fake = {.many_pools = REPORT_POOLS}};
	int small = 2048, fd;
	uint64_t start = clock_us();

	site_begin(&s, 0, 0, 300000);
	fd = dial(&s);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	REQUIRE(send(fd, "GET /stats.json HTTP/1.1\r\n\r\n", 28, MSG_NOSIGNAL) == 28);
	while (http_conns(s.http) == 0 && clock_us() - start < 10000000)
		usleep(1000);
	while (http_conns(s.http) != 0 && clock_us() - start < 10000000)
		usleep(1000);
	EXPECT_EQ(http_conns(s.http), 0);
	close(fd);
	site_end(&s);
}

TEST(http, says_where_it_cannot_listen)
{
	struct site s = {0};
	struct http_settings set = {.addr = "127.0.0.1"};
	struct report_source source = fake_source(&s.fake);
	struct err err = {0};
	struct loop *other;

	site_begin(&s, 0, 0, 0);
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

	site_begin(&s, 0, 0, 0);
	fd = dial(&s);
	while (http_conns(s.http) == 0)
		usleep(1000);
	site_end(&s);
	close(fd);
}
