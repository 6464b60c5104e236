#include "tests/unit/net/help.h"

#include "tests/support/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_US (20u * 1000 * 1000)

struct waiter {
	struct loop *l;
	bool (*done)(void *arg);
	void *arg;
	struct timer look, deadline;
	bool in_time;
};

static void waiter_look(void *arg)
{
	struct waiter *w = arg;

	w->in_time = w->done != NULL && w->done(w->arg);
	if (w->in_time)
		loop_stop(w->l);
	else
		timer_set(w->l, &w->look, 500);
}

static void waiter_late(void *arg)
{
	loop_stop(((struct waiter *)arg)->l);
}

static bool wait_us(struct loop *l, bool (*done)(void *arg), void *arg, uint64_t us)
{
	struct waiter w = {.l = l, .done = done, .arg = arg};

	timer_init(&w.look, waiter_look, &w);
	timer_init(&w.deadline, waiter_late, &w);
	timer_set(l, &w.look, 0);
	timer_set(l, &w.deadline, us);
	loop_run(l);
	timer_free(&w.look);
	timer_free(&w.deadline);
	return w.in_time;
}

bool run_until(struct loop *l, bool (*done)(void *arg), void *arg)
{
	return wait_us(l, done, arg, DEADLINE_US);
}

static bool flag_is_set(void *arg)
{
	return *(const bool *)arg;
}

bool run_until_set(struct loop *l, const bool *flag)
{
	return run_until(l, flag_is_set, (void *)flag);
}

void run_for(struct loop *l, unsigned ms)
{
	wait_us(l, NULL, NULL, ms * 1000);
}

void pair_unix(int fds[2])
{
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
}

void pair_tcp(int fds[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(addr);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(server >= 0);
	REQUIRE(bind(server, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(server, 1) == 0);
	REQUIRE(getsockname(server, (struct sockaddr *)&addr, &n) == 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)) == 0);
	REQUIRE(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
	fds[1] = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	REQUIRE(fds[1] >= 0);
	close(server);
}

static void extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	REQUIRE(ext != NULL);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

/* Signed by issuer, or by itself when issuer is NULL. */
static X509 *cert_make(EVP_PKEY *key, const char *name, const char *alt, X509 *issuer, EVP_PKEY *issuer_key,
		       const EVP_MD *md)
{
	static long serial = 1;
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, issuer == NULL ? subject : X509_get_subject_name(issuer));
	if (issuer == NULL)
		extension_add(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
	if (alt != NULL)
		extension_add(cert, issuer == NULL ? cert : issuer, NID_subject_alt_name, alt);
	REQUIRE(X509_sign(cert, issuer_key == NULL ? key : issuer_key, md) > 0);
	return cert;
}

static void pem_write(const char *path, X509 *cert, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	REQUIRE(f != NULL);
	if (cert != NULL)
		REQUIRE(PEM_write_X509(f, cert) == 1);
	if (key != NULL)
		REQUIRE(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(f);
}

void certs_make(struct certs *certs)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256"), *client_key = EVP_EC_gen("P-256");
	X509 *ca, *server, *client, *stranger;

	REQUIRE(ca_key != NULL && key != NULL && client_key != NULL);
	strcpy(certs->dir, "/tmp/pgweir-certs-XXXXXX");
	REQUIRE(mkdtemp(certs->dir) != NULL);
	snprintf(certs->ca, sizeof(certs->ca), "%s/ca.crt", certs->dir);
	snprintf(certs->server, sizeof(certs->server), "%s/server.crt", certs->dir);
	snprintf(certs->server_key, sizeof(certs->server_key), "%s/server.key", certs->dir);
	snprintf(certs->client, sizeof(certs->client), "%s/client.crt", certs->dir);
	snprintf(certs->client_key, sizeof(certs->client_key), "%s/client.key", certs->dir);
	snprintf(certs->stranger, sizeof(certs->stranger), "%s/stranger.crt", certs->dir);
	snprintf(certs->stranger_key, sizeof(certs->stranger_key), "%s/stranger.key", certs->dir);
	ca = cert_make(ca_key, "authority", NULL, NULL, NULL, EVP_sha256());
	server = cert_make(key, "db.example", "DNS:localhost,DNS:db.example,IP:127.0.0.1", ca, ca_key,
			   EVP_sha384());
	client = cert_make(client_key, "mike", NULL, ca, ca_key, EVP_sha256());
	stranger = cert_make(client_key, "mike", NULL, NULL, NULL, EVP_sha256());
	pem_write(certs->ca, ca, NULL);
	pem_write(certs->server, server, NULL);
	pem_write(certs->server_key, NULL, key);
	pem_write(certs->client, client, NULL);
	pem_write(certs->client_key, NULL, client_key);
	pem_write(certs->stranger, stranger, NULL);
	pem_write(certs->stranger_key, NULL, client_key);
	X509_free(ca);
	X509_free(server);
	X509_free(client);
	X509_free(stranger);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	EVP_PKEY_free(client_key);
}

void certs_remove(struct certs *certs)
{
	unlink(certs->ca);
	unlink(certs->server);
	unlink(certs->server_key);
	unlink(certs->client);
	unlink(certs->client_key);
	unlink(certs->stranger);
	unlink(certs->stranger_key);
	rmdir(certs->dir);
}

struct tls_settings certs_server(const struct certs *certs, enum tls_mode mode)
{
	return (struct tls_settings){.mode = mode,
				     .ca_file = certs->ca,
				     .cert_file = certs->server,
				     .key_file = certs->server_key};
}

struct tls_settings certs_client(const struct certs *certs, enum tls_mode mode)
{
	return (struct tls_settings){.mode = mode, .ca_file = certs->ca};
}
