#include "proxy/sql/memo.h"
#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

#include <stdio.h>

static struct span no_oids(void)
{
	return span_of(NULL, 0);
}

TEST(memo, gives_one_object_per_text_and_types)
{
	static const uint8_t int4[] = {0, 0, 0, 23}, int8[] = {0, 0, 0, 20},
			     both[] = {0, 0, 0, 23, 0, 0, 0, 20};
	struct memo *m = memo_new(1 << 20);
	struct stmt *a = memo_get(m, span_str("select $1"), no_oids());
	struct stmt *b = memo_get(m, span_str("select $1"), no_oids());
	struct stmt *c = memo_get(m, span_str("select $1"), span_of(int4, 4));
	struct stmt *d = memo_get(m, span_str("select $1"), span_of(int8, 4));
	struct stmt *e = memo_get(m, span_str("select $1"), span_of(both, 8));
	struct stmt *f = memo_get(m, span_str("select $1 "), no_oids());

	EXPECT(a == b && a != c && c != d && d != e && e != f && a != f);
	EXPECT(a->id != c->id && c->id != d->id && d->id != e->id && a->id != 0);
	EXPECT_EQ(memo_parsed(m), 5);
	EXPECT_EQ(c->noids, 1);
	EXPECT_EQ(c->oids[0], 23);
	EXPECT_EQ(e->oids[1], 20);
	EXPECT_MEM(c->text, span_str("select $1"));
	EXPECT_EQ(c->facts->nstmts, 1);
	stmt_unref(a);
	stmt_unref(b);
	stmt_unref(c);
	stmt_unref(d);
	stmt_unref(e);
	stmt_unref(f);
	EXPECT(memo_bytes(m) > 0);
	memo_free(&m);
	EXPECT(m == NULL);
}

TEST(memo, forgets_the_least_recently_used)
{
	struct memo *m = memo_new(40000);
	struct stmt *held = memo_get(m, span_str("select * from held"), no_oids());
	uint64_t hot = 0;

	for (int i = 0; i < 1000; i++) {
		char text[64];
		struct stmt *s = memo_get(m, span_str("select * from hot"), no_oids());

		EXPECT(hot == 0 || s->id == hot);
		hot = s->id;
		stmt_unref(s);
		snprintf(text, sizeof(text), "select * from t%d where id = 1", i);
		s = memo_get(m, span_str(text), no_oids());
		REQUIRE(s != NULL);
		stmt_unref(s);
		EXPECT(memo_bytes(m) <= 40000);
	}
	EXPECT_EQ(memo_parsed(m), 1002);
	/* Evicted long ago, but its holder still has it. */
	EXPECT_MEM(held->text, span_str("select * from held"));
	EXPECT(held->memo == NULL);
	stmt_unref(held);
	memo_free(&m);
}

TEST(memo, lets_statements_outlive_it)
{
	struct memo *m = memo_new(1 << 20);
	struct stmt *s = memo_get(m, span_str("select 1"), no_oids());

	memo_free(&m);
	EXPECT_EQ(s->facts->nstmts, 1);
	stmt_unref(s);
}

TEST(memo, takes_a_text_larger_than_its_bound)
{
	struct memo *m = memo_new(1);
	struct stmt *a = memo_get(m, span_str("select 1"), no_oids());
	struct stmt *b = memo_get(m, span_str("select 2"), no_oids());

	EXPECT_EQ(a->facts->nstmts, 1);
	EXPECT_EQ(b->facts->nstmts, 1);
	stmt_unref(a);
	stmt_unref(b);
	memo_free(&m);
}

TEST(memo, resolves_again_when_catalog_or_session_change)
{
	struct memo *m = memo_new(1 << 20);
	struct catalog *one = sample_catalog(), *two = sample_catalog();
	struct reads_session session = {.search_path = span_str("public"), .role = span_str("app")};
	struct reads_session other = {.search_path = span_str("nowhere"), .role = span_str("app")};
	struct reads_session split = {.search_path = span_str("nowher"), .role = span_str("eapp")};
	struct stmt *s = memo_get(m, span_str("select * from mk_user where id = 1"), no_oids());
	struct reads *first = memo_reads(s, one, &session);

	EXPECT_EQ(reads_reason(first), REASON_NONE);
	EXPECT(memo_reads(s, one, &session) == first);
	EXPECT_EQ(reads_reason(memo_reads(s, one, &other)), REASON_RELATION_UNKNOWN);
	first = reads_ref(memo_reads(s, one, &other));
	EXPECT(memo_reads(s, one, &split) != first); /* the same bytes, cut elsewhere */
	reads_unref(first);
	EXPECT_EQ(reads_reason(memo_reads(s, two, &session)), REASON_NONE);
	EXPECT_EQ(reads_reason(memo_reads(s, NULL, &session)), REASON_OFF);
	EXPECT(catalog_serial(one) != catalog_serial(two));
	stmt_unref(s);
	memo_free(&m);
	catalog_unref(one);
	catalog_unref(two);
}

