/* Which signatures count, and from when. */
#include "proxy/cache/signatures.h"
#include "proxy/cache/versions.h"
#include "proxy/sql/reads.h"
#include "tests/unit/cache/kit.h"

static struct signatures sigs;
static const int16_t a[] = {2}, b[] = {3}, ab[] = {2, 3};

static unsigned in_force(uint32_t relid)
{
	unsigned n;

	(void)signatures_of(&sigs, relid, &n);
	return n;
}

TEST(signatures, count_at_once_while_the_feed_rests)
{
	signatures_init(&sigs);
	EXPECT(signatures_want(&sigs, 10, 1, a));
	EXPECT(signatures_want(&sigs, 10, 1, a));
	EXPECT(signatures_want(&sigs, 10, 2, ab));
	EXPECT(signatures_want(&sigs, 11, 1, b));
	EXPECT_EQ(in_force(10), 2);
	EXPECT_EQ(in_force(11), 1);
	EXPECT_EQ(in_force(12), 0);
	signatures_done(&sigs);
}

TEST(signatures, wait_for_the_end_of_a_transaction)
{
	signatures_init(&sigs);
	signatures_begin(&sigs);
	EXPECT(!signatures_want(&sigs, 10, 1, a));
	EXPECT_EQ(in_force(10), 0);
	signatures_end(&sigs);
	EXPECT(signatures_want(&sigs, 10, 1, a));
	/* Or for the beginning of the next, when one was given up. */
	signatures_begin(&sigs);
	EXPECT(!signatures_want(&sigs, 10, 1, b));
	signatures_begin(&sigs);
	EXPECT_EQ(in_force(10), 2);
	signatures_done(&sigs);
}

TEST(signatures, are_bounded)
{
	unsigned each = 0, all = 0;

	signatures_init(&sigs);
	for (int16_t i = 1; i <= 20; i++)
		each += signatures_want(&sigs, 10, 1, &i);
	EXPECT_EQ(each, SIGNATURES_EACH);
	EXPECT(!signatures_want(&sigs, 10, 0, a) && !signatures_want(&sigs, 0, 1, a));
	EXPECT(!signatures_want(&sigs, 11, SIGNATURE_COLUMNS + 1, (const int16_t[]){1, 2, 3, 4, 5}));
	for (uint32_t relid = 100; relid < 100 + 2 * SIGNATURES_MAX; relid++)
		all += signatures_want(&sigs, relid, 1, a);
	EXPECT_EQ(all, SIGNATURES_MAX - SIGNATURES_EACH);
	EXPECT(!signatures_want(&sigs, 99, 1, a));
	EXPECT_EQ(in_force(99), 0);
	signatures_done(&sigs);
}

TEST(signatures, begin_anew_with_a_catalog)
{
	struct cache *c = kit_cache_on();

	EXPECT(cache_signature(c, 10, 1, a));
	signatures_begin(cache_signatures(c));
	cache_set_catalog(c, NULL);
	EXPECT(!cache_signature(c, 10, 1, a)); /* inside a transaction that began under the old one */
	signatures_end(cache_signatures(c));
	EXPECT(cache_signature(c, 10, 1, a));
	cache_unref(c);
}

/* --- rows of the answer --- */

#define ROW(n) (UINT64_C(0x9E3779B97F4A7C15) * (n))

static struct lease lease_rows(struct cache *c)
{
	const uint64_t keys[] = {readkey_whole(10), ROW(100), readkey_gone(10)};
	const uint32_t relid = 10;
	struct lease l;

	lease_take(c, cache_epoch(c), keys, 3, 1, &relid, 1, &l);
	return l;
}

static int store_rows(struct cache *c, const struct lease *l, unsigned n)
{
	struct blob *blob = blob_new(span_str("answer"));
	uint64_t rows[LEASE_ROWS_MAX + 1];
	int got;

	for (unsigned i = 0; i < n; i++)
		rows[i] = ROW(i + 1);
	got = cache_store_rows(c, span_str("k"), blob, l, NULL, rows, n);
	blob_unref(blob);
	return got;
}

static void apply_row(struct cache *c, uint64_t row, bool gone)
{
	struct change change;

	change_init(&change, 100000);
	change_begin(&change, 200);
	change_relation(&change, 10, false);
	if (gone)
		change_gone(&change, 10);
	change_key(&change, 10, row);
	cache_apply(c, &change);
	kit_confirm(c, "300:300:");
	change_free(&change);
}

TEST(rows, an_answer_falls_with_its_rows_and_not_with_others)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_rows(c);

	EXPECT_EQ(store_rows(c, &l, 3), 1);
	apply_row(c, ROW(4), true);
	EXPECT(kit_has(c, "k", "answer"));
	apply_row(c, ROW(2), true);
	EXPECT(!kit_has(c, "k", "answer"));
	l = lease_rows(c);
	EXPECT_EQ(store_rows(c, &l, 3), 1);
	apply_row(c, ROW(100), false); /* the predicate */
	EXPECT(!kit_has(c, "k", "answer"));
	cache_unref(c);
}

TEST(rows, changed_while_the_statement_ran_are_not_stored)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_rows(c);

	apply_row(c, ROW(4), true);
	EXPECT_EQ(store_rows(c, &l, 3), 1);
	l = lease_rows(c);
	apply_row(c, ROW(3), true);
	EXPECT_EQ(store_rows(c, &l, 3), 0);
	/* What came before the lease is the business of the unconfirmed. */
	l = lease_rows(c);
	EXPECT_EQ(store_rows(c, &l, 3), 1);
	cache_unref(c);
}

TEST(rows, that_cannot_be_told_leave_the_relation)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_rows(c);

	EXPECT_EQ(store_rows(c, &l, LEASE_ROWS_MAX + 1), 1);
	apply_row(c, ROW(LEASE_ROWS_MAX + 7), true);
	EXPECT(!kit_has(c, "k", "answer"));
	/* More changes while it ran than are remembered: then nobody may have touched the relation. */
	l = lease_rows(c);
	for (unsigned i = 0; i < VERSIONS_RECENT; i++)
		apply_row(c, ROW(5000 + i), false);
	EXPECT_EQ(store_rows(c, &l, 3), 1);
	apply_row(c, ROW(4), true);
	EXPECT(!kit_has(c, "k", "answer"));
	l = lease_rows(c);
	for (unsigned i = 0; i < VERSIONS_RECENT; i++)
		apply_row(c, ROW(5000 + i), true);
	EXPECT_EQ(store_rows(c, &l, 3), 0);
	cache_unref(c);
}

TEST(rows, up_to_the_bound_are_told)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_rows(c);

	EXPECT_EQ(store_rows(c, &l, LEASE_ROWS_MAX), 1);
	apply_row(c, ROW(LEASE_ROWS_MAX + 7), true);
	EXPECT(kit_has(c, "k", "answer"));
	apply_row(c, ROW(LEASE_ROWS_MAX), true);
	EXPECT(!kit_has(c, "k", "answer"));
	cache_unref(c);
}
