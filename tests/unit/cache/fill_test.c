/* Which answers may be stored, and how long they live. */
#include "proxy/cache/unconfirmed.h"
#include "proxy/sql/reads.h"
#include "tests/unit/cache/kit.h"

TEST(fill, stores_when_nothing_happened)
{
	struct cache *c = kit_cache_on();
	struct lease l = kit_lease(c, 7, 71);

	EXPECT(!lease_needs_snapshot(&l));
	EXPECT(!l.full && lease_keys_alive(c, l.epoch, l.key, l.nkeys));
	EXPECT_EQ(kit_store(c, "q", "answer", &l, NULL), 1);
	EXPECT(kit_has(c, "q", "answer"));
	EXPECT(!kit_has(c, "p", "answer"));
	EXPECT_EQ(cache_entries(c), 1);
	cache_unref(c);
}

TEST(fill, refuses_when_a_version_moved)
{
	struct cache *c = kit_cache_on();
	struct lease l = kit_lease(c, 7, 71);

	kit_apply(c, 100, 7, 71);
	EXPECT(!l.full && !lease_keys_alive(c, l.epoch, l.key, l.nkeys));
	EXPECT_EQ(kit_store(c, "q", "old", &l, "101:101:"), 0);
	EXPECT(!kit_has(c, "q", "old"));
	cache_unref(c);
}

TEST(fill, stores_when_another_row_moved)
{
	struct cache *c = kit_cache_on();
	struct lease l = kit_lease(c, 7, 71);

	kit_apply(c, 100, 7, 72);
	EXPECT_EQ(kit_store(c, "q", "answer", &l, NULL), 1);
	cache_unref(c);
}

TEST(fill, asks_for_a_snapshot_after_a_change_of_the_relation)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	kit_apply(c, 100, 7, 71);
	l = kit_lease(c, 7, 71);
	EXPECT(lease_needs_snapshot(&l));
	EXPECT_EQ(l.nxids, 1);
	EXPECT_EQ(l.xid[0], 100);
	EXPECT_EQ(kit_store(c, "q", "old", &l, NULL), 0);
	EXPECT_EQ(kit_store(c, "q", "old", &l, "100:101:100"), 0);
	EXPECT_EQ(kit_store(c, "q", "old", &l, "100:100:"), 0);
	EXPECT_EQ(kit_store(c, "q", "new", &l, "101:102:"), 1);
	EXPECT(kit_has(c, "q", "new"));
	cache_unref(c);
}

TEST(fill, needs_no_snapshot_for_other_relations)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	kit_apply(c, 100, 8, 81);
	l = kit_lease(c, 7, 71);
	EXPECT(!lease_needs_snapshot(&l));
	EXPECT_EQ(kit_store(c, "q", "answer", &l, NULL), 1);
	cache_unref(c);
}

TEST(fill, every_unconfirmed_transaction_must_be_completed)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	kit_apply(c, 100, 7, 71);
	kit_apply(c, 103, 7, 72);
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 2);
	EXPECT_EQ(kit_store(c, "q", "old", &l, "101:105:103"), 0);
	EXPECT_EQ(kit_store(c, "q", "new", &l, "101:105:101,104"), 1);
	cache_unref(c);
}

TEST(fill, a_confirmed_transaction_is_not_asked_for_again)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	kit_apply(c, 100, 7, 71);
	kit_confirm(c, "100:102:100");
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 1);
	kit_confirm(c, "101:102:");
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 0);
	EXPECT_EQ(kit_store(c, "q", "answer", &l, NULL), 1);
	cache_unref(c);
}

TEST(fill, a_snapshot_of_a_store_confirms_too)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	kit_apply(c, 100, 7, 71);
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(kit_store(c, "q", "answer", &l, "101:101:"), 1);
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 0);
	cache_unref(c);
}

TEST(fill, a_snapshot_of_another_epoch_confirms_nothing)
{
	struct cache *c = kit_cache_on();
	struct snapshot s = kit_snapshot("200:200:");
	uint64_t before = cache_epoch(c);
	struct lease l;

	cache_turn_off(c, "test");
	kit_turn_on(c, 1000, "100:100:");
	kit_apply(c, 100, 7, 71);
	cache_confirm(c, before, &s);
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 1);
	snapshot_free(&s);
	cache_unref(c);
}

TEST(fill, whoever_runs_when_the_cache_goes_on_must_be_completed)
{
	struct cache *c = kit_cache(64 << 20);
	struct lease l;

	kit_turn_on(c, 1000, "98:101:98,100");
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 2);
	EXPECT_EQ(kit_store(c, "q", "old", &l, "100:101:100"), 0);
	EXPECT_EQ(kit_store(c, "q", "new", &l, "101:101:"), 1);
	cache_unref(c);
}

