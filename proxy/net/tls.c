#include "proxy/net/tls.h"

#include "proxy/base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct tls {
	atomic_uint refs;
	SSL_CTX *ctx; /* owned */
	enum tls_mode mode;
	bool server;
	bool http;
};

static bool given(const char *s)
{
	return s != NULL && s[0] != '\0';
}

/* OpenSSL's first reason: what follows is how it reached us. */
static const char *openssl_reason(void)
{
	unsigned long code = ERR_get_error();
	const char *text = ERR_reason_error_string(code);

	ERR_clear_error();
	if (ERR_SYSTEM_ERROR(code))
		return strerror(ERR_GET_REASON(code));
	return text != NULL ? text : "unknown reason";
}

/* No prompt on a terminal: a key with a passphrase is an error here. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

/* PgBouncer's list: names of versions with commas between. Versions below 1.2 are understood, never offered. */
static int protocols_parse(const char *list, int *min_r, int *max_r, struct err *err)
{
	static const struct {
		const char *name;
		bool v12, v13;
	} known[] = {{"secure", true, true},	{"all", true, true},	  {"legacy", true, true},
		     {"tlsv1.2", true, false},	{"tlsv1.3", false, true}, {"tlsv1.0", false, false},
		     {"tlsv1.1", false, false}, {"tlsv1", true, true}};
	bool v12 = false, v13 = false;
	size_t n, i;

	for (const char *p = given(list) ? list : "secure"; *p != '\0'; p += n) {
		p += strspn(p, ", \t:");
		n = strcspn(p, ", \t:");
		for (i = 0; n != 0 && i < sizeof known / sizeof known[0]; i++) {
			if (strlen(known[i].name) == n && strncasecmp(known[i].name, p, n) == 0)
				break;
		}
		if (n != 0 && i == sizeof known / sizeof known[0])
			return err_set(err, "unknown TLS protocol \"%.*s\"", (int)n, p);
		v12 |= n != 0 && known[i].v12;
		v13 |= n != 0 && known[i].v13;
	}
	if (!v12 && !v13)
		return err_set(err, "TLS protocols \"%s\": versions below 1.2 are not offered", list);
	*min_r = v12 ? TLS1_2_VERSION : TLS1_3_VERSION;
	*max_r = v13 ? TLS1_3_VERSION : TLS1_2_VERSION;
	return 0;
}

/* PgBouncer's names for sets of ciphers; anything else is an OpenSSL list. */
static const char *ciphers_list(const char *name)
{
	static const char *const strong[] = {"default", "secure", "normal", "fast"};
	static const char *const wide[] = {"compat", "legacy", "all", "insecure"};

	if (!given(name))
		return "HIGH:!aNULL:!eNULL:!3DES";
	for (size_t i = 0; i < 4; i++) {
		if (strcasecmp(name, strong[i]) == 0)
			return "HIGH:!aNULL:!eNULL:!3DES";
		if (strcasecmp(name, wide[i]) == 0)
			return "HIGH:MEDIUM:!aNULL:!eNULL";
	}
	return name;
}

/* An error will be about that setting; -1. */
static int blame(const struct tls_settings *set, enum tls_part part)
{
	if (set->bad_r != NULL)
		*set->bad_r = part;
	return -1;
}

static int tls_set_versions(SSL_CTX *ctx, const struct tls_settings *set, struct err *err)
{
	int min = 0, max = 0;

	if (protocols_parse(set->protocols, &min, &max, err) != 0)
		return blame(set, TLS_PART_PROTOCOLS);
	if (SSL_CTX_set_min_proto_version(ctx, min) != 1 || SSL_CTX_set_max_proto_version(ctx, max) != 1) {
		err_set(err, "TLS protocols \"%s\": %s", set->protocols, openssl_reason());
		return blame(set, TLS_PART_PROTOCOLS);
	}
	if (SSL_CTX_set_cipher_list(ctx, ciphers_list(set->ciphers)) != 1) {
		err_set(err, "TLS ciphers \"%s\": %s", set->ciphers, openssl_reason());
		return blame(set, TLS_PART_CIPHERS);
	}
	if (given(set->ciphers13) && SSL_CTX_set_ciphersuites(ctx, set->ciphers13) != 1) {
		err_set(err, "TLS 1.3 ciphers \"%s\": %s", set->ciphers13, openssl_reason());
		return blame(set, TLS_PART_CIPHERS13);
	}
	return 0;
}

