#include "proxy/cache/cache.h"

#include "proxy/base/check.h"
#include "proxy/cache/flight.h"
#include "proxy/cache/proof.h"
#include "proxy/cache/store.h"
#include "proxy/cache/unconfirmed.h"
#include "proxy/cache/watermark.h"
#include "proxy/sql/reads.h"
#include "protocol/lsn.h"

#include <stdlib.h>
#include <unistd.h>

/* The PGWEIR_MUTATE_* branches each leave out one rule. They exist to show that tests/truth sees it. */

struct cache {
	atomic_uint refs;
	_Atomic size_t max_result;
	struct versions versions;
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

static size_t owned_besides_entries(const struct cache *c)
{
	return sizeof(*c) - sizeof(c->store) + versions_bytes(&c->versions) + unconfirmed_bytes();
}

struct cache *cache_new(const struct cache_settings *set)
{
	struct cache *c = aligned_alloc(64, (sizeof(*c) + 63) / 64 * 64);

	if (c == NULL)
		return NULL;
	memset(c, 0, sizeof(*c));
	if (versions_init(&c->versions, set->bytes) != 0)
		goto no_versions;
	if (unconfirmed_init(&c->unconfirmed) != 0)
		goto no_unconfirmed;
	if (store_init(&c->store, &c->versions, set->bytes, owned_besides_entries(c)) != 0)
		goto no_store;
	atomic_init(&c->refs, 1);
	atomic_init(&c->max_result, set->max_result);
	atomic_init(&c->off_reason, "not started");
	proof_init(&c->proof);
	watermark_init(&c->watermark);
	flights_init(&c->flights);
	check(pthread_mutex_init(&c->catalog_lock, NULL) == 0);
	return c;
no_store:
	unconfirmed_done(&c->unconfirmed);
no_unconfirmed:
	versions_done(&c->versions);
no_versions:
	free(c);
	return NULL;
}

struct cache *cache_ref(struct cache *c)
{
	check(atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed) != 0);
	return c;
}

void cache_unref(struct cache *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	cache_turn_off(c, "closed");
	flights_done(&c->flights);
	watermark_done(&c->watermark);
	store_done(&c->store);
	proof_done(&c->proof);
	unconfirmed_done(&c->unconfirmed);
	versions_done(&c->versions);
	pthread_mutex_destroy(&c->catalog_lock);
	free(c);
}

void cache_resize(struct cache *c, const struct cache_settings *set)
{
	atomic_store(&c->max_result, set->max_result);
	store_resize(&c->store, set->bytes);
}

/* --- state --- */

bool cache_on(const struct cache *c)
{
	return versions_on(&c->versions);
}

uint64_t cache_epoch(const struct cache *c)
{
	return versions_epoch(&c->versions);
}

uint64_t cache_position(const struct cache *c)
{
	return watermark_pos(&c->watermark);
}

struct catalog *cache_catalog(struct cache *c)
{
	struct catalog *catalog;

	pthread_mutex_lock(&c->catalog_lock);
	catalog = c->catalog == NULL ? NULL : catalog_ref(c->catalog);
	pthread_mutex_unlock(&c->catalog_lock);
	return catalog;
}

const char *cache_off_reason(const struct cache *c)
{
	return atomic_load(&c->off_reason);
}

size_t cache_bytes(const struct cache *c)
{
	return atomic_load_explicit(&c->store.used, memory_order_relaxed) + flights_bytes(&c->flights);
}

size_t cache_entries(const struct cache *c)
{
	return atomic_load_explicit(&c->store.entries, memory_order_relaxed);
}

void cache_counters(const struct cache *c, int64_t sum[NCOUNTERS])
{
	sum[COUNTER_cache_evictions] += atomic_load_explicit(&c->store.evictions, memory_order_relaxed);
	sum[COUNTER_cache_resets] += atomic_load_explicit(&c->resets, memory_order_relaxed);
	sum[COUNTER_invalidations] += atomic_load_explicit(&c->invalidations, memory_order_relaxed);
	sum[COUNTER_cache_bytes] += (int64_t)cache_bytes(c);
	sum[COUNTER_cache_entries] += (int64_t)cache_entries(c);
}

/* --- readers --- */

/* Why an answer that passes cache_store holds all that was received and touches it, for a transaction X that was applied
 *  - after the versions were read here: X raises a version that was noted, so the lease is dead;
 *  - before: the raised version was read, so (release and acquire on that counter) X was on the unconfirmed list when it was
 *    read next. Either it is listed in the lease, and the fill needs a snapshot s0 that shows X completed; or a snapshot
 *    had shown it completed and it was taken off before this statement left.
 * In both cases X is completed before the statement's own snapshot is taken, and completion is for ever.
 * The other way round (list, then versions) X could be pushed and raised between the two, and be in neither. */
