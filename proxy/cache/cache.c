/* Life and state of a cache, and what is only handed on to one of its parts. */
#include "proxy/cache/cache.h"

#include "proxy/base/check.h"
#include "proxy/cache/parts.h"

#include <stdlib.h>

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
	signatures_init(&c->signatures);
	atomic_init(&c->max_result, set->max_result);
	atomic_init(&c->off_reason, "not started");
	proof_init(&c->proof);
	watermark_init(&c->watermark);
	flights_init(&c->flights);
	refresh_init(&c->refreshes, &c->store, &c->versions);
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
	refresh_done(&c->refreshes);
	watermark_done(&c->watermark);
	store_done(&c->store);
	proof_done(&c->proof);
	unconfirmed_done(&c->unconfirmed);
	signatures_done(&c->signatures);
	versions_done(&c->versions);
	pthread_mutex_destroy(&c->catalog_lock);
	free(c->settings);
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

unsigned cache_settings_changes(const struct cache *c)
{
	return atomic_load(&c->settings_changes);
}

const char *cache_off_reason(const struct cache *c)
{
	return atomic_load(&c->off_reason);
}

size_t cache_bytes(const struct cache *c)
{
	return atomic_load_explicit(&c->store.used, memory_order_relaxed) + flights_bytes(&c->flights) +
	       refresh_bytes(&c->refreshes);
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
	sum[COUNTER_cache_refreshes] += refresh_published(&c->refreshes);
	sum[COUNTER_cache_bytes] += (int64_t)cache_bytes(c);
	sum[COUNTER_cache_entries] += (int64_t)cache_entries(c);
}

/* --- what one part does alone --- */

bool cache_signature(struct cache *c, uint32_t relid, uint16_t ncols, const int16_t *attnums)
{
	return signatures_want(&c->signatures, relid, ncols, attnums);
}

struct signatures *cache_signatures(struct cache *c)
{
	return &c->signatures;
}

struct entry *cache_look(struct cache *c, struct span key, bool *killed_r)
{
	*killed_r = false;
	return cache_on(c) ? store_find(&c->store, key, killed_r) : NULL;
}

struct entry *cache_find(struct cache *c, struct span key)
{
	bool killed;

	return cache_look(c, key, &killed);
}

bool cache_alive(const struct cache *c, const struct entry *e)
{
	return cache_on(c) && entry_alive(e, &c->versions);
}

void confirm(struct cache *c, uint64_t epoch, const struct snapshot *s)
{
	unconfirmed_confirm(&c->unconfirmed, &c->versions, epoch, s);
	refresh_confirm(&c->refreshes, epoch, s);
}

void cache_confirm(struct cache *c, uint64_t epoch, const struct snapshot *s)
{
	confirm(c, epoch, s);
}

void cache_refresh(struct cache *c, uint64_t epoch, uint32_t relid, struct span who)
{
	refresh_want(&c->refreshes, epoch, relid, who);
}

bool cache_refresh_wanted(struct cache *c, uint32_t relid)
{
	return refresh_wanted(&c->refreshes, relid);
}

unsigned cache_refreshing(const struct cache *c)
{
	return refresh_pending(&c->refreshes);
}

void position_wait(struct cache *c, struct position_wait *w)
{
	watermark_wait(&c->watermark, &c->versions, w);
}

bool position_cancel(struct cache *c, struct position_wait *w)
{
	return watermark_cancel(&c->watermark, w);
}

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
