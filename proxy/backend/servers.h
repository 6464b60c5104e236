/* servers.h - which of a database's several servers a backend connects to.
 * Source  PgBouncer's host list and load_balance_hosts; libpq's target_session_attrs.
 * Shape   one server after the other, each once, until one answers and has the role that is asked for. The target remembers it, so
 *         that the next backend begins there.
 * Owner   the backend.
 * Thread  its worker's.
 * Errors  the last server's. */
#ifndef PROXY_BACKEND_SERVERS_H
#define PROXY_BACKEND_SERVERS_H

#include "proxy/backend/backend.h"

/* Picks the first one. */
void servers_begin(struct backend *b);
const char *servers_host(const struct backend *b);
/* Goes on to the next one if `err` is a reason to do so; false = there is none left. */
bool servers_next(struct backend *b, const struct err *err);
/* Has it the right role? Else -1 with the reason, 08001. Called when its defaults are known. */
int servers_accept(struct backend *b, struct err *err);
/* A statement was refused with 25006: is it the server that cannot write, where one was looked for that can? Then names are resolved
 * again, and the pool's backends replaced; once a second at most. */
void servers_read_only(struct backend *b);

#endif
