#include "tests/support/test.h"
#include "tests/unit/auth/world.h"

#include "proxy/base/clock.h"
#include "protocol/write.h"

#include <openssl/ssl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSED "password authentication failed for user \"ann\""

#define CERT                                                       \
	"auth_type = cert\nclient_tls_sslmode = verify-full\n"     \
	"client_tls_key_file = key\nclient_tls_cert_file = cert\n" \
	"client_tls_ca_file = ca"

static char userlist[2048];

static const char *users(const char *name, const char *secret)
{
	snprintf(userlist, sizeof userlist, "\"%s\" \"%s\"\n", name, secret);
	return userlist;
}

static void expect_in(struct meeting *m, const char *method)
{
	EXPECT_STR(m->gate_err.text, "");
	EXPECT_STR(m->login_err.text, "");
	EXPECT_EQ(m->gate, GATE_OK);
	EXPECT_EQ(m->login, LOGIN_OK);
	EXPECT_STR(m->method, method);
}

static void expect_denied(struct meeting *m, const char *sqlstate, const char *text)
{
	EXPECT_EQ(m->gate, GATE_DENIED);
	EXPECT_STR(m->gate_err.sqlstate, sqlstate);
	EXPECT_STR(m->gate_err.text, text);
	EXPECT(m->secret == NULL);
	EXPECT(m->reason[0] != '\0');
}

/* Every method that asks for a password, with every kind of secret. */

struct way {
	const char *auth_type;
	enum secret_kind stored;
	const char *method; /* NULL = refused */
	enum secret_kind learned;
	bool keys;
};

static const struct way ways[] = {
	{"plain", SECRET_PLAIN, "password", SECRET_PLAIN, false},
	{"plain", SECRET_MD5, "password", SECRET_PLAIN, false},
	{"plain", SECRET_SCRAM, "password", SECRET_PLAIN, false},
	{"plain", SECRET_NONE, NULL, SECRET_NONE, false},
	{"md5", SECRET_PLAIN, "md5", SECRET_PLAIN, false},
	{"md5", SECRET_MD5, "md5", SECRET_MD5, false},
	{"md5", SECRET_SCRAM, "scram-sha-256", SECRET_SCRAM, true},
	{"md5", SECRET_NONE, NULL, SECRET_NONE, false},
	{"scram-sha-256", SECRET_PLAIN, "scram-sha-256", SECRET_PLAIN, false},
	{"scram-sha-256", SECRET_MD5, NULL, SECRET_NONE, false},
	{"scram-sha-256", SECRET_SCRAM, "scram-sha-256", SECRET_SCRAM, true},
	{"scram-sha-256", SECRET_NONE, NULL, SECRET_NONE, false},
};

static const char *stored_form(enum secret_kind kind)
{
	switch (kind) {
	case SECRET_PLAIN: return "pencil";
	case SECRET_MD5: return md5_of("ann", "pencil");
	case SECRET_SCRAM: return scram_of("pencil");
	case SECRET_NONE: break;
	}
	return "";
}

static void begin_way(struct world *w, const struct way *way)
{
	char options[64];

	snprintf(options, sizeof options, "auth_type = %s", way->auth_type);
	world_begin(w, options, users("ann", stored_form(way->stored)), NULL, NULL);
}

TEST(gate, right_passwords_enter_and_teach_a_secret)
{
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		struct world w;

		begin_way(&w, &ways[i]);
		/* Twice: the second login finds what the first has computed. */
		for (int round = 0; round < 2; round++) {
			struct meeting m = world_try(&w, "ann", "pencil");

			if (ways[i].method == NULL) {
				expect_denied(&m, "28P01", REFUSED);
				EXPECT(secrets_find(w.secrets, "db", "ann") == NULL);
			} else {
				expect_in(&m, ways[i].method);
				REQUIRE(m.secret != NULL);
				EXPECT_EQ(m.secret->kind, ways[i].learned);
				EXPECT_EQ(m.secret->has_keys, ways[i].keys);
				if (m.secret->kind == SECRET_PLAIN)
					EXPECT_STR(m.secret->text, "pencil");
			}
			meeting_end(&m);
		}
		world_end(&w);
	}
}

