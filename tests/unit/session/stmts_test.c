#include "proxy/session/stmts.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static struct stmt *get(struct memo *m, const char *text)
{
	struct stmt *s = memo_get(m, span_str(text), span_of(NULL, 0));

	REQUIRE(s != NULL);
	return s;
}

static void add(struct stmts *t, const char *name, struct stmt *s)
{
	REQUIRE(stmts_add(t, span_str(name), s) == 0);
}

TEST(stmts, names_stand_for_statements)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1"), *two = get(m, "SELECT 2");
	unsigned refs = one->refs;

	EXPECT(stmts_find(&t, span_str("a")) == NULL);
	add(&t, "a", one);
	add(&t, "b", two);
	add(&t, "A", one); /* names are exact */
	EXPECT(stmts_find(&t, span_str("a")) == one);
	EXPECT(stmts_find(&t, span_str("b")) == two);
	EXPECT(stmts_find(&t, span_str("A")) == one);
	EXPECT(stmts_find(&t, span_str("ab")) == NULL);
	EXPECT_EQ(one->refs, refs + 2);
	EXPECT(stmts_remove(&t, span_str("a")));
	EXPECT(!stmts_remove(&t, span_str("a")));
	EXPECT(stmts_find(&t, span_str("a")) == NULL);
	EXPECT(stmts_find(&t, span_str("A")) == one);
	stmts_clear(&t);
	EXPECT(stmts_find(&t, span_str("b")) == NULL);
	EXPECT_EQ(one->refs, refs);
	EXPECT_EQ(t.bytes, 0);
	stmt_unref(one);
	stmt_unref(two);
	memo_free(&m);
}

TEST(stmts, the_unnamed_one_is_replaced)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1"), *two = get(m, "SELECT 2");
	unsigned refs = one->refs;

	EXPECT(stmts_find(&t, span_str("")) == NULL);
	add(&t, "", one);
	EXPECT(stmts_find(&t, span_str("")) == one);
	stmts_set_unnamed(&t, one); /* by itself: must not be freed in between */
	EXPECT_EQ(one->refs, refs + 1);
	add(&t, "", two);
	EXPECT(stmts_find(&t, span_str("")) == two);
	EXPECT_EQ(one->refs, refs);
	EXPECT(stmts_remove(&t, span_str("")));
	EXPECT(stmts_find(&t, span_str("")) == NULL);
	stmts_clear(&t);
	stmt_unref(one);
	stmt_unref(two);
	memo_free(&m);
}

/* Changes that are not answered yet. */
TEST(stmts, a_skipped_change_brings_back_what_was_before)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1"), *two = get(m, "SELECT 2"), *three = get(m, "SELECT 3");
	struct span a = span_str("a");
	uint64_t key[4], batch;
	unsigned refs = one->refs;

	add(&t, "a", one);
	stmts_parsed(&t, a)->number = 11;
	EXPECT(!stmts_open(&t, a, &batch));
	key[0] = stmts_change_away(&t, a, 5);
	EXPECT(stmts_find(&t, a) == NULL);
	key[1] = stmts_change(&t, a, two, 12, NULL, 5);
	key[2] = stmts_change_away(&t, a, 5);
	key[3] = stmts_change(&t, a, three, 13, NULL, 6);
	EXPECT(stmts_find(&t, a) == three);
	EXPECT(stmts_open(&t, a, &batch));
	EXPECT_EQ(batch, 6);
	stmts_undone(&t, key[0], false);
	stmts_undone(&t, key[1], false);
	EXPECT(stmts_find(&t, a) == three);
	stmts_undone(&t, key[2], false);
	EXPECT(stmts_find(&t, a) == three);
	stmts_undone(&t, key[3], true); /* tried and failed: a named one leaves what was there */
	EXPECT(stmts_find(&t, a) == NULL);
	EXPECT(!stmts_open(&t, a, &batch));
	add(&t, "a", one);
	stmts_parsed(&t, a)->number = 11;
	key[0] = stmts_change_away(&t, a, 7);
	key[1] = stmts_change(&t, a, two, 12, NULL, 7);
	stmts_undone(&t, key[0], false);
	stmts_undone(&t, key[1], false);
	EXPECT(stmts_find(&t, a) == one);
	EXPECT_EQ(stmts_parsed(&t, a)->number, 11);
	stmts_clear(&t);
	EXPECT_EQ(one->refs, refs);
	EXPECT_EQ(t.bytes, 0);
	stmt_unref(one);
	stmt_unref(two);
	stmt_unref(three);
	memo_free(&m);
}

TEST(stmts, a_change_that_is_done_stays_when_the_next_is_skipped)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1"), *two = get(m, "SELECT 2");
	uint64_t first, second;

	first = stmts_change(&t, span_str(""), one, 1, NULL, 0);
	second = stmts_change(&t, span_str(""), two, 2, NULL, 1);
	stmts_done(&t, first);
	stmts_undone(&t, second, false);
	EXPECT(stmts_find(&t, span_str("")) == one);
	first = stmts_change(&t, span_str(""), two, 2, NULL, 1);
	stmts_undone(&t, first, true); /* a failed Parse takes the unnamed one with it */
	EXPECT(stmts_find(&t, span_str("")) == NULL);
	stmts_clear(&t);
	stmt_unref(one);
	stmt_unref(two);
	memo_free(&m);
}

