/* login.h - our login to a PostgreSQL server: answers to its authentication requests.
 * Source  PostgreSQL manual, "Start-up" and "SASL Authentication".
 * Shape   fed with the bodies of 'R' messages; appends 'p' messages to `out`. Knows no socket.
 * Owner   the backend.
 * Thread  the backend's loop; PBKDF2 runs in an offload thread.
 * Errors  LOGIN_FAILED with *err (SQLSTATE 28P01, 28000, 08P01 ..). */
#ifndef PROXY_AUTH_LOGIN_H
#define PROXY_AUTH_LOGIN_H

#include "proxy/auth/secrets.h"
#include "proxy/base/offload.h"
#include "proxy/net/loop.h"
#include "protocol/buf.h"

#include <openssl/ssl.h>

struct login;

enum login_step {
	LOGIN_CONTINUE, /* wait for the server's next message */
	LOGIN_WAIT,	/* PBKDF2 under way: `ready` will be called, then login_step_again */
	LOGIN_OK,	/* AuthenticationOk seen (and a SCRAM server has proven itself) */
	LOGIN_FAILED,
};

/* secret may be NULL (trust, cert, peer). ssl for channel binding, may be NULL. user and secret are copied/counted. */
struct login *login_new(const char *user, struct secret *secret, SSL *ssl, struct loop *l, struct offload *o,
			struct secrets *secrets, void (*ready)(void *arg), void *arg);
void login_free(struct login **g);
enum login_step login_input(struct login *g, struct span body, struct buf *out, struct err *err);
enum login_step login_step_again(struct login *g, struct buf *out, struct err *err);

#endif