TEST(gate, wrong_passwords_are_refused_alike)
{
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		struct world w;
		struct meeting m;

		begin_way(&w, &ways[i]);
		m = world_try(&w, "ann", "pencils");
		expect_denied(&m, "28P01", REFUSED);
		EXPECT(secrets_find(w.secrets, "db", "ann") == NULL);
		meeting_end(&m);
		/* It did not spoil what comes after. */
		m = world_try(&w, "ann", "pencil");
		EXPECT_EQ(m.gate, ways[i].method != NULL ? GATE_OK : GATE_DENIED);
		meeting_end(&m);
		world_end(&w);
	}
}

TEST(gate, unknown_users_run_through_an_exchange_like_known_ones)
{
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		struct world w;
		struct meeting known, unknown;
		uint64_t start;

		begin_way(&w, &ways[i]);
		known = world_try(&w, "ann", "wrong");
		start = clock_us();
		unknown = world_try(&w, "eve", "wrong");
		EXPECT(clock_us() - start >= 25000); /* 50 ms, by the clock of the loop's last round */
		expect_denied(&unknown, "28P01", "password authentication failed for user \"eve\"");
		EXPECT_STR(unknown.method, known.method);
		EXPECT_EQ(unknown.round_trips, known.round_trips);
		meeting_end(&known);
		meeting_end(&unknown);
		world_end(&w);
	}
}

TEST(gate, a_broken_verifier_lets_nobody_in)
{
	static const char *const kinds[] = {"plain", "md5", "scram-sha-256"};
	static const char broken[] = "SCRAM-SHA-256$4096:c2FsdA==$short:short";

	for (size_t i = 0; i < 3; i++) {
		struct world w;
		struct meeting m;
		char options[64];

		snprintf(options, sizeof options, "auth_type = %s", kinds[i]);
		world_begin(&w, options, users("ann", broken), NULL, NULL);
		/* Not even who types it as it stands. */
		struct secret *typed = secret_plain(span_str(broken));
		m = world_meet(&w, "ann", typed);
		expect_denied(&m, "28P01", REFUSED);
		if (i == 2)
			EXPECT_STR(m.reason, "the stored SCRAM secret is malformed");
		secret_unref(typed);
		meeting_end(&m);
		world_end(&w);
	}
}

TEST(gate, a_made_up_salt_is_the_same_each_time_and_differs_between_users)
{
	struct world w;
	uint8_t seen[3][256];
	size_t n[3] = {0};
	const char *names[3] = {"eve", "eve", "bob"};

	world_begin(&w, "auth_type = scram-sha-256", "\"ann\" \"pencil\"", NULL, NULL);
	for (int i = 0; i < 3; i++) {
		struct gate *g = world_gate(&w, names[i]);
		struct buf out, in;
		struct err err;
		const char *s, *end;

		buf_init(&out, 4096);
		buf_init(&in, 4096);
		EXPECT_EQ(gate_step_again(g, &out, &err), GATE_CONTINUE);
		buf_clear(&out);
		write_sasl_initial(&in, "SCRAM-SHA-256", span_str("n,,n=,r=abcdefgh"));
		EXPECT_EQ(gate_input(g, span_of(in.p + 5, in.len - 5), &out, &err), GATE_CONTINUE);
		buf_add_u8(&out, 0);
		REQUIRE(out.len > 9);
		s = strstr((const char *)out.p + 9, ",s=");
		REQUIRE(s != NULL);
		end = strchr(s + 1, ',');
		REQUIRE(end != NULL);
		n[i] = (size_t)(end - s);
		memcpy(seen[i], s, n[i]);
		buf_free(&out);
		buf_free(&in);
		gate_free(&g);
	}
	EXPECT_MEM(span_of(seen[0], n[0]), span_of(seen[1], n[1]));
	EXPECT(n[0] == n[2] && memcmp(seen[0], seen[2], n[0]) != 0);
	world_end(&w);
}