void lease_take(struct cache *c, uint64_t epoch, const uint64_t *keys, unsigned nkeys, const uint32_t *relids,
		unsigned nrels, struct lease *lease_r)
{
	lease_r->epoch = epoch;
	lease_r->nkeys = 0;
	lease_r->nxids = 0;
	lease_r->full = nkeys > LEASE_KEYS || epoch % 2 == 0;
	if (lease_r->full)
		return;
	versions_take(&c->versions, keys, nkeys, lease_r->key);
	lease_r->nkeys = nkeys;
	lease_r->full =
		!unconfirmed_match(&c->unconfirmed, relids, nrels, lease_r->xid, LEASE_XIDS, &lease_r->nxids);
#ifdef PGWEIR_MUTATE_UNCONFIRMED
	lease_r->full = false;
	lease_r->nxids = 0;
#endif
}

bool lease_alive(const struct cache *c, const struct lease *l)
{
	return !l->full && versions_unchanged(&c->versions, l->epoch, l->key, l->nkeys);
}

static bool fill_allowed(const struct cache *c, const struct lease *l, const struct snapshot *s0)
{
	if (l->full || (l->nxids > 0 && s0 == NULL))
		return false;
	for (unsigned i = 0; i < l->nxids; i++) {
		if (!snapshot_completed(s0, l->xid[i]))
			return false;
	}
	return versions_unchanged(&c->versions, l->epoch, l->key, l->nkeys);
}

int cache_store(struct cache *c, struct span key, struct blob *answer, const struct lease *l,
		const struct snapshot *s0)
{
#ifdef PGWEIR_MUTATE_FILL_RULE
	struct lease now = *l; /* as if nothing had happened since the statement left */

	for (unsigned i = 0; i < now.nkeys; i++)
		now.key[i].version = atomic_load(&c->versions.slot[now.key[i].slot]);
	now.epoch = cache_epoch(c);
	now.nxids = 0;
	now.full = l->full && l->nkeys == 0;
	l = &now;
#endif
	if (s0 != NULL)
		unconfirmed_confirm(&c->unconfirmed, &c->versions, l->epoch, s0);
	/* If a version is raised between this and the entry's appearance, find sees that it is dead. */
	if (!fill_allowed(c, l, s0))
		return 0;
	if (answer->n > atomic_load_explicit(&c->max_result, memory_order_relaxed))
		return -1;
	return store_put(&c->store, key, answer, l);
}

struct entry *cache_find(struct cache *c, struct span key)
{
	return cache_on(c) ? store_find(&c->store, key) : NULL;
}

void cache_confirm(struct cache *c, uint64_t epoch, const struct snapshot *s)
{
	unconfirmed_confirm(&c->unconfirmed, &c->versions, epoch, s);
}

/* --- proof --- */

/* At PROOF_NOW every transaction that is visible in s, and so every one that was acknowledged before the probe was sent, has been
 * applied. Its commit record was in the log before it became visible, hence before insert was read (a statement's
 * snapshot comes before its functions are evaluated).
 *  - pos >= insert: the stream has brought all records up to there, and pos rises after they were applied.
 *  - pos >= flush, and s explained: what is completed in s has been received, or was completed in E, whose insert LSN the stream
 *    has passed. Received means applied: proof_received comes after the versions were raised. (What was flushed before
 *    it became visible lies below flush; the rest is why the explanation is needed.)
 * The reader looks its entry up after this. pos is read with acquire, and the received xids under their lock, so it sees the
 * versions that were raised before. */
enum proof cache_prove_again(struct cache *c, uint64_t epoch, uint64_t insert, uint64_t flush,
			     const struct snapshot *s, uint64_t *target_r)
{
	uint32_t block = atomic_load_explicit(&c->wal_block, memory_order_relaxed);
	uint32_t segment = atomic_load_explicit(&c->wal_segment, memory_order_relaxed);
	uint64_t pos, target = 0;

	insert = lsn_normalise(insert, block, segment);
	flush = lsn_normalise(flush, block, segment);
#ifdef PGWEIR_MUTATE_PROBE
	insert = flush = 0;
#endif
	pos = watermark_pos(&c->watermark);
	if (pos >= insert)
		proof_rebase(&c->proof, &c->versions, epoch, s);
	else if (pos < flush)
		target = flush;
	else if (!proof_explains(&c->proof, &c->versions, epoch, s))
		target = insert;
	/* Last: all that was looked at belongs to the epoch under which the question was asked. */
	if (epoch % 2 == 0 || cache_epoch(c) != epoch)
		return PROOF_OFF;
	if (target == 0)
		return PROOF_NOW;
	*target_r = target;
	return PROOF_WAIT;
}

enum proof cache_prove(struct cache *c, uint64_t epoch, uint64_t insert, uint64_t flush,
		       const struct snapshot *s, uint64_t *target_r)
{
	unconfirmed_confirm(&c->unconfirmed, &c->versions, epoch, s);
	return cache_prove_again(c, epoch, insert, flush, s, target_r);
}

void position_wait(struct cache *c, struct position_wait *w)
{
	watermark_wait(&c->watermark, &c->versions, w);
}

bool position_cancel(struct cache *c, struct position_wait *w)
{
	return watermark_cancel(&c->watermark, w);
}

