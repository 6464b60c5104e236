#include "tests/support/test.h"
#include "tests/unit/net/end.h"
#include "tests/unit/net/help.h"

#include "proxy/net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Both ends in one loop; what end b does is up to the test. */
struct pair {
	struct loop *l;
	struct end a, b;
};

static void pair_start(struct pair *p, void (*fds_of)(int fds[2]))
{
	int fds[2];

	memset(p, 0, sizeof(*p));
	p->l = loop_new(NULL, NULL);
	REQUIRE(p->l != NULL);
	fds_of(fds);
	end_start(&p->a, p->l, fds[0]);
	end_start(&p->b, p->l, fds[1]);
}

static void pair_stop(struct pair *p)
{
	end_stop(&p->a);
	end_stop(&p->b);
	loop_free(&p->l);
}

TEST(conn, says_once_that_it_is_connected)
{
	struct pair p;

	pair_start(&p, pair_tcp);
	run_for(p.l, 5);
	EXPECT_EQ(p.a.outputs, 1);
	EXPECT_EQ(p.b.outputs, 1);
	EXPECT_EQ(p.a.inputs, 0);
	pair_stop(&p);
}

TEST(conn, carries_bytes_both_ways)
{
	struct pair p;

	pair_start(&p, pair_unix);
	p.a.keep = true;
	p.b.echo = true;
	conn_send(p.a.c, "hello ", 6);
	conn_send(p.a.c, "world", 5);
	p.a.want = 11;
	REQUIRE(run_until(p.l, end_has_want, &p.a));
	EXPECT_MEM(end_got(&p.a), span_str("hello world"));
	EXPECT_EQ(p.b.inputs, 1); /* one write, one read */
	EXPECT_EQ(conn_pending(p.a.c), 0);
	pair_stop(&p);
}

/* The reader takes whole records of 1000 bytes only, so that nearly every read leaves a rest. */
static void large_transfer(void (*fds_of)(int fds[2]), size_t record, size_t total)
{
	struct pair p;

	pair_start(&p, fds_of);
	p.b.record = record;
	p.b.want = total;
	end_produce(&p.a, total);
	REQUIRE(run_until(p.l, end_has_want, &p.b));
	EXPECT_EQ(p.b.got.len, 0); /* checked, not kept */
	EXPECT_EQ(p.b.total, total);
	EXPECT(p.b.in_order);
	EXPECT(p.a.max_pending > CONN_HIGH_MARK);	       /* backpressure happened, .. */
	EXPECT(p.a.max_pending <= CONN_HIGH_MARK + 32 * 1024); /* .. and was obeyed */
	EXPECT_EQ(conn_input(p.b.c).n, 0);
	pair_stop(&p);
}

TEST(conn, moves_much_data_with_backpressure_over_tcp)
{
	large_transfer(pair_tcp, 1000, 32 * 1000 * 1000);
}

TEST(conn, moves_much_data_with_backpressure_over_unix_sockets)
{
	large_transfer(pair_unix, 50000, 8 * 1000 * 1000);
}

TEST(conn, keeps_what_the_owner_leaves_and_shows_it_with_what_follows)
{
	struct pair p;
	const char *text = "0123456789abcdefghijABCDEFGHIJ";

	pair_start(&p, pair_unix);
	p.b.record = 10;
	p.b.keep = true;
	for (size_t i = 0; i < 30; i++) {
		conn_send(p.a.c, text + i, 1);
		p.b.want_seen = i + 1;
		REQUIRE(run_until(p.l, end_has_seen, &p.b));
		EXPECT_EQ(p.b.got.len, (i + 1) / 10 * 10);
		EXPECT_EQ(conn_input(p.b.c).n, (i + 1) % 10);
	}
	EXPECT_MEM(end_got(&p.b), span_str(text));
	pair_stop(&p);
}

TEST(conn, holds_no_more_unread_bytes_than_allowed_and_goes_on_when_some_are_consumed)
{
	struct pair p;
	size_t max = 100000;

	pair_start(&p, pair_tcp);
	p.b.record = SIZE_MAX; /* takes nothing */
	conn_input_max(p.b.c, max);
	end_produce(&p.a, 500000);
	p.b.want_seen = max;
	REQUIRE(run_until(p.l, end_has_seen, &p.b));
	run_for(p.l, 20);
	EXPECT_EQ(conn_input(p.b.c).n, max);
	p.b.record = 1000;
	p.b.want = 500000;
	end_take(&p.b);
	REQUIRE(run_until(p.l, end_has_want, &p.b));
	EXPECT(p.b.in_order);
	pair_stop(&p);
}

