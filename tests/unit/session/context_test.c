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

/* --- rows --- */

static struct row_value value(int16_t attnum, const char *text)
{
	return (struct row_value){.attnum = attnum,
				  .null = text == NULL,
				  .value = text == NULL ? span_of(NULL, 0) : span_str(text)};
}

static struct context_row row_of(struct context *c, const char *key)
{
	return (struct context_row){.who = context_rows_who(context_rows(c), span_str("me"), ROOM),
				    .relid = 7,
				    .key = span_str(key),
				    .epoch = 1};
}

static bool show(struct context *c, const char *key, const struct row_value *values, unsigned n)
{
	struct context_row row = row_of(c, key);

	row.values = n == 0 ? NULL : values;
	row.nvalues = n;
	return context_rows_keep(context_rows(c), &row, ROOM);
}

/* What is known of these columns, as `1=text 2=NULL`; "" = not all of them, "none" = there is no such row. */
static const char *known(struct context *c, const char *key, const int16_t *attnums, unsigned n)
{
	static char text[200];
	struct row_value wanted[8], found;
	struct context_row row = row_of(c, key);
	struct row_reader reader;
	uint64_t after_us;
	struct span bytes;
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		wanted[i] = (struct row_value){.attnum = attnums[i]};
	row.values = wanted;
	row.nvalues = n;
	bytes = context_rows_find(context_rows(c), &row, &after_us);
	text[0] = '\0';
	if (bytes.n == 0)
		return text;
	if (!row_open(bytes, &reader))
		return "none";
	while (row_next(&reader, &found))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%d=%.*s", len > 0 ? " " : "",
					found.attnum, found.null ? 4 : (int)found.value.n,
					found.null ? "NULL" : (const char *)found.value.p);
	return text;
}

TEST(context, keeps_the_first_version_of_a_row)
{
	struct context *c = context_new();
	struct row_value first[] = {value(1, "5"), value(2, "old"), value(3, NULL)};
	struct row_value later[] = {value(1, "5"), value(2, "new"), value(3, NULL)};
	const int16_t ask[] = {2, 2, 3}, more[] = {2, 4};

	EXPECT(show(c, "5", first, 3) && show(c, "5", later, 3) && show(c, "5", later, 2) &&
	       show(c, "5", first, 2));
	EXPECT_STR(known(c, "5", ask, 3), "1=5 2=old 3=NULL");
	EXPECT_STR(known(c, "5", more, 2), "");
	EXPECT_STR(known(c, "6", ask, 3), "");
	EXPECT_EQ(context_rows_changed(context_rows(c)), 1);
	later[2] = value(3, "now");
	EXPECT(show(c, "6", first, 3) && show(c, "6", later + 2, 1)); /* NULL and a value differ */
	EXPECT_EQ(context_rows_changed(context_rows(c)), 2);
	context_free(&c);
}

TEST(context, never_puts_columns_of_two_answers_together)
{
	struct context *c = context_new();
	struct row_value one[] = {value(1, "5"), value(2, "a")}, two[] = {value(1, "5"), value(3, "b")};
	struct row_value all[] = {value(1, "5"), value(2, "x"), value(3, "y")};
	const int16_t both[] = {2, 3};

	EXPECT(show(c, "5", one, 2) && show(c, "5", two, 2));
	EXPECT_STR(known(c, "5", both, 2), "");
	EXPECT_STR(known(c, "5", &both[1], 1), "1=5 3=b");
	EXPECT(show(c, "5", all, 3));
	EXPECT_STR(known(c, "5", both, 2), "1=5 2=x 3=y");
	EXPECT_STR(known(c, "5", &both[0], 1), "1=5 2=a");
	EXPECT_EQ(context_rows_changed(context_rows(c)), 1);
	context_free(&c);
}

TEST(context, knows_that_a_row_is_missing)
{
	struct context *c = context_new();
	struct row_value there[] = {value(1, "5"), value(2, "a")};
	const int16_t ask[] = {2}, more[] = {3};

	EXPECT(show(c, "5", NULL, 0) && show(c, "5", there, 2));
	EXPECT_STR(known(c, "5", ask, 1), "none");
	EXPECT_EQ(context_rows_changed(context_rows(c)), 1);
	EXPECT(show(c, "6", there, 2) && show(c, "6", NULL, 0));
	EXPECT_STR(known(c, "6", ask, 1), "1=5 2=a");
	EXPECT_STR(known(c, "6", more, 1), "none");
	EXPECT_EQ(context_rows_changed(context_rows(c)), 2);
	context_free(&c);
}

TEST(context, rows_are_of_one_role_format_epoch_and_relation)
{
	struct context *c = context_new();
	struct context_rows *rows = context_rows(c);
	struct row_value values[] = {value(1, "5")};
	struct context_row row = row_of(c, "5");
	uint64_t after_us = 0;

	row.values = values;
	row.nvalues = 1;
	row.after_us = 99;
	EXPECT(context_rows_keep(rows, &row, ROOM) && context_rows_find(rows, &row, &after_us).n > 0);
	EXPECT_EQ(after_us, 99);
	values[0].binary = true;
	EXPECT(context_rows_find(rows, &row, &after_us).n == 0);
	values[0].binary = false;
	row.who = context_rows_who(rows, span_str("you"), ROOM);
	EXPECT(row.who == 2 && context_rows_find(rows, &row, &after_us).n == 0);
	row.who = 1;
	row.relid = 8;
	EXPECT(context_rows_find(rows, &row, &after_us).n == 0 && context_rows_keep(rows, &row, ROOM));
	context_rows_wrote(rows, 8);
	EXPECT(context_rows_find(rows, &row, &after_us).n == 0);
	row.relid = 7;
	EXPECT(context_rows_find(rows, &row, &after_us).n > 0);
	row.epoch = 3;
	EXPECT(context_rows_find(rows, &row, &after_us).n == 0);
	row.epoch = 1;
	EXPECT(context_rows_find(rows, &row, &after_us).n == 0); /* gone with the first look */
	for (unsigned i = 2; i < CONTEXT_WHOS; i++)
		EXPECT(context_rows_who(rows, span_of(&"0123456789abcdef"[i], 1), ROOM) != 0);
	row.who = context_rows_who(rows, span_str("one more"), ROOM);
	EXPECT(row.who == 0 && !context_rows_keep(rows, &row, ROOM));
	context_free(&c);
}

TEST(context, rows_and_answers_share_the_room)
{
	struct cache *cache = kit_cache_on();
	struct context *c = context_new();
	struct row_value values[] = {value(1, "a value that takes some room")};
	size_t room;

	EXPECT(show(c, "5", values, 1));
	room = context_rows_bytes(context_rows(c));
	EXPECT(!keep(c, cache, "a", "one", 7, 71, room + 100) &&
	       keep(c, cache, "a", "one", 7, 71, room + 700));
	EXPECT(context_rows_room(c, 700) < 600 && context_rows_room(c, 10) == 0);
	for (unsigned i = 0; i < 5; i++) {
		struct context_row row = row_of(c, "6");

		row.values = values;
		row.nvalues = 1;
		EXPECT_EQ(context_rows_keep(context_rows(c), &row, room + i * 100), i >= 2);
	}
	context_wrote(c, cache, 7);
	EXPECT(context_rows_bytes(context_rows(c)) == 2); /* the name of the role */
	context_wrote(c, cache, 0);
	context_free(&c);
	cache_unref(cache);
}
