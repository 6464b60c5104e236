/* A backend made by hand: which request a message answers, and what an error does to those behind it. */
#include "proxy/backend/backend.h"
#include "tests/support/test.h"

#include <stdio.h>

struct desk {
	struct backend b;
	char dropped[64]; /* kinds of what the server skipped: P B D E C Q F L */
};

static const char kind_letter[] = "PBDECSQFL";

static void desk_init(struct desk *d)
{
	*d = (struct desk){0};
	prepared_init(&d->b.prepared);
	settings_init(&d->b.params);
}

static void desk_done(struct desk *d)
{
	expects_free(&d->b.expects);
	prepared_clear(&d->b.prepared);
	settings_free(&d->b.params);
}

static void want(struct desk *d, struct expect e)
{
	REQUIRE(expect_push(&d->b.expects, &e) == 0);
}

/* The client's requests by their letters. */
static void want_all(struct desk *d, const char *letters)
{
	for (; *letters != '\0'; letters++) {
		const char *at = strchr(kind_letter, *letters);

		REQUIRE(at != NULL);
		want(d, (struct expect){.kind = (uint8_t)(at - kind_letter), .why = WHY_CLIENT});
	}
}

static void note_dropped(void *arg, const struct expect *item)
{
	struct desk *d = arg;
	size_t n = strlen(d->dropped);

	snprintf(d->dropped + n, sizeof d->dropped - n, "%c", kind_letter[item->kind]);
}

static enum reply_step answer(struct desk *d, char type)
{
	enum reply_step step = backend_reply(&d->b, type);

	if (step != REPLY_ASYNC && step != REPLY_BAD)
		backend_reply_done(&d->b, type, step, note_dropped, d);
	return step;
}

TEST(replies, every_type_is_told_apart_for_every_kind)
{
	static const struct row {
		char kind;
		const char *part, *last; /* all other types are bad */
	} rows[] = {
		{'P', "", "1"}, {'B', "", "2"}, {'D', "t", "Tn"}, {'E', "DGHWdc", "CIs"},
		{'C', "", "3"}, {'S', "", "Z"}, {'L', "", ""},
	};
	static const char types[] = "123ABCDEGHIKNRSTVWZcdnstv";

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (const char *type = types; *type != '\0'; type++) {
			struct desk d;
			char letters[] = {rows[i].kind, '\0'};
			enum reply_step should = strchr("NSA", *type) != NULL	       ? REPLY_ASYNC
						 : *type == 'E'			       ? REPLY_ERROR
						 : strchr(rows[i].part, *type) != NULL ? REPLY_PART
						 : strchr(rows[i].last, *type) != NULL ? REPLY_LAST
										       : REPLY_BAD;

			desk_init(&d);
			want_all(&d, letters);
			if (!test_int(backend_reply(&d.b, *type), should, __FILE__, __LINE__,
				      "the step of this type"))
				printf("kind %c, type %c\n", rows[i].kind, *type);
			desk_done(&d);
		}
	}
}

TEST(replies, a_query_goes_on_to_its_ready)
{
	struct desk d;

	desk_init(&d);
	want_all(&d, "QF");
	for (const char *type = "TDDCTDGdcHdcICnV"; *type != '\0'; type++)
		EXPECT_EQ(answer(&d, *type), REPLY_PART);
	EXPECT_EQ(answer(&d, 'Z'), REPLY_LAST);
	EXPECT_EQ(answer(&d, 'V'), REPLY_PART);
	EXPECT_EQ(answer(&d, 'Z'), REPLY_LAST);
	EXPECT(expect_head(&d.b.expects) == NULL);
	EXPECT_EQ(d.b.expects.syncs, 0);
	desk_done(&d);
}

