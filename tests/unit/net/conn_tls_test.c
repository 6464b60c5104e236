#include "tests/support/test.h"
#include "tests/unit/net/end.h"
#include "tests/unit/net/help.h"

#include "proxy/net/conn.h"
#include "proxy/net/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* a = client, b = server. */
struct secure {
	struct loop *l;
	struct certs certs;
	struct tls_settings server_set, client_set;
	struct tls *server, *client;
	struct end a, b;
};

static void secure_prepare(struct secure *s, enum tls_mode server_mode, enum tls_mode client_mode)
{
	memset(s, 0, sizeof(*s));
	certs_make(&s->certs);
	s->l = loop_new(NULL, NULL);
	REQUIRE(s->l != NULL);
	s->server_set = certs_server(&s->certs, server_mode);
	s->client_set = certs_client(&s->certs, client_mode);
}

static void secure_shake(struct secure *s, const char *host)
{
	int fds[2];
	struct err err;

	s->server = tls_server_new(&s->server_set, &err);
	s->client = tls_client_new(&s->client_set, &err);
	REQUIRE(s->server != NULL && s->client != NULL);
	pair_tcp(fds);
	end_start(&s->a, s->l, fds[0]);
	end_start(&s->b, s->l, fds[1]);
	REQUIRE(conn_tls_accept(s->b.c, s->server, &err) == 0);
	REQUIRE(conn_tls_connect(s->a.c, s->client, host, &err) == 0);
}

static bool both_shaken(void *arg)
{
	struct secure *s = arg;

	return s->a.shaken && s->b.shaken;
}

static bool both_closed(void *arg)
{
	struct secure *s = arg;

	return s->a.closed && s->b.closed;
}

static void secure_start(struct secure *s)
{
	secure_prepare(s, TLS_REQUIRE, TLS_VERIFY_FULL);
	secure_shake(s, "localhost");
	REQUIRE(run_until(s->l, both_shaken, s));
}

static void secure_stop(struct secure *s)
{
	end_stop(&s->a);
	end_stop(&s->b);
	tls_unref(s->server);
	tls_unref(s->client);
	loop_free(&s->l);
	certs_remove(&s->certs);
}

TEST(conn_tls, carries_bytes_both_ways)
{
	struct secure s;

	secure_start(&s);
	EXPECT_EQ(s.a.shakes, 1);
	EXPECT(conn_ssl(s.a.c) != NULL);
	EXPECT_STR(SSL_get_version(conn_ssl(s.a.c)), "TLSv1.3");
	s.a.keep = s.b.echo = true;
	conn_send(s.a.c, "hello ", 6);
	conn_send(s.a.c, "world", 5);
	s.a.want = 11;
	REQUIRE(run_until(s.l, end_has_want, &s.a));
	EXPECT_MEM(end_got(&s.a), span_str("hello world"));
	EXPECT_EQ(s.b.inputs, 1); /* coalesced into one record */
	secure_stop(&s);
}

static void large_both_ways(const char *protocols)
{
	struct secure s;
	size_t total = 12 * 1000 * 1000;

	secure_prepare(&s, TLS_REQUIRE, TLS_VERIFY_CA);
	s.client_set.protocols = protocols;
	secure_shake(&s, NULL);
	REQUIRE(run_until(s.l, both_shaken, &s));
	s.a.record = s.b.record = 1000;
	s.a.want = s.b.want = total;
	end_produce(&s.a, total);
	end_produce(&s.b, total);
	REQUIRE(run_until(s.l, end_has_want, &s.a));
	REQUIRE(run_until(s.l, end_has_want, &s.b));
	EXPECT(s.a.in_order && s.b.in_order);
	EXPECT(s.a.max_pending > CONN_HIGH_MARK);
	EXPECT_EQ(s.a.closes + s.b.closes, 0);
	secure_stop(&s);
}

TEST(conn_tls, moves_much_data_both_ways_with_tls_1_3)
{
	large_both_ways("tlsv1.3");
}

TEST(conn_tls, moves_much_data_both_ways_with_tls_1_2)
{
	large_both_ways("tlsv1.2");
}

