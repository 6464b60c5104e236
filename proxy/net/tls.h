/* tls.h - TLS settings of one side, made from config, swapped at reload.
 * Source  PostgreSQL manual, "SSL Support"; sslmode table of libpq; ALPN "postgresql" (direct TLS);
 *         tls-server-end-point channel binding, RFC 5929.
 * Shape   a counted SSL_CTX with the sslmode it stands for.
 * Owner   counted.
 * Thread  any after creation.
 * Errors  -1/NULL with file names and OpenSSL's own reason. */
#ifndef PROXY_NET_TLS_H
#define PROXY_NET_TLS_H

#include "proxy/base/err.h"
#include "protocol/span.h"

#include <openssl/ssl.h>

enum tls_mode { TLS_DISABLE, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };

/* Which setting is wrong. */
enum tls_part {
	TLS_PART_NONE,
	TLS_PART_CA,
	TLS_PART_CERT,
	TLS_PART_KEY,
	TLS_PART_PROTOCOLS,
	TLS_PART_CIPHERS,
	TLS_PART_CIPHERS13
};
#define TLS_PARTS (TLS_PART_CIPHERS13 + 1)

struct tls_settings {
	enum tls_mode mode;
	const char *ca_file; /* NULL or "" = none */
	const char *cert_file;
	const char *key_file;
	const char *protocols; /* PgBouncer: "secure", "all", "tlsv1.2,tlsv1.3" */
	const char *ciphers;   /* "default", "secure", .. or an OpenSSL list */
	const char *ciphers13;
	bool http; /* server side: ALPN is "http/1.1", and a client that wants something else may do without */
	enum tls_part *bad_r; /* NULL, or told what an error is about, unless it is none of the settings */
};

struct tls; /* counted */

/* Do protocols and ciphers mean anything? Opens no file. */
int tls_check_words(const struct tls_settings *set, struct err *err);

struct tls *tls_server_new(const struct tls_settings *set, struct err *err);
struct tls *tls_client_new(const struct tls_settings *set, struct err *err);
struct tls *tls_ref(struct tls *t);
void tls_unref(struct tls *t);
enum tls_mode tls_mode(const struct tls *t);

/* A new SSL for one connection. host (client side only) is checked by verify-full and sent as SNI. */
SSL *tls_session(struct tls *t, const char *host, struct err *err);

/* tls-server-end-point data: the hash of our own (server side) or the peer's (client side)
 * certificate into out[64]; its length, or 0 when there is none. */
size_t tls_end_point(SSL *ssl, int we_are_server, unsigned char out[64]);

/* Common name of the verified peer certificate into out; 0, or -1 when there is none. */
int tls_peer_name(SSL *ssl, char *out, size_t outsz);

#endif
