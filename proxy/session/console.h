/* console.h - a client of the console on its way from the session that logged it in to whoever serves it.
 * Source  PgBouncer's admin console: a virtual database.
 * Shape   the connection leaves its worker; the session ends.
 * Owner   guest_free, or whoever takes `conn` out first.
 * Thread  made in a worker, then the taker's.
 * Errors  - */
#ifndef PROXY_SESSION_CONSOLE_H
#define PROXY_SESSION_CONSOLE_H

#include "proxy/net/conn.h"

struct console_guest {
	struct mail mail;
	void *taker;
	struct conn *conn;     /* owned; detached */
	char *database, *user; /* owned */
	uint32_t version;
	uint64_t id;
	bool own; /* on a unix socket as "pgbouncer" or "pgweir", and the same system user as ours */
};

/* The names of the virtual databases. */
bool console_name(const char *database);
void guest_free(struct console_guest **guest);

#endif
