/* The bound of memory, and who goes first. */
#include "proxy/base/clock.h"
#include "tests/unit/cache/kit.h"

#include <malloc.h>

static int put(struct cache *c, const char *prefix, unsigned i, size_t n)
{
	struct lease l = kit_lease(c, 7, 100000 + i);
	char key[64];
	uint8_t *bytes = calloc(1, n);
	struct blob *blob = blob_new(span_of(bytes, n));
	int got;

	snprintf(key, sizeof(key), "%s %u", prefix, i);
	got = cache_store(c, span_str(key), blob, &l, NULL);
	blob_unref(blob);
	free(bytes);
	return got;
}

static bool has(struct cache *c, const char *prefix, unsigned i)
{
	char key[64];
	struct entry *entry;

	snprintf(key, sizeof(key), "%s %u", prefix, i);
	entry = cache_find(c, span_str(key));
	if (entry == NULL)
		return false;
	entry_unref(entry);
	return true;
}

static int64_t counter(struct cache *c, enum counter id)
{
	int64_t sum[NCOUNTERS] = {0};

	cache_counters(c, sum);
	return sum[id];
}

TEST(store, keeps_to_its_bytes)
{
	const size_t limit = 8 << 20;
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, grown;
	struct cache *c = kit_cache(limit);

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 60000; i++) {
		EXPECT_EQ(put(c, "row", i, i % 10 == 0 ? 3000 : 60), 1);
		if (i % 1000 == 0)
			EXPECT(cache_bytes(c) <= limit);
	}
	EXPECT(cache_bytes(c) <= limit);
	EXPECT(cache_bytes(c) > limit * 9 / 10);
	EXPECT(counter(c, COUNTER_cache_evictions) > 1000);
	EXPECT_EQ(counter(c, COUNTER_cache_evictions) + counter(c, COUNTER_cache_entries), 60000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	grown = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	EXPECT(grown <= limit + limit / 50);
	EXPECT(grown >= limit / 2);
#else
	(void)before;
	(void)grown;
#endif
	cache_unref(c);
}

TEST(store, the_hot_set_survives_a_scan)
{
	struct cache *c = kit_cache(8 << 20);
	unsigned kept = 0;

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 500; i++)
		EXPECT_EQ(put(c, "hot", i, 1000), 1);
	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < 500; i++)
			EXPECT(has(c, "hot", i));
	for (unsigned i = 0; i < 40000; i++)
		put(c, "scan", i, 1000);
	for (unsigned i = 0; i < 500; i++)
		kept += has(c, "hot", i);
	EXPECT(kept >= 490);
	EXPECT(counter(c, COUNTER_cache_evictions) > 20000);
	cache_unref(c);
}

/* Without a hit on the hot ones meanwhile, and with newcomers of all sizes. */
#ifdef __SANITIZE_THREAD__
#define SCANNED 100000u /* one thread: it would only take long */
#else
#define SCANNED 1000000u
#endif

TEST(store, the_hot_set_survives_a_million_distinct_keys)
{
	const unsigned scanned = SCANNED;
	struct cache *c = kit_cache(4 << 20);
	unsigned kept = 0;

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 1000; i++)
		EXPECT_EQ(put(c, "hot", i, 300), 1);
	for (int round = 0; round < 2; round++)
		for (unsigned i = 0; i < 1000; i++)
			EXPECT(has(c, "hot", i));
	for (unsigned i = 0; i < scanned; i++)
		put(c, "scan", i, i % 97 == 0 ? 5000 : 20 + i % 300);
	for (unsigned i = 0; i < 1000; i++)
		kept += has(c, "hot", i);
	EXPECT(kept >= 980);
	EXPECT(counter(c, COUNTER_cache_evictions) > scanned * 9 / 10);
	EXPECT(cache_bytes(c) <= 4 << 20);
	cache_unref(c);
}

