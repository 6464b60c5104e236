/* kit.h - what the tests of the cache share.
 * Source  none.
 * Shape   short ways to make snapshots, changes, leases and answers.
 * Owner   the test.
 * Thread  the test's.
 * Errors  abort. */
#ifndef TESTS_UNIT_CACHE_KIT_H
#define TESTS_UNIT_CACHE_KIT_H

#include "proxy/cache/cache.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static inline struct snapshot kit_snapshot(const char *text)
{
	struct snapshot s;

	if (snapshot_parse(span_str(text), &s) != 0)
		abort();
	return s;
}

static inline struct cache *kit_cache(size_t bytes)
{
	struct cache *c = cache_new(&(struct cache_settings){.bytes = bytes, .max_result = bytes});

	if (c == NULL)
		abort();
	return c;
}

static inline void kit_turn_on(struct cache *c, uint64_t pos, const char *first)
{
	struct snapshot s = kit_snapshot(first);

	cache_turn_on(c, NULL, pos, &s);
	snapshot_free(&s);
}

/* A cache that is on, at position 1000, with nothing running below xid 100. */
static inline struct cache *kit_cache_on(void)
{
	struct cache *c = kit_cache(64 << 20);

	kit_turn_on(c, 1000, "100:100:");
	return c;
}

/* One transaction that touched the row `key` of relation `relid`. */
static inline void kit_apply(struct cache *c, uint32_t xid, uint32_t relid, uint64_t key)
{
	struct change change;

	change_init(&change, 100);
	change_begin(&change, xid);
	change_relation(&change, relid, false);
	change_key(&change, relid, key);
	cache_apply(c, &change);
	change_free(&change);
}

static inline void kit_apply_everything(struct cache *c, uint32_t xid)
{
	struct change change;

	change_init(&change, 100);
	change_begin(&change, xid);
	change.everything = true;
	cache_apply(c, &change);
	change_free(&change);
}

static inline struct lease kit_lease(struct cache *c, uint32_t relid, uint64_t key)
{
	struct lease l;

	lease_take(c, cache_epoch(c), &key, 1, 0, &relid, 1, &l);
	return l;
}

/* `s0` as text, or NULL. */
static inline int kit_store(struct cache *c, const char *key, const char *answer, const struct lease *l,
			    const char *s0)
{
	struct blob *blob = blob_new(span_str(answer));
	struct snapshot s = {0};
	int got;

	if (s0 != NULL)
		s = kit_snapshot(s0);
	got = cache_store(c, span_str(key), blob, l, s0 == NULL ? NULL : &s);
	snapshot_free(&s);
	blob_unref(blob);
	return got;
}

/* Is it there, with this answer? */
static inline bool kit_has(struct cache *c, const char *key, const char *answer)
{
	struct entry *entry = cache_find(c, span_str(key));
	bool same;

	if (entry == NULL)
		return false;
	same = span_eq(span_of(entry_answer(entry)->bytes, entry_answer(entry)->n), span_str(answer));
	entry_unref(entry);
	return same;
}

static inline void kit_confirm(struct cache *c, const char *snapshot)
{
	struct snapshot s = kit_snapshot(snapshot);

	cache_confirm(c, cache_epoch(c), &s);
	snapshot_free(&s);
}

static inline enum proof kit_prove(struct cache *c, uint64_t insert, uint64_t flush, const char *snapshot,
				   uint64_t *target_r)
{
	struct snapshot s = kit_snapshot(snapshot);
	enum proof got = cache_prove(c, cache_epoch(c), insert, flush, &s, target_r);

	snapshot_free(&s);
	return got;
}

#endif
