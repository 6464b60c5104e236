/* One analysis for all texts that differ only in literals: it must say of each what an analysis of its own would say. */
#include "proxy/sql/memo.h"
#include "proxy/sql/slots.h"
#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

#include <stdio.h>
#include <stdlib.h>

struct said {
	enum reason reason;
	unsigned nkeys, nrels;
	uint64_t keys[64];
	uint32_t rels[8];
};

static struct reads_session session(void)
{
	return (struct reads_session){.search_path = span_str("public"), .role = span_str("app")};
}

static struct said ask(struct reads *r, const struct reads_param *params, unsigned n)
{
	const struct reads_signatures all = {.applied = sample_applied};
	struct said said = {.nkeys = 0};
	struct reads_set set = {.keys = said.keys, .max = 64, .relids = said.rels, .maxrels = 8};

	said.reason = reads_keys(r, params, (uint16_t)n, &all, &set);
	said.nkeys = set.nkeys;
	said.nrels = set.nrels;
	return said;
}

static struct said by_itself(const struct catalog *c, const char *text)
{
	struct reads_session s = session();
	struct facts *f = facts_of_text(span_str(text));
	struct reads *r = reads_resolve(f, c, &s, NULL, 0);
	struct said said = ask(r, NULL, 0);

	reads_unref(r);
	facts_unref(f);
	return said;
}

static struct said by_shape(struct memo *m, const struct catalog *c, const char *text)
{
	struct reads_session s = session();
	struct stmt *stmt = memo_get(m, span_str(text), span_of(NULL, 0));
	struct reads_param params[LITERALS_MAX];
	struct buf value[LITERALS_MAX];
	unsigned n = stmt->facts->nslots;
	struct said said;

	for (unsigned i = 0; i < n; i++) {
		buf_init(&value[i], 4096);
		literal_value(stmt->text, &stmt->literals[i], stmt->facts->slots[i].negative, &value[i]);
		params[i] = (struct reads_param){.value = buf_span(&value[i])};
	}
	said = ask(memo_reads(stmt, c, &s), params, n);
	for (unsigned i = 0; i < n; i++)
		buf_free(&value[i]);
	stmt_unref(stmt);
	return said;
}

/* A reason may differ: what one text has for good, the shape finds out when it is executed. */
static bool same(const struct said *a, const struct said *b)
{
	if ((a->reason == REASON_NONE) != (b->reason == REASON_NONE))
		return false;
	if (a->reason != REASON_NONE)
		return true;
	return a->nkeys == b->nkeys && a->nrels == b->nrels &&
	       memcmp(a->keys, b->keys, a->nkeys * sizeof(a->keys[0])) == 0;
}