TEST(conn_tls, shows_bytes_that_waited_inside_the_tls_layer_while_reading_stood_still)
{
	struct secure s;
	size_t total = 400000;

	secure_start(&s);
	s.b.record = SIZE_MAX;
	conn_input_max(s.b.c, 1000); /* far less than a record */
	end_produce(&s.a, total);
	s.b.want_seen = 1000;
	REQUIRE(run_until(s.l, end_has_seen, &s.b));
	conn_pause(s.b.c);
	run_for(s.l, 5);
	EXPECT_EQ(conn_input(s.b.c).n, 1000);
	s.b.record = 0;
	s.b.want = total;
	conn_resume(s.b.c);
	REQUIRE(run_until(s.l, end_has_want, &s.b));
	EXPECT(s.b.in_order);
	secure_stop(&s);
}

TEST(conn_tls, tells_again_of_held_bytes_when_nothing_new_has_come)
{
	struct secure s;

	secure_start(&s);
	s.b.record = SIZE_MAX;
	conn_input_max(s.b.c, 100);
	end_produce(&s.a, 100);
	s.b.want_seen = 100;
	REQUIRE(run_until(s.l, end_has_seen, &s.b));
	conn_pause(s.b.c);
	run_for(s.l, 5);
	conn_input_max(s.b.c, 1000);
	s.b.record = 0;
	s.b.want = 100;
	conn_resume(s.b.c);
	EXPECT(run_until(s.l, end_has_want, &s.b));
	secure_stop(&s);
}

TEST(conn_tls, mixes_blobs_and_bytes)
{
	struct secure s;
	struct buf want;
	char *bytes = malloc(100000);
	struct blob *b;

	for (int i = 0; i < 100000; i++)
		bytes[i] = (char)(i * 7 + i / 256);
	b = blob_new(span_of(bytes, 100000));
	free(bytes);
	buf_init(&want, 64 << 20);
	secure_start(&s);
	s.b.keep = true;
	for (int i = 0; i < 40; i++) {
		conn_send(s.a.c, "between", 7);
		conn_send_blob(s.a.c, b);
		buf_add(&want, "between", 7);
		buf_add(&want, b->bytes, b->n);
	}
	s.b.want = want.len;
	REQUIRE(run_until(s.l, end_has_want, &s.b));
	EXPECT_MEM(end_got(&s.b), buf_span(&want));
	EXPECT_EQ(atomic_load(&b->refs), 1);
	blob_unref(b);
	buf_free(&want);
	secure_stop(&s);
}

TEST(conn_tls, says_goodbye_when_it_finishes)
{
	struct secure s;
	size_t total = 2000000;

	secure_start(&s);
	s.b.want = total;
	end_send_pattern(&s.a, total);
	conn_finish(&s.a.c, 5u * 1000 * 1000);
	REQUIRE(run_until_set(s.l, &s.b.closed));
	EXPECT_EQ(s.b.total, total);
	EXPECT(s.b.in_order);
	EXPECT_STR(s.b.why, "");
	EXPECT((SSL_get_shutdown(conn_ssl(s.b.c)) & SSL_RECEIVED_SHUTDOWN) != 0);
	secure_stop(&s);
}

/* A direct TLS client speaks first: the owner sees the record type before it knows. */
TEST(conn_tls, begins_with_bytes_that_were_already_read)
{
	struct secure s;
	struct err err;
	int fds[2];

	secure_prepare(&s, TLS_REQUIRE, TLS_REQUIRE);
	s.server = tls_server_new(&s.server_set, &err);
	s.client = tls_client_new(&s.client_set, &err);
	pair_tcp(fds);
	end_start(&s.a, s.l, fds[0]);
	end_start(&s.b, s.l, fds[1]);
	s.b.record = SIZE_MAX;
	REQUIRE(conn_tls_connect(s.a.c, s.client, "localhost", &err) == 0);
	s.b.want_seen = 1;
	REQUIRE(run_until(s.l, end_has_seen, &s.b));
	EXPECT_EQ(conn_input(s.b.c).p[0], 0x16); /* handshake */
	REQUIRE(conn_tls_accept(s.b.c, s.server, &err) == 0);
	EXPECT_EQ(conn_input(s.b.c).n, 0);
	REQUIRE(run_until(s.l, both_shaken, &s));
	s.b.record = 0;
	s.b.want = 100000;
	end_produce(&s.a, 100000);
	REQUIRE(run_until(s.l, end_has_want, &s.b));
	EXPECT(s.b.in_order);
	secure_stop(&s);
}

