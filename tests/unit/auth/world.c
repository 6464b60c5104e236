#include "tests/unit/auth/world.h"

#include "config/hba.h"
#include "config/ident.h"
#include "config/users.h"
#include "proxy/base/clock.h"
#include "proxy/origin/lookup.h"
#include "protocol/frame.h"
#include "protocol/md5.h"
#include "protocol/scram.h"
#include "protocol/write.h"
#include "tests/support/test.h"

#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

static const char *databases = "* = host=127.0.0.1";

void world_databases(const char *entries)
{
	databases = entries[0] != '\0' ? entries : "* = host=127.0.0.1";
}

void world_begin(struct world *w, const char *options, const char *userlist, const char *hba,
		 const char *ident)
{
	char text[2048];
	struct err err = {0};

	memset(w, 0, sizeof *w);
	memset(&fake_lookup, 0, sizeof fake_lookup);
	/* The files are not opened: their texts are put in below. */
	snprintf(text, sizeof text, "[databases]\n%s\n[pgweir]\n%s\n%s%s", databases, options,
		 hba != NULL ? "auth_hba_file = hba\n" : "",
		 ident != NULL ? "auth_ident_file = ident\n" : "");
	databases = "* = host=127.0.0.1";
	if (config_parse(text, strlen(text), "test.ini", &w->config, &err) != 0)
		EXPECT_STR(err.text, "");
	REQUIRE(w->config != NULL);
	if (userlist != NULL)
		REQUIRE(users_parse(userlist, strlen(userlist), "users", &w->config->userlist, &err) == 0);
	if (hba != NULL)
		REQUIRE(hba_parse(hba, strlen(hba), "hba", &w->config->hba, &err) == 0);
	if (ident != NULL)
		REQUIRE(ident_parse(ident, strlen(ident), "ident", &w->config->ident, &err) == 0);
	w->loop = loop_new(w, &err);
	w->offload = offload_new(1, 64, &err);
	w->secrets = secrets_new();
	REQUIRE(w->loop != NULL && w->offload != NULL && w->secrets != NULL);
	w->database = "db";
	w->fd = -1;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a010203)};
	memcpy(&w->peer, &in, sizeof in);
}

void world_end(struct world *w)
{
	offload_free(&w->offload);
	loop_free(&w->loop);
	secrets_free(&w->secrets);
	config_unref(w->config);
	SSL_free(w->server_ssl);
	SSL_free(w->client_ssl);
	SSL_CTX_free(w->ctx[0]);
	SSL_CTX_free(w->ctx[1]);
}

/* --- TLS without sockets --- */