TEST(conn, reads_nothing_while_paused_and_everything_after)
{
	struct pair p;

	pair_start(&p, pair_unix);
	conn_pause(p.b.c);
	conn_send(p.a.c, "one", 3);
	run_for(p.l, 10);
	EXPECT_EQ(p.b.inputs, 0);
	conn_resume(p.b.c);
	p.b.keep = true;
	p.b.want = 3;
	REQUIRE(run_until(p.l, end_has_want, &p.b));
	/* Bytes that were left unread before the pause are shown again after it. */
	p.b.record = SIZE_MAX;
	conn_send(p.a.c, "two", 3);
	p.b.want_seen = 3;
	REQUIRE(run_until(p.l, end_has_seen, &p.b));
	conn_pause(p.b.c);
	p.b.record = 0;
	p.b.want = 6;
	conn_resume(p.b.c);
	REQUIRE(run_until(p.l, end_has_want, &p.b));
	EXPECT_MEM(end_got(&p.b), span_str("onetwo"));
	pair_stop(&p);
}

static struct blob *blob_of(char c, size_t n)
{
	char *bytes = malloc(n);
	struct blob *b;

	memset(bytes, c, n);
	b = blob_new(span_of(bytes, n));
	free(bytes);
	REQUIRE(b != NULL);
	return b;
}

TEST(conn, sends_blobs_and_bytes_in_the_order_of_the_calls)
{
	static const size_t sizes[] = {1, 3000, 70000, 2048, 2049, 400000};
	struct pair p;
	struct buf want;

	pair_start(&p, pair_tcp);
	buf_init(&want, 64 << 20);
	for (int i = 0; i < 60; i++) {
		size_t n = sizes[i % 6];
		struct blob *b = blob_of((char)('a' + i % 26), n);

		conn_send(p.a.c, "<>", (size_t)(i % 3));
		buf_add(&want, "<>", (size_t)(i % 3));
		conn_send_blob(p.a.c, b);
		buf_add(&want, b->bytes, b->n);
		blob_unref(b); /* the connection has its own */
	}
	p.b.keep = true;
	p.b.want = want.len;
	REQUIRE(run_until(p.l, end_has_want, &p.b));
	EXPECT_MEM(end_got(&p.b), buf_span(&want));
	buf_free(&want);
	pair_stop(&p);
}

TEST(conn, drops_blobs_that_were_not_sent)
{
	struct pair p;
	struct blob *b = blob_of('x', 1000000);

	pair_start(&p, pair_tcp);
	conn_pause(p.b.c);
	for (int i = 0; i < 20; i++)
		conn_send_blob(p.a.c, b);
	run_for(p.l, 5);
	EXPECT(conn_pending(p.a.c) > 0);
	EXPECT(conn_full(p.a.c));
	conn_free(&p.a.c);
	EXPECT_EQ(atomic_load(&b->refs), 1);
	blob_unref(b);
	pair_stop(&p);
}

TEST(conn, reports_a_close_once_and_leaves_unread_input_readable)
{
	struct pair p;

	pair_start(&p, pair_tcp);
	p.b.record = SIZE_MAX;
	conn_send(p.a.c, "last words", 10);
	conn_finish(&p.a.c, 1000000);
	REQUIRE(run_until_set(p.l, &p.b.closed));
	EXPECT_STR(p.b.why, "");
	EXPECT_MEM(conn_input(p.b.c), span_str("last words"));
	run_for(p.l, 5);
	EXPECT_EQ(p.b.closes, 1);
	conn_send(p.b.c, "too late", 8); /* harmless */
	EXPECT_EQ(conn_pending(p.b.c), 0);
	pair_stop(&p);
}

TEST(conn, hears_the_last_words_of_a_peer_that_left_while_we_write)
{
	struct pair p;
	int fds[2];

	memset(&p, 0, sizeof(p));
	p.l = loop_new(NULL, NULL);
	pair_unix(fds);
	REQUIRE(send(fds[1], "FATAL: bye", 10, 0) == 10);
	close(fds[1]);
	end_start(&p.a, p.l, fds[0]);
	p.a.keep = true;
	conn_send(p.a.c, "anybody there?", 14); /* EPIPE, before anything was read */
	REQUIRE(run_until_set(p.l, &p.a.closed));
	EXPECT_MEM(end_got(&p.a), span_str("FATAL: bye"));
	EXPECT_STR(p.a.why, "");
	pair_stop(&p);
}

