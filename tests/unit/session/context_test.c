/* Answers that a transaction is given again. */
#include "proxy/session/context.h"
#include "tests/unit/cache/kit.h"

#define ROOM (1u << 20)

static bool keep(struct context *c, struct cache *cache, const char *key, const char *text, uint32_t relid,
		 uint64_t row, size_t max)
{
	struct lease lease = kit_lease(cache, relid, row);
	struct blob *blob = blob_new(span_str(text));
	bool kept = context_keep(c,
				 &(struct context_answer){.key = span_str(key),
							  .blob = blob,
							  .lease = &lease,
							  .epoch = cache_epoch(cache),
							  .relids = &relid,
							  .nrels = 1},
				 max);

	blob_unref(blob);
	return kept;
}

static bool has(struct context *c, struct cache *cache, const char *key, const char *text)
{
	struct blob *blob = context_find(c, cache, cache_epoch(cache), span_str(key));

	return blob != NULL && span_eq(span_of(blob->bytes, blob->n), span_str(text));
}

TEST(context, keeps_what_others_change_and_counts_it)
{
	struct cache *cache = kit_cache_on();
	struct context *c = context_new();

	EXPECT(keep(c, cache, "a", "one", 7, 71, ROOM) && keep(c, cache, "b", "two", 7, 72, ROOM));
	EXPECT_EQ(context_changed(c, cache), 0);
	kit_apply(cache, 100, 7, 71);
	EXPECT(has(c, cache, "a", "one") && has(c, cache, "b", "two") && !has(c, cache, "c", "one"));
	kit_apply(cache, 101, 7, 71);
	EXPECT_EQ(context_changed(c, cache), 1);
	context_free(&c);
	cache_unref(cache);
}

TEST(context, outlives_the_entry)
{
	struct cache *cache = kit_cache_on();
	struct context *c = context_new();
	struct lease lease = kit_lease(cache, 7, 71);
	uint32_t relid = 7;
	struct entry *e;

	EXPECT_EQ(kit_store(cache, "a", "one", &lease, NULL), 1);
	e = cache_find(cache, span_str("a"));
	REQUIRE(e != NULL);
	EXPECT(context_keep(c,
			    &(struct context_answer){.key = span_str("a"),
						     .blob = entry_answer(e),
						     .entry = e,
						     .epoch = cache_epoch(cache),
						     .relids = &relid,
						     .nrels = 1},
			    ROOM));
	entry_unref(e);
	kit_apply(cache, 100, 7, 71);
	EXPECT(!kit_has(cache, "a", "one") && has(c, cache, "a", "one"));
	EXPECT_EQ(context_changed(c, cache), 1);
	context_free(&c);
	cache_unref(cache);
}

TEST(context, forgets_what_the_transaction_writes)
{
	struct cache *cache = kit_cache_on();
	struct context *c = context_new();
	uint32_t seven = 7, eight = 8;

	EXPECT(keep(c, cache, "a", "one", 7, 71, ROOM) && keep(c, cache, "b", "two", 8, 81, ROOM));
	context_wrote(c, cache, 7);
	EXPECT(!has(c, cache, "a", "one") && has(c, cache, "b", "two"));
	EXPECT(context_written(c, &seven, 1) && !context_written(c, &eight, 1) && !context_ended(c));
	EXPECT(!keep(c, cache, "a", "new", 7, 71, ROOM));
	/* Its own change is none that others made. */
	kit_apply(cache, 100, 7, 71);
	EXPECT_EQ(context_changed(c, cache), 0);
	context_wrote(c, cache, 0);
	EXPECT(context_ended(c) && !has(c, cache, "b", "two") && !keep(c, cache, "b", "two", 8, 81, ROOM));
	context_free(&c);
	cache_unref(cache);
}

TEST(context, is_bounded)
{
	struct cache *cache = kit_cache_on();
	struct context *c = context_new();

	EXPECT(keep(c, cache, "a", "one", 7, 71, 700) && !keep(c, cache, "b", "two", 7, 72, 300));
	EXPECT(keep(c, cache, "a", "uno", 7, 71, 700)); /* in its own place */
	EXPECT(has(c, cache, "a", "uno") && !has(c, cache, "b", "two"));
	for (uint32_t i = 1; i <= CONTEXT_RELATIONS; i++)
		context_wrote(c, cache, 100 + i);
	EXPECT(!context_ended(c));
	context_wrote(c, cache, 101);
	EXPECT(!context_ended(c));
	context_wrote(c, cache, 500);
	EXPECT(context_ended(c));
	context_free(&c);
	cache_unref(cache);
}

TEST(context, ends_with_its_epoch)
{
	struct cache *cache = kit_cache_on();
	struct context *c = context_new();

	EXPECT(keep(c, cache, "a", "one", 7, 71, ROOM));
	cache_set_catalog(cache, NULL);
	EXPECT_EQ(context_changed(c, cache), 0);
	EXPECT(!has(c, cache, "a", "one"));
	context_free(&c);
	cache_unref(cache);
}