TEST(conn_tls, selects_the_postgresql_protocol)
{
	struct secure s;
	const unsigned char *name;
	unsigned n;

	secure_start(&s);
	SSL_get0_alpn_selected(conn_ssl(s.b.c), &name, &n);
	EXPECT_MEM(span_of(name, n), span_str("postgresql"));
	secure_stop(&s);
}

TEST(conn_tls, refuses_another_application_protocol)
{
	struct secure s;
	int fds[2];
	struct err err;

	secure_prepare(&s, TLS_REQUIRE, TLS_REQUIRE);
	s.server = tls_server_new(&s.server_set, &err);
	s.client = tls_client_new(&s.client_set, &err);
	pair_tcp(fds);
	end_start(&s.a, s.l, fds[0]);
	end_start(&s.b, s.l, fds[1]);
	REQUIRE(conn_tls_accept(s.b.c, s.server, &err) == 0);
	REQUIRE(conn_tls_connect(s.a.c, s.client, "localhost", &err) == 0);
	REQUIRE(SSL_set_alpn_protos(conn_ssl(s.a.c), (const unsigned char *)"\002h2", 3) == 0);
	REQUIRE(run_until(s.l, both_closed, &s));
	EXPECT(strstr(s.a.why, "no application protocol") != NULL);
	EXPECT_EQ(s.b.shakes, 0);
	secure_stop(&s);
}

/* What the client says when it is asked to trust a server. "" = it does. */
static void client_verdict(enum tls_mode mode, const char *host, bool knows_authority, const char *why)
{
	struct secure s;

	secure_prepare(&s, TLS_REQUIRE, mode);
	if (!knows_authority)
		s.client_set.ca_file = s.certs.stranger;
	secure_shake(&s, host);
	if (why[0] == '\0') {
		EXPECT(run_until(s.l, both_shaken, &s));
	} else {
		EXPECT(run_until(s.l, both_closed, &s));
		EXPECT_STR(s.a.why, why);
		EXPECT_EQ(s.a.shakes, 0);
	}
	secure_stop(&s);
}

TEST(conn_tls, trusts_a_server_as_its_sslmode_says)
{
	client_verdict(TLS_REQUIRE, "elsewhere.example", false, "");
	client_verdict(TLS_VERIFY_CA, "elsewhere.example", true, "");
	client_verdict(TLS_VERIFY_CA, "localhost", false,
		       "TLS handshake failed: self-signed certificate in certificate chain");
	client_verdict(TLS_VERIFY_FULL, "localhost", true, "");
	client_verdict(TLS_VERIFY_FULL, "127.0.0.1", true, "");
	client_verdict(TLS_VERIFY_FULL, "elsewhere.example", true, "TLS handshake failed: hostname mismatch");
	client_verdict(TLS_VERIFY_FULL, "127.0.0.2", true, "TLS handshake failed: IP address mismatch");
}

TEST(conn_tls, sends_the_server_name_only_if_it_is_a_name)
{
	static const struct {
		const char *host, *sni;
	} cases[] = {{"db.example", "db.example"}, {"127.0.0.1", NULL}};

	for (int i = 0; i < 2; i++) {
		struct secure s;
		const char *sni;

		secure_prepare(&s, TLS_REQUIRE, TLS_VERIFY_FULL);
		secure_shake(&s, cases[i].host);
		REQUIRE(run_until(s.l, both_shaken, &s));
		sni = SSL_get_servername(conn_ssl(s.b.c), TLSEXT_NAMETYPE_host_name);
		EXPECT_STR(sni == NULL ? "none" : sni, cases[i].sni == NULL ? "none" : cases[i].sni);
		secure_stop(&s);
	}
}

