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
#include "proxy/cache/signatures.h"
#include "proxy/cache/store.h"
#include "proxy/cache/unconfirmed.h"
#include "proxy/cache/watermark.h"

/* The PGWEIR_MUTATE_* branches of this folder each leave out one rule. They exist to show that tests/truth sees it. */

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

	_Atomic uint32_t wal_block, wal_segment;
	_Atomic(const char *) off_reason; /* static text */
	_Atomic int64_t resets, invalidations;

	pthread_mutex_t catalog_lock;
	struct catalog *catalog; /* counted; NULL while off */
#ifdef PGWEIR_MUTATE_APPLY
	struct change late[64];
	unsigned nlate;
#endif
};

#endif
