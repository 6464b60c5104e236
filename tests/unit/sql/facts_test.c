#include "proxy/sql/facts.h"
#include "proxy/sql/parse.h"
#include "proxy/sql/verdict.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

TEST(facts, counts_statements_and_parameters)
{
	struct facts *f =
		facts_of_text(span_str(" SET a.b TO 1; begin ;; update t set a = $3 where b = $1; "));

	REQUIRE(f->nstmts == 3);
	EXPECT_EQ(f->stmts[0].command, COMMAND_SET);
	EXPECT_EQ(f->stmts[1].command, COMMAND_BEGIN);
	EXPECT_EQ(f->stmts[2].command, COMMAND_DML);
	EXPECT_EQ(f->effects, EFFECT_SETTING | EFFECT_WRITES);
	EXPECT_EQ(f->nparams, 3);
	EXPECT_EQ(f->reason, REASON_MULTIPLE);
	facts_unref(f);
}

TEST(facts, takes_emptiness_for_no_statement)
{
	static const char *const texts[] = {"",	    " \n\t", ";", ";;;", "-- nothing", "/* a /* b */ c */",
					    "--\n;"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct facts *f = facts_of_text(span_str(texts[i]));

		EXPECT_EQ(f->nstmts, 0);
		EXPECT_EQ(f->effects, 0);
		EXPECT(f->shape == NULL);
		facts_unref(f);
	}
}

TEST(facts, expects_the_worst_of_what_does_not_parse)
{
	static const char nul[] = "select 1\0; drop table t";
	struct span texts[] = {span_str("select from where"), span_str("'"), span_str("$$"),
			       span_of(nul, sizeof(nul) - 1), span_str("select 1; selec 2")};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct facts *f = facts_of_text(texts[i]);

		EXPECT_EQ(f->nstmts, -1);
		EXPECT(f->shape == NULL);
		EXPECT_EQ(f->reason, REASON_SYNTAX);
		EXPECT((f->effects & EFFECT_TAINT) != 0 && (f->effects & EFFECT_WRITES) != 0);
		facts_unref(f);
	}
}

TEST(facts, keeps_a_shape_only_for_candidates)
{
	struct facts *yes = facts_of_text(span_str("select * from t where id = 1"));
	struct facts *no = facts_of_text(span_str("select now() from t"));

	EXPECT(yes->shape != NULL);
	EXPECT_EQ(yes->reason, REASON_NONE);
	EXPECT(no->shape == NULL);
	EXPECT_EQ(no->reason, REASON_FUNCTION);
	EXPECT(facts_ref(yes) == yes);
	facts_unref(yes);
	EXPECT_EQ(yes->nstmts, 1);
	EXPECT(yes->bytes < 8192);
	facts_unref(yes);
	facts_unref(no);
}

/* `head` and then `piece` again and again, up to `bytes`. */
static char *repeated(const char *head, const char *piece, size_t bytes)
{
	char *text = malloc(bytes + strlen(head) + strlen(piece) + 1);
	size_t n = strlen(head);

	memcpy(text, head, n);
	while (n < bytes) {
		memcpy(text + n, piece, strlen(piece));
		n += strlen(piece);
	}
	text[n] = '\0';
	return text;
}

static void deep(const char *head, const char *piece, const char *tail, size_t bytes)
{
	char *text = repeated(head, piece, bytes);
	char *whole = malloc(strlen(text) + strlen(tail) + 1);
	struct facts *f;

	strcpy(whole, text);
	strcat(whole, tail);
	f = facts_of_text(span_str(whole));
	REQUIRE(f != NULL);
	EXPECT(f->nstmts == 1 || f->nstmts == -1);
	EXPECT(f->shape == NULL || f->nstmts == 1);
	facts_unref(f);
	free(whole);
	free(text);
}