static const struct {
	const char *first, *second;
	bool shared;
} pairs[] = {
	{"select * from mk_user where id = 1", "select * from mk_user where id = 22", true},
	{"select * from mk_user where id = 1", "select * from mk_user where id = 0022", true},
	{"select * from mk_user where id = -1", "select * from mk_user where id = -22", true},
	{"select * from mk_user where id = - 1", "select * from mk_user where id = - 22", true},
	{"select * from mk_user where id = - -1", "select * from mk_user where id = - -22", false},
	{"select * from mk_user where id = -(1)", "select * from mk_user where id = -(22)", false},
	{"select * from mk_user where id = 1", "select * from mk_user where id = 9999999999", false},
	{"select * from mk_user where id = 9999999998", "select * from mk_user where id = 9999999999", true},
	{"select * from mk_user where id = 1.0", "select * from mk_user where id = 1.5", true},
	{"select * from mk_user where id = 9999999998", "select * from mk_user where id = 1e3", true},
	{"select * from mk_user where id = '1'", "select * from mk_user where id = '22'", true},
	{"select * from mk_user where id = '1'", "select * from mk_user where id = 'x'", true},
	{"select * from mk_user where id = '1'", "select * from mk_user where id = E'22'", false},
	{"select * from mk_user where id = E'1'", "select * from mk_user where id = e'22'", true},
	{"select * from by_text where k1 = E'1'", "select * from by_text where k1 = E'\\n'", false},
	{"select * from by_text where k1 = 'it''s'", "select * from by_text where k1 = ''''", true},
	{"select * from by_text where k1 = 'a'", "select * from by_text where k1 = ''", true},
	{"select * from by_text where k1 = 'a'", "select * from by_text where k1 = 'a'\n'b'", false},
	{"select * from by_text where k1 = 'a'", "select * from by_text where k1 = '\xc3\xa4'", true},
	{"select * from by_text where k1 = $$a$$", "select * from by_text where k1 = $x$b'$$$x$", true},
	{"select * from by_text where k1 = U&'a'", "select * from by_text where k1 = U&'b'", false},
	{"select * from mk_user where id in (1, 2)", "select * from mk_user where id in (3, 3)", true},
	{"select * from mk_user where id in (1, 2)", "select * from mk_user where id in (3, 4, 5)", false},
	{"select * from mk_user where id = any('{1,2}')",
	 "select * from mk_user where id = any('{3,NULL,5}')", true},
	{"select * from mk_user where id = any('{1,2}')", "select * from mk_user where id = any('{3')", true},
	{"select * from mk_user where id = any(array[1,2])",
	 "select * from mk_user where id = any(array[7,9])", true},
	{"select * from mk_user where id = '1'::smallint", "select * from mk_user where id = '2'::smallint",
	 true},
	{"select * from mk_user where id = 1::bigint or id = 2",
	 "select * from mk_user where id = 3::bigint or id = 4", true},
	{"select * from by_pair where k1 = 1 and k2 = 'a'", "select * from by_pair where k1 = 2 and k2 = 'b'",
	 true},
	{"select * from mk_user where born = '2020-01-01'", "select * from mk_user where born = 'now'", true},
	{"select * from mk_user where born = 'today'", "select * from mk_user where born = '2020-01-01'",
	 true},
	{"select 'x'::date from mk_user", "select 'Tomorrow'::date from mk_user", true},
	{"select * from mk_user where title = 'now'", "select * from mk_user where title = 'then'", true},
	{"select name from mk_user order by 1", "select name from mk_user order by 2", false},
	{"select meta, status from mk_user order by 1", "select meta, status from mk_user order by 2", false},
	{"select name, age from mk_user group by 1, 2", "select name, age from mk_user group by 2, 1", false},
	{"select distinct on (1) name from mk_user where id = 1",
	 "select distinct on (1) name from mk_user where id = 2", true},
	{"select id::float(24) from mk_user", "select id::float(25) from mk_user", false},
	{"select id::numeric(3,1) from mk_user where id = 1",
	 "select id::numeric(4,1) from mk_user where id = 1", false},
	{"select * from mk_user limit 1 offset 2", "select * from mk_user limit 3 offset 4", true},
	{"select id /* one */ from mk_user where id = 1", "select id /*two*/ from mk_user where id = 2",
	 true},
	{"select id -- one\n from mk_user where id = 1", "select id -- '2'\n from mk_user where id = 2",
	 true},
	{"select id from mk_user where id = 1", "select id from mk_post where id = 1", false},
	{"select \"id\" from mk_user where id = 1", "select \"name\" from mk_user where id = 1", false},
	{"select set_config('a.b', 'x', true)", "select set_config('a.c', 'x', true)", false},
	{"insert into mk_user values (1, 'a')", "insert into mk_user values (2, 'b')", true},
	{"update mk_user set name = 'x' where id = 1", "update mk_user set name = 'y' where id = 2", true},
	{"set application_name = 'a'", "set application_name = 'b'", false},
	{"select interval '1 day' from mk_user", "select interval '2 days' from mk_user", true},
	{"select * from mk_user where id = 1; select 2", "select * from mk_user where id = 1; select 3",
	 false},
};