TEST(replies, without_a_request_only_the_unasked_may_come)
{
	struct desk d;

	desk_init(&d);
	for (const char *type = "123CDGHITVWZcdnst"; *type != '\0'; type++)
		EXPECT_EQ(backend_reply(&d.b, *type), REPLY_BAD);
	EXPECT_EQ(backend_reply(&d.b, 'N'), REPLY_ASYNC);
	EXPECT_EQ(backend_reply(&d.b, 'S'), REPLY_ASYNC);
	EXPECT_EQ(backend_reply(&d.b, 'A'), REPLY_ASYNC);
	EXPECT_EQ(answer(&d, 'E'), REPLY_ERROR); /* says why the server goes */
	EXPECT(!d.b.ignoring);
	desk_done(&d);
}

TEST(replies, a_whole_extended_batch_in_order)
{
	struct desk d;

	desk_init(&d);
	want_all(&d, "PDBDECS");
	for (const char *type = "1tT2TDDC3Z"; *type != '\0'; type++)
		EXPECT(answer(&d, *type) != REPLY_BAD);
	EXPECT(expect_head(&d.b.expects) == NULL);
	EXPECT(!d.b.ignoring);
	desk_done(&d);
}

TEST(replies, an_error_skips_to_the_sync_and_no_further)
{
	struct desk d;

	desk_init(&d);
	want_all(&d, "PBESPBES");
	answer(&d, '1');
	EXPECT_EQ(answer(&d, 'E'), REPLY_ERROR);
	EXPECT_STR(d.dropped, "BE");
	EXPECT(!d.b.ignoring);
	EXPECT_EQ(answer(&d, 'Z'), REPLY_LAST);
	for (const char *type = "12CZ"; *type != '\0'; type++)
		EXPECT_EQ(answer(&d, *type), REPLY_LAST);
	EXPECT(expect_head(&d.b.expects) == NULL);
	desk_done(&d);
}

TEST(replies, an_error_without_a_sync_behind_it_leaves_the_server_ignoring)
{
	struct desk d;

	desk_init(&d);
	want_all(&d, "PBLE");
	EXPECT_EQ(answer(&d, 'E'), REPLY_ERROR);
	EXPECT_STR(d.dropped, "PBLE");
	EXPECT(d.b.ignoring);
	EXPECT(expect_head(&d.b.expects) == NULL);
	desk_done(&d);
}

TEST(replies, a_simple_query_behind_the_error_is_skipped_too)
{
	struct desk d;

	desk_init(&d);
	want_all(&d, "BEQS");
	answer(&d, 'E');
	EXPECT_STR(d.dropped, "BEQ");
	EXPECT_EQ(d.b.expects.syncs, 1);
	EXPECT_EQ(answer(&d, 'Z'), REPLY_LAST);
	desk_done(&d);
}

TEST(replies, the_error_of_a_query_is_part_of_it)
{
	struct desk d;

	desk_init(&d);
	want_all(&d, "QPS");
	EXPECT_EQ(answer(&d, 'E'), REPLY_ERROR);
	EXPECT_STR(d.dropped, "");
	EXPECT_EQ(answer(&d, 'Z'), REPLY_LAST);
	EXPECT_EQ(answer(&d, '1'), REPLY_LAST);
	EXPECT_EQ(answer(&d, 'Z'), REPLY_LAST);
	desk_done(&d);
}

TEST(replies, the_error_of_a_sync_is_followed_by_its_ready)
{
	struct desk d;

	desk_init(&d);
	want_all(&d, "SS"); /* a deferred constraint that fails at commit */
	EXPECT_EQ(answer(&d, 'E'), REPLY_ERROR);
	EXPECT_EQ(d.b.expects.n, 2);
	EXPECT_EQ(answer(&d, 'Z'), REPLY_LAST);
	EXPECT_EQ(d.b.expects.n, 1);
	desk_done(&d);
}

TEST(replies, parse_complete_confirms_the_statement)
{
	struct desk d;

	desk_init(&d);
	prepared_sent(&d.b.prepared, 5, 0);
	want(&d, (struct expect){.kind = EXPECT_PARSE, .stmt = 5});
	answer(&d, '1');
	EXPECT_EQ(prepared_look(&d.b.prepared, 5), PREPARED_HELD);
	desk_done(&d);
}