/* --- flights --- */

bool flight_join(struct cache *c, struct span key, struct flight_wait *w)
{
	return flights_join(&c->flights, key, w);
}

void flight_done(struct cache *c, struct span key)
{
	flights_end(&c->flights, key);
}

bool flight_cancel(struct cache *c, struct span key, struct flight_wait *w)
{
	return flights_cancel(&c->flights, key, w);
}

/* --- feed --- */

void cache_set_wal_sizes(struct cache *c, uint32_t block, uint32_t segment)
{
	atomic_store(&c->wal_block, block);
	atomic_store(&c->wal_segment, segment);
}

static void swap_catalog(struct cache *c, struct catalog *catalog)
{
	struct catalog *old;

	if (catalog != NULL)
		catalog_ref(catalog);
	pthread_mutex_lock(&c->catalog_lock);
	old = c->catalog;
	c->catalog = catalog;
	pthread_mutex_unlock(&c->catalog_lock);
	if (old != NULL)
		catalog_unref(old);
}

/* The epoch comes last: a lease of it sees the baseline, a reader who has read it gets this catalog. */
void cache_turn_on(struct cache *c, struct catalog *catalog, uint64_t pos, const struct snapshot *first)
{
	check(!cache_on(c));
	unconfirmed_baseline(&c->unconfirmed, first);
	proof_start(&c->proof, first);
	watermark_set(&c->watermark, pos);
	swap_catalog(c, catalog);
	atomic_store(&c->off_reason, "");
	versions_turn_on(&c->versions);
}

/* The epoch comes first: from here nothing of it is found, stored, confirmed or proven. Then what belongs to it goes. The list of
 * unconfirmed transactions goes too: whoever was on it and still runs will be in the next turn_on's `first`. */
void cache_turn_off(struct cache *c, const char *why)
{
	bool was_on = cache_on(c);

	atomic_store(&c->off_reason, why);
	versions_turn_off(&c->versions);
	unconfirmed_clear(&c->unconfirmed);
	proof_reset(&c->proof);
	swap_catalog(c, NULL);
	if (was_on) {
		store_clear(&c->store);
		atomic_fetch_add_explicit(&c->resets, 1, memory_order_relaxed);
	}
	watermark_wake_all(&c->watermark);
}

static void empty(struct cache *c)
{
	if (!cache_on(c))
		return;
	versions_new_epoch(&c->versions);
	store_clear(&c->store);
	atomic_fetch_add_explicit(&c->resets, 1, memory_order_relaxed);
}

void cache_set_catalog(struct cache *c, struct catalog *catalog)
{
	if (!cache_on(c))
		return;
	swap_catalog(c, catalog);
	empty(c);
}

static void raise_all(struct cache *c, const struct change *change)
{
	int64_t n = 0;

	if (change->everything) {
		empty(c);
		return;
	}
	for (size_t i = 0; i < change->nkeys; i++, n++)
		versions_raise(&c->versions, change->keys[i]);
	for (size_t i = 0; i < change->nrels; i++, n++) {
		versions_raise(&c->versions, readkey_any(change->rels[i].relid));
		if (change->rels[i].whole) {
			versions_raise(&c->versions, readkey_whole(change->rels[i].relid));
			n++;
		}
	}
	atomic_fetch_add_explicit(&c->invalidations, n, memory_order_relaxed);
}

/* The order carries two proofs. On the unconfirmed list before a version is raised: see lease_take. Among the received after the last
 * version is raised: a probe may be explained by it from then on, and the reader serves at once (see cache_prove_again). */
static void apply(struct cache *c, const struct change *change)
{
	unconfirmed_push(&c->unconfirmed, change);
	raise_all(c, change);
	proof_received(&c->proof, change->xid);
}

#ifndef PGWEIR_MUTATE_APPLY

void cache_apply(struct cache *c, const struct change *change)
{
	apply(c, change);
}

void cache_advance(struct cache *c, uint64_t lsn)
{
	watermark_advance(&c->watermark, lsn);
}

#else

/* The position first, and what it stands for a little later. */
void cache_apply(struct cache *c, const struct change *change)
{
	struct change *copy = &c->late[c->nlate];

	if (c->nlate == sizeof(c->late) / sizeof(c->late[0]) || change->everything) {
		apply(c, change);
		return;
	}
	change_init(copy, change->nkeys);
	change_begin(copy, change->xid);
	for (size_t i = 0; i < change->nkeys; i++)
		change_key(copy, 0, change->keys[i]);
	copy->nrels = 0;
	for (size_t i = 0; i < change->nrels; i++)
		change_relation(copy, change->rels[i].relid, change->rels[i].whole);
	c->nlate++;
}

void cache_advance(struct cache *c, uint64_t lsn)
{
	watermark_advance(&c->watermark, lsn);
	if (c->nlate > 0)
		usleep(500);
	for (unsigned i = 0; i < c->nlate; i++) {
		apply(c, &c->late[i]);
		change_free(&c->late[i]);
	}
	c->nlate = 0;
}

#endif
