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
	EXPECT_EQ(stmts_key(&t, span_str("")), 0);
	EXPECT(stmts_remove(&t, span_str("")));
	EXPECT(stmts_find(&t, span_str("")) == NULL);
	stmt_unref(one);
	stmt_unref(two);
	memo_free(&m);
}

TEST(stmts, a_parse_that_failed_takes_its_own_name_only)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1");
	uint64_t first, second;

	add(&t, "a", one);
	first = stmts_key(&t, span_str("a"));
	EXPECT(first != 0);
	EXPECT(stmts_remove(&t, span_str("a"))); /* closed, and the name given to another one */
	add(&t, "a", one);
	second = stmts_key(&t, span_str("a"));
	EXPECT(second > first);
	stmts_remove_key(&t, first);
	EXPECT(stmts_find(&t, span_str("a")) == one);
	stmts_remove_key(&t, 0);
	EXPECT(stmts_find(&t, span_str("a")) == one);
	stmts_remove_key(&t, second);
	EXPECT(stmts_find(&t, span_str("a")) == NULL);
	EXPECT_EQ(stmts_key(&t, span_str("a")), 0);
	stmts_clear(&t);
	stmt_unref(one);
	memo_free(&m);
}

TEST(stmts, clearing_until_a_key_leaves_what_came_later)
{
	struct memo *m = memo_new(1 << 20);
	struct stmts t = {0};
	struct stmt *one = get(m, "SELECT 1");
	uint64_t key;

	add(&t, "before", one);
	add(&t, "last", one);
	key = stmts_key(&t, span_str("last"));
	add(&t, "after", one);
	stmts_clear_until(&t, key);
	EXPECT(stmts_find(&t, span_str("before")) == NULL);
	EXPECT(stmts_find(&t, span_str("last")) == NULL);
	EXPECT(stmts_find(&t, span_str("after")) == one);
	stmts_clear(&t);
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