TEST(gate, trust_wants_a_known_name)
{
	struct world w;
	struct meeting m;

	world_begin(&w, "auth_type = trust", "\"ann\" \"pencil\" \n\"bob\" \"\"", NULL, NULL);
	m = world_try(&w, "ann", NULL);
	expect_in(&m, "trust");
	EXPECT(m.secret != NULL && m.secret->kind == SECRET_PLAIN);
	meeting_end(&m);
	m = world_try(&w, "bob", NULL);
	expect_in(&m, "trust");
	EXPECT(m.secret == NULL);
	meeting_end(&m);
	m = world_try(&w, "eve", NULL);
	expect_denied(&m, "28000", "\"trust\" authentication failed for user \"eve\"");
	meeting_end(&m);
	world_end(&w);

	/* No list of names at all. */
	world_begin(&w, "auth_type = trust", NULL, NULL, NULL);
	m = world_try(&w, "eve", NULL);
	expect_in(&m, "trust");
	meeting_end(&m);
	world_end(&w);
}

TEST(gate, any_needs_a_forced_user)
{
	struct world w;
	struct meeting m;

	world_databases("forced = host=127.0.0.1 user=app password=x\nfree = host=127.0.0.1");
	world_begin(&w, "auth_type = any", "\"ann\" \"pencil\"", NULL, NULL);
	w.database = "forced";
	m = world_try(&w, "whoever", NULL);
	expect_in(&m, "any");
	EXPECT(m.secret == NULL);
	meeting_end(&m);
	w.database = "free";
	m = world_try(&w, "ann", NULL);
	EXPECT_EQ(m.gate, GATE_DENIED);
	EXPECT_STR(m.gate_err.sqlstate, "28000");
	meeting_end(&m);
	w.database = "pgbouncer";
	m = world_try(&w, "whoever", NULL);
	expect_in(&m, "any");
	meeting_end(&m);
	world_end(&w);
}

TEST(gate, keys_of_an_earlier_login_stay_known_behind_one_by_trust)
{
	struct world w;
	struct meeting m;
	const char *hba = "host db ann 10.1.2.3/32 scram-sha-256\nhost db all 0.0.0.0/0 trust\n";

	world_begin(&w, "auth_type = hba", users("ann", scram_of("pencil")), hba, NULL);
	m = world_try(&w, "ann", "pencil");
	expect_in(&m, "scram-sha-256");
	meeting_end(&m);
	((struct sockaddr_in *)&w.peer)->sin_addr.s_addr = htonl(0x7f000001);
	m = world_try(&w, "ann", NULL);
	expect_in(&m, "trust");
	EXPECT(m.secret != NULL && m.secret->has_keys);
	meeting_end(&m);
	world_end(&w);
}

/* --- hba --- */

TEST(gate, hba_says_what_postgresql_says)
{
	struct world w;
	struct meeting m;
	const char *hba = "local all all trust\nhost db bob all reject\nhostssl db ann all md5\n";

	world_begin(&w, "auth_type = hba", "\"ann\" \"pencil\"\n\"bob\" \"x\"", hba, NULL);
	m = world_try(&w, "bob", "x");
	expect_denied(&m, "28000",
		      "pg_hba.conf rejects connection for host \"10.1.2.3\", user \"bob\", database \"db\", "
		      "no encryption");
	EXPECT_STR(m.reason, "rejected by line 2 of auth_hba_file");
	EXPECT_STR(m.method, "reject");
	meeting_end(&m);
	m = world_try(&w, "ann", "pencil");
	expect_denied(
		&m, "28000",
		"no pg_hba.conf entry for host \"10.1.2.3\", user \"ann\", database \"db\", no encryption");
	meeting_end(&m);
	w.unix_socket = true;
	m = world_try(&w, "ann", NULL);
	expect_in(&m, "trust");
	meeting_end(&m);
	w.unix_socket = false;
	world_tls(&w, NULL);
	m = world_try(&w, "ann", "pencil");
	expect_in(&m, "md5");
	meeting_end(&m);
	m = world_try(&w, "bob", "x");
	expect_denied(&m, "28000",
		      "pg_hba.conf rejects connection for host \"10.1.2.3\", user \"bob\", database \"db\", "
		      "SSL encryption");
	meeting_end(&m);
	world_end(&w);
}

