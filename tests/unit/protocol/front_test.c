#include "tests/unit/protocol/tools.h"

#include "protocol/front.h"
#include "protocol/write.h"

static bool probe_parse(struct span body)
{
	struct front_parse p;
	const char *why = NULL;

	if (front_parse_decode(body, &p, &why) != 0) {
		EXPECT(why != NULL);
		return false;
	}
	EXPECT(within(p.name, body) && within(p.query, body) && within(p.param_oids, body));
	EXPECT_EQ(p.param_oids.n, 4u * p.nparams);
	return true;
}

static bool probe_bind(struct span body)
{
	struct front_bind b;
	const char *why = NULL;
	size_t at = 0;

	if (front_bind_decode(body, &b, &why) != 0) {
		EXPECT(why != NULL);
		return false;
	}
	EXPECT(within(b.portal, body) && within(b.stmt, body) && within(b.after_names, body));
	for (uint16_t i = 0; i < b.nparams; i++)
		EXPECT(within(front_bind_param(&b, i, &at).value, b.params));
	EXPECT_EQ(at, b.params.n);
	for (uint16_t i = 0; i < b.nresults + 2 && i < 300; i++)
		front_bind_result_format(&b, i);
	front_bind_formats_known(&b);
	return true;
}

TEST(front, reads_parse)
{
	struct span body = BYTES("s1\0select $1\0\0\2\0\0\0\x17\0\0\0\0");
	struct front_parse p;
	const char *why;

	REQUIRE(front_parse_decode(body, &p, &why) == 0);
	EXPECT_MEM(p.name, BYTES("s1"));
	EXPECT_MEM(p.query, BYTES("select $1"));
	REQUIRE(p.nparams == 2);
	EXPECT_MEM(p.param_oids, BYTES("\0\0\0\x17\0\0\0\0"));
	EXPECT_EQ(probe_cuts(probe_parse, body), 0);
	probe_corrupt(probe_parse, body);
}

#define BIND                             \
	"p\0s\0"                         \
	"\0\2\0\0\0\1"                   \
	"\0\2\0\0\0\2hi\xff\xff\xff\xff" \
	"\0\1\0\1"

TEST(front, reads_bind)
{
	struct front_bind b;
	struct front_param param;
	const char *why;
	size_t at = 0;

	REQUIRE(front_bind_decode(BYTES(BIND), &b, &why) == 0);
	EXPECT_MEM(b.portal, BYTES("p"));
	EXPECT_MEM(b.stmt, BYTES("s"));
	EXPECT_MEM(b.after_names, span_skip(BYTES(BIND), 4));
	REQUIRE(b.nparams == 2);
	param = front_bind_param(&b, 0, &at);
	EXPECT(!param.null && !param.binary);
	EXPECT_MEM(param.value, BYTES("hi"));
	param = front_bind_param(&b, 1, &at);
	EXPECT(param.null && param.binary && param.value.n == 0);
	EXPECT_EQ(front_bind_result_format(&b, 0), 1);
	EXPECT_EQ(front_bind_result_format(&b, 9), 1);
	EXPECT(front_bind_formats_known(&b));
}

TEST(front, survives_a_hurt_bind)
{
	EXPECT(probe_copy(probe_bind, BYTES(BIND)));
	EXPECT_EQ(probe_cuts(probe_bind, BYTES(BIND)), 0);
	probe_corrupt(probe_bind, BYTES(BIND));
	EXPECT(!probe_copy(probe_bind, BYTES(BIND "x")));
}

TEST(front, applies_one_format_to_all_parameters)
{
	struct front_bind b;
	const char *why;
	size_t at = 0;

	REQUIRE(front_bind_decode(BYTES("\0\0\0\1\0\1\0\2\0\0\0\1a\0\0\0\1b\0\0"), &b, &why) == 0);
	EXPECT(front_bind_param(&b, 0, &at).binary);
	EXPECT(front_bind_param(&b, 1, &at).binary);
	EXPECT_EQ(front_bind_result_format(&b, 0), 0);
	REQUIRE(front_bind_decode(BYTES("\0\0\0\0\0\1\0\0\0\1a\0\2\0\0\0\1"), &b, &why) == 0);
	at = 0;
	EXPECT(!front_bind_param(&b, 0, &at).binary);
	EXPECT_EQ(front_bind_result_format(&b, 1), 1);
	EXPECT_EQ(front_bind_result_format(&b, 2), 0);
}

TEST(front, refuses_formats_that_do_not_match_the_parameters)
{
	struct front_bind b;
	const char *why = NULL;

	EXPECT_EQ(front_bind_decode(BYTES("\0\0\0\2\0\0\0\0\0\1\0\0\0\1a\0\0"), &b, &why), -1);
	EXPECT_STR(why, "bind message has not as many parameter formats as parameters");
	/* a length of -2 is no NULL */
	EXPECT_EQ(front_bind_decode(BYTES("\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"), &b, &why), -1);
	EXPECT_STR(why, "insufficient data left in message");
	REQUIRE(front_bind_decode(BYTES("\0\0\0\1\0\2\0\1\0\0\0\1a\0\0"), &b, &why) == 0);
	EXPECT(!front_bind_formats_known(&b));
}