TEST(fill, what_the_stream_brings_later_is_known_better)
{
	struct cache *c = kit_cache(64 << 20);
	struct lease l;

	kit_turn_on(c, 1000, "98:101:98");
	kit_apply(c, 98, 8, 81);
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 0);
	l = kit_lease(c, 8, 82);
	EXPECT_EQ(l.nxids, 1);
	cache_unref(c);
}

TEST(fill, what_came_before_it_went_on_counts)
{
	struct cache *c = kit_cache(64 << 20);
	struct lease l;

	kit_apply(c, 101, 7, 71);
	kit_turn_on(c, 1000, "100:101:");
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 1);
	cache_unref(c);
}

TEST(fill, too_many_xids_for_a_lease_means_never)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	for (uint32_t i = 0; i <= LEASE_XIDS; i++)
		kit_apply(c, 100 + i, 7, 1000 + i);
	l = kit_lease(c, 7, 71);
	EXPECT(l.full);
	EXPECT_EQ(kit_store(c, "q", "answer", &l, "900:900:"), 0);
	kit_confirm(c, "110:300:");
	l = kit_lease(c, 7, 71);
	EXPECT(!l.full);
	cache_unref(c);
}

TEST(fill, too_many_unconfirmed_ones_block_until_a_snapshot_tells_who_runs)
{
	struct cache *c = kit_cache_on();
	struct lease l;
	uint32_t last = 100 + UNCONFIRMED_MAX + 10;

	for (uint32_t xid = 100; xid <= last; xid++)
		kit_apply(c, xid, 8, xid);
	l = kit_lease(c, 7, 71);
	EXPECT(l.full);
	EXPECT(lease_needs_snapshot(&l));
	EXPECT_EQ(kit_store(c, "q", "answer", &l, "4000:4204:"), 0); /* too old to know of the last ones */
	l = kit_lease(c, 7, 71);
	EXPECT(l.full);
	kit_confirm(c, "4200:5000:4200,4206,4600"); /* 4600 started later and was never received */
	l = kit_lease(c, 7, 71);
	EXPECT(!l.full);
	EXPECT_EQ(l.nxids, 2);
	EXPECT_EQ(kit_store(c, "q", "answer", &l, "4206:5000:4206"), 0);
	EXPECT_EQ(kit_store(c, "q", "answer", &l, "4600:5000:4600"), 1);
	cache_unref(c);
}

TEST(fill, unconfirmed_is_matched_by_relation_beyond_the_width_of_a_row)
{
	struct cache *c = kit_cache_on();
	struct change change;
	struct lease l;

	change_init(&change, 10);
	change_begin(&change, 100);
	for (uint32_t rel = 50; rel < 50 + UNCONFIRMED_RELS + 1; rel++)
		change_relation(&change, rel, false);
	cache_apply(c, &change);
	change_free(&change);
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 1);
	cache_unref(c);
}

TEST(fill, xids_wrap)
{
	struct cache *c = kit_cache(64 << 20);
	struct lease l;

	kit_turn_on(c, 1000, "4294967290:4294967290:");
	kit_apply(c, 4294967295u, 7, 71);
	kit_apply(c, 3, 7, 71);
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(l.nxids, 2);
	EXPECT_EQ(kit_store(c, "q", "old", &l, "4294967296:4294967299:"), 0);
	EXPECT_EQ(kit_store(c, "q", "new", &l, "4294967300:4294967300:"), 1);
	cache_unref(c);
}

TEST(fill, too_large_an_answer_is_not_stored)
{
	struct cache *c = cache_new(&(struct cache_settings){.bytes = 64 << 20, .max_result = 4});
	struct lease l;

	kit_turn_on(c, 1, "100:100:");
	l = kit_lease(c, 7, 71);
	EXPECT_EQ(kit_store(c, "q", "12345", &l, NULL), -1);
	EXPECT_EQ(kit_store(c, "q", "1234", &l, NULL), 1);
	cache_unref(c);
}

/* --- life of an entry --- */

static void fill(struct cache *c, const char *key, uint32_t relid, uint64_t readkey)
{
	struct lease l = kit_lease(c, relid, readkey);

	EXPECT_EQ(kit_store(c, key, "answer", &l, NULL), 1);
}

TEST(entry, falls_with_its_row)
{
	struct cache *c = kit_cache_on();

	fill(c, "q", 7, 71);
	kit_apply(c, 100, 7, 72);
	EXPECT(kit_has(c, "q", "answer"));
	kit_apply(c, 101, 7, 71);
	EXPECT(!kit_has(c, "q", "answer"));
	EXPECT_EQ(cache_entries(c), 0);
	cache_unref(c);
}

TEST(entry, depends_on_any_change_or_on_changes_of_the_whole)
{
	struct cache *c = kit_cache_on();
	struct change change;

	fill(c, "any", 7, readkey_any(7));
	fill(c, "whole", 7, readkey_whole(7));
	kit_apply(c, 100, 7, 71);
	EXPECT(!kit_has(c, "any", "answer"));
	EXPECT(kit_has(c, "whole", "answer"));
	change_init(&change, 10);
	change_begin(&change, 101);
	change_relation(&change, 7, true);
	cache_apply(c, &change);
	change_free(&change);
	EXPECT(!kit_has(c, "whole", "answer"));
	cache_unref(c);
}