/* libpg_query and protobuf-c recurse without a limit: each of these overran the stack of a thread. */
static void *all_deep(void *arg)
{
	static const size_t sizes[] = {1000, 4000, 20000, 60000};

	(void)arg;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		deep("select 1", "+1", "", sizes[i]);
		deep("select 1", "::int", "", sizes[i]);
		deep("select ", "- ", "1", sizes[i]);
		deep("select ", "not ", "true", sizes[i]);
		deep("select 1", " is null", "", sizes[i]);
		deep("select 1", " union all select 1", "", sizes[i]);
		deep("select 1 from a", " join a on true", "", sizes[i]);
		deep("select ", "(select ", "1", sizes[i]);
		deep("select 1 from t where a = 1", " or a = 1", "", sizes[i]);
		deep("select ", "case when true then ", "1", sizes[i]);
		deep("select a", " collate \"C\"", "", sizes[i]);
		deep("select ", "f(", "1", sizes[i]);
		deep("select 1", " in (1", "", sizes[i]);
		deep("select ", "with x as (select ", "1", sizes[i]);
		deep("select a from t where a in (1", ",1", ")", sizes[i]);
		deep("insert into t values (1,2,'x')", ",(1,2,'x')", "", sizes[i]);
		deep("select ", "array[", "1", sizes[i]);
		deep("select sum(a) over (order by ", "sum(a) over (order by ", "1", sizes[i]);
		deep("select ", "xmlelement(name a,", "1", sizes[i]);
	}
	return NULL;
}

TEST(facts, survives_deep_nesting_on_a_thread)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 8u << 20);
	REQUIRE(pthread_create(&thread, &attr, all_deep, NULL) == 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
}

TEST(facts, does_not_look_at_very_long_texts)
{
	char *text = repeated("select 'a", "a", FACTS_TEXT_MAX + 10);
	struct facts *f = facts_of_text(span_str(text));

	EXPECT_EQ(f->nstmts, -1);
	EXPECT_EQ(f->reason, REASON_TOO_LARGE);
	facts_unref(f);
	free(text);
}

TEST(facts, sees_negative_and_large_numbers)
{
	/* libpg_query's JSON form loses the sign of an integer; the packed form must not. */
	struct facts *f = facts_of_text(span_str("select * from t where id = -1"));

	REQUIRE(f->shape != NULL);
	facts_unref(f);
	EXPECT(parse_nesting(span_str("select 1")) < parse_nesting(span_str("select (1)")));
}

TEST(facts, trusts_only_what_reads_the_same_everywhere)
{
	static const char *const safe[] = {"UTF8",   "utf-8",	   "UNICODE", "SQL_ASCII",
					   "LATIN1", "ISO_8859_5", "WIN1252", "EUC_JP"};
	static const char *const unsafe[] = {"SJIS",  "BIG5",		"GBK",	  "GB18030",	"UHC",
					     "JOHAB", "SHIFT_JIS_2004", "WIN932", "windows949", "",
					     "?"};

	for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++) {
		EXPECT(facts_certain(span_str(safe[i]), span_str("on")));
		EXPECT(!facts_certain(span_str(safe[i]), span_str("off")));
	}
	for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
		EXPECT(!facts_certain(span_str(unsafe[i]), span_str("on")));
}

static void *many_texts(void *arg)
{
	char text[128];
	size_t wrong = 0;

	for (int i = 0; i < 300; i++) {
		struct facts *f;

		snprintf(text, sizeof(text),
			 "select * from t%d where id = %d and set_config('a.b%d', 'c', false) = 'd'", i, i,
			 i);
		f = facts_of_text(span_str(text));
		snprintf(text, sizeof(text), "a.b%d", i);
		wrong += f->nstmts != 1 || f->stmts[0].nsettings != 1 ||
			 strcmp(f->stmts[0].settings[0].name, text) != 0;
		facts_unref(f);
	}
	*(size_t *)arg = wrong;
	return NULL;
}

TEST(facts, may_be_made_by_many_threads_at_once)
{
	pthread_t threads[4];
	size_t wrong[4];

	for (int i = 0; i < 4; i++)
		REQUIRE(pthread_create(&threads[i], NULL, many_texts, &wrong[i]) == 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(wrong[i], 0);
	}
}
