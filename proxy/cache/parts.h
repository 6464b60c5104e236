/* parts.h - what a cache is made of; for the files of this folder only.
 * Source  docs/coherence.md.
 * Shape   each part has its own lock or atomics; what ties them together is the order in which cache.c, fill.c, prove.c and apply.c
 *         use them, and is written there.
 * Owner   cache_new.
 * Thread  as the parts say.
 * Errors  none. */
#ifndef PROXY_CACHE_PARTS_H
#define PROXY_CACHE_PARTS_H

#include "proxy/cache/flight.h"
#include "proxy/cache/proof.h"
#include "proxy/cache/refresh.h"
#include "proxy/cache/signatures.h"
#include "proxy/cache/store.h"
#include "proxy/cache/unconfirmed.h"
#include "proxy/cache/watermark.h"

/* The PGWEIR_MUTATE_* branches of this folder each leave out one rule. They exist to show that tests/truth sees it. */

#define ROWS_ASKED 1024u
#define ROWS_MANY 1u

struct cache {
	atomic_uint refs;
	_Atomic size_t max_result;
	struct versions versions;
	struct signatures signatures;
	struct unconfirmed unconfirmed;
	struct proof_state proof;
	struct watermark watermark;
	struct store store;
	struct flights flights;
	struct refreshes refreshes;

	/* By relation: 0 = nobody reads it by key, ROWS_MANY = statements of several shapes do, else the hash of the only one. Two relations
	 * in one place only keep rows that nobody needs. */
	_Atomic uint64_t rows_asked[ROWS_ASKED];

	_Atomic uint32_t wal_block, wal_segment;
	_Atomic(const char *) off_reason; /* static text */
	_Atomic int64_t resets, invalidations;

	pthread_mutex_t catalog_lock;
	char *settings; /* owned: catalog_settings_fingerprint of the last one; NULL = none yet */
	atomic_uint settings_changes;
	struct catalog *catalog; /* counted; NULL while off */
#ifdef PGWEIR_MUTATE_APPLY
	struct change late[64];
	unsigned nlate;
#endif
};

/* cache.c: a snapshot of the primary, asked for under `epoch`. */
void confirm(struct cache *c, uint64_t epoch, const struct snapshot *s);

/* fill.c: the fill rule; of the lease's keys, the first `nkeys` are those that the entry will depend on. */
bool fill_allowed(const struct cache *c, const struct lease *l, unsigned nkeys, const struct snapshot *s0);
/* The versions of rows that are known only now; RECENT_NONE: they may be kept with these. */
enum versions_recent fill_note_rows(struct cache *c, const struct lease *l, const uint64_t *rows,
				    unsigned nrows, struct lease_key *keys_r);

#endif
