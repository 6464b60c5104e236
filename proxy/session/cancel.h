/* cancel.h - cancel keys of clients, over all workers.
 * Source  PostgreSQL manual, "Canceling Requests in Progress"; protocol 3.2: keys of up to 256 bytes.
 * Shape   number -> (secret, worker, session); the number is the "process id" that the client was told.
 * Owner   the app.
 * Thread  any (a lock); the request itself is carried out in the session's worker.
 * Errors  a request that fits nothing is ignored, as PostgreSQL does. */
#ifndef PROXY_SESSION_CANCEL_H
#define PROXY_SESSION_CANCEL_H

#include "proxy/session/house.h"

#define CANCEL_SECRET_LONG 32
/* With a peer_id, the upper bits of a number (positive as an int32) are the process's, the lower ones the session's. */
#define CANCEL_PEER_SHIFT 17
#define CANCEL_PEER_MAX 16383

struct session;

struct cancels *cancels_new(int peer_id); /* 0 = none */
void cancels_free(struct cancels **c);
/* A new key; nsecret 4 (protocol 3.0) or CANCEL_SECRET_LONG. Returns the number; 0 = none is free: it cannot be cancelled. */
uint32_t cancels_add(struct cancels *c, struct house *h, struct session *s, uint8_t *secret_r,
		     unsigned nsecret);
/* For what is not a session: `deliver` runs in that loop. */
uint32_t cancels_add_other(struct cancels *c, struct loop *loop, void *owner, void (*deliver)(void *owner),
			   uint8_t *secret_r, unsigned nsecret);
void cancels_remove(struct cancels *c, uint32_t number);
/* Finds the session and posts to its worker; `deliver` runs there if the session is still the same. false = nothing fits. */
bool cancels_request(struct cancels *c, uint32_t number, struct span secret,
		     void (*deliver)(struct session *s));

/* The process that gave this number out; 0 = this one, or it cannot be told. */
int cancels_peer(const struct cancels *c, uint32_t number);
/* How many requests are under way to a peer, over all workers: false = `limit` are. */
bool cancels_peer_take(struct cancels *c, int peer, unsigned limit);
void cancels_peer_give(struct cancels *c, int peer);

#endif
