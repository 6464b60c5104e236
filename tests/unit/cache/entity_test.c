/* Rows beside answers, and answers made of them. */
#include "proxy/cache/rows.h"
#include "proxy/sql/reads.h"
#include "tests/unit/cache/kit.h"

#define RELATION 7u

static uint64_t readkey(unsigned row)
{
	return 100000 + row;
}

static struct lease lease_of(struct cache *c, unsigned row)
{
	const uint64_t keys[2] = {readkey_whole(RELATION), readkey(row)};
	const uint32_t relid = RELATION;
	struct lease l;

	lease_take(c, cache_epoch(c), keys, 2, 0, &relid, 1, &l);
	return l;
}

/* Columns 1, 2, .. of a row with the letters of `text` as values; '-' = NULL, ' ' = not this column; NULL = it is not there. */
static unsigned put(struct cache *c, const struct lease *l, unsigned row, const char *text, bool binary)
{
	struct row_value values[16];
	struct cache_row one = {.readkey = readkey(row), .value = text == NULL ? NULL : values};
	char key[16];

	snprintf(key, sizeof(key), "row %u", row);
	one.key = span_str(key);
	for (int16_t i = 0; text != NULL && text[i] != '\0'; i++)
		if (text[i] != ' ')
			values[one.nvalues++] = (struct row_value){.attnum = (int16_t)(i + 1),
								   .binary = binary,
								   .null = text[i] == '-',
								   .value = span_of(&text[i], 1)};
	return cache_put_rows(c, l, NULL, 0, &one, 1);
}

static struct entry *find(struct cache *c, unsigned row)
{
	char key[16];

	snprintf(key, sizeof(key), "row %u", row);
	return cache_find(c, span_str(key));
}

static bool has(struct cache *c, unsigned row, const char *expected)
{
	struct entry *entry = find(c, row);
	char got[64] = "";
	struct row_reader reader;
	struct row_value value;
	size_t n = 0;

	if (entry == NULL)
		return expected == NULL;
	if (!row_open(span_of(entry_answer(entry)->bytes, entry_answer(entry)->n), &reader))
		snprintf(got, sizeof(got), "absent");
	while (row_next(&reader, &value))
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%d%s%c", value.attnum,
				      value.binary ? "b" : "", value.null ? '-' : (char)value.value.p[0]);
	entry_unref(entry);
	if (expected == NULL || strcmp(got, expected) != 0)
		fprintf(stderr, "  got %s\n", got);
	return expected != NULL && strcmp(got, expected) == 0;
}

TEST(entity, columns_of_several_answers_come_together)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_of(c, 1);

	EXPECT_EQ(put(c, &l, 1, "a-", false), 1);
	EXPECT(has(c, 1, "1a2-"));
	EXPECT_EQ(put(c, &l, 1, " - d", false), 1);
	EXPECT(has(c, 1, "1a2-4d"));
	EXPECT_EQ(put(c, &l, 1, "x", true), 1);
	EXPECT(has(c, 1, "1a1bx2-4d"));
	EXPECT_EQ(put(c, &l, 2, NULL, false), 1);
	EXPECT(has(c, 2, "absent"));
	EXPECT(has(c, 3, NULL));
	cache_unref(c);
}

TEST(entity, a_change_of_the_row_ends_it)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_of(c, 1);

	EXPECT_EQ(put(c, &l, 1, "ab", false), 1);
	EXPECT_EQ(put(c, &l, 2, "ab", false), 1);
	kit_apply(c, 100, RELATION, readkey(1));
	EXPECT(has(c, 1, NULL));
	EXPECT(has(c, 2, "1a2b"));
	kit_confirm(c, "101:101:");
	/* What comes later has nothing of before. */
	l = lease_of(c, 1);
	EXPECT_EQ(put(c, &l, 1, " B", false), 1);
	EXPECT(has(c, 1, "2B"));
	cache_unref(c);
}

TEST(entity, a_change_while_the_statement_ran_refuses_it)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_of(c, 2);

	kit_apply(c, 100, RELATION, readkey(1));
	EXPECT_EQ(put(c, &l, 1, "a", false), 0);
	EXPECT(has(c, 1, NULL));
	EXPECT_EQ(put(c, &l, 3, "a", false), 1);
	cache_unref(c);
}

TEST(entity, the_unconfirmed_refuse_it)
{
	struct cache *c = kit_cache_on();
	struct lease l;

	kit_apply(c, 100, RELATION, readkey(1));
	l = lease_of(c, 1);
	EXPECT_EQ(put(c, &l, 1, "a", false), 0);
	kit_confirm(c, "101:101:");
	EXPECT_EQ(put(c, &l, 1, "a", false), 0); /* its statement may have left before that */
	l = lease_of(c, 1);
	EXPECT_EQ(put(c, &l, 1, "a", false), 1);
	cache_unref(c);
}