/* --- certificates, TLS, peer --- */

TEST(gate, cert_needs_tls_and_a_certificate_of_that_name)
{
	struct world w;
	struct meeting m;

	world_begin(&w, CERT, "\"ann\" \"\"\n\"bob\" \"\"", NULL, NULL);
	m = world_try(&w, "ann", NULL);
	expect_denied(&m, "28000", "connection requires a valid client certificate");
	meeting_end(&m);
	world_tls(&w, "ann");
	m = world_try(&w, "ann", NULL);
	expect_in(&m, "cert");
	meeting_end(&m);
	m = world_try(&w, "bob", NULL);
	expect_denied(&m, "28000", "certificate authentication failed for user \"bob\"");
	EXPECT_STR(m.reason, "the certificate is for \"ann\"");
	meeting_end(&m);
	world_end(&w);

	world_begin(&w, CERT, "\"ann\" \"\"", NULL, NULL);
	world_tls(&w, NULL);
	m = world_try(&w, "ann", NULL);
	expect_denied(&m, "28000", "connection requires a valid client certificate");
	meeting_end(&m);
	world_end(&w);
}

TEST(gate, cert_follows_the_map)
{
	struct world w;
	struct meeting m;

	world_begin(
		&w, "auth_type = hba", "\"ann\" \"\"\n\"bob\" \"pencil\"",
		"hostssl all ann all cert map=m\nhostssl all bob all scram-sha-256 clientcert=verify-full\n",
		"m laptop ann\n");
	world_tls(&w, "laptop");
	m = world_try(&w, "ann", NULL);
	expect_in(&m, "cert");
	meeting_end(&m);
	m = world_try(&w, "bob", "pencil");
	expect_denied(&m, "28000", "certificate authentication failed for user \"bob\"");
	meeting_end(&m);
	world_end(&w);
}

TEST(gate, scram_over_tls_binds_the_channel)
{
	struct world w;
	struct meeting m;
	SSL *client;

	world_begin(&w, "auth_type = scram-sha-256", users("ann", scram_of("pencil")), NULL, NULL);
	world_tls(&w, NULL);
	m = world_try(&w, "ann", "pencil");
	expect_in(&m, "scram-sha-256-plus");
	meeting_end(&m);

	/* A client that does not bind is let in as well. */
	client = w.client_ssl;
	w.client_ssl = NULL;
	m = world_try(&w, "ann", "pencil");
	expect_in(&m, "scram-sha-256");
	meeting_end(&m);
	w.client_ssl = client;
	world_end(&w);
}

TEST(gate, scram_refuses_the_binding_of_another_channel)
{
	struct world w, other;
	struct meeting m;
	SSL *client;

	world_begin(&other, "auth_type = trust", NULL, NULL, NULL);
	world_tls(&other, NULL);
	world_begin(&w, "auth_type = scram-sha-256", users("ann", scram_of("pencil")), NULL, NULL);
	world_tls(&w, NULL);
	/* As with someone in the middle who has a certificate of his own. */
	client = w.client_ssl;
	w.client_ssl = other.client_ssl;
	m = world_try(&w, "ann", "pencil");
	expect_denied(&m, "28000", "SCRAM channel binding check failed");
	meeting_end(&m);
	w.client_ssl = client;
	world_end(&w);
	world_end(&other);
}

