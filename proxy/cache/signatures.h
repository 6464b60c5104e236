/* signatures.h - by which columns of which tables cached statements are told apart, so that the feed raises keys for these.
 * Source  docs/coherence.md, "predicates".
 * Shape   a signature is a relation and a few of its columns; signatures_want() asks for one, and says true only when every
 *         transaction that the feed applies from then on raises its keys. While the feed is inside a transaction (from its BEGIN
 *         until its change is applied, also while it is held), new ones wait: rows that were read already have no keys of theirs.
 *         A lease is taken after that, so what was applied before is the business of the unconfirmed (by relation), and what is
 *         applied later raises the keys.
 * Owner   the cache.
 * Thread  want: any; begin, of: the feed's; end, clear: the feed's.
 * Errors  no room: false, the whole relation is the key. */
#ifndef PROXY_CACHE_SIGNATURES_H
#define PROXY_CACHE_SIGNATURES_H

#include "proxy/sql/reads.h"

#include <pthread.h>

#define SIGNATURES_MAX 512u /* of all relations */
#define SIGNATURES_EACH 8u  /* of one: each costs its changes a key */
#define SIGNATURES_SLOTS (2 * SIGNATURES_MAX)

struct signature {
	uint16_t ncols;
	int16_t attnums[SIGNATURE_COLUMNS];
};

struct signature_list { /* a relation's */
	uint32_t relid;
	unsigned n;	   /* in force */
	unsigned npending; /* behind them */
	struct signature item[SIGNATURES_EACH];
};

struct signatures {
	pthread_mutex_t lock;
	bool open;    /* the feed is inside a transaction: `n` of the lists must not change */
	bool pending; /* some list has pending ones */
	unsigned count;
	struct signature_list list[SIGNATURES_SLOTS]; /* open addressing by relid; 0 = free */
};

void signatures_init(struct signatures *s);
void signatures_done(struct signatures *s);

bool signatures_want(struct signatures *s, uint32_t relid, uint16_t ncols, const int16_t *attnums);

void signatures_begin(struct signatures *s);
void signatures_end(struct signatures *s);
/* Between begin and end. NULL when there are none. */
const struct signature *signatures_of(const struct signatures *s, uint32_t relid, unsigned *n_r);
/* Before the epoch of a new catalog begins: who resolves under it finds none of the old, and asks anew. */
void signatures_clear(struct signatures *s);

#endif