static X509 *self_signed(EVP_PKEY *key, const char *name)
{
	X509 *cert = X509_new();

	REQUIRE(cert != NULL);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_version(cert, 2);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	REQUIRE(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static void give_cert(SSL_CTX *to, SSL_CTX *verifier, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = self_signed(key, name);

	REQUIRE(SSL_CTX_use_certificate(to, cert) == 1 && SSL_CTX_use_PrivateKey(to, key) == 1);
	if (verifier != NULL)
		REQUIRE(X509_STORE_add_cert(SSL_CTX_get_cert_store(verifier), cert) == 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void world_tls(struct world *w, const char *client_name)
{
	BIO *a, *b;
	int done = 0;

	w->ctx[0] = SSL_CTX_new(TLS_server_method());
	w->ctx[1] = SSL_CTX_new(TLS_client_method());
	give_cert(w->ctx[0], NULL, "server");
	if (client_name != NULL) {
		give_cert(w->ctx[1], w->ctx[0], client_name);
		SSL_CTX_set_verify(w->ctx[0], SSL_VERIFY_PEER, NULL);
	}
	w->server_ssl = SSL_new(w->ctx[0]);
	w->client_ssl = SSL_new(w->ctx[1]);
	REQUIRE(BIO_new_bio_pair(&a, 65536, &b, 65536) == 1);
	SSL_set_bio(w->server_ssl, a, a);
	SSL_set_bio(w->client_ssl, b, b);
	for (int i = 0; i < 20 && done < 2; i++)
		done = (SSL_connect(w->client_ssl) == 1) + (SSL_accept(w->server_ssl) == 1);
	REQUIRE(done == 2);
}

/* --- auth_query, made up --- */

struct fake_lookup fake_lookup;

struct lookup_req {
	struct later later;
	void (*fn)(void *arg, const char *secret, const struct err *err);
	void *arg;
};

static void fake_answer(struct later *later)
{
	struct lookup_req *r = (struct lookup_req *)(void *)later;
	struct err err = {0};

	if (fake_lookup.error != NULL)
		err_set(&err, "%s", fake_lookup.error);
	r->fn(r->arg, fake_lookup.secret, &err);
	free(r);
}

struct lookup_req *lookup_start(struct loop *l, struct offload *o, const struct lookup_settings *set,
				const char *name,
				void (*fn)(void *arg, const char *secret, const struct err *err), void *arg)
{
	struct lookup_req *r;

	(void)o;
	if (fake_lookup.full)
		return NULL;
	fake_lookup.asked++;
	snprintf(fake_lookup.name, sizeof fake_lookup.name, "%s", name);
	snprintf(fake_lookup.user, sizeof fake_lookup.user, "%s", set->user);
	snprintf(fake_lookup.dbname, sizeof fake_lookup.dbname, "%s", set->dbname);
	snprintf(fake_lookup.host, sizeof fake_lookup.host, "%s", set->host);
	snprintf(fake_lookup.port, sizeof fake_lookup.port, "%s", set->port);
	snprintf(fake_lookup.sslmode, sizeof fake_lookup.sslmode, "%s", set->sslmode);
	snprintf(fake_lookup.password, sizeof fake_lookup.password, "%s",
		 set->password != NULL ? set->password : "(none)");
	r = calloc(1, sizeof *r);
	later_init(&r->later, fake_answer);
	r->fn = fn;
	r->arg = arg;
	if (!fake_lookup.silent)
		loop_later(l, &r->later);
	return r;
}

void lookup_cancel(struct lookup_req **r)
{
	fake_lookup.cancelled++;
	later_cancel(&(*r)->later);
	free(*r);
	*r = NULL;
}

/* --- forms of a password --- */

const char *md5_of(const char *user, const char *password)
{
	static char text[MD5_TEXT];

	REQUIRE(md5_hash(span_str(user), span_str(password), text) == 0);
	return text;
}

const char *scram_of(const char *password)
{
	static char text[512];
	struct scram_verifier v;
	struct buf b;

	REQUIRE(scram_verifier_make(span_str(password), 4096, &v) == 0);
	buf_init(&b, sizeof text - 1);
	scram_verifier_format(&v, &b);
	memcpy(text, b.p, b.len);
	text[b.len] = '\0';
	buf_free(&b);
	return text;
}

/* --- the two meet --- */

void world_ready(void *arg)
{
	struct world *w = arg;

	w->woken = true;
	loop_stop(w->loop);
}

static void too_late(void *arg)
{
	struct world *w = arg;

	w->late = true;
	loop_stop(w->loop);
}

void world_wait(struct world *w)
{
	struct timer limit;

	timer_init(&limit, too_late, w);
	timer_set(w->loop, &limit, 20000000);
	if (!w->woken)
		loop_run(w->loop);
	timer_free(&limit);
	REQUIRE(!w->late);
	w->woken = false;
}

struct gate *world_gate(struct world *w, const char *user)
{
	struct gate_client client = {
		.config = w->config,
		.database = w->database,
		.user = user,
		.peer = w->unix_socket ? NULL : (const struct sockaddr *)&w->peer,
		.ssl = w->server_ssl,
		.fd = w->fd,
		.console = strcmp(w->database, "pgweir") == 0 || strcmp(w->database, "pgbouncer") == 0,
		.askers = w->offload,
	};

	return gate_new(&client, w->loop, w->offload, w->secrets, world_ready, w);
}

static enum gate_step settle_gate(struct world *w, struct gate *g, enum gate_step step, struct buf *out,
				  struct err *err)
{
	while (step == GATE_WAIT) {
		world_wait(w);
		step = gate_step_again(g, out, err);
	}
	return step;
}

static enum login_step give_login(struct world *w, struct login *login, struct span body, struct buf *out,
				  struct err *err)
{
	enum login_step step = login_input(login, body, out, err);

	while (step == LOGIN_WAIT) {
		world_wait(w);
		step = login_step_again(login, out, err);
	}
	return step;
}

/* The first message of `from`, taken out of it; its bytes are copied to `body`. */
static bool take_message(struct buf *from, char type, struct buf *body)
{
	struct frame frame;
	const char *why;
	size_t used;

	if (frame_next(buf_span(from), 65536, &frame, &used, &why) != FRAME_OK)
		return false;
	EXPECT_EQ(frame.type, type);
	buf_clear(body);
	buf_add_span(body, frame.body);
	buf_drop(from, used);
	return true;
}

static void run_both(struct world *w, struct gate *g, struct login *login, struct meeting *m)
{
	struct buf to_client, to_server, body;

	buf_init(&to_client, 65536);
	buf_init(&to_server, 65536);
	buf_init(&body, 65536);
	m->gate = settle_gate(w, g, gate_step_again(g, &to_client, &m->gate_err), &to_client, &m->gate_err);
	m->login = LOGIN_CONTINUE;
	while (m->gate != GATE_DENIED && m->login == LOGIN_CONTINUE) {
		if (m->gate == GATE_OK)
			write_auth(&to_client, 0, span_of(NULL, 0));
		while (m->login == LOGIN_CONTINUE && take_message(&to_client, 'R', &body))
			m->login = give_login(w, login, buf_span(&body), &to_server, &m->login_err);
		if (m->login != LOGIN_CONTINUE)
			break;
		REQUIRE(take_message(&to_server, 'p', &body));
		m->round_trips++;
		m->gate = settle_gate(w, g, gate_input(g, buf_span(&body), &to_client, &m->gate_err),
				      &to_client, &m->gate_err);
	}
	buf_free(&to_client);
	buf_free(&to_server);
	buf_free(&body);
}

struct meeting world_meet(struct world *w, const char *user, struct secret *secret)
{
	struct meeting m = {0};
	struct gate *g = world_gate(w, user);
	struct login *login =
		login_new(user, secret, w->client_ssl, w->loop, w->offload, w->secrets, world_ready, w);

	run_both(w, g, login, &m);
	snprintf(m.method, sizeof m.method, "%s", gate_method(g));
	snprintf(m.reason, sizeof m.reason, "%s", gate_reason(g));
	m.secret = m.gate == GATE_OK ? secrets_find(w->secrets, w->database, user) : NULL;
	gate_free(&g);
	login_free(&login);
	return m;
}

struct meeting world_try(struct world *w, const char *user, const char *text)
{
	struct secret *secret = text != NULL ? secret_new(text) : NULL;
	struct meeting m = world_meet(w, user, secret);

	secret_unref(secret);
	return m;
}

void meeting_end(struct meeting *m)
{
	secret_unref(m->secret);
	memset(m, 0, sizeof *m);
}
