/* What the feed does to the cache: on and off, changes, position. */
#include "proxy/base/check.h"
#include "proxy/cache/parts.h"
#include "proxy/sql/reads.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cache_set_wal_sizes(struct cache *c, uint32_t block, uint32_t segment)
{
	atomic_store(&c->wal_block, block);
	atomic_store(&c->wal_segment, segment);
}

/* Also those that were set while it was off. */
static void note_settings(struct cache *c, const char *now)
{
	if (c->settings != NULL && strcmp(c->settings, now) == 0)
		return;
	if (c->settings != NULL)
		atomic_fetch_add(&c->settings_changes, 1);
	free(c->settings);
	c->settings = strdup(now);
	check(c->settings != NULL);
}

static void swap_catalog(struct cache *c, struct catalog *catalog)
{
	struct catalog *old;

	if (catalog != NULL)
		catalog_ref(catalog);
	pthread_mutex_lock(&c->catalog_lock);
	old = c->catalog;
	c->catalog = catalog;
	if (catalog != NULL)
		note_settings(c, catalog_settings_fingerprint(catalog));
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
	signatures_clear(&c->signatures);
	refresh_clear(&c->refreshes);
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
	refresh_clear(&c->refreshes);
	store_clear(&c->store);
	atomic_fetch_add_explicit(&c->resets, 1, memory_order_relaxed);
}

void cache_set_catalog(struct cache *c, struct catalog *catalog)
{
	if (!cache_on(c))
		return;
	signatures_clear(&c->signatures);
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
		versions_raise_row(&c->versions, change->keys[i]);
	for (size_t i = 0; i < change->nrels; i++, n++) {
		versions_raise(&c->versions, readkey_any(change->rels[i].relid));
		if (change->rels[i].gone) {
			versions_raise(&c->versions, readkey_gone(change->rels[i].relid));
			n++;
		}
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
	if (change->nrows > 0 && !change->everything)
		refresh_apply(&c->refreshes, change);
	proof_received(&c->proof, change->xid);
	signatures_end(&c->signatures);
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
	for (size_t i = 0; i < change->nrels; i++)
		if (change->rels[i].gone)
			change_gone(copy, change->rels[i].relid);
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
