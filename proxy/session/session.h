/* session.h - one client of the proxy, from its first byte to its last.
 * Source  PostgreSQL manual, "Message Flow"; docs/isolation.md; docs/coherence.md.
 * Shape   a state machine (states.def) over a client connection and, when needed, a backend on loan.
 * Owner   the worker's house; a session frees itself after the round in which it closed.
 * Thread  its worker's.
 * Errors  are told to the client as ErrorResponse and cost nobody else anything. */
#ifndef PROXY_SESSION_SESSION_H
#define PROXY_SESSION_SESSION_H

#include "proxy/session/house.h"

struct session;

/* Takes the fd of an accepted client. */
/* Where a client has come in. DOOR_KIN: another process of ours, with cancel requests only. */
enum session_door { DOOR_TCP, DOOR_UNIX, DOOR_KIN };
void session_new(struct house *h, int fd, enum session_door door);
/* Every 100 ms: closes or refuses what has exceeded its limits. */
void session_sweep(struct house *h);
/* SIGTERM: from now on sessions end at the end of their transaction; idle ones at once. */
void session_drain_all(struct house *h, uint64_t patience_us);
/* All at once (second signal, deadline). */
void session_close_all(struct house *h, const char *why);

#define SESSION_PINS 10

struct session_counts {
	unsigned total, active, waiting, idle, pinned, login;
	unsigned pins[SESSION_PINS]; /* by reason, see pin_name */
};
void session_count_all(const struct house *h, struct session_counts *c);

#endif