int tls_check_words(const struct tls_settings *set, struct err *err)
{
	SSL_CTX *ctx;
	int rc;

	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_method());
	if (ctx == NULL)
		return err_set(err, "no memory for TLS");
	rc = tls_set_versions(ctx, set, err);
	SSL_CTX_free(ctx);
	return rc;
}

static int tls_load_cert(SSL_CTX *ctx, const struct tls_settings *set, struct err *err)
{
	const char *key = given(set->key_file) ? set->key_file : set->cert_file;
	enum tls_part key_part = given(set->key_file) ? TLS_PART_KEY : TLS_PART_CERT;

	if (!given(set->cert_file)) {
		if (!given(set->key_file))
			return 0;
		err_set(err, "TLS key %s without a certificate", key);
		return blame(set, TLS_PART_KEY);
	}
	if (SSL_CTX_use_certificate_chain_file(ctx, set->cert_file) != 1) {
		err_set(err, "cannot load TLS certificate %s: %s", set->cert_file, openssl_reason());
		return blame(set, TLS_PART_CERT);
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		err_set(err, "cannot load TLS key %s: %s", key, openssl_reason());
		return blame(set, key_part);
	}
	if (SSL_CTX_check_private_key(ctx) != 1) {
		err_set(err, "TLS key %s does not belong to certificate %s: %s", key, set->cert_file,
			openssl_reason());
		return blame(set, key_part);
	}
	return 0;
}

