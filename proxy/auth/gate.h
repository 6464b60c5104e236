/* gate.h - a client's login: which method applies, and the exchange of messages until it is in or refused.
 * Source  PostgreSQL manual, "Client Authentication", "SASL Authentication"; PgBouncer's auth_type, auth_hba_file, auth_query.
 * Shape   fed with the client's 'p' messages; appends authentication requests to `out`; asks back through one callback
 *         when something slow (auth_query, PBKDF2) is done. Knows no socket.
 * Owner   the session; gate_free cancels what is under way.
 * Thread  the session's loop.
 * Errors  GATE_DENIED with *err: SQLSTATE 28P01 or 28000 and a text that does not tell whether the user exists; the real reason
 *         for the log in gate_reason(). */
#ifndef PROXY_AUTH_GATE_H
#define PROXY_AUTH_GATE_H

#include "config/config.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/offload.h"
#include "proxy/net/loop.h"
#include "protocol/buf.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

struct gate;

enum gate_step {
	GATE_CONTINUE, /* `out` was written (or not): wait for the client's next 'p' */
	GATE_WAIT,     /* something slow is under way: `ready` will be called; keep the client's input */
	GATE_OK,       /* in; AuthenticationOk is NOT yet written: the session does that */
	GATE_DENIED,
};

struct gate_client {
	struct config *config; /* the gate takes a reference */
	const char *database;  /* as the client named it */
	const char *user;
	const struct sockaddr *peer; /* NULL or AF_UNIX = unix socket */
	SSL *ssl;		     /* NULL = plain */
	int fd;			     /* for peer credentials on a unix socket */
	bool console;		     /* that database is our own console, even when a * entry would take it */
	bool replication;	     /* physical: has no database, and lines of its own in auth_hba_file */
	struct offload *askers;	     /* for what waits for another machine: auth_query, the system's users */
};

/* ready(arg) is called from the loop: then call gate_step_again. Never NULL. */
struct gate *gate_new(const struct gate_client *client, struct loop *l, struct offload *o,
		      struct secrets *secrets, void (*ready)(void *arg), void *arg);
void gate_free(struct gate **g);
/* The first step; also after `ready`. */
enum gate_step gate_step_again(struct gate *g, struct buf *out, struct err *err);
/* The body of a 'p' message. */
enum gate_step gate_input(struct gate *g, struct span body, struct buf *out, struct err *err);
/* Before GATE_OK of an SCRAM login: `out` holds AuthenticationSASLFinal already. */
const char *gate_method(const struct gate *g); /* "trust", "scram-sha-256", .. for the log */
const char *gate_reason(const struct gate *g); /* why it was refused, for the log; no secret */

#endif
