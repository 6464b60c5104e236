/* When is the cache current? The cache is at position 1000, and E = "100:100:", unless a test says otherwise. */
#include "proxy/cache/proof.h"
#include "tests/unit/cache/kit.h"

TEST(proof, off_proves_nothing)
{
	struct cache *c = kit_cache(64 << 20);
	uint64_t target;

	EXPECT_EQ(kit_prove(c, 0, 0, "100:100:", &target), PROOF_OFF);
	cache_unref(c);
}

TEST(proof, by_the_insert_position)
{
	struct cache *c = kit_cache_on();
	uint64_t target = 0;

	EXPECT_EQ(kit_prove(c, 1000, 1000, "150:150:", &target), PROOF_NOW);
	EXPECT_EQ(kit_prove(c, 1001, 1001, "160:160:", &target), PROOF_WAIT);
	EXPECT_EQ(target, 1001);
	cache_advance(c, 1001);
	EXPECT_EQ(kit_prove(c, 1001, 1001, "160:160:", &target), PROOF_NOW);
	cache_unref(c);
}

TEST(proof, by_the_flush_position_when_the_snapshot_is_explained)
{
	struct cache *c = kit_cache_on();
	uint64_t target = 0;

	/* Somebody writes (xid 100) and has not committed. */
	EXPECT_EQ(kit_prove(c, 2000, 1000, "100:101:100", &target), PROOF_NOW);
	/* 101 was visible before the stream had it. */
	EXPECT_EQ(kit_prove(c, 2000, 1000, "100:102:100", &target), PROOF_WAIT);
	EXPECT_EQ(target, 2000);
	kit_apply(c, 101, 7, 71);
	EXPECT_EQ(kit_prove(c, 2000, 1000, "100:102:100", &target), PROOF_NOW);
	cache_unref(c);
}

TEST(proof, the_flush_position_comes_first)
{
	struct cache *c = kit_cache_on();
	struct snapshot s = kit_snapshot("101:101:");
	uint64_t target = 0, epoch = cache_epoch(c);

	EXPECT_EQ(cache_prove(c, epoch, 2000, 1500, &s, &target), PROOF_WAIT);
	EXPECT_EQ(target, 1500);
	kit_apply(c, 100, 7, 71);
	cache_advance(c, 1500);
	EXPECT_EQ(cache_prove_again(c, epoch, 2000, 1500, &s, &target), PROOF_NOW);
	snapshot_free(&s);
	cache_unref(c);
}

TEST(proof, a_rolled_back_transaction_falls_to_the_insert_position)
{
	struct cache *c = kit_cache_on();
	struct snapshot s = kit_snapshot("102:102:");
	uint64_t target = 0, epoch = cache_epoch(c);

	kit_apply(c, 101, 7, 71); /* 100 will never come */
	EXPECT_EQ(cache_prove(c, epoch, 1200, 1100, &s, &target), PROOF_WAIT);
	EXPECT_EQ(target, 1100);
	cache_advance(c, 1100);
	EXPECT_EQ(cache_prove_again(c, epoch, 1200, 1100, &s, &target), PROOF_WAIT);
	EXPECT_EQ(target, 1200);
	cache_advance(c, 1200);
	EXPECT_EQ(cache_prove_again(c, epoch, 1200, 1100, &s, &target), PROOF_NOW);
	/* Now E is past it, and an open writer does not matter any more. */
	EXPECT_EQ(kit_prove(c, 1300, 1200, "102:103:102", &target), PROOF_NOW);
	snapshot_free(&s);
	cache_unref(c);
}

TEST(proof, a_subtransaction_falls_to_the_insert_position)
{
	struct cache *c = kit_cache_on();
	uint64_t target = 0;

	kit_apply(c, 100, 7, 71); /* 101 was its subtransaction: completed, never received by itself */
	EXPECT_EQ(kit_prove(c, 1200, 1000, "102:102:", &target), PROOF_WAIT);
	EXPECT_EQ(target, 1200);
	cache_unref(c);
}

TEST(proof, received_and_not_yet_visible_explains_nothing_else)
{
	struct cache *c = kit_cache_on();
	uint64_t target = 0;

	kit_apply(c, 100, 7, 71);
	/* 100 still runs in the snapshot, 101 is completed and was not received: one bit, one completed, but not the same. */
	EXPECT_EQ(kit_prove(c, 1200, 1000, "100:102:100", &target), PROOF_WAIT);
	cache_unref(c);
}

TEST(proof, what_runs_in_the_base_must_be_received_when_it_ends)
{
	struct cache *c = kit_cache(64 << 20);
	uint64_t target = 0;

	kit_turn_on(c, 1000, "90:100:90,95");
	EXPECT_EQ(kit_prove(c, 1200, 1000, "90:100:90", &target), PROOF_WAIT);
	kit_apply(c, 95, 7, 71);
	EXPECT_EQ(kit_prove(c, 1200, 1000, "90:100:90", &target), PROOF_NOW);
	cache_unref(c);
}