TEST(store, who_comes_back_soon_is_kept)
{
	struct cache *c = kit_cache(8 << 20);
	unsigned kept = 0;

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 8000; i++)
		put(c, "scan", i, 1000);
	/* Pushed out without a hit, but asked for again: now they outlive the next scan. */
	for (unsigned i = 0; i < 300; i++)
		put(c, "late", i, 1000);
	for (unsigned i = 8000; i < 9000; i++)
		put(c, "scan", i, 1000);
	for (unsigned i = 0; i < 300; i++)
		put(c, "late", i, 1000);
	for (unsigned i = 9000; i < 12000; i++)
		put(c, "scan", i, 1000);
	for (unsigned i = 0; i < 300; i++)
		kept += has(c, "late", i);
	EXPECT(kept >= 200);
	cache_unref(c);
}

TEST(store, shrinks_when_told)
{
	struct cache *c = kit_cache(16 << 20);

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 9000; i++)
		put(c, "row", i, 1000);
	EXPECT(cache_bytes(c) > 8 << 20);
	cache_resize(c, &(struct cache_settings){.bytes = 4 << 20, .max_result = 1 << 20});
	EXPECT(cache_bytes(c) <= 4 << 20);
	EXPECT(cache_entries(c) > 100);
	EXPECT_EQ(put(c, "row", 1, 1000), 1);
	cache_unref(c);
}

TEST(store, one_answer_cannot_throw_out_all_others)
{
	struct cache *c = kit_cache(8 << 20);

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 100; i++)
		put(c, "row", i, 1000);
	EXPECT_EQ(put(c, "giant", 1, 6 << 20), -1);
	EXPECT_EQ(cache_entries(c), 100);
	EXPECT_EQ(put(c, "big", 1, 3 << 20), 1);
	EXPECT(has(c, "big", 1));
	EXPECT(cache_bytes(c) <= 8 << 20);
	cache_unref(c);
}

TEST(store, too_small_a_cache_stores_nothing)
{
	struct cache *c = kit_cache(1000);

	kit_turn_on(c, 1, "100:100:");
	EXPECT_EQ(put(c, "row", 1, 10), -1);
	EXPECT(!has(c, "row", 1));
	cache_unref(c);
}

TEST(store, going_off_gives_the_memory_back)
{
	struct cache *c = kit_cache(16 << 20);
	size_t empty = cache_bytes(c);

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 1000; i++)
		put(c, "row", i, 1000);
	cache_turn_off(c, "test");
	EXPECT_EQ(cache_entries(c), 0);
	EXPECT_EQ(cache_bytes(c), empty);
	EXPECT_EQ(counter(c, COUNTER_cache_resets), 1);
	cache_unref(c);
}

TEST(store, dead_entries_go_before_live_ones)
{
	struct cache *c = kit_cache(8 << 20);
	struct change change;

	kit_turn_on(c, 1, "100:100:");
	for (unsigned i = 0; i < 1000; i++)
		put(c, "dead", i, 1000);
	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < 1000; i++)
			has(c, "dead", i);
	change_init(&change, 2000);
	change_begin(&change, 100);
	for (unsigned i = 0; i < 1000; i++)
		change_key(&change, 7, 100000 + i);
	cache_apply(c, &change);
	change_free(&change);
	EXPECT_EQ(counter(c, COUNTER_invalidations), 1001);
	kit_confirm(c, "101:101:");
	for (unsigned i = 1000; i < 7500; i++)
		put(c, "row", i, 1000);
	EXPECT(counter(c, COUNTER_cache_evictions) <= 1000 + 1500);
	for (unsigned i = 0; i < 1000; i++)
		EXPECT(!has(c, "dead", i));
	cache_unref(c);
}

TEST(store, a_look_up_is_cheap)
{
	struct cache *c = kit_cache(64 << 20);
	uint64_t best = UINT64_MAX;
	char key[300];

	kit_turn_on(c, 1, "100:100:");
	memset(key, 'x', sizeof(key));
	for (unsigned i = 0; i < 20000; i++)
		put(c, "row", i, 200);
	for (int round = 0; round < 20; round++) {
		uint64_t from = clock_ns(), took;

		for (unsigned i = 0; i < 10000; i++)
			EXPECT(has(c, "row", i * 7 % 20000));
		took = (clock_ns() - from) / 10000;
		best = took < best ? took : best;
	}
	fprintf(stderr, "a look-up, with printing its key: %lu ns\n", (unsigned long)best);
	EXPECT(best < 20000);
	cache_unref(c);
}
