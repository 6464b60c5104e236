/* Rows that go on with their new values: when, and above all when not. */
#include "proxy/cache/refresh.h"
#include "proxy/cache/rows.h"
#include "proxy/sql/reads.h"
#include "tests/unit/cache/kit.h"

#define RELATION 7u
#define MANY 300u /* more than wait at once */

static uint64_t readkey(unsigned row)
{
	return 100000 + row;
}

/* One column in text for each letter. */
static void write_row(struct buf *out, const char *text)
{
	struct row_value values[16];
	unsigned n = 0;

	for (; text[n] != '\0'; n++)
		values[n] = (struct row_value){.attnum = (int16_t)(n + 1), .value = span_of(&text[n], 1)};
	(void)row_write(out, values, n, span_of(NULL, 0));
}

/* As an answer brings it. */
static void bring(struct cache *c, unsigned row, const char *text)
{
	const uint64_t keys[2] = {readkey_whole(RELATION), readkey(row)};
	const uint32_t relid = RELATION;
	struct row_value values[16];
	struct cache_row one = {.readkey = readkey(row), .value = text == NULL ? NULL : values};
	struct lease l;
	char key[16];

	snprintf(key, sizeof(key), "row %u", row);
	one.key = span_str(key);
	for (; text != NULL && text[one.nvalues] != '\0'; one.nvalues++)
		values[one.nvalues] = (struct row_value){.attnum = (int16_t)(one.nvalues + 1),
							 .value = span_of(&text[one.nvalues], 1)};
	lease_take(c, cache_epoch(c), keys, 2, 0, &relid, 1, &l);
	EXPECT_EQ(cache_put_rows(c, &l, NULL, 0, &one, 1), 1);
	cache_refresh(c, cache_epoch(c), RELATION, span_str("row "));
}

static void begin(struct change *change, uint32_t xid)
{
	change_init(change, 1000);
	change_begin(change, xid);
	change_relation(change, RELATION, false);
}

/* text NULL: touched, and the new version is not shown. */
static void touch(struct change *change, unsigned row, const char *text)
{
	struct buf bytes;
	char key[16];

	snprintf(key, sizeof(key), "%u", row);
	change_key(change, RELATION, readkey(row));
	change_row_end(change, RELATION, readkey(row));
	if (text == NULL)
		return;
	buf_init(&bytes, 1 << 20);
	write_row(&bytes, text);
	change_row_add(change, RELATION, readkey(row), span_str(key), buf_span(&bytes));
	buf_free(&bytes);
}

static void end(struct cache *c, struct change *change)
{
	cache_apply(c, change);
	change_free(change);
}

static void update(struct cache *c, uint32_t xid, unsigned row, const char *text)
{
	struct change change;

	begin(&change, xid);
	touch(&change, row, text);
	end(c, &change);
}

static bool has(struct cache *c, unsigned row, const char *expected)
{
	struct entry *entry;
	struct row_reader reader;
	struct row_value value;
	char key[16], got[32] = "";
	size_t n = 0;

	snprintf(key, sizeof(key), "row %u", row);
	entry = cache_find(c, span_str(key));
	if (entry == NULL)
		return expected == NULL;
	if (!row_open(span_of(entry_answer(entry)->bytes, entry_answer(entry)->n), &reader))
		snprintf(got, sizeof(got), "absent");
	while (row_next(&reader, &value))
		got[n++] = (char)value.value.p[0];
	entry_unref(entry);
	return expected != NULL && strcmp(got, expected) == 0;
}

static int64_t refreshed(struct cache *c)
{
	int64_t sum[NCOUNTERS] = {0};

	cache_counters(c, sum);
	return sum[COUNTER_cache_refreshes];
}

