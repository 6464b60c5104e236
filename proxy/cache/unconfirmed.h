/* unconfirmed.h - transactions that the stream has delivered but that no snapshot has shown completed yet.
 * Source  docs/coherence.md, "unconfirmed": the stream delivers a commit before (4-30 % of commits) it is visible.
 * Shape   xid and the relations it touched; a bounded array. What does not fit leaves one bit in a table by xid and makes
 *         every lease full, until a snapshot newer than all of these shows which of them still run.
 * Owner   the cache.
 * Thread  push, baseline, clear: the feed's; match and confirm: any.
 * Errors  unconfirmed_init returns -1 when memory is gone; nothing is allocated later. */
#ifndef PROXY_CACHE_UNCONFIRMED_H
#define PROXY_CACHE_UNCONFIRMED_H

#include "proxy/cache/versions.h"

#include <pthread.h>

#define UNCONFIRMED_MAX 4096u
#define UNCONFIRMED_RELS 14u	   /* more relations than that: touches all */
#define UNCONFIRMED_ALL UINT32_MAX /* as nrels: touches every relation */
#define UNCONFIRMED_BITS (1u << 20)

struct unconfirmed_xact {
	uint32_t xid;
	uint32_t nrels;
	uint32_t rel[UNCONFIRMED_RELS];
};

struct unconfirmed {
	pthread_mutex_t lock;
	atomic_uint pending;	       /* n + dropped; what readers look at first */
	unsigned n;		       /* in no order */
	unsigned nall;		       /* of these, the ones that touch everything */
	unsigned dropped;	       /* without room since the last snapshot that was new enough */
	uint32_t newest_dropped;       /* xid */
	struct unconfirmed_xact *xact; /* owned; UNCONFIRMED_MAX */
	uint64_t *dropped_bits; /* owned; by xid modulo UNCONFIRMED_BITS: may only err to "still runs" */
};

int unconfirmed_init(struct unconfirmed *u);
void unconfirmed_done(struct unconfirmed *u);
size_t unconfirmed_bytes(void);

void unconfirmed_push(struct unconfirmed *u, const struct change *change);
/* All that `first` shows running, as touching everything, unless the stream has brought them already. */
void unconfirmed_baseline(struct unconfirmed *u, const struct snapshot *first);
void unconfirmed_clear(struct unconfirmed *u);

/* Drops what `s` shows completed, if the epoch under which `s` was asked for is still the current one. */
void unconfirmed_confirm(struct unconfirmed *u, const struct versions *v, uint64_t epoch,
			 const struct snapshot *s);

/* The xids that touch one of the relations; false when there are more than `max`, or when it cannot be told: then there is at
 * least one, so that somebody asks for a snapshot. */
bool unconfirmed_match(struct unconfirmed *u, const uint32_t *relids, unsigned nrels, uint32_t *xid_r,
		       unsigned max, unsigned *n_r);

#endif