static int tls_load_ca(SSL_CTX *ctx, const struct tls_settings *set, struct err *err)
{
	if (given(set->ca_file) && SSL_CTX_load_verify_locations(ctx, set->ca_file, NULL) != 1) {
		err_set(err, "cannot load TLS authorities %s: %s", set->ca_file, openssl_reason());
		return blame(set, TLS_PART_CA);
	}
	if (!given(set->ca_file) && set->mode >= TLS_VERIFY_CA && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return err_set(err, "cannot load the system's TLS authorities: %s", openssl_reason());
	return 0;
}

static struct tls *tls_new(const SSL_METHOD *method, const struct tls_settings *set, struct err *err)
{
	struct tls *t = check_alloc(sizeof *t);

	atomic_init(&t->refs, 1);
	t->mode = set->mode;
	ERR_clear_error();
	t->ctx = SSL_CTX_new(method);
	if (t->ctx == NULL) {
		err_set(err, "no memory for TLS");
		goto fail;
	}
	SSL_CTX_set_default_passwd_cb(t->ctx, no_passphrase);
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					    SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Idle connections hold no record buffers; reads take what the socket has, not a header first. */
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(t->ctx, 1);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	if (tls_set_versions(t->ctx, set, err) != 0 || tls_load_cert(t->ctx, set, err) != 0 ||
	    tls_load_ca(t->ctx, set, err) != 0)
		goto fail;
	return t;
fail:
	tls_unref(t);
	return NULL;
}

/* As PostgreSQL: who names protocols must name ours; who names none (sslnegotiation=postgres) is welcome. */
static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
		       unsigned int inlen, void *arg)
{
	static const unsigned char ours[] = "\012postgresql", web[] = "\010http/1.1";
	bool http = ((const struct tls *)arg)->http;

	(void)ssl;
	if (http)
		return SSL_select_next_proto((unsigned char **)out, outlen, web, sizeof web - 1, in, inlen) ==
				       OPENSSL_NPN_NEGOTIATED
			       ? SSL_TLSEXT_ERR_OK
			       : SSL_TLSEXT_ERR_NOACK;
	if (SSL_select_next_proto((unsigned char **)out, outlen, ours, sizeof ours - 1, in, inlen) ==
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Require and below ask for a certificate when there is an authority to check it with (hba "cert" needs it),
 * and do without. */
static int server_verify(SSL_CTX *ctx, const struct tls_settings *set, struct err *err)
{
	STACK_OF(X509_NAME) * names;
	int verify = SSL_VERIFY_NONE;

	if (given(set->ca_file)) {
		names = SSL_load_client_CA_file(set->ca_file);
		if (names == NULL) {
			err_set(err, "cannot load TLS authorities %s: %s", set->ca_file, openssl_reason());
			return blame(set, TLS_PART_CA);
		}
		SSL_CTX_set_client_CA_list(ctx, names);
		verify = SSL_VERIFY_PEER;
	}
	if (set->mode >= TLS_VERIFY_CA)
		verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, verify, NULL);
	return 0;
}

struct tls *tls_server_new(const struct tls_settings *set, struct err *err)
{
	static const unsigned char context[] = "pgweir";
	struct tls *t;

	if (!given(set->cert_file)) {
		err_set(err, "TLS for clients needs a certificate and a key");
		return NULL;
	}
	t = tls_new(TLS_server_method(), set, err);
	if (t == NULL)
		return NULL;
	t->server = true;
	if (server_verify(t->ctx, set, err) != 0) {
		tls_unref(t);
		return NULL;
	}
	SSL_CTX_set_alpn_select_cb(t->ctx, alpn_select, t);
	t->http = set->http;
	SSL_CTX_set_dh_auto(t->ctx, 1);
	/* Tickets only: they cost us no memory. Required for them when client certificates are asked for. */
	SSL_CTX_set_session_id_context(t->ctx, context, sizeof context - 1);
	SSL_CTX_set_num_tickets(t->ctx, 1);
	return t;
}

struct tls *tls_client_new(const struct tls_settings *set, struct err *err)
{
	static const unsigned char ours[] = "\012postgresql";
	struct tls *t = tls_new(TLS_client_method(), set, err);

	if (t == NULL)
		return NULL;
	SSL_CTX_set_verify(t->ctx, set->mode >= TLS_VERIFY_CA ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (SSL_CTX_set_alpn_protos(t->ctx, ours, sizeof ours - 1) != 0) {
		err_set(err, "no memory for TLS");
		tls_unref(t);
		return NULL;
	}
	return t;
}

struct tls *tls_ref(struct tls *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_unref(struct tls *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

enum tls_mode tls_mode(const struct tls *t)
{
	return t->mode;
}

static bool is_address(const char *host)
{
	unsigned char addr[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

static int session_check_host(struct tls *t, SSL *ssl, const char *host, struct err *err)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	bool address = given(host) && is_address(host);

	/* RFC 6066: no addresses in SNI. */
	if (given(host) && !address && SSL_set_tlsext_host_name(ssl, host) != 1)
		return err_set(err, "cannot send \"%s\" as TLS server name: %s", host, openssl_reason());
	if (t->mode != TLS_VERIFY_FULL)
		return 0;
	if (!given(host))
		return err_set(err, "verify-full needs a host name");
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if ((address ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
		     : X509_VERIFY_PARAM_set1_host(param, host, 0)) != 1)
		return err_set(err, "cannot check the TLS host name \"%s\": %s", host, openssl_reason());
	return 0;
}

SSL *tls_session(struct tls *t, const char *host, struct err *err)
{
	SSL *ssl = SSL_new(t->ctx);

	if (ssl == NULL) {
		err_set(err, "cannot start TLS: %s", openssl_reason());
		return NULL;
	}
	if (!t->server && session_check_host(t, ssl, host, err) != 0) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

/* RFC 5929 section 4.1: the hash of the certificate's signature, but SHA-256 instead of MD5 and SHA-1. */
static size_t cert_hash(X509 *cert, unsigned char out[64])
{
	int digest = NID_undef;
	const EVP_MD *md;
	unsigned n = 0;

	if (X509_get_signature_info(cert, &digest, NULL, NULL, NULL) != 1)
		return 0;
	if (digest == NID_md5 || digest == NID_sha1)
		digest = NID_sha256;
	md = EVP_get_digestbynid(digest);
	if (md == NULL || EVP_MD_get_size(md) > 64 || X509_digest(cert, md, out, &n) != 1)
		return 0;
	return n;
}

size_t tls_end_point(SSL *ssl, int we_are_server, unsigned char out[64])
{
	X509 *cert = we_are_server ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);

	return cert == NULL ? 0 : cert_hash(cert, out);
}

int tls_peer_name(SSL *ssl, char *out, size_t outsz)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	X509_NAME *subject;
	unsigned char *name = NULL;
	int at, n, rc = -1;

	if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
		return -1;
	subject = X509_get_subject_name(cert);
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0)
		return -1;
	n = ASN1_STRING_to_UTF8(&name, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	/* A NUL inside is an old trick: "admin\0.evil.example". */
	if (n > 0 && (size_t)n < outsz && memchr(name, '\0', (size_t)n) == NULL) {
		memcpy(out, name, (size_t)n);
		out[n] = '\0';
		rc = 0;
	}
	OPENSSL_free(name);
	return rc;
}