TEST(gate, peer_asks_the_system)
{
	const struct passwd *me = getpwuid(geteuid());
	int pair[2];
	struct world w;
	struct meeting m;
	char list[128];

	REQUIRE(me != NULL);
	snprintf(list, sizeof list, "\"%s\" \"\"\n\"ann\" \"\"", me->pw_name);
	world_begin(&w, "auth_type = peer", list, NULL, NULL);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	w.fd = pair[0];
	w.unix_socket = true;
	m = world_try(&w, me->pw_name, NULL);
	expect_in(&m, "peer");
	meeting_end(&m);
	m = world_try(&w, "ann", NULL);
	expect_denied(&m, "28000", "Peer authentication failed for user \"ann\"");
	meeting_end(&m);
	w.unix_socket = false;
	m = world_try(&w, me->pw_name, NULL);
	EXPECT_EQ(m.gate, GATE_DENIED);
	EXPECT_STR(m.reason, "peer needs a unix socket");
	meeting_end(&m);
	close(pair[0]);
	close(pair[1]);
	world_end(&w);
}

/* --- auth_query --- */

TEST(gate, auth_query_is_asked_for_users_that_the_file_has_not)
{
	struct world w;
	struct meeting m;

	world_databases("* = host=10.0.0.9 port=5433 dbname=far");
	world_begin(&w, "auth_type = md5\nauth_user = asker\nserver_tls_sslmode = require",
		    "\"asker\" \"its password\"\n\"ann\" \"pencil\"", NULL, NULL);
	m = world_try(&w, "ann", "pencil");
	expect_in(&m, "md5");
	EXPECT_EQ(fake_lookup.asked, 0);
	meeting_end(&m);

	fake_lookup.secret = scram_of("secret");
	m = world_try(&w, "bob", "secret");
	expect_in(&m, "scram-sha-256");
	EXPECT(m.secret != NULL && m.secret->has_keys);
	EXPECT_EQ(fake_lookup.asked, 1);
	EXPECT_STR(fake_lookup.name, "bob");
	EXPECT_STR(fake_lookup.user, "asker");
	EXPECT_STR(fake_lookup.password, "its password");
	EXPECT_STR(fake_lookup.host, "10.0.0.9");
	EXPECT_STR(fake_lookup.port, "5433");
	EXPECT_STR(fake_lookup.dbname, "far");
	EXPECT_STR(fake_lookup.sslmode, "require");
	meeting_end(&m);

	/* A new password counts at once. */
	fake_lookup.secret = scram_of("changed");
	m = world_try(&w, "bob", "secret");
	expect_denied(&m, "28P01", "password authentication failed for user \"bob\"");
	meeting_end(&m);
	m = world_try(&w, "bob", "changed");
	expect_in(&m, "scram-sha-256");
	meeting_end(&m);

	fake_lookup.secret = NULL;
	m = world_try(&w, "eve", "x");
	expect_denied(&m, "28P01", "password authentication failed for user \"eve\"");
	meeting_end(&m);
	world_end(&w);
}

TEST(gate, auth_query_runs_in_auth_dbname)
{
	struct world w;
	struct meeting m;

	world_databases("db = host=10.0.0.9\nusers = host=10.0.0.8 dbname=people user=asker password=pw");
	world_begin(&w, "auth_type = plain\nauth_user = asker\nauth_dbname = users", NULL, NULL, NULL);
	fake_lookup.secret = "secret";
	m = world_try(&w, "bob", "secret");
	expect_in(&m, "password");
	EXPECT_STR(fake_lookup.host, "10.0.0.8");
	EXPECT_STR(fake_lookup.dbname, "people");
	EXPECT_STR(fake_lookup.password, "pw");
	meeting_end(&m);
	/* The console too. */
	w.database = "pgweir";
	m = world_try(&w, "bob", "secret");
	expect_in(&m, "password");
	meeting_end(&m);
	world_end(&w);
}

