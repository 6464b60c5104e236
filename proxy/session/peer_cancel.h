/* peer_cancel.h - cancel requests for clients of another process: a peer behind the same address, or kin on the same port.
 * Source  PgBouncer's peering: peer_id, [peers], cancel_wait_timeout. The number in a cancel key names the process (cancel.h).
 * Shape   a connection to the peer that sends the request on and lasts until the peer closes it, which it does when it has dealt
 *         with it. A forwarded request has one byte more in its secret: how many peers it may still pass.
 * Owner   the house; a session may wait for it.
 * Thread  the worker's.
 * Errors  a request that cannot be delivered is dropped and counted, as PostgreSQL does. */
#ifndef PROXY_SESSION_PEER_CANCEL_H
#define PROXY_SESSION_PEER_CANCEL_H

#include "proxy/session/house.h"

#define PEER_CANCEL_HOPS 3

struct peer_cancel;

/* `done` is called once, later in the loop. NULL: there is no such peer. `secret` is as the client has it; `hops` as
 * peer_cancel_hops has read it. */
struct peer_cancel *peer_cancel_start(struct house *h, int peer, uint32_t number, struct span secret,
				      unsigned hops, void (*done)(void *arg), void *arg);
/* For a key that is not of this process: asks the others that serve its port on this machine, one after the other, those that
 * drain and those that have taken over. NULL: there can be none, or too many requests are under way already. */
struct peer_cancel *kin_cancel_start(struct house *h, uint32_t number, struct span secret,
				     void (*done)(void *arg), void *arg);
/* Nobody waits any more: the request goes on. */
void peer_cancel_forget(struct peer_cancel *c);
/* Takes the byte off a forwarded secret; false = it has come too far. */
bool peer_cancel_hops(struct span *secret, unsigned *hops_r);
/* Adds how many are under way to a peer. */
struct peer_cancel_tally {
	unsigned waiting, connecting, sent;
};
void peer_cancel_count(const struct house *h, int peer, struct peer_cancel_tally *tally);
/* Shutdown. */
void peer_cancel_close_all(struct house *h);

#endif