TEST(replies, a_failed_and_a_skipped_parse_are_both_forgotten)
{
	struct desk d;

	desk_init(&d);
	prepared_sent(&d.b.prepared, 5, 0);
	prepared_sent(&d.b.prepared, 6, 0);
	prepared_sent(&d.b.prepared, 7, 0);
	want(&d, (struct expect){.kind = EXPECT_PARSE, .stmt = 5});
	want(&d, (struct expect){.kind = EXPECT_PARSE, .stmt = 6});
	want_all(&d, "S");
	want(&d, (struct expect){.kind = EXPECT_PARSE, .stmt = 7});
	answer(&d, 'E');
	EXPECT_EQ(prepared_look(&d.b.prepared, 5), PREPARED_NOT);
	EXPECT_EQ(prepared_look(&d.b.prepared, 6), PREPARED_NOT);
	EXPECT_EQ(prepared_look(&d.b.prepared, 7), PREPARED_PENDING);
	desk_done(&d);
}

TEST(replies, a_parse_meant_to_fail_forgets_nothing)
{
	struct desk d;

	desk_init(&d);
	prepared_sent(&d.b.prepared, 5, 0);
	prepared_confirmed(&d.b.prepared, 5);
	want(&d, (struct expect){.kind = EXPECT_PARSE, .again = true});
	want_all(&d, "S");
	answer(&d, 'E');
	EXPECT_EQ(prepared_look(&d.b.prepared, 5), PREPARED_HELD);
	desk_done(&d);
}

TEST(replies, a_skipped_eviction_leaves_the_statement_there)
{
	struct desk d;

	desk_init(&d);
	prepared_sent(&d.b.prepared, 5, 0);
	prepared_confirmed(&d.b.prepared, 5);
	want_all(&d, "B");
	prepared_closing(&d.b.prepared, 5);
	EXPECT_EQ(d.b.prepared.n, 0);
	want(&d, (struct expect){.kind = EXPECT_CLOSE, .why = WHY_EVICT, .stmt = 5});
	want_all(&d, "S");
	answer(&d, 'E');
	EXPECT_EQ(prepared_look(&d.b.prepared, 5), PREPARED_HELD);
	EXPECT_EQ(d.b.prepared.n, 1);
	desk_done(&d);
}

TEST(replies, our_own_statement_that_failed_is_parsed_again)
{
	struct desk d;

	desk_init(&d);
	d.b.sys_prepared = 1u << SYS_BEGIN | 1u << SYS_SET;
	want(&d, (struct expect){.kind = EXPECT_PARSE, .why = WHY_IMAGE, .index = 1 + SYS_SET});
	want(&d, (struct expect){.kind = EXPECT_BIND, .why = WHY_IMAGE});
	answer(&d, 'E');
	EXPECT_EQ(d.b.sys_prepared, 1u << SYS_BEGIN);
	EXPECT_EQ(d.b.sys_doubtful, 1u << SYS_SET);
	EXPECT(d.b.ignoring);
	desk_done(&d);
}

TEST(replies, after_a_failed_parse_nobody_knows_the_unnamed_statement)
{
	struct desk d;

	desk_init(&d);
	d.b.unnamed = 9;
	want_all(&d, "PS");
	answer(&d, 'E');
	EXPECT_EQ(d.b.unnamed, UNNAMED_UNKNOWN);
	desk_done(&d);
}

TEST(replies, parameters_are_noted)
{
	static const uint8_t body[] = "TimeZone\0Europe/Berlin";
	struct desk d;

	desk_init(&d);
	EXPECT_EQ(backend_note_param(&d.b, span_of(body, sizeof body)), 0);
	EXPECT_STR(settings_get(&d.b.params, "TimeZone"), "Europe/Berlin");
	EXPECT_EQ(backend_note_param(&d.b, span_of(body, 5)), -1);
	EXPECT_EQ(d.b.params.n, 1);
	desk_done(&d);
}