TEST(stmts, forgetting_all_leaves_what_is_still_to_be_answered)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1");
	uint64_t later, closed;

	add(&t, "before", one);
	add(&t, "closed", one);
	add(&t, "", one);
	later = stmts_change(&t, span_str("later"), one, 1, NULL, 0);
	closed = stmts_change_away(&t, span_str("closed"), 0);
	stmts_forget_all(&t);
	EXPECT(stmts_find(&t, span_str("before")) == NULL);
	EXPECT(stmts_find(&t, span_str("later")) == one);
	EXPECT(stmts_find(&t, span_str("")) == one); /* DEALLOCATE ALL is about names */
	stmts_done(&t, later);
	stmts_undone(&t, closed, false);
	EXPECT(stmts_find(&t, span_str("closed")) == NULL);
	stmts_clear(&t);
	EXPECT_EQ(t.bytes, 0);
	stmt_unref(one);
	memo_free(&m);
}

TEST(stmts, know_the_names_behind_answers)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1");
	uint64_t mention, literal, id;

	add(&t, "a", one);
	id = stmts_id(&t, span_str("a"));
	EXPECT_MEM(stmts_id_name(&t, id), span_str("a"));
	EXPECT_EQ(stmts_id_name(&t, id + 100).n, 0);
	mention = stmts_mention(&t, span_str("pgweir_1"), 0);
	EXPECT(stmts_find(&t, span_str("pgweir_1")) == NULL);
	EXPECT_MEM(stmts_change_name(&t, mention), span_str("pgweir_1"));
	literal = stmts_literal(&t, span_str("a"), 0);
	EXPECT(stmts_is_literal(&t, span_str("a")));
	EXPECT_EQ(stmts_literal(&t, span_str("b"), 0), 0);
	stmts_undone(&t, mention, true);
	stmts_undone(&t, literal, false);
	EXPECT(!stmts_is_literal(&t, span_str("a")));
	EXPECT_EQ(stmts_id(&t, span_str("pgweir_1")), 0);
	stmts_clear(&t);
	EXPECT_EQ(t.bytes, 0);
	stmt_unref(one);
	memo_free(&m);
}

TEST(stmts, hold_a_statement_that_the_memo_has_forgotten)
{
	struct memo *m = memo_new(1);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1");
	uint64_t id = one->id;

	add(&t, "a", one);
	stmt_unref(one);
	stmt_unref(get(m, "SELECT 2")); /* pushes the first one out */
	REQUIRE(stmts_find(&t, span_str("a")) != NULL);
	EXPECT_EQ(stmts_find(&t, span_str("a"))->id, id);
	EXPECT_MEM(stmts_find(&t, span_str("a"))->text, span_str("SELECT 1"));
	stmts_clear(&t);
	memo_free(&m);
}

TEST(stmts, a_number_that_the_server_has_lost_takes_its_names)
{
	struct memo *m = memo_new(1 << 20);
	struct stmt *one = memo_get(m, span_str("SELECT 1"), span_of(NULL, 0));
	struct stmts t = {0};

	REQUIRE(one != NULL);
	EXPECT_EQ(stmts_add(&t, span_str("a"), one), 0);
	EXPECT_EQ(stmts_add(&t, span_str("b"), one), 0);
	EXPECT_EQ(stmts_add(&t, span_str("c"), one), 0);
	stmts_parsed(&t, span_str("a"))->number = stmts_parsed(&t, span_str("c"))->number = 7;
	stmts_parsed(&t, span_str("b"))->number = 8;
	stmts_forget_number(&t, 7);
	EXPECT(stmts_find(&t, span_str("a")) == NULL && stmts_find(&t, span_str("c")) == NULL);
	EXPECT(stmts_find(&t, span_str("b")) == one);
	stmts_clear(&t);
	stmt_unref(one);
	memo_free(&m);
}

TEST(stmts, are_bounded_in_bytes)
{
	struct memo *m = memo_new(1 << 30);
	struct stmts t = {0};
	size_t size = 15u << 20;
	char *text = malloc(size), name[16];
	struct stmt *big;
	unsigned n = 0;

	REQUIRE(text != NULL);
	memset(text, ' ', size);
	big = memo_get(m, span_of(text, size), span_of(NULL, 0));
	REQUIRE(big != NULL);
	do
		snprintf(name, sizeof name, "n%u", n);
	while (stmts_add(&t, span_str(name), big) == 0 && ++n < 100);
	EXPECT_EQ(n, STMTS_BYTES / size);
	EXPECT(stmts_find(&t, span_str(name)) == NULL);
	EXPECT(stmts_remove(&t, span_str("n0")));
	EXPECT_EQ(stmts_add(&t, span_str(name), big), 0);
	stmts_clear(&t);
	stmt_unref(big);
	memo_free(&m);
	free(text);
}