TEST(conn, takes_a_reset_for_a_close)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	struct pair p;
	int fds[2];

	memset(&p, 0, sizeof(p));
	p.l = loop_new(NULL, NULL);
	pair_tcp(fds);
	end_start(&p.a, p.l, fds[0]);
	run_for(p.l, 2);
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fds[1]); /* RST */
	REQUIRE(run_until_set(p.l, &p.a.closed));
	EXPECT_STR(p.a.why, "");
	pair_stop(&p);
}

TEST(conn, finishes_by_sending_all_that_is_pending)
{
	struct pair p;
	size_t total = 3000000;

	pair_start(&p, pair_tcp);
	p.b.want = total;
	for (size_t sent = 0; sent < total; sent += 30000)
		end_send_pattern(&p.a, 30000);
	/* Unread input must not turn the close into a reset that destroys what is under way. */
	conn_send(p.b.c, "unread", 6);
	conn_finish(&p.a.c, 10u * 1000 * 1000);
	EXPECT(p.a.c == NULL);
	REQUIRE(run_until_set(p.l, &p.b.closed));
	EXPECT_EQ(p.b.total, total);
	EXPECT(p.b.in_order);
	EXPECT_STR(p.b.why, "");
	pair_stop(&p);
}

TEST(conn, gives_up_lingering_when_its_time_is_over_or_the_loop_ends)
{
	struct pair p;
	char byte;
	int fds[2];

	memset(&p, 0, sizeof(p));
	p.l = loop_new(NULL, NULL);
	pair_unix(fds);
	end_start(&p.a, p.l, fds[0]);
	end_send_pattern(&p.a, 5000000); /* nobody reads */
	conn_finish(&p.a.c, 5000);
	run_for(p.l, 50);
	while (recv(fds[1], &byte, 1, 0) == 1)
		;
	EXPECT(recv(fds[1], &byte, 1, 0) == 0); /* closed, not waiting */
	close(fds[1]);
	pair_unix(fds);
	end_start(&p.b, p.l, fds[0]);
	end_send_pattern(&p.b, 5000000);
	conn_finish(&p.b.c, 3600u * 1000 * 1000);
	run_for(p.l, 2);
	pair_stop(&p); /* the sanitizer sees what is left behind */
	close(fds[1]);
}

TEST(conn, may_be_freed_by_its_owner_in_any_callback)
{
	for (int when = FREE_ON_INPUT; when <= FREE_ON_CLOSED; when++) {
		struct pair p;

		pair_start(&p, pair_unix);
		p.b.free_when = when;
		conn_send(p.a.c, "x", 1);
		if (when == FREE_ON_CLOSED)
			conn_finish(&p.a.c, 1000000);
		REQUIRE(run_until_set(p.l, &p.b.freed));
		run_for(p.l, 5); /* the end complains when it is called again */
		pair_stop(&p);
	}
}

TEST(conn, refuses_more_output_than_its_bound)
{
	struct pair p;
	static char mega[1 << 20];

	pair_start(&p, pair_unix);
	conn_pause(p.b.c);
	for (int i = 0; i < 70; i++)
		conn_send(p.a.c, mega, sizeof(mega));
	EXPECT_EQ(p.a.closes, 0); /* never from inside a call */
	REQUIRE(run_until_set(p.l, &p.a.closed));
	EXPECT_STR(p.a.why, "more than 64 MiB of output, or no memory for it");
	pair_stop(&p);
}

TEST(conn, reports_a_refused_connect)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(addr);
	int taken = socket(AF_INET, SOCK_STREAM, 0), fd;
	struct pair p = {.l = loop_new(NULL, NULL)};

	/* Bound but not listening: connecting to it is refused. */
	REQUIRE(bind(taken, (struct sockaddr *)&addr, n) == 0);
	REQUIRE(getsockname(taken, (struct sockaddr *)&addr, &n) == 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	REQUIRE(connect(fd, (struct sockaddr *)&addr, n) != 0 && errno == EINPROGRESS);
	end_start(&p.a, p.l, fd);
	conn_send(p.a.c, "hello", 5);
	REQUIRE(run_until_set(p.l, &p.a.closed));
	EXPECT_STR(p.a.why, "cannot connect: Connection refused");
	EXPECT_EQ(p.a.outputs, 0);
	close(taken);
	pair_stop(&p);
}

TEST(conn, names_its_peer)
{
	struct pair p;
	char name[64];

	pair_start(&p, pair_tcp);
	conn_peer(p.a.c, name, sizeof(name));
	EXPECT(strncmp(name, "127.0.0.1:", 10) == 0 && atoi(name + 10) > 0);
	pair_stop(&p);
	pair_start(&p, pair_unix);
	conn_peer(p.a.c, name, sizeof(name));
	EXPECT_STR(name, "unix");
	pair_stop(&p);
}