TEST(entity, a_truncated_relation_ends_it)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_of(c, 1);
	struct change change;

	EXPECT_EQ(put(c, &l, 1, "a", false), 1);
	change_init(&change, 10);
	change_begin(&change, 100);
	change_relation(&change, RELATION, true);
	cache_apply(c, &change);
	change_free(&change);
	EXPECT(has(c, 1, NULL));
	EXPECT_EQ(put(c, &l, 1, "a", false), 1);
	EXPECT(has(c, 1, NULL)); /* with the old version it is dead */
	cache_unref(c);
}

static int make(struct cache *c, unsigned first, unsigned second)
{
	struct entry *rows[2] = {find(c, first), find(c, second)};
	struct blob *blob = blob_new(span_str("made"));
	int got = rows[0] == NULL || rows[1] == NULL ? -2 : cache_put_made(c, span_str("key"), blob, rows, 2);

	blob_unref(blob);
	for (int i = 0; i < 2; i++)
		if (rows[i] != NULL)
			entry_unref(rows[i]);
	return got;
}

TEST(entity, an_answer_depends_on_each_of_its_rows)
{
	for (unsigned changed = 1; changed <= 3; changed++) {
		struct cache *c = kit_cache_on();
		struct lease l = lease_of(c, 1);
		struct entry *made;

		EXPECT_EQ(put(c, &l, 1, "a", false), 1);
		EXPECT_EQ(put(c, &l, 2, "b", false), 1);
		EXPECT_EQ(make(c, 1, 2), 1);
		made = cache_find(c, span_str("key"));
		REQUIRE(made != NULL);
		EXPECT(entry_made(made));
		entry_unref(made);
		kit_apply(c, 100, RELATION, readkey(changed));
		EXPECT_EQ(kit_has(c, "key", "made"), changed == 3);
		cache_unref(c);
	}
}

TEST(entity, rows_of_different_versions_of_the_relation_make_nothing)
{
	struct cache *c = kit_cache_on();
	struct lease l = lease_of(c, 1);
	struct entry *rows[2];
	struct blob *blob = blob_new(span_str("made"));
	struct change change;

	EXPECT_EQ(put(c, &l, 1, "a", false), 1);
	rows[0] = find(c, 1);
	change_init(&change, 10);
	change_begin(&change, 100);
	change_relation(&change, RELATION, true);
	cache_apply(c, &change);
	change_free(&change);
	kit_confirm(c, "101:101:");
	l = lease_of(c, 2);
	EXPECT_EQ(put(c, &l, 2, "b", false), 1);
	rows[1] = find(c, 2);
	REQUIRE(rows[0] != NULL && rows[1] != NULL);
	EXPECT_EQ(cache_put_made(c, span_str("key"), blob, rows, 2), 0);
	blob_unref(blob);
	entry_unref(rows[0]);
	entry_unref(rows[1]);
	cache_unref(c);
}

TEST(entity, notes_last_as_long_as_the_epoch)
{
	struct cache *c = kit_cache_on();

	cache_put_note(c, cache_epoch(c), span_str("note"), span_str("text"));
	kit_apply(c, 100, RELATION, readkey(1));
	EXPECT(kit_has(c, "note", "text"));
	kit_apply_everything(c, 101);
	EXPECT(!kit_has(c, "note", "text"));
	cache_put_note(c, cache_epoch(c) - 2, span_str("note"), span_str("late"));
	EXPECT(!kit_has(c, "note", "late"));
	cache_unref(c);
}

TEST(entity, rows_are_kept_for_statements_of_other_shapes)
{
	struct cache *c = kit_cache_on();

	EXPECT(!cache_rows_wanted(c, RELATION, 0));
	cache_rows_ask(c, RELATION, 1234);
	cache_rows_ask(c, RELATION, 1234);
	EXPECT(cache_rows_wanted(c, RELATION, 0)); /* a list */
	EXPECT(!cache_rows_wanted(c, RELATION, 1234));
	EXPECT(cache_rows_wanted(c, RELATION, 5678));
	EXPECT(!cache_rows_wanted(c, RELATION + 1, 0));
	cache_rows_ask(c, RELATION, 5678);
	EXPECT(cache_rows_wanted(c, RELATION, 1234));
	EXPECT(cache_rows_wanted(c, RELATION, 5678));
	cache_unref(c);
}
