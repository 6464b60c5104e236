/* proof.h - is every commit that a snapshot shows known to the cache? The base snapshot E and the xids received since.
 * Source  docs/coherence.md, "serve".
 * Shape   E is the newest snapshot whose insert LSN the stream has passed. Received xids: a flag for each that E shows running, and
 *         a window of bits for those from E.xmax on. What falls outside the window is forgotten: then the snapshot cannot be
 *         explained and the insert LSN decides.
 * Owner   the cache.
 * Thread  received, start, reset: the feed's; explains, rebase: any.
 * Errors  no memory for a longer list: E stays where it is. */
#ifndef PROXY_CACHE_PROOF_H
#define PROXY_CACHE_PROOF_H

#include "proxy/cache/versions.h"

#include <pthread.h>

#define PROOF_WINDOW 65536u

struct proof_base {
	struct snapshot at; /* xip owned */
	bool *received;	    /* owned; beside at.xip */
	uint32_t room;	    /* of both */
};

struct proof_state {
	pthread_mutex_t lock;
	bool known;		 /* E exists */
	struct proof_base base;	 /* E */
	struct proof_base spare; /* its successor is built here */
	uint64_t window[PROOF_WINDOW /
			64]; /* xids in [E.xmax, E.xmax + PROOF_WINDOW), by xid modulo PROOF_WINDOW */
};

void proof_init(struct proof_state *p);
void proof_done(struct proof_state *p);

void proof_reset(struct proof_state *p);
void proof_start(struct proof_state *p, const struct snapshot *first);
/* All that the transaction touched has been raised. */
void proof_received(struct proof_state *p, uint32_t xid);

/* False also when `epoch` has passed. */
bool proof_explains(struct proof_state *p, const struct versions *v, uint64_t epoch,
		    const struct snapshot *s);
/* The stream has passed the insert LSN that was read with `s`, under `epoch`: s becomes E if it is newer. */
void proof_rebase(struct proof_state *p, const struct versions *v, uint64_t epoch, const struct snapshot *s);

#endif
