/* roster.h - the clients of one worker as rows, and orders of an operator to them.
 * Source  PgBouncer's SHOW CLIENTS, KILL, KILL_CLIENT, SUSPEND.
 * Shape   see backend/roster.h.
 * Owner   the caller's list.
 * Thread  the house's worker.
 * Errors  - */
#ifndef PROXY_SESSION_ROSTER_H
#define PROXY_SESSION_ROSTER_H

#include "proxy/backend/roster.h"
#include "proxy/session/house.h"

void roster_clients(struct house *h, bool deep, struct socket_rows *list);
/* Closes those of a database (NULL = any), or the one with that id (0 = any). How many. */
unsigned roster_kill(struct house *h, const char *database, uint64_t id, const char *why);
/* Nothing new is taken from clients; what runs runs on. Off: what has come meanwhile is looked at. */
void roster_suspend(struct house *h, bool on);
/* Clients with a statement under way or output that they have not taken. `close` ends them. */
unsigned roster_busy(struct house *h, bool close);

const char *pin_name(unsigned pin);

#endif
