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

struct session;

struct cancels *cancels_new(void);
void cancels_free(struct cancels **c);
/* A new key; nsecret 4 (protocol 3.0) or CANCEL_SECRET_LONG. Returns the number. */
uint32_t cancels_add(struct cancels *c, struct house *h, struct session *s, uint8_t *secret_r,
		     unsigned nsecret);
void cancels_remove(struct cancels *c, uint32_t number);
/* Finds the session and posts to its worker; `deliver` runs there if the session is still the same. false = nothing fits. */
bool cancels_request(struct cancels *c, uint32_t number, struct span secret,
		     void (*deliver)(struct session *s));

#endif