TEST(literals, the_second_text_is_understood_as_by_itself)
{
	struct catalog *c = sample_catalog();

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct memo *m = memo_new(1 << 20);
		struct said first = by_shape(m, c, pairs[i].first), second = by_shape(m, c, pairs[i].second);
		struct said want_first = by_itself(c, pairs[i].first),
			    want_second = by_itself(c, pairs[i].second);

		if (!same(&first, &want_first) || !same(&second, &want_second) ||
		    memo_parsed(m) != (pairs[i].shared ? 1u : 2u))
			fprintf(stderr, "%s | %s: parsed %u\n", pairs[i].first, pairs[i].second,
				(unsigned)memo_parsed(m));
		EXPECT(same(&first, &want_first));
		EXPECT(same(&second, &want_second));
		EXPECT_EQ(memo_parsed(m), pairs[i].shared ? 1 : 2);
		memo_free(&m);
	}
	catalog_unref(c);
}

TEST(literals, facts_are_those_of_each_text)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct memo *m = memo_new(1 << 20);
		struct stmt *first = memo_get(m, span_str(pairs[i].first), span_of(NULL, 0));
		struct stmt *second = memo_get(m, span_str(pairs[i].second), span_of(NULL, 0));
		struct facts *want = facts_of_text(span_str(pairs[i].second));

		EXPECT_EQ(second->facts->nstmts, want->nstmts);
		EXPECT_EQ(second->facts->effects, want->effects);
		EXPECT_EQ(second->facts->reason, want->reason);
		EXPECT_EQ(second->facts->nparams, want->nparams);
		if (want->nstmts == 1 && want->stmts[0].nsettings == 1)
			EXPECT_STR(second->facts->stmts[0].settings[0].name, want->stmts[0].settings[0].name);
		facts_unref(want);
		stmt_unref(first);
		stmt_unref(second);
		memo_free(&m);
	}
}

TEST(literals, many_shapes_stay_within_the_bound)
{
	struct memo *m = memo_new(200000);
	struct stmt *held[50];

	for (int i = 0; i < 1000; i++) {
		char text[96];
		struct stmt *s;

		snprintf(text, sizeof(text), "select * from t%d where id = %d", i, i);
		s = memo_get(m, span_str(text), span_of(NULL, 0));
		snprintf(text, sizeof(text), "select * from t%d where id = %d", i, i + 1);
		stmt_unref(memo_get(m, span_str(text), span_of(NULL, 0)));
		if (i < 50)
			held[i] = s;
		else
			stmt_unref(s);
		EXPECT(memo_bytes(m) <= 200000);
	}
	EXPECT_EQ(memo_parsed(m), 1000);
	memo_free(&m);
	for (int i = 0; i < 50; i++) {
		EXPECT_EQ(held[i]->facts->nstmts, 1);
		stmt_unref(held[i]);
	}
}

/* A text made of pieces that are odd beside each other. */
static void put_text(unsigned *seed, char *text, size_t size)
{
	static const char *const pieces[] = {
		"a",	   "select", "1",  "42", "0",	"007",	    "999999999", "2147483647", "9999999999",
		"1.5",	   ".",	     "..", "e5", "'x'", "'it''s'",  "''",	 "'\\'",       "'",
		"\"q 1\"", "\"\"",   "\"", "$1", "$",	"$$",	    "$a$",	 "-",	       "--",
		"- ",	   "+",	     "*",  "/",	 "/*",	"*/",	    "=",	 "<",	       ">",
		"<=",	   "%",	     "|",  "||", "~",	"!",	    "@",	 "#",	       "&",
		"^",	   "?",	     ":",  "::", ":=",	"(",	    ")",	 "[",	       "]",
		",",	   ";",	     " ",  "  ", "\n",	"\t",	    "E'a'",	 "e",	       "U&",
		"u",	   "n",	     "b",  "x",	 "_",	"\xc3\xa4", "{",	 "}",	       "float",
		"\f",	   "\\",
	};
	size_t n = 0;

	for (unsigned i = 0; i < 12; i++) {
		const char *piece = pieces[(unsigned)rand_r(seed) % (sizeof(pieces) / sizeof(pieces[0]))];

		if (n + strlen(piece) + 1 >= size)
			break;
		memcpy(text + n, piece, strlen(piece));
		n += strlen(piece);
		if (rand_r(seed) % 3 == 0)
			text[n++] = ' ';
	}
	text[n] = '\0';
}

