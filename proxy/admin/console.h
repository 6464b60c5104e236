/* console.h - the console: virtual databases `pgweir` and `pgbouncer` on the port of all clients.
 * Source  PostgreSQL manual, "Message Flow" (simple and extended query); PgBouncer's console.
 * Shape   takes over clients whose login is done (session/console.h) and serves them in its own loop, so that a worker that is
 *         busy does not stand in the way of who wants to know why.
 * Owner   the app; console_free closes all of them. Before loop_free, after the workers have stopped.
 * Thread  console_take: any; the rest: the loop's.
 * Errors  are told to the client. */
#ifndef PROXY_ADMIN_CONSOLE_H
#define PROXY_ADMIN_CONSOLE_H

#include "proxy/admin/control.h"
#include "proxy/session/console.h"

struct console;

struct console *console_new(const struct console_parts *parts);
void console_free(struct console **c); /* when nothing can be on its way any more */
/* Owns `guest` from here on. */
void console_take(struct console *c, struct console_guest *guest);
/* Ends all clients and takes no more; guests that are still on their way are sent home. */
void console_close(struct console *c);

#endif