TEST(memo, does_not_remember_a_query_that_is_like_one_before)
{
	struct memo *m = memo_new(1 << 20);
	size_t before;
	struct stmt *a, *b, *c;

	stmt_unref(memo_get_query(m, span_str("select * from t where name = '1'")));
	before = memo_bytes(m);
	a = memo_get_query(m, span_str("select * from t where name = '2'"));
	b = memo_get_query(m, span_str("select * from t where name = '3'"));
	EXPECT(a->facts == b->facts && a->id != b->id);
	stmt_unref(a);
	/* The room of the ones before is used again, but not while somebody holds them. */
	a = memo_get_query(m, span_str("select * from t where name = '45'"));
	EXPECT(span_eq(b->text, span_str("select * from t where name = '3'")));
	EXPECT(span_eq(a->text, span_str("select * from t where name = '45'")));
	EXPECT_EQ(a->literals[0].n, 4);
	c = memo_get_query(m, span_str("select * from t where name = '45'"));
	EXPECT(a == c);
	stmt_unref(a);
	stmt_unref(b);
	stmt_unref(c);
	a = memo_get_query(m, span_str("select * from t where name = '7'"));
	EXPECT(span_eq(a->text, span_str("select * from t where name = '7'")));
	stmt_unref(a);
	a = memo_get_query(
		m, span_str("select * from t where name = '1234567890123456789012345678901234567890'"));
	EXPECT(span_eq(a->text,
		       span_str("select * from t where name = '1234567890123456789012345678901234567890'")));
	stmt_unref(a);
	EXPECT(memo_bytes(m) == before);
	/* One that is prepared is remembered at once: clients share it. */
	stmt_unref(memo_get_query(m, span_str("select * from t where name = '4'")));
	a = memo_get(m, span_str("select * from t where name = '4'"), no_oids());
	b = memo_get(m, span_str("select * from t where name = '4'"), no_oids());
	EXPECT(a == b && memo_parsed(m) == 1);
	EXPECT(memo_bytes(m) > before);
	stmt_unref(a);
	stmt_unref(b);
	memo_free(&m);
}

/* Several shapes that begin alike do not push each other out. */
TEST(memo, knows_several_shapes_that_begin_alike)
{
	static const char *const shapes[] = {"select * from some_table where a = %d",
					     "select * from some_table where b = %d",
					     "select * from some_table where c = %d and d = %d",
					     "select * from some_table where a = %d order by e"};
	struct memo *m = memo_new(1 << 20);
	size_t before = 0;

	for (int i = 0; i < 40; i++) {
		char text[96];
		struct stmt *s;

		snprintf(text, sizeof(text), shapes[i % 4], i, i);
		s = memo_get_query(m, span_str(text));
		EXPECT(span_eq(s->text, span_str(text)));
		stmt_unref(s);
		if (i == 3)
			before = memo_bytes(m);
	}
	EXPECT_EQ(memo_parsed(m), 4);
	EXPECT(memo_bytes(m) == before);
	memo_free(&m);
}

/* What is not plain (plain.h) is like nothing: the whole text has to come again. */
TEST(memo, remembers_a_query_with_literals_when_it_comes_again)
{
	struct memo *m = memo_new(1 << 20);
	size_t before;
	struct stmt *a, *b;

	stmt_unref(memo_get_query(m, span_str("select * from t where id = 1 /* x */")));
	before = memo_bytes(m);
	stmt_unref(memo_get_query(m, span_str("select * from t where id = 2 /* x */")));
	EXPECT(memo_bytes(m) == before);
	a = memo_get_query(m, span_str("select * from t where id = 1 /* x */"));
	EXPECT(memo_bytes(m) > before);
	stmt_unref(memo_get_query(m, span_str("select 1")));
	b = memo_get_query(m, span_str("select * from t where id = 1 /* x */"));
	EXPECT(a == b && memo_parsed(m) == 2);
	stmt_unref(a);
	stmt_unref(b);
	memo_free(&m);
}

/* A literal that the grammar looks into is part of the shape, also when the text before was like this one. */
TEST(memo, tells_texts_apart_that_differ_in_what_the_grammar_looks_into)
{
	struct memo *m = memo_new(1 << 20);
	struct stmt *a = memo_get_query(m, span_str("select a from t where b = 5 order by 1"));
	struct stmt *b = memo_get_query(m, span_str("select a from t where b = 5 order by 2"));
	struct stmt *c = memo_get_query(m, span_str("select a from t where b = 6 order by 2"));

	EXPECT(a->facts != b->facts);
	EXPECT(b->facts == c->facts);
	stmt_unref(a);
	stmt_unref(b);
	stmt_unref(c);
	memo_free(&m);
}
