/* Connections that change their loop, and with it their thread, under traffic. */
#include "tests/support/test.h"
#include "tests/unit/net/help.h"

#include "proxy/net/conn.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS 400

/* An echo server that hands its connection to the other loop after every answer. */
struct mover {
	struct mail mail;
	struct loop *loops[2];
	int at;
	struct conn *c; /* owned */
	int moves;
	bool closed;
};

/* A client in a third loop: asks, waits for the answer, asks again. */
struct asker {
	struct loop *l;
	struct conn *c; /* owned */
	struct mover *mover;
	int rounds;
	size_t got;
	bool wrong;
};

static const struct conn_ops mover_ops;

static void mover_arrive(struct mail *mail, void *ctx)
{
	struct mover *m = ring_item(mail, struct mover, mail);

	(void)ctx;
	conn_attach(m->c, m->loops[m->at], &mover_ops, m);
}

/* A move needs empty output; a rest of the input travels along. */
static void mover_leave(struct mover *m)
{
	conn_detach(m->c);
	m->at = 1 - m->at;
	m->moves++;
	m->mail.run = mover_arrive;
	loop_post(m->loops[m->at], &m->mail);
}

static void mover_on_input(void *owner)
{
	struct mover *m = owner;
	struct span in = conn_input(m->c);

	/* Every second time it moves without having read: the other thread answers. */
	if (m->moves % 2 == 0) {
		mover_leave(m);
		return;
	}
	conn_send(m->c, in.p, in.n);
	conn_consume(m->c, in.n);
	m->moves++;
}

static void mover_on_output(void *owner)
{
	(void)owner;
}

static void mover_on_closed(void *owner, const struct err *err)
{
	struct mover *m = owner;

	EXPECT_STR(err->text, "");
	conn_free(&m->c);
	loop_stop(m->loops[0]);
	loop_stop(m->loops[1]);
}

static const struct conn_ops mover_ops = {mover_on_input, mover_on_output, mover_on_closed, NULL};

static void asker_ask(struct asker *a)
{
	char text[100];

	memset(text, 'a' + a->rounds % 26, sizeof(text));
	a->got = 0;
	conn_send(a->c, text, sizeof(text));
}

static void asker_on_input(void *owner)
{
	struct asker *a = owner;
	struct span in = conn_input(a->c);

	for (size_t i = 0; i < in.n; i++)
		a->wrong |= in.p[i] != 'a' + a->rounds % 26;
	a->got += in.n;
	conn_consume(a->c, in.n);
	if (a->got < 100)
		return;
	if (++a->rounds < ROUNDS)
		asker_ask(a);
	else
		loop_stop(a->l);
}

static void asker_on_output(void *owner)
{
	(void)owner;
}

static void asker_on_closed(void *owner, const struct err *err)
{
	struct asker *a = owner;

	EXPECT_STR(err->text, "must not be closed");
	loop_stop(a->l);
}

static void asker_on_tls(void *owner)
{
	asker_ask(owner);
}

static const struct conn_ops asker_ops = {asker_on_input, asker_on_output, asker_on_closed, asker_on_tls};

static void *loop_main(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void move_under_traffic(struct tls *server, struct tls *client)
{
	struct mover m = {.loops = {loop_new(NULL, NULL), loop_new(NULL, NULL)}};
	struct asker a = {.l = loop_new(NULL, NULL), .mover = &m};
	pthread_t threads[2];
	int fds[2];

	pair_tcp(fds);
	m.c = conn_new(m.loops[0], fds[0], &mover_ops, &m);
	a.c = conn_new(a.l, fds[1], &asker_ops, &a);
	if (server != NULL) {
		REQUIRE(conn_tls_accept(m.c, server, NULL) == 0);
		REQUIRE(conn_tls_connect(a.c, client, "localhost", NULL) == 0);
	} else {
		asker_ask(&a);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, loop_main, m.loops[i]);
	loop_run(a.l);
	EXPECT_EQ(a.rounds, ROUNDS);
	EXPECT(!a.wrong);
	conn_finish(&a.c, 1000000);
	loop_free(&a.l);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT(m.moves >= 2 * ROUNDS);
	EXPECT(m.c == NULL);
	loop_free(&m.loops[0]);
	loop_free(&m.loops[1]);
}

TEST(conn_move, goes_from_thread_to_thread_with_unread_input)
{
	move_under_traffic(NULL, NULL);
}

TEST(conn_move, takes_its_tls_along)
{
	struct certs certs;
	struct tls_settings set;
	struct tls *server, *client;

	certs_make(&certs);
	set = certs_server(&certs, TLS_REQUIRE);
	server = tls_server_new(&set, NULL);
	set = certs_client(&certs, TLS_VERIFY_FULL);
	client = tls_client_new(&set, NULL);
	REQUIRE(server != NULL && client != NULL);
	move_under_traffic(server, client);
	tls_unref(server);
	tls_unref(client);
	certs_remove(&certs);
}