TEST(proof, what_was_received_is_kept_when_the_base_moves)
{
	struct cache *c = kit_cache_on();
	uint64_t target = 0;

	kit_apply(c, 100, 7, 71);
	kit_apply(c, 103, 7, 71);
	EXPECT_EQ(kit_prove(c, 1000, 1000, "100:102:100", &target), PROOF_NOW); /* E: 100 runs */
	EXPECT_EQ(kit_prove(c, 1200, 1000, "102:102:", &target),
		  PROOF_NOW); /* 100 completed, received before E */
	EXPECT_EQ(kit_prove(c, 1200, 1000, "102:104:102", &target), PROOF_NOW); /* 103 too */
	EXPECT_EQ(kit_prove(c, 1200, 1000, "104:104:", &target), PROOF_WAIT);	/* 102 never came */
	cache_unref(c);
}

TEST(proof, an_older_snapshot_never_becomes_the_base)
{
	struct cache *c = kit_cache_on();
	uint64_t target = 0;

	EXPECT_EQ(kit_prove(c, 1000, 1000, "150:150:", &target), PROOF_NOW);
	EXPECT_EQ(kit_prove(c, 1000, 1000, "110:120:110", &target), PROOF_NOW);
	EXPECT_EQ(kit_prove(c, 1200, 1000, "150:150:", &target), PROOF_NOW);
	EXPECT_EQ(kit_prove(c, 1200, 1000, "120:130:121", &target),
		  PROOF_NOW); /* older than E: nothing to explain */
	cache_unref(c);
}

TEST(proof, beyond_the_window_the_insert_position_decides)
{
	struct cache *c = kit_cache_on();
	uint64_t target = 0;
	char text[64];

	for (uint32_t i = 0; i <= PROOF_WINDOW; i++)
		kit_apply(c, 100 + i, 7, 71);
	snprintf(text, sizeof(text), "%u:%u:", 100 + PROOF_WINDOW, 100 + PROOF_WINDOW);
	EXPECT_EQ(kit_prove(c, 1200, 1000, text, &target), PROOF_NOW);
	snprintf(text, sizeof(text), "%u:%u:", 101 + PROOF_WINDOW, 101 + PROOF_WINDOW);
	EXPECT_EQ(kit_prove(c, 1200, 1000, text, &target), PROOF_WAIT);
	cache_advance(c, 1200);
	EXPECT_EQ(kit_prove(c, 1200, 1000, text, &target), PROOF_NOW);
	/* The window starts again behind the new base, and is clean. */
	snprintf(text, sizeof(text), "%u:%u:", 103 + PROOF_WINDOW, 103 + PROOF_WINDOW);
	kit_apply(c, 101 + PROOF_WINDOW, 7, 71);
	EXPECT_EQ(kit_prove(c, 1300, 1200, text, &target), PROOF_WAIT);
	kit_apply(c, 102 + PROOF_WINDOW, 7, 71);
	EXPECT_EQ(kit_prove(c, 1300, 1200, text, &target), PROOF_NOW);
	cache_unref(c);
}

TEST(proof, behind_a_page_header_is_the_page_itself)
{
	struct cache *c = kit_cache(64 << 20);
	uint64_t target = 0, page = 5 * 16777216u + 3 * 8192u, segment = 5 * 16777216u;

	cache_set_wal_sizes(c, 8192, 16777216);
	kit_turn_on(c, segment, "100:100:");
	EXPECT_EQ(kit_prove(c, segment + 40, segment + 40, "100:100:", &target), PROOF_NOW);
	EXPECT_EQ(kit_prove(c, segment + 48, segment + 48, "100:100:", &target), PROOF_WAIT);
	EXPECT_EQ(target, segment + 48);
	cache_advance(c, page);
	EXPECT_EQ(kit_prove(c, page + 24, page + 24, "100:100:", &target), PROOF_NOW);
	EXPECT_EQ(kit_prove(c, page + 8192 + 24, page + 8192 + 24, "100:100:", &target), PROOF_WAIT);
	EXPECT_EQ(target, page + 8192);
	cache_unref(c);
}

TEST(proof, a_question_of_another_epoch_proves_nothing)
{
	struct cache *c = kit_cache_on();
	struct snapshot s = kit_snapshot("150:150:");
	uint64_t target = 0, epoch = cache_epoch(c);

	cache_turn_off(c, "test");
	EXPECT_EQ(cache_prove(c, epoch, 10, 10, &s, &target), PROOF_OFF);
	EXPECT_EQ(cache_prove(c, cache_epoch(c), 10, 10, &s, &target), PROOF_OFF);
	kit_turn_on(c, 1000, "100:100:");
	EXPECT_EQ(cache_prove(c, epoch, 10, 10, &s, &target), PROOF_OFF);
	/* And it did not become the base. */
	EXPECT_EQ(kit_prove(c, 1200, 1000, "150:150:", &target), PROOF_WAIT);
	snapshot_free(&s);
	cache_unref(c);
}

TEST(proof, xids_wrap)
{
	struct cache *c = kit_cache(64 << 20);
	uint64_t target = 0;

	kit_turn_on(c, 1000, "4294967294:4294967294:");
	for (uint64_t xid = 4294967294u; xid < 4294967300u; xid++)
		kit_apply(c, (uint32_t)xid, 7, 71);
	EXPECT_EQ(kit_prove(c, 1200, 1000, "4294967300:4294967300:", &target), PROOF_NOW);
	EXPECT_EQ(kit_prove(c, 1200, 1000, "4294967301:4294967301:", &target), PROOF_WAIT);
	cache_unref(c);
}
