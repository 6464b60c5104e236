/* secrets.h - what is known of users' passwords: auth_file, auth_query, and keys learned from logins.
 * Source  PgBouncer's auth_file and auth_query; PostgreSQL's SCRAM (RFC 5802): a server that sees a successful login learns
 *         the ClientKey, with which it can log in to another server that holds the same verifier (pass-through).
 * Shape   one object per process; small bounded tables under a lock. Secrets are wiped before their memory is freed.
 * Owner   counted struct secret for readers.
 * Thread  any.
 * Errors  -1/NULL. */
#ifndef PROXY_AUTH_SECRETS_H
#define PROXY_AUTH_SECRETS_H

#include "proxy/base/err.h"
#include "protocol/span.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

#define SECRET_MAX 4096u /* longest secret text; tokens of cloud services have 1 to 2 kB */

struct secret { /* counted, immutable */
	atomic_uint refs;
	enum secret_kind kind;
	/* Learned at a SCRAM login: enough to log in to a server with the same verifier. */
	bool has_keys;
	uint8_t client_key[32];
	uint8_t server_key[32];
	char text[]; /* the password, "md5..." or the SCRAM verifier; "" for SECRET_NONE */
};

struct secrets;

struct secrets *secrets_new(void);
void secrets_free(struct secrets **s);

/* Random, constant as long as the process lives; makes up salts for users that do not exist. */
struct span secrets_mock_key(const struct secrets *s);

/* A secret from its text (auth_file, auth_query, a connection string): the kind is seen from its form; "" = SECRET_NONE.
 * NULL = no memory or longer than SECRET_MAX. */
struct secret *secret_new(const char *text);
/* What a client typed: a password, whatever it looks like. NULL as above, or when it holds a NUL. */
struct secret *secret_plain(struct span password);
/* A verifier with the keys that a login has shown to belong to it. */
struct secret *secret_with_keys(const char *verifier, const uint8_t client_key[32],
				const uint8_t server_key[32]);
/* Can it open a server's door? (A verifier without keys cannot.) */
bool secret_usable(const struct secret *s);
struct secret *secret_ref(struct secret *s);
void secret_unref(struct secret *s); /* NULL is allowed */

/* The secret to log in to servers with for (database, user): set by a successful client login, found by the pool. */
void secrets_learn(struct secrets *s, const char *database, const char *user, struct secret *secret);
struct secret *secrets_find(struct secrets *s, const char *database, const char *user); /* counted or NULL */
/* SCRAM verifiers made from plain passwords are kept so that PBKDF2 runs once per user, not per login. */
void secrets_keep_verifier(struct secrets *s, const char *user, const char *password, const char *verifier);
bool secrets_verifier(struct secrets *s, const char *user, const char *password, char *out, unsigned outsz);
/* SaltedPassword for a server login, kept by (password, salt, iterations). */
void secrets_keep_salted(struct secrets *s, const char *password, const void *salt, unsigned nsalt,
			 unsigned iterations, const uint8_t salted[32]);
bool secrets_salted(struct secrets *s, const char *password, const void *salt, unsigned nsalt,
		    unsigned iterations, uint8_t salted_r[32]);

#endif