TEST(gate, an_auth_query_that_fails_is_not_a_wrong_password)
{
	struct world w;
	struct meeting m;

	world_begin(&w, "auth_type = md5\nauth_user = asker", NULL, NULL, NULL);
	fake_lookup.error = "connection to 10.0.0.9 refused";
	m = world_try(&w, "bob", "secret");
	expect_denied(&m, "57P03", "the database of users cannot be asked now");
	EXPECT_STR(m.reason, "connection to 10.0.0.9 refused");
	meeting_end(&m);
	fake_lookup.full = true;
	m = world_try(&w, "bob", "secret");
	expect_denied(&m, "57P03", "the database of users cannot be asked now");
	meeting_end(&m);
	world_end(&w);
}

/* --- clients that leave or misbehave --- */

TEST(gate, may_be_freed_at_any_moment)
{
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		for (unsigned stop = 0; stop < 3; stop++) {
			struct world w;
			struct gate *g;
			struct buf out;
			struct err err;

			begin_way(&w, &ways[i]);
			buf_init(&out, 4096);
			g = world_gate(&w, "ann");
			if (stop > 0)
				(void)gate_step_again(g, &out, &err);
			if (stop > 1)
				(void)gate_input(g, span_of("guess", 6), &out, &err); /* PBKDF2 may run now */
			gate_free(&g);
			EXPECT(!w.woken);
			buf_free(&out);
			world_end(&w);
		}
	}
	struct world w;
	struct gate *g;
	struct buf out;
	struct err err;

	world_begin(&w, "auth_type = md5\nauth_user = asker", NULL, NULL, NULL);
	fake_lookup.silent = true;
	buf_init(&out, 4096);
	g = world_gate(&w, "bob");
	EXPECT_EQ(gate_step_again(g, &out, &err), GATE_WAIT);
	EXPECT_EQ(gate_step_again(g, &out, &err), GATE_WAIT);
	gate_free(&g);
	EXPECT_EQ(fake_lookup.cancelled, 1);
	buf_free(&out);
	world_end(&w);
}

static enum gate_step settled(struct world *w, struct gate *g, enum gate_step step, struct buf *out,
			      struct err *err)
{
	while (step == GATE_WAIT) {
		world_wait(w);
		step = gate_step_again(g, out, err);
	}
	return step;
}

TEST(gate, survives_broken_messages)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bodies[] = {
		{"", 0},
		{"\0", 1},
		{"no end", 6},
		{"two\0ends", 9},
		{"SCRAM-SHA-256", 13},
		{"SCRAM-SHA-256\0\0\0", 16},
		{"SCRAM-SHA-256\0\0\0\0\x7f", 18},
		{"SCRAM-SHA-256\0\xff\xff\xff\xffx", 19},
		{"SCRAM-SHA-256\0\x80\0\0\0n,,n=,r=x", 28},
		{"SCRAM-SHA-256\0\0\0\0\x05n,,n=", 23},
		{"SCRAM-SHA-256\0\0\0\0\0", 18},
		{"SCRAM-SHA-256-PLUS\0\xff\xff\xff\xff", 23},
		{"SCRAM-SHA-1\0\0\0\0\x0an,,n=,r=xy", 26},
		{"SCRAM-SHA-256\0\0\0\0\x0dp=none,,n=,r=", 31},
		{"SCRAM-SHA-256\0\0\0\0\x09n,a=x,n=,", 27},
	};
	static const char *const kinds[] = {"plain", "md5", "scram-sha-256"};

	for (size_t k = 0; k < 3; k++) {
		for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
			struct world w;
			struct gate *g;
			struct buf out;
			struct err err = {0};
			char options[64];
			/* A copy of exactly that size, so that reading behind it is seen. */
			uint8_t *body = malloc(bodies[i].n != 0 ? bodies[i].n : 1);

			snprintf(options, sizeof options, "auth_type = %s", kinds[k]);
			world_begin(&w, options, "\"ann\" \"pencil\"", NULL, NULL);
			buf_init(&out, 4096);
			memcpy(body, bodies[i].bytes, bodies[i].n);
			g = world_gate(&w, "ann");
			EXPECT_EQ(gate_step_again(g, &out, &err), GATE_CONTINUE);
			EXPECT_EQ(settled(&w, g, gate_input(g, span_of(body, bodies[i].n), &out, &err), &out,
					  &err),
				  GATE_DENIED);
			EXPECT(err.sqlstate[0] != '\0' && err.text[0] != '\0');
			EXPECT(gate_reason(g)[0] != '\0');
			EXPECT(secrets_find(w.secrets, "db", "ann") == NULL);
			/* What comes after the end is refused as well. */
			EXPECT_EQ(gate_input(g, span_of(body, bodies[i].n), &out, &err), GATE_DENIED);
			EXPECT_STR(err.sqlstate, "08P01");
			gate_free(&g);
			buf_free(&out);
			free(body);
			world_end(&w);
		}
	}
}