TEST(literals, plain_texts_are_scanned_as_postgresql_does)
{
	struct buf fast, exact;
	unsigned seed = 1, taken = 0;

	buf_init(&fast, 4096);
	buf_init(&exact, 4096);
	for (int i = 0; i < 30000; i++) {
		struct literals a, b;
		char text[128];
		bool got, want;

		put_text(&seed, text, sizeof(text));
		got = literals_scan(span_str(text), &a, &fast);
		want = literals_scan_exact(span_str(text), &b, &exact);
		if (got != want ||
		    (got && (!span_eq(buf_span(&fast), buf_span(&exact)) || a.count != b.count)))
			fprintf(stderr, "%s\n", text);
		EXPECT_EQ(got, want);
		if (!got || !want)
			continue;
		taken++;
		EXPECT(span_eq(buf_span(&fast), buf_span(&exact)));
		REQUIRE(a.count == b.count);
		for (unsigned k = 0; k < a.count; k++)
			EXPECT(a.list[k].at == b.list[k].at && a.list[k].n == b.list[k].n &&
			       a.list[k].kind == b.list[k].kind && a.list[k].minus == b.list[k].minus &&
			       (!a.list[k].minus || a.list[k].minus_at == b.list[k].minus_at));
	}
	EXPECT(taken > 1000);
	buf_free(&fast);
	buf_free(&exact);
}

static bool like(const char *model, const char *text, struct literals *found)
{
	static struct literals of_model;
	struct buf skeleton;
	bool has;

	buf_init(&skeleton, 4096);
	has = literals_scan(span_str(model), &of_model, &skeleton);
	buf_free(&skeleton);
	return has && of_model.plain &&
	       literals_like(span_str(text), span_str(model), of_model.list, of_model.count, found);
}

TEST(literals, finds_those_of_a_text_like_another_as_a_scan_does)
{
	static const char *const model =
		"select a from t where b = 12 and c = - 7 and d in ('x', '') limit 1";
	static const char *const texts[] = {
		"select a from t where b = 3 and c = - 123456789 and d in ('', 'y z') limit 22",
		"select a from t where b = 007 and c = - 0 and d in ('select 1', '$1') limit 1",
		"select a from t where b = 12 and c = - 7 and d in ('x', '') limit 1",
	};
	static struct literals fast, scanned;
	struct buf skeleton;

	buf_init(&skeleton, 4096);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		REQUIRE(like(model, texts[i], &fast));
		REQUIRE(literals_scan_exact(span_str(texts[i]), &scanned, &skeleton));
		REQUIRE(fast.count == scanned.count);
		for (unsigned k = 0; k < fast.count; k++) {
			const struct literal *a = &fast.list[k], *b = &scanned.list[k];

			EXPECT(a->at == b->at && a->n == b->n && a->kind == b->kind && a->minus == b->minus);
			EXPECT(!a->minus || a->minus_at == b->minus_at);
		}
	}
	buf_free(&skeleton);
}

TEST(literals, takes_no_text_for_like_another_that_may_not_be)
{
	static const struct {
		const char *model, *text;
	} pairs[] = {
		{"select 1", "select 1.5"},
		{"select 1", "select 1e5"},
		{"select 1", "select 12345678901"},
		{"select 1", "select 1a"},
		{"select 1", "select x"},
		{"select 1", "select "},
		{"select 1", "select 1 "},
		{"select 1", "select 1;"},
		{"select 1 ", "select 1"},
		{"select 1", "select '1'"},
		{"select '1'", "select 1"},
		{"select 'a'", "select 'a''b'"},
		{"select 'a'", "select 'a' 'b'"},
		{"select 'a'", "select 'a"},
		{"select 'a'", "select 'a\001'"},
		{"select 'a'", "select e'a'"},
		{"select 'a', 'b'", "select 'a', ''''"},
		{"select 1, 2", "select 1, 2, 3"},
		{"select 1 + 2", "select 1 - 2"},
		{"select 1.5", "select 2.5"},
		{"select 1, a /* x */", "select 2, a /* x */"},
		{"select $1", "select $2"},
	};
	static struct literals found;

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		EXPECT(!like(pairs[i].model, pairs[i].text, &found));
}