TEST(refresh, only_once_a_snapshot_shows_the_transaction)
{
	struct cache *c = kit_cache_on();

	EXPECT(!cache_refresh_wanted(c, RELATION));
	bring(c, 1, "ab");
	EXPECT(cache_refresh_wanted(c, RELATION) && !cache_refresh_wanted(c, RELATION + 1));
	update(c, 105, 1, "ABC");
	EXPECT(has(c, 1, NULL));
	EXPECT_EQ(cache_refreshing(c), 1);
	kit_confirm(c, "104:104:");
	kit_confirm(c, "105:110:105");
	EXPECT(has(c, 1, NULL));
	EXPECT_EQ(refreshed(c), 0);
	kit_confirm(c, "106:110:106");
	EXPECT(has(c, 1, "AB"));
	EXPECT_EQ(refreshed(c), 1);
	EXPECT_EQ(cache_refreshing(c), 0);
	/* And like any row it ends with the next change. */
	update(c, 111, 1, NULL);
	EXPECT(has(c, 1, NULL));
	cache_unref(c);
}

TEST(refresh, a_proof_confirms_too)
{
	struct cache *c = kit_cache_on();
	uint64_t target;

	bring(c, 1, "a");
	update(c, 100, 1, "A");
	EXPECT_EQ(kit_prove(c, 1000, 1000, "101:101:", &target), PROOF_NOW);
	EXPECT(has(c, 1, "A"));
	cache_unref(c);
}

TEST(refresh, not_after_another_change)
{
	struct cache *c = kit_cache_on();
	struct change change;

	bring(c, 1, "a");
	bring(c, 2, "a");
	update(c, 100, 1, "A");
	update(c, 101, 1, NULL); /* DELETE, or not all of it is shown */
	update(c, 102, 2, "A");
	begin(&change, 103);
	change_relation(&change, RELATION, true); /* TRUNCATE */
	end(c, &change);
	kit_confirm(c, "110:110:");
	EXPECT(has(c, 1, NULL) && has(c, 2, NULL));
	EXPECT_EQ(cache_refreshing(c), 0);
	cache_unref(c);
}

TEST(refresh, the_next_version_takes_its_place)
{
	struct cache *c = kit_cache_on();

	bring(c, 1, "ab");
	update(c, 100, 1, "AB");
	EXPECT(has(c, 1, NULL)); /* who looks takes the dead entry away; what waits knows the columns */
	update(c, 101, 1, "xy");
	EXPECT_EQ(cache_refreshing(c), 1);
	kit_confirm(c, "101:110:101");
	EXPECT(has(c, 1, NULL));
	kit_confirm(c, "102:110:");
	EXPECT(has(c, 1, "xy"));
	cache_unref(c);
}

TEST(refresh, the_last_version_of_a_transaction_counts)
{
	struct cache *c = kit_cache_on();
	struct change change;

	for (unsigned row = 1; row <= 3; row++)
		bring(c, row, "a");
	begin(&change, 100);
	touch(&change, 1, "B");
	touch(&change, 1, "C");
	touch(&change, 2, "B");
	touch(&change, 2, NULL);
	touch(&change, 3, "B");
	end(c, &change);
	kit_confirm(c, "110:110:");
	EXPECT(has(c, 1, "C") && has(c, 2, NULL) && has(c, 3, "B"));
	/* More rows than are told: a later version may be missing. */
	begin(&change, 110);
	touch(&change, 1, "D");
	for (unsigned row = 1000; row <= 1000 + CHANGE_ROWS_MAX; row++)
		touch(&change, row, "x");
	touch(&change, 1, "E");
	end(c, &change);
	kit_confirm(c, "120:120:");
	EXPECT(has(c, 1, NULL));
	cache_unref(c);
}

TEST(refresh, a_relation_that_is_also_hit_as_a_whole)
{
	struct cache *c = kit_cache_on();
	struct change change;

	bring(c, 1, "a");
	begin(&change, 100);
	touch(&change, 1, "A");
	change_relation(&change, RELATION, true);
	end(c, &change);
	kit_confirm(c, "110:110:");
	EXPECT(has(c, 1, NULL));
	cache_unref(c);
}

