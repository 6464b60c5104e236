#include "tests/support/test.h"
#include "tests/unit/net/help.h"

#include "proxy/base/offload.h"
#include "proxy/net/acceptor.h"
#include "proxy/net/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct question {
	struct resolve_answer answer;
	bool answered, ok;
	char why[512];
	int calls;
};

static void question_answered(void *arg, const struct resolve_answer *answer, const struct err *err)
{
	struct question *q = arg;

	q->calls++;
	q->answered = true;
	q->ok = answer != NULL;
	if (answer != NULL)
		q->answer = *answer;
	else
		snprintf(q->why, sizeof(q->why), "%s", err->text);
}

struct desk {
	struct loop *l;
	struct offload *o;
};

static void desk_start(struct desk *d)
{
	resolve_forget();
	d->l = loop_new(NULL, NULL);
	d->o = offload_new(1, 10, NULL);
	REQUIRE(d->l != NULL && d->o != NULL);
}

static void desk_stop(struct desk *d)
{
	offload_free(&d->o);
	loop_free(&d->l);
	resolve_forget();
}

static void ask(struct desk *d, struct question *q, const char *host, int port)
{
	*q = (struct question){0};
	REQUIRE(resolve_start(d->l, d->o, host, port, question_answered, q) != NULL);
	EXPECT(!q->answered); /* always from the loop */
}

static uint16_t port_of(const struct resolve_addr *a)
{
	return ntohs(a->addr.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a->addr)->sin6_port
						   : ((const struct sockaddr_in *)&a->addr)->sin_port);
}

static const struct tcp_settings tuned = {.keepalive = 1, .user_timeout_ms = 4000};

TEST(resolve, takes_addresses_as_they_are)
{
	struct desk d;
	struct question q, q6;
	char text[64];

	desk_start(&d);
	ask(&d, &q, "192.0.2.7", 5432);
	ask(&d, &q6, "2001:db8::1", 5433);
	REQUIRE(run_until_set(d.l, &q.answered) && run_until_set(d.l, &q6.answered));
	EXPECT(q.ok && q6.ok);
	EXPECT_EQ(q.answer.n, 1);
	EXPECT_EQ(port_of(&q.answer.addr[0]), 5432);
	inet_ntop(AF_INET, &((struct sockaddr_in *)&q.answer.addr[0].addr)->sin_addr, text, sizeof(text));
	EXPECT_STR(text, "192.0.2.7");
	EXPECT_EQ(q6.answer.addr[0].addr.ss_family, AF_INET6);
	EXPECT_EQ(port_of(&q6.answer.addr[0]), 5433);
	desk_stop(&d);
}

TEST(resolve, finds_localhost_in_a_helper_thread_and_gives_each_asker_its_port)
{
	struct desk d;
	struct question q[3];

	desk_start(&d);
	for (int i = 0; i < 3; i++)
		ask(&d, &q[i], "localhost", 1000 + i);
	for (int i = 0; i < 3; i++) {
		REQUIRE(run_until_set(d.l, &q[i].answered));
		REQUIRE(q[i].ok && q[i].answer.n >= 1);
		for (unsigned k = 0; k < q[i].answer.n; k++)
			EXPECT_EQ(port_of(&q[i].answer.addr[k]), 1000 + i);
	}
	desk_stop(&d);
}

TEST(resolve, asks_no_thread_for_what_it_knows)
{
	struct desk d;
	struct question q;

	desk_start(&d);
	ask(&d, &q, "localhost", 1);
	REQUIRE(run_until_set(d.l, &q.answered));
	REQUIRE(q.ok);
	offload_free(&d.o); /* nobody is left who could look it up */
	ask(&d, &q, "localhost", 2);
	REQUIRE(run_until_set(d.l, &q.answered));
	EXPECT(q.ok);
	EXPECT_EQ(port_of(&q.answer.addr[0]), 2);
	desk_stop(&d);
}

TEST(resolve, asks_again_when_the_answer_is_too_old)
{
	struct desk d;
	struct question q;

	desk_start(&d);
	resolve_max_ttl(0);
	for (int i = 0; i < 3; i++) {
		ask(&d, &q, "localhost", 1);
		REQUIRE(run_until_set(d.l, &q.answered));
		EXPECT(q.ok);
	}
	resolve_max_ttl(15u * 1000 * 1000);
	desk_stop(&d);
}

TEST(resolve, says_why_a_name_has_no_address)
{
	struct desk d;
	struct question q;
	char long_name[400];

	desk_start(&d);
	ask(&d, &q, "no such host", 5432);
	REQUIRE(run_until_set(d.l, &q.answered));
	EXPECT(!q.ok);
	EXPECT(strstr(q.why, "cannot resolve host \"no such host\": ") == q.why);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	ask(&d, &q, long_name, 5432);
	REQUIRE(run_until_set(d.l, &q.answered));
	EXPECT_STR(q.why, "host name is too long");
	ask(&d, &q,
	    "/dir/that/is/too/long/for/a/unix/socket/because/it/goes/on/and/on/and/on/and/on/and/on/and"
	    "/on/until/it/does/not/fit",
	    5432);
	REQUIRE(run_until_set(d.l, &q.answered));
	EXPECT(strstr(q.why, "is too long") != NULL);
	desk_stop(&d);
}

TEST(resolve, calls_nobody_who_cancelled)
{
	struct desk d;
	struct question q = {0}, other;
	struct resolve_req *req;

	desk_start(&d);
	req = resolve_start(d.l, d.o, "localhost", 1, question_answered, &q);
	resolve_cancel(&req);
	EXPECT(req == NULL);
	ask(&d, &other, "localhost", 1);
	REQUIRE(run_until_set(d.l, &other.answered));
	EXPECT_EQ(q.calls, 0);
	desk_stop(&d);
}