TEST(front, reads_the_names_of_a_cut_bind)
{
	struct span body = BYTES("portal\0stmt\0\0\0"), portal, stmt;
	const char *why;
	size_t used;

	for (size_t n = 0; n < 12; n++)
		EXPECT_EQ(front_bind_names(span_of(body.p, n), &portal, &stmt, &used, &why), 1);
	REQUIRE(front_bind_names(span_of(body.p, 12), &portal, &stmt, &used, &why) == 0);
	EXPECT_MEM(portal, BYTES("portal"));
	EXPECT_MEM(stmt, BYTES("stmt"));
	EXPECT_EQ(used, 12);
}

static bool probe_small(struct span body)
{
	struct front_target t;
	struct front_execute e;
	struct span text;
	const char *why;
	bool taken = false;

	taken |= front_target_decode(body, &t, &why) == 0 && within(t.name, body);
	taken |= front_execute_decode(body, &e, &why) == 0 && within(e.portal, body);
	taken |= front_query_decode(body, &text, &why) == 0 && within(text, body);
	return taken;
}

TEST(front, reads_the_small_messages)
{
	struct front_target t;
	struct front_execute e;
	struct span text;
	const char *why;

	REQUIRE(front_target_decode(BYTES("Sname\0"), &t, &why) == 0);
	EXPECT_EQ(t.kind, 'S');
	EXPECT_MEM(t.name, BYTES("name"));
	EXPECT_EQ(front_target_decode(BYTES("Xname\0"), &t, &why), -1);
	REQUIRE(front_execute_decode(BYTES("p\0\0\0\0\5"), &e, &why) == 0);
	EXPECT_EQ(e.max_rows, 5);
	REQUIRE(front_execute_decode(BYTES("\0\xff\xff\xff\xff"), &e, &why) == 0);
	EXPECT_EQ(e.max_rows, 0);
	REQUIRE(front_query_decode(BYTES("select 1\0"), &text, &why) == 0);
	EXPECT_MEM(text, BYTES("select 1"));
	REQUIRE(front_password_decode(BYTES("\0"), &text, &why) == 0);
	EXPECT_EQ(text.n, 0);
	EXPECT_EQ(front_query_decode(BYTES("select 1"), &text, &why), -1);
	EXPECT_STR(why, "invalid string in message");
	EXPECT_EQ(front_query_decode(BYTES("a\0b\0"), &text, &why), -1);
	EXPECT_STR(why, "invalid message format");
	EXPECT_EQ(probe_cuts(probe_small, BYTES("Sname\0")), 0);
	probe_corrupt(probe_small, BYTES("p\0\0\0\0\5"));
}

TEST(front, reads_what_write_builds)
{
	const struct span values[] = {BYTES("1"), {NULL, 0}, BYTES("")};
	struct front_bind bind;
	struct front_param param;
	const char *why;
	struct buf b;
	size_t at = 0;

	buf_init(&b, 1000);
	write_bind_text(&b, span_str(""), span_str("st"), values, 3);
	REQUIRE(!b.failed && b.p[0] == 'B');
	REQUIRE(front_bind_decode(span_skip(buf_span(&b), 5), &bind, &why) == 0);
	EXPECT_MEM(bind.stmt, BYTES("st"));
	REQUIRE(bind.nparams == 3);
	EXPECT_MEM(front_bind_param(&bind, 0, &at).value, BYTES("1"));
	EXPECT(front_bind_param(&bind, 1, &at).null);
	param = front_bind_param(&bind, 2, &at);
	EXPECT(!param.null && param.value.n == 0);
	buf_free(&b);
}

TEST(front, knows_the_run_behind_a_bind)
{
	struct buf b;

	buf_init(&b, 1024);
	write_describe(&b, 'P', span_str(""));
	EXPECT_EQ(b.len, FRONT_RUN_DESCRIBE);
	write_execute(&b, span_str(""), 0);
	EXPECT_EQ(b.len, FRONT_RUN_DESCRIBE + FRONT_RUN_EXECUTE);
	write_sync(&b);
	REQUIRE(b.len == FRONT_RUN_SIZE);
	EXPECT(!front_runs(span_of(b.p, b.len - 1)));
	for (size_t i = 0; i < FRONT_RUN_SIZE; i++) {
		b.p[i] ^= 1;
		EXPECT(!front_runs(buf_span(&b)));
		b.p[i] ^= 1;
	}
	EXPECT(front_runs(buf_span(&b)));
	write_query(&b, span_str("what follows"));
	EXPECT(front_runs(buf_span(&b)));
	buf_free(&b);
}
