/* versions.h - the counters that tell whether something that an answer depends on has changed, and the epoch.
 * Source  docs/coherence.md, "invalidate".
 * Shape   a power of two of 32-bit counters; a readkey hash selects one. epoch: odd = on, even = off.
 * Owner   the cache.
 * Thread  one writer (the feed); readers any.
 * Errors  versions_init returns -1 when memory is gone. */
#ifndef PROXY_CACHE_VERSIONS_H
#define PROXY_CACHE_VERSIONS_H

#include "proxy/cache/cache.h"

#define VERSIONS_MAX (1u << 20)
#define VERSIONS_MIN (1u << 12)
#define VERSIONS_RECENT (1u << 13)

struct versions {
	_Atomic uint64_t epoch;
	uint32_t mask;
	_Atomic uint32_t *slot; /* owned */
	/* The counters that were raised last for single rows, newest last: what happened while a statement ran. */
	_Atomic uint64_t nrecent;
	_Atomic uint32_t recent[VERSIONS_RECENT];
};

/* As many counters as a sixteenth of `bytes` holds, within the limits above. */
int versions_init(struct versions *v, size_t bytes);
void versions_done(struct versions *v);
size_t versions_bytes(const struct versions *v);

uint64_t versions_epoch(const struct versions *v);
bool versions_on(const struct versions *v);
/* The feed's. Each leaves an epoch that was never seen before. */
void versions_turn_on(struct versions *v);
void versions_turn_off(struct versions *v);
void versions_new_epoch(struct versions *v);
void versions_raise(struct versions *v, uint64_t key);
void versions_raise_row(struct versions *v, uint64_t key);

void versions_take(const struct versions *v, const uint64_t *keys, unsigned nkeys, struct lease_key *keys_r);
bool versions_unchanged(const struct versions *v, uint64_t epoch, const struct lease_key *keys,
			unsigned nkeys);

uint64_t versions_raised(const struct versions *v);
/* Was one of the keys raised by versions_raise_row since versions_raised() said `since`? Ask after versions_take of the keys. */
enum versions_recent { RECENT_NONE, RECENT_RAISED, RECENT_UNKNOWN };
enum versions_recent versions_recent(const struct versions *v, uint64_t since, const struct lease_key *keys,
				     unsigned nkeys);

#endif