TEST(gate, refuses_every_cut_or_bent_proof)
{
	static const char *const finals[] = {
		"", "c", "c=biws", "c=biws,r=", "c=biws,r=zzz,p=AAAA", "r=x,c=biws,p=AAAA", "c=eSws,r=abc,p=",
	};

	for (size_t i = 0; i < sizeof finals / sizeof finals[0]; i++) {
		for (int known = 0; known < 2; known++) {
			struct world w;
			struct gate *g;
			struct buf out, in;
			struct err err = {0};

			world_begin(&w, "auth_type = scram-sha-256", "\"ann\" \"pencil\"", NULL, NULL);
			buf_init(&out, 4096);
			buf_init(&in, 4096);
			g = world_gate(&w, known ? "ann" : "eve");
			EXPECT_EQ(gate_step_again(g, &out, &err), GATE_CONTINUE);
			write_sasl_initial(&in, "SCRAM-SHA-256", span_str("n,,n=,r=abcdefgh"));
			EXPECT_EQ(gate_input(g, span_of(in.p + 5, in.len - 5), &out, &err), GATE_CONTINUE);
			EXPECT_EQ(settled(&w, g, gate_input(g, span_str(finals[i]), &out, &err), &out, &err),
				  GATE_DENIED);
			EXPECT_STR(err.sqlstate, "08P01");
			gate_free(&g);
			buf_free(&out);
			buf_free(&in);
			world_end(&w);
		}
	}
}

TEST(gate, an_initial_response_may_come_without_data)
{
	struct world w;
	struct gate *g;
	struct buf out, in;
	struct err err = {0};

	world_begin(&w, "auth_type = scram-sha-256", "\"ann\" \"pencil\"", NULL, NULL);
	buf_init(&out, 4096);
	buf_init(&in, 4096);
	g = world_gate(&w, "ann");
	EXPECT_EQ(gate_step_again(g, &out, &err), GATE_CONTINUE);
	write_sasl_initial(&in, "SCRAM-SHA-256", span_of(NULL, 0));
	memset(in.p + in.len - 4, 0xff, 4); /* -1 = none */
	EXPECT_EQ(gate_input(g, span_of(in.p + 5, in.len - 5), &out, &err), GATE_CONTINUE);
	buf_clear(&out);
	EXPECT_EQ(gate_input(g, span_str("n,,n=,r=abcdefgh"), &out, &err), GATE_CONTINUE);
	EXPECT(out.len > 20);
	gate_free(&g);
	buf_free(&out);
	buf_free(&in);
	world_end(&w);
}

TEST(gate, takes_long_passwords)
{
	struct world w;
	struct meeting m;
	char *list = malloc(SECRET_MAX + 64), *token = malloc(SECRET_MAX + 1);

	/* A cloud service's token. */
	memset(token, 't', SECRET_MAX);
	token[SECRET_MAX] = '\0';
	snprintf(list, SECRET_MAX + 64, "\"ann\" \"%s\"", token);
	world_begin(&w, "auth_type = plain", list, NULL, NULL);
	m = world_try(&w, "ann", token);
	expect_in(&m, "password");
	meeting_end(&m);
	token[5] = 'x';
	m = world_try(&w, "ann", token);
	expect_denied(&m, "28P01", REFUSED);
	meeting_end(&m);
	free(list);
	free(token);
	world_end(&w);
}
