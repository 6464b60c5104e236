/* world.h - a gate and a login wired to each other without sockets; a TLS pair in memory; a made-up auth_query.
 * Source  none.
 * Shape   world_meet runs both to their end and says how it ended.
 * Owner   the test: world_end frees all but what it returned.
 * Thread  the test's.
 * Errors  REQUIRE. */
#ifndef TESTS_UNIT_AUTH_WORLD_H
#define TESTS_UNIT_AUTH_WORLD_H

#include "config/config.h"
#include "proxy/auth/gate.h"
#include "proxy/auth/login.h"

struct world {
	struct loop *loop;
	struct offload *offload;
	struct secrets *secrets;
	struct config *config;
	struct sockaddr_storage peer; /* AF_INET 10.1.2.3 unless the test changes it */
	bool unix_socket;
	int fd;
	const char *database;
	SSL *server_ssl, *client_ssl; /* owned by the world once world_tls was called */
	SSL_CTX *ctx[2];
	bool woken;
	bool late;
};

struct meeting {
	enum gate_step gate;
	enum login_step login;
	struct err gate_err;
	struct err login_err;
	char method[32];
	char reason[256];
	struct secret *secret; /* counted; behind GATE_OK, what servers can be logged in to with */
	unsigned round_trips;
};

/* options: lines of [pgweir]; the rest may be NULL. */
void world_begin(struct world *w, const char *options, const char *userlist, const char *hba,
		 const char *ident);
void world_databases(const char *entries); /* for the next world_begin; "" = all databases forwarded */
void world_end(struct world *w);
/* With a certificate of the client that the server has verified (common name), or NULL. */
void world_tls(struct world *w, const char *client_name);

struct gate *world_gate(struct world *w, const char *user);
/* Both until `woken`; fails the test after some seconds. */
void world_wait(struct world *w);
void world_ready(void *arg);
/* user logs in with `secret` (counted by the caller, may be NULL). */
struct meeting world_meet(struct world *w, const char *user, struct secret *secret);
/* The same with a text from which the secret is made and released. */
struct meeting world_try(struct world *w, const char *user, const char *secret);
void meeting_end(struct meeting *m);

/* What the made-up auth_query answers. */
struct fake_lookup {
	const char *secret;
	const char *error;
	unsigned asked;
	unsigned cancelled;
	bool silent; /* never answers */
	bool full;   /* cannot be started */
	char user[64], name[64], dbname[64], password[64], sslmode[32], host[64], port[16];
};
extern struct fake_lookup fake_lookup;

/* md5 and SCRAM forms of a password. */
const char *md5_of(const char *user, const char *password);
const char *scram_of(const char *password);

#endif
