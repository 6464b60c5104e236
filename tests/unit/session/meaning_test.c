#include "proxy/session/meaning.h"
#include "tests/support/test.h"

#include "proxy/session/stmts.h"

static struct meaning *under(uint64_t id, const char *name, const char *value)
{
	struct settings image = {0};
	struct span v = span_str(value);
	struct meaning *m;

	REQUIRE(settings_set(&image, span_str(name), &v) == 1);
	m = meaning_new(id, &image);
	settings_free(&image);
	return m;
}

static bool changes(const char *name, const char *text)
{
	struct memo *m = memo_new(1 << 20);
	struct stmt *s = memo_get(m, span_str(text), span_of(NULL, 0));
	bool does = meaning_changes(name, s);

	stmt_unref(s);
	memo_free(&m);
	return does;
}

TEST(meaning, settings_that_no_literal_knows_of)
{
	static const char *const none[] = {"application_name",	"WORK_MEM",	"search_path",
					   "statement_timeout", "row_security", "app.tenant",
					   "enable_sort",	"log_statement"};
	static const char *const some[] = {"datestyle",		 "TimeZone",	   "IntervalStyle",
					   "isn.weak",		 "array_nulls",	   "lc_monetary",
					   "extra_float_digits", "one_of_tomorrow"};

	for (unsigned i = 0; i < sizeof none / sizeof *none; i++)
		EXPECT(!meaning_setting(none[i]));
	for (unsigned i = 0; i < sizeof some / sizeof *some; i++)
		EXPECT(meaning_setting(some[i]));
}

TEST(meaning, texts_without_literals_mean_the_same)
{
	EXPECT(!changes("datestyle", "SELECT a, $1::date + 7 FROM t WHERE b = $2"));
	EXPECT(changes("datestyle", "SELECT date '1/2/2020'"));
	EXPECT(changes("datestyle", "SELECT $$1/2/2020$$::date"));
	EXPECT(changes("datestyle", "SELECT $a$1/2/2020$a$::date"));
	EXPECT(changes("transform_null_equals", "SELECT a = Null FROM t"));
	EXPECT(!changes("work_mem", "SELECT date '1/2/2020'"));
}

TEST(meaning, bytes_mean_what_their_encoding_says)
{
	EXPECT(!changes("client_encoding", "SELECT 'e'"));
	EXPECT(changes("client_encoding", "SELECT '\xc3\xa9'"));
	EXPECT(changes("client_encoding", "SELECT 1 AS \"\xc3\xa9\""));
}

TEST(meaning, commands_have_words_only)
{
	EXPECT(!changes("datestyle", "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'"));
	EXPECT(changes("standard_conforming_strings", "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'"));
	EXPECT(!changes("timezone", "SET application_name = 'x'"));
	EXPECT(changes("timezone", "EXPLAIN SELECT '2020-01-01'::timestamptz"));
}

TEST(meaning, settings_are_compared_as_far_as_they_matter)
{
	struct meaning *utc = under(1, "timezone", "UTC"), *tokyo = under(2, "timezone", "Asia/Tokyo"),
		       *again = under(3, "TimeZone", "UTC"), *mem = under(4, "work_mem", "5MB");
	struct memo *m = memo_new(1 << 20);
	struct stmt *plain = memo_get(m, span_str("SELECT $1"), span_of(NULL, 0));

	EXPECT(meaning_same(utc, again, NULL));
	EXPECT(!meaning_same(utc, tokyo, NULL));
	EXPECT(!meaning_same(utc, mem, NULL)); /* what is not set has its default */
	EXPECT(meaning_same(utc, tokyo, plain));
	stmt_unref(plain);
	memo_free(&m);
	meaning_unref(utc), meaning_unref(tokyo), meaning_unref(again), meaning_unref(mem);
}

/* Through all that can become of a name they are counted, and let go. */
TEST(meaning, statements_hold_their_settings)
{
	struct memo *m = memo_new(1 << 20);
	struct stmt *one = memo_get(m, span_str("SELECT 'one'"), span_of(NULL, 0));
	struct meaning *utc = under(1, "timezone", "UTC"), *tokyo = under(2, "timezone", "Asia/Tokyo");
	struct stmts t = {0};
	struct span a = span_str("a"), b = span_str("b");
	uint64_t key[3];

	REQUIRE(stmts_add(&t, a, one) == 0 && stmts_add(&t, b, one) == 0);
	stmts_parsed_under(&t, stmts_parsed(&t, a), utc);
	stmts_parsed_under(&t, stmts_parsed(&t, b), utc);
	EXPECT_EQ(utc->statements, 2);
	REQUIRE(settings_set(&utc->image, span_str("datestyle"),
			     &(struct span){(const uint8_t *)"German", 6}) == 1);
	key[0] = stmts_change_away(&t, a, 1);
	key[1] = stmts_change(&t, a, one, 7, NULL, 1);
	EXPECT(stmts_parsed(&t, a)->under == NULL);
	stmts_parsed_under(&t, stmts_parsed(&t, a), tokyo);
	key[2] = stmts_change_away(&t, a, 1);
	stmts_undone(&t, key[0], false); /* the later ones stand on what was there before */
	stmts_undone(&t, key[1], false);
	EXPECT_EQ(tokyo->statements, 0);
	stmts_undone(&t, key[2], false);
	EXPECT(stmts_parsed(&t, a)->under == utc);
	stmts_parsed_under(&t, stmts_parsed(&t, a), tokyo);
	stmts_parsed_under(&t, stmts_parsed(&t, a), tokyo);
	EXPECT_EQ(utc->statements, 1);
	EXPECT_EQ(tokyo->statements, 1);
	stmts_clear(&t);
	EXPECT_EQ(t.bytes, 0);
	EXPECT_EQ(utc->refs, 1);
	EXPECT_EQ(tokyo->refs, 1);
	meaning_unref(utc), meaning_unref(tokyo);
	stmt_unref(one);
	memo_free(&m);
}