/* cert: 0 none, 1 signed by the authority, 2 a stranger's. */
static void server_verdict(enum tls_mode mode, int cert, bool accepted)
{
	struct secure s;
	char name[64] = "";

	secure_prepare(&s, mode, TLS_REQUIRE);
	if (cert != 0) {
		s.client_set.cert_file = cert == 1 ? s.certs.client : s.certs.stranger;
		s.client_set.key_file = cert == 1 ? s.certs.client_key : s.certs.stranger_key;
	}
	secure_shake(&s, "localhost");
	if (accepted) {
		REQUIRE(run_until_set(s.l, &s.b.shaken));
		EXPECT_EQ(tls_peer_name(conn_ssl(s.b.c), name, sizeof(name)), cert == 1 ? 0 : -1);
		EXPECT_STR(name, cert == 1 ? "mike" : "");
		EXPECT_EQ(tls_peer_name(conn_ssl(s.b.c), name, 3), -1); /* too long: none, not a part of it */
	} else {
		EXPECT(run_until_set(s.l, &s.b.closed));
		EXPECT_EQ(s.b.shakes, 0);
	}
	secure_stop(&s);
}

TEST(conn_tls, asks_clients_for_certificates_as_its_sslmode_says)
{
	server_verdict(TLS_REQUIRE, 0, true);
	server_verdict(TLS_REQUIRE, 1, true);
	server_verdict(TLS_REQUIRE, 2, false);
	server_verdict(TLS_VERIFY_FULL, 0, false);
	server_verdict(TLS_VERIFY_FULL, 1, true);
	server_verdict(TLS_VERIFY_CA, 2, false);
}

TEST(conn_tls, binds_channels_to_the_hash_of_the_servers_certificate)
{
	struct secure s;
	unsigned char ours[64], theirs[64], want[64];
	unsigned n = 0;
	FILE *f;
	X509 *cert;

	secure_start(&s);
	f = fopen(s.certs.server, "r");
	REQUIRE(f != NULL);
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	REQUIRE(cert != NULL && X509_digest(cert, EVP_sha384(), want, &n) == 1);
	EXPECT_EQ(n, 48); /* as its signature */
	EXPECT_EQ(tls_end_point(conn_ssl(s.b.c), 1, ours), n);
	EXPECT_EQ(tls_end_point(conn_ssl(s.a.c), 0, theirs), n);
	EXPECT_MEM(span_of(ours, n), span_of(want, n));
	EXPECT_MEM(span_of(theirs, n), span_of(want, n));
	X509_free(cert);
	secure_stop(&s);
}

TEST(conn_tls, reports_a_peer_that_speaks_no_tls)
{
	struct secure s;
	struct err err;
	int fds[2];

	secure_prepare(&s, TLS_REQUIRE, TLS_REQUIRE);
	s.server = tls_server_new(&s.server_set, &err);
	pair_tcp(fds);
	end_start(&s.b, s.l, fds[1]);
	REQUIRE(conn_tls_accept(s.b.c, s.server, &err) == 0);
	REQUIRE(send(fds[0], "GET / HTTP/1.1\r\n\r\n", 18, 0) == 18);
	REQUIRE(run_until_set(s.l, &s.b.closed));
	EXPECT(strncmp(s.b.why, "TLS handshake failed: ", 22) == 0);
	EXPECT_EQ(s.b.inputs, 0);
	close(fds[0]);
	secure_stop(&s);
}

TEST(conn_tls, reports_a_peer_that_leaves_in_the_handshake)
{
	struct secure s;
	struct err err;
	int fds[2];

	secure_prepare(&s, TLS_REQUIRE, TLS_REQUIRE);
	s.server = tls_server_new(&s.server_set, &err);
	pair_tcp(fds);
	end_start(&s.b, s.l, fds[1]);
	REQUIRE(conn_tls_accept(s.b.c, s.server, &err) == 0);
	close(fds[0]);
	REQUIRE(run_until_set(s.l, &s.b.closed));
	EXPECT_STR(s.b.why, "TLS handshake failed: closed by the peer");
	secure_stop(&s);
}

