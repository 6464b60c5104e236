#include "proxy/cache/versions.h"

#include <stdlib.h>

int versions_init(struct versions *v, size_t bytes)
{
	uint32_t n = VERSIONS_MAX;

	while (n > VERSIONS_MIN && n * sizeof(*v->slot) > bytes / 16)
		n /= 2;
	v->slot = calloc(n, sizeof(*v->slot));
	if (v->slot == NULL)
		return -1;
	v->mask = n - 1;
	atomic_init(&v->epoch, 0);
	atomic_init(&v->nrecent, 0);
	return 0;
}

void versions_done(struct versions *v)
{
	free(v->slot);
	v->slot = NULL;
}

size_t versions_bytes(const struct versions *v)
{
	return ((size_t)v->mask + 1) * sizeof(*v->slot);
}

uint64_t versions_epoch(const struct versions *v)
{
	return atomic_load_explicit(&v->epoch, memory_order_acquire);
}

bool versions_on(const struct versions *v)
{
	return versions_epoch(v) % 2 == 1;
}

void versions_turn_on(struct versions *v)
{
	uint64_t epoch = versions_epoch(v);

	atomic_store(&v->epoch, epoch + 1 + epoch % 2);
}

void versions_turn_off(struct versions *v)
{
	uint64_t epoch = versions_epoch(v);

	atomic_store(&v->epoch, epoch + 2 - epoch % 2);
}

void versions_new_epoch(struct versions *v)
{
	atomic_store(&v->epoch, versions_epoch(v) + 2);
}

static uint32_t slot_of(const struct versions *v, uint64_t key)
{
	return (uint32_t)(key ^ key >> 32) & v->mask;
}

void versions_raise(struct versions *v, uint64_t key)
{
	_Atomic uint32_t *slot = &v->slot[slot_of(v, key)];
	uint32_t now =
		atomic_load_explicit(slot, memory_order_relaxed); /* one writer: no exchange is needed */

	/* Before a counter comes round to values that old leases hold, the epoch changes; versions_unchanged looks at the
	 * epoch after the counters. So an old value is never taken for an unchanged one, however old the lease. */
	if (now == UINT32_MAX)
		versions_new_epoch(v);
	/* Release: who sees the raised counter also sees the transaction in the unconfirmed list (cache_apply). */
	atomic_store_explicit(slot, now + 1, memory_order_release);
}

void versions_take(const struct versions *v, const uint64_t *keys, unsigned nkeys, struct lease_key *keys_r)
{
	for (unsigned i = 0; i < nkeys; i++) {
		keys_r[i].slot = slot_of(v, keys[i]);
		keys_r[i].version = atomic_load_explicit(&v->slot[keys_r[i].slot], memory_order_acquire);
	}
}

bool versions_unchanged(const struct versions *v, uint64_t epoch, const struct lease_key *keys,
			unsigned nkeys)
{
	for (unsigned i = 0; i < nkeys; i++) {
		if (atomic_load_explicit(&v->slot[keys[i].slot], memory_order_acquire) != keys[i].version)
			return false;
	}
	return versions_epoch(v) == epoch;
}

/* ---- rows raised lately ---- */

/* On the list before the counter is raised: who reads the raised counter finds it on the list. */
void versions_raise_row(struct versions *v, uint64_t key)
{
	uint64_t n = atomic_load_explicit(&v->nrecent, memory_order_relaxed); /* one writer */

	atomic_store_explicit(&v->recent[n % VERSIONS_RECENT], slot_of(v, key), memory_order_release);
	atomic_store_explicit(&v->nrecent, n + 1, memory_order_release);
	versions_raise(v, key);
}

uint64_t versions_raised(const struct versions *v)
{
	return atomic_load_explicit(&v->nrecent, memory_order_acquire);
}

#define SIEVE_BITS 65536u

static bool listed(uint32_t slot, const struct lease_key *keys, unsigned nkeys)
{
	for (unsigned i = 0; i < nkeys; i++)
		if (keys[i].slot == slot)
			return true;
	return false;
}

static bool raised_between(const struct versions *v, uint64_t since, uint64_t now,
			   const struct lease_key *keys, unsigned nkeys)
{
	uint64_t sieve[SIEVE_BITS / 64] = {0};

	for (unsigned i = 0; i < nkeys; i++)
		sieve[keys[i].slot % SIEVE_BITS / 64] |= UINT64_C(1) << (keys[i].slot % 64);
	for (uint64_t i = since; i < now; i++) {
		/* Acquire: who reads what was written over it also reads a running number that tells of it. */
		uint32_t slot = atomic_load_explicit(&v->recent[i % VERSIONS_RECENT], memory_order_acquire);

		if ((sieve[slot % SIEVE_BITS / 64] >> (slot % 64) & 1) != 0 && listed(slot, keys, nkeys))
			return true;
	}
	return false;
}

enum versions_recent versions_recent(const struct versions *v, uint64_t since, const struct lease_key *keys,
				     unsigned nkeys)
{
	uint64_t now = atomic_load_explicit(&v->nrecent, memory_order_acquire);
	bool raised;

	if (now == since)
		return RECENT_NONE;
	if (now - since >= VERSIONS_RECENT)
		return RECENT_UNKNOWN;
	raised = raised_between(v, since, now, keys, nkeys);
	/* What was read may have been overwritten meanwhile; then the writer has come round. */
	if (atomic_load_explicit(&v->nrecent, memory_order_relaxed) - since >= VERSIONS_RECENT)
		return RECENT_UNKNOWN;
	return raised ? RECENT_RAISED : RECENT_NONE;
}