TEST(entry, outlives_the_cache_in_the_hands_of_a_reader)
{
	struct cache *c = kit_cache_on();
	struct entry *entry;

	fill(c, "q", 7, 71);
	entry = cache_find(c, span_str("q"));
	REQUIRE(entry != NULL);
	cache_unref(c);
	EXPECT_MEM(span_of(entry_answer(entry)->bytes, entry_answer(entry)->n), span_str("answer"));
	entry_unref(entry);
}

TEST(entry, keys_are_compared_whole)
{
	struct cache *c = kit_cache_on();
	struct entry *entry;

	fill(c, "select 1", 7, 71);
	EXPECT(cache_find(c, span_of("select 1\0", 9)) == NULL);
	EXPECT(cache_find(c, span_of("select 1", 7)) == NULL);
	entry = cache_find(c, span_str("select 1"));
	REQUIRE(entry != NULL);
	entry_unref(entry);
	cache_unref(c);
}

TEST(entry, a_second_fill_replaces_the_first)
{
	struct cache *c = kit_cache_on();
	struct lease l = kit_lease(c, 7, 71);
	size_t bytes;

	EXPECT_EQ(kit_store(c, "q", "one", &l, NULL), 1);
	bytes = cache_bytes(c);
	EXPECT_EQ(kit_store(c, "q", "two", &l, NULL), 1);
	EXPECT_EQ(cache_bytes(c), bytes);
	EXPECT_EQ(cache_entries(c), 1);
	EXPECT(kit_has(c, "q", "two"));
	cache_unref(c);
}

/* --- epochs --- */

TEST(epoch, odd_is_on)
{
	struct cache *c = kit_cache(64 << 20);
	uint64_t epoch = cache_epoch(c);
	struct lease l;

	EXPECT(!cache_on(c));
	EXPECT_EQ(epoch % 2, 0);
	l = kit_lease(c, 7, 71);
	EXPECT(l.full);
	EXPECT_STR(cache_off_reason(c), "not started");
	kit_turn_on(c, 1000, "100:100:");
	EXPECT(cache_on(c));
	EXPECT_EQ(cache_position(c), 1000);
	cache_turn_off(c, "stream lost");
	EXPECT(!cache_on(c));
	EXPECT_STR(cache_off_reason(c), "stream lost");
	cache_turn_off(c, "still lost");
	EXPECT(!cache_on(c));
	EXPECT(cache_epoch(c) > epoch);
	cache_unref(c);
}

TEST(epoch, nothing_survives_going_off)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	fill(c, "q", 7, 71);
	l = kit_lease(c, 7, 72);
	cache_turn_off(c, "test");
	EXPECT(!kit_has(c, "q", "answer"));
	EXPECT_EQ(cache_entries(c), 0);
	EXPECT_EQ(kit_store(c, "p", "old", &l, NULL), 0);
	kit_turn_on(c, 1000, "100:100:");
	EXPECT(!kit_has(c, "q", "answer"));
	EXPECT_EQ(kit_store(c, "p", "old", &l, NULL), 0);
	cache_unref(c);
}

TEST(epoch, a_fill_resolved_before_a_new_catalog_is_refused)
{
	struct cache *c = kit_cache_on();
	uint64_t epoch = cache_epoch(c), key = 71;
	uint32_t relid = 7;
	struct lease l;

	fill(c, "q", 7, 71);
	cache_set_catalog(c, NULL);
	EXPECT(cache_on(c));
	EXPECT(!kit_has(c, "q", "answer"));
	lease_take(c, epoch, &key, 1, 0, &relid, 1, &l); /* the lease is new, but not what it is for */
	EXPECT_EQ(kit_store(c, "q", "old", &l, NULL), 0);
	cache_unref(c);
}

TEST(epoch, a_change_that_nobody_can_tell_apart_empties_it)
{
	struct cache *c = kit_cache_on();
	struct lease before, after;

	fill(c, "q", 7, 71);
	before = kit_lease(c, 7, 72);
	kit_apply_everything(c, 100);
	EXPECT(cache_on(c));
	EXPECT(!kit_has(c, "q", "answer"));
	EXPECT_EQ(kit_store(c, "p", "old", &before, "101:101:"), 0);
	after = kit_lease(c, 7, 72);
	EXPECT_EQ(after.nxids, 1); /* it may be anywhere */
	EXPECT_EQ(kit_store(c, "p", "old", &after, "100:101:100"), 0);
	EXPECT_EQ(kit_store(c, "p", "new", &after, "101:101:"), 1);
	cache_unref(c);
}