TEST(tls, names_the_file_and_the_reason_of_a_bad_setting)
{
	struct certs certs;
	struct tls_settings set;
	struct err err;
	char want[256];

	certs_make(&certs);
	set = certs_server(&certs, TLS_REQUIRE);
	set.cert_file = "/nonexistent.crt";
	EXPECT(tls_server_new(&set, &err) == NULL);
	EXPECT_STR(err.text, "cannot load TLS certificate /nonexistent.crt: No such file or directory");
	set = certs_server(&certs, TLS_REQUIRE);
	set.key_file = certs.client_key;
	EXPECT(tls_server_new(&set, &err) == NULL);
	snprintf(want, sizeof(want), "cannot load TLS key %s: key values mismatch", certs.client_key);
	EXPECT_STR(err.text, want);
	set = certs_server(&certs, TLS_REQUIRE);
	set.protocols = "tlsv1.2, tlsv9";
	EXPECT(tls_server_new(&set, &err) == NULL);
	EXPECT_STR(err.text, "unknown TLS protocol \"tlsv9\"");
	set.protocols = "tlsv1.0,tlsv1.1";
	EXPECT(tls_server_new(&set, &err) == NULL);
	EXPECT_STR(err.text, "TLS protocols \"tlsv1.0,tlsv1.1\": versions below 1.2 are not offered");
	set = certs_server(&certs, TLS_REQUIRE);
	set.ciphers = "NOSUCHCIPHER";
	EXPECT(tls_server_new(&set, &err) == NULL);
	EXPECT_STR(err.text, "TLS ciphers \"NOSUCHCIPHER\": no cipher match");
	set = (struct tls_settings){.mode = TLS_REQUIRE};
	EXPECT(tls_server_new(&set, &err) == NULL);
	EXPECT_STR(err.text, "TLS for clients needs a certificate and a key");
	certs_remove(&certs);
}

TEST(tls, says_which_setting_is_bad)
{
	enum tls_part bad = TLS_PART_NONE;
	struct tls_settings set = {.mode = TLS_REQUIRE, .bad_r = &bad, .cert_file = "/nonexistent.crt"};
	struct err err;

	EXPECT(tls_server_new(&set, &err) == NULL);
	EXPECT_EQ(bad, TLS_PART_CERT);
	set = (struct tls_settings){.mode = TLS_REQUIRE, .bad_r = &bad, .ca_file = "/nonexistent.ca"};
	EXPECT(tls_client_new(&set, &err) == NULL);
	EXPECT_EQ(bad, TLS_PART_CA);
	set = (struct tls_settings){.mode = TLS_DISABLE, .bad_r = &bad, .cert_file = "/not looked at"};
	EXPECT_EQ(tls_check_words(&set, &err), 0);
	set.protocols = "tlsv9";
	EXPECT_EQ(tls_check_words(&set, &err), -1);
	EXPECT_EQ(bad, TLS_PART_PROTOCOLS);
	set.protocols = NULL;
	set.ciphers13 = "NOSUCHCIPHER";
	EXPECT_EQ(tls_check_words(&set, &err), -1);
	EXPECT_EQ(bad, TLS_PART_CIPHERS13);
}

TEST(tls, needs_a_host_name_for_verify_full)
{
	struct certs certs;
	struct tls_settings set;
	struct tls *t;
	struct err err;

	certs_make(&certs);
	set = certs_client(&certs, TLS_VERIFY_FULL);
	t = tls_client_new(&set, &err);
	REQUIRE(t != NULL);
	EXPECT_EQ(tls_mode(t), TLS_VERIFY_FULL);
	EXPECT(tls_session(t, NULL, &err) == NULL);
	EXPECT_STR(err.text, "verify-full needs a host name");
	tls_unref(t);
	certs_remove(&certs);
}