static void take_and_close(void *arg, int fd, bool is_unix)
{
	(void)is_unix;
	*(bool *)arg = true;
	close(fd);
}

TEST(resolve, connects_to_a_unix_directory_and_to_tcp)
{
	static const struct listener_settings set;
	struct desk d;
	struct question q;
	struct listener *tcp, *sock;
	struct acceptor *doors[2];
	bool got_tcp = false, got_unix = false;
	char dir[64];
	int fd, timeout_ms;
	socklen_t n = sizeof(timeout_ms);

	desk_start(&d);
	snprintf(dir, sizeof(dir), "@pgweir-resolve-%d", getpid());
	sock = listener_unix(dir, 5432, &set, NULL);
	tcp = listener_tcp("127.0.0.1", 0, &set, NULL);
	REQUIRE(sock != NULL && tcp != NULL);
	doors[0] = acceptor_new(d.l, sock, take_and_close, &got_unix, NULL);
	doors[1] = acceptor_new(d.l, tcp, take_and_close, &got_tcp, NULL);
	REQUIRE(doors[0] != NULL && doors[1] != NULL);
	ask(&d, &q, dir, 5432);
	REQUIRE(run_until_set(d.l, &q.answered) && q.ok);
	fd = resolve_connect(&q.answer.addr[0], &tuned, NULL);
	REQUIRE(fd >= 0);
	REQUIRE(run_until_set(d.l, &got_unix));
	close(fd);
	ask(&d, &q, "127.0.0.1", listener_port(tcp));
	REQUIRE(run_until_set(d.l, &q.answered) && q.ok);
	fd = resolve_connect(&q.answer.addr[0], &tuned, NULL);
	REQUIRE(fd >= 0);
	REQUIRE(run_until_set(d.l, &got_tcp));
	REQUIRE(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &n) == 0);
	EXPECT_EQ(timeout_ms, 4000);
	close(fd);
	acceptor_free(&doors[0]);
	acceptor_free(&doors[1]);
	listener_free(&sock);
	listener_free(&tcp);
	desk_stop(&d);
}

TEST(resolve, says_why_it_cannot_connect)
{
	struct desk d;
	struct question q;
	struct err err;

	desk_start(&d);
	ask(&d, &q, "/nonexistent", 5432);
	REQUIRE(run_until_set(d.l, &q.answered) && q.ok);
	EXPECT_STR(((struct sockaddr_un *)&q.answer.addr[0].addr)->sun_path, "/nonexistent/.s.PGSQL.5432");
	EXPECT_EQ(resolve_connect(&q.answer.addr[0], &tuned, &err), -1);
	EXPECT_STR(err.text, "cannot connect: No such file or directory");
	EXPECT_STR(err.sqlstate, "08001");
	desk_stop(&d);
}

struct seen {
	unsigned n;
	bool localhost, first_is_loopback;
	uint64_t ttl_us;
};

static void note_seen(void *arg, const struct resolve_seen *one)
{
	struct seen *seen = arg;

	seen->n++;
	seen->localhost = strcmp(one->host, "localhost") == 0 && !one->busy;
	seen->ttl_us = one->ttl_us;
	for (unsigned i = 0; i < one->answer->n; i++)
		if (one->answer->addr[i].addr.ss_family == AF_INET)
			seen->first_is_loopback =
				((const struct sockaddr_in *)&one->answer->addr[i].addr)->sin_addr.s_addr ==
				htonl(INADDR_LOOPBACK);
}

TEST(resolve, tells_which_names_it_knows_and_for_how_long)
{
	struct seen seen = {0}, forgotten = {0};
	struct question q, number;
	struct desk d;

	desk_start(&d);
	resolve_max_ttl(15u * 1000 * 1000);
	ask(&d, &q, "localhost", 5432);
	ask(&d, &number, "192.0.2.7", 5432); /* is no name */
	REQUIRE(run_until_set(d.l, &q.answered) && run_until_set(d.l, &number.answered));
	resolve_each(note_seen, &seen);
	EXPECT_EQ(seen.n, 1);
	EXPECT(seen.localhost && seen.first_is_loopback);
	EXPECT(seen.ttl_us > 0 && seen.ttl_us <= 15u * 1000 * 1000);
	resolve_forget();
	resolve_each(note_seen, &forgotten);
	EXPECT_EQ(forgotten.n, 0);
	desk_stop(&d);
}

TEST(resolve, makes_addresses_of_unix_sockets)
{
	struct resolve_addr file, abstract;
	char longest[200];
	struct err err;

	REQUIRE(resolve_unix("/run/x", 5432, &file, &err) == 0 &&
		resolve_unix("@x", 7, &abstract, &err) == 0);
	EXPECT_STR(((struct sockaddr_un *)&file.addr)->sun_path, "/run/x/.s.PGSQL.5432");
	EXPECT_EQ(file.n, offsetof(struct sockaddr_un, sun_path) + strlen("/run/x/.s.PGSQL.5432") + 1);
	EXPECT_EQ(((struct sockaddr_un *)&abstract.addr)->sun_path[0], '\0');
	EXPECT_STR(((struct sockaddr_un *)&abstract.addr)->sun_path + 1, "x/.s.PGSQL.7");
	EXPECT_EQ(abstract.n, offsetof(struct sockaddr_un, sun_path) + strlen("@x/.s.PGSQL.7"));
	memset(longest, 'x', sizeof longest - 1);
	longest[0] = '/';
	longest[sizeof longest - 1] = '\0';
	EXPECT(resolve_unix(longest, 1, &file, &err) == -1 && strstr(err.text, "too long") != NULL);
}