TEST(refresh, not_over_an_epoch)
{
	struct cache *c = kit_cache_on();
	uint64_t before = cache_epoch(c);
	struct snapshot s = kit_snapshot("110:110:");

	bring(c, 1, "a");
	update(c, 100, 1, "A");
	cache_set_catalog(c, NULL);
	kit_confirm(c, "110:110:");
	EXPECT(has(c, 1, NULL));
	EXPECT(!cache_refresh_wanted(c, RELATION));
	EXPECT_EQ(cache_refreshing(c), 0);
	/* A question of the old epoch says nothing about rows of the new one, and who was known then is not now. */
	cache_refresh(c, before, RELATION, span_str("row "));
	EXPECT(!cache_refresh_wanted(c, RELATION));
	bring(c, 1, "b");
	update(c, 105, 1, "B");
	cache_confirm(c, before, &s);
	EXPECT(has(c, 1, NULL));
	cache_turn_off(c, "test");
	kit_turn_on(c, 2000, "110:110:");
	kit_confirm(c, "111:111:");
	EXPECT(has(c, 1, NULL));
	EXPECT_EQ(refreshed(c), 0);
	snapshot_free(&s);
	cache_unref(c);
}

TEST(refresh, columns_that_are_not_shown)
{
	struct cache *c = kit_cache_on();

	bring(c, 1, "abc");
	bring(c, 2, NULL);
	update(c, 100, 1, "AB");
	update(c, 101, 2, "AB");
	update(c, 102, 3, "AB"); /* nobody was shown it */
	kit_confirm(c, "110:110:");
	EXPECT(has(c, 1, NULL) && has(c, 2, NULL) && has(c, 3, NULL));
	cache_unref(c);
}

TEST(refresh, what_a_statement_has_brought_stays)
{
	struct cache *c = kit_cache_on();
	struct snapshot s = kit_snapshot("101:101:");
	const uint64_t keys[2] = {readkey_whole(RELATION), readkey(1)};
	const uint32_t relid = RELATION;
	struct row_value values[2] = {{.attnum = 1, .value = span_str("A")},
				      {.attnum = 2, .value = span_str("B")}};
	struct cache_row one = {
		.key = span_str("row 1"), .readkey = readkey(1), .value = values, .nvalues = 2};
	struct lease l;

	bring(c, 1, "a");
	update(c, 100, 1, "AB");
	lease_take(c, cache_epoch(c), keys, 2, 0, &relid, 1, &l);
	EXPECT_EQ(cache_put_rows(c, &l, &s, 0, &one, 1), 1);
	kit_confirm(c, "101:101:");
	EXPECT(has(c, 1, "AB"));
	EXPECT_EQ(refreshed(c), 0);
	snapshot_free(&s);
	cache_unref(c);
}

TEST(refresh, it_is_bounded)
{
	struct cache *c = kit_cache_on();
	size_t before;
	unsigned there = 0;
	char who[32];

	for (unsigned row = 0; row < MANY; row++)
		bring(c, row, "a");
	before = cache_bytes(c);
	for (unsigned row = 0; row < MANY; row++)
		update(c, 100 + row, row, "A");
	EXPECT_EQ(cache_refreshing(c), REFRESH_PENDING_MAX);
	EXPECT(cache_bytes(c) > before);
	kit_confirm(c, "1000:1000:");
	for (unsigned row = 0; row < MANY; row++)
		there += has(c, row, "A");
	EXPECT_EQ(there, REFRESH_PENDING_MAX);
	/* With too many readers the oldest are forgotten. */
	for (unsigned i = 0; i < REFRESH_WHO_MAX; i++) {
		snprintf(who, sizeof(who), "other %u ", i);
		cache_refresh(c, cache_epoch(c), RELATION + 1, span_str(who));
	}
	EXPECT(!cache_refresh_wanted(c, RELATION) && cache_refresh_wanted(c, RELATION + 1));
	cache_unref(c);
}
