#include "tests/unit/protocol/tools.h"

#include "protocol/back.h"
#include "protocol/write.h"

#define ERROR_BODY "SFEHLER\0VERROR\0C42601\0Mbad\0Dmore\0Hhint\0Zfuture\0P7\0\0"

static bool probe_error(struct span body)
{
	struct back_error e;
	const char *why = NULL;

	if (back_error_decode(body, &e, &why) != 0) {
		EXPECT(why != NULL);
		return false;
	}
	return within(e.severity, body) && within(e.sqlstate, body) && within(e.message, body) &&
	       within(e.detail, body) && within(e.hint, body);
}

TEST(back, reads_an_error)
{
	struct back_error e;
	const char *why;

	REQUIRE(back_error_decode(BYTES(ERROR_BODY), &e, &why) == 0);
	EXPECT_MEM(e.severity, BYTES("ERROR"));
	EXPECT_MEM(e.sqlstate, BYTES("42601"));
	EXPECT_MEM(e.message, BYTES("bad"));
	EXPECT_MEM(e.detail, BYTES("more"));
	EXPECT_MEM(e.hint, BYTES("hint"));
	EXPECT_EQ(probe_cuts(probe_error, BYTES(ERROR_BODY)), 0);
	probe_corrupt(probe_error, BYTES(ERROR_BODY));
	REQUIRE(back_error_decode(BYTES("SFATAL\0\0"), &e, &why) == 0);
	EXPECT_MEM(e.severity, BYTES("FATAL"));
	EXPECT(e.detail.p == NULL && e.sqlstate.p == NULL);
}

static bool probe_row(struct span body)
{
	int n = back_count(body);
	size_t at = 2;

	for (int i = 0; i < n; i++) {
		struct span value;
		int rc = back_value_next(body, &at, &value);

		if (rc < 0)
			return false;
		EXPECT(within(value, body));
	}
	return n >= 0 && at == body.n;
}

static bool probe_columns(struct span body)
{
	int n = back_count(body);
	size_t at = 2;

	for (int i = 0; i < n; i++) {
		struct back_column c;

		if (back_column_next(body, &at, &c) != 0)
			return false;
		EXPECT(within(c.name, body));
	}
	return n >= 0 && at == body.n;
}

TEST(back, walks_a_row)
{
	struct span body = BYTES("\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\0"), value;
	size_t at = 2;

	EXPECT_EQ(back_count(body), 3);
	EXPECT_EQ(back_value_next(body, &at, &value), 0);
	EXPECT_MEM(value, BYTES("ab"));
	EXPECT_EQ(back_value_next(body, &at, &value), 1);
	EXPECT_EQ(back_value_next(body, &at, &value), 0);
	EXPECT_EQ(value.n, 0);
	EXPECT_EQ(back_value_next(body, &at, &value), -1);
	EXPECT_EQ(at, body.n);
	EXPECT(probe_copy(probe_row, body));
	EXPECT_EQ(probe_cuts(probe_row, body), 0);
	probe_corrupt(probe_row, body);
	EXPECT_EQ(back_count(BYTES("\0")), -1);
}

TEST(back, walks_columns_that_write_built)
{
	const struct span names[] = {BYTES("id"), BYTES("name")};
	const uint32_t oids[] = {23, 25};
	struct back_column c;
	struct span body;
	struct buf b;
	size_t at = 2;

	buf_init(&b, 1000);
	write_row_description(&b, names, oids, 2);
	REQUIRE(!b.failed && b.p[0] == 'T');
	body = span_skip(buf_span(&b), 5);
	EXPECT_EQ(back_count(body), 2);
	REQUIRE(back_column_next(body, &at, &c) == 0);
	EXPECT_MEM(c.name, BYTES("id"));
	EXPECT_EQ(c.type_oid, 23);
	EXPECT_EQ(c.type_len, 4);
	EXPECT_EQ(c.format, 0);
	REQUIRE(back_column_next(body, &at, &c) == 0);
	EXPECT_EQ(c.type_len, 0xffff);
	EXPECT_EQ(back_column_next(body, &at, &c), -1);
	EXPECT(probe_copy(probe_columns, body));
	EXPECT_EQ(probe_cuts(probe_columns, body), 0);
	probe_corrupt(probe_columns, body);
	buf_free(&b);
}

TEST(back, reads_the_small_messages)
{
	struct back_param p;
	struct back_key k;
	struct back_notify n;
	struct span s;
	const char *why;
	uint32_t code, minor, options;
	char status;

	REQUIRE(back_param_decode(BYTES("TimeZone\0UTC\0"), &p, &why) == 0);
	EXPECT_MEM(p.name, BYTES("TimeZone"));
	EXPECT_MEM(p.value, BYTES("UTC"));
	EXPECT_EQ(back_param_decode(BYTES("TimeZone\0UTC"), &p, &why), -1);
	REQUIRE(back_key_decode(BYTES("\0\0\1\0abcd"), &k, &why) == 0);
	EXPECT_EQ(k.pid, 256);
	EXPECT_MEM(k.secret, BYTES("abcd"));
	EXPECT_EQ(back_key_decode(BYTES("\0\0\1\0abc"), &k, &why), -1);
	REQUIRE(back_notify_decode(BYTES("\0\0\0\7ch\0pay\0"), &n, &why) == 0);
	EXPECT_MEM(n.channel, BYTES("ch"));
	EXPECT_MEM(n.payload, BYTES("pay"));
	REQUIRE(back_auth_decode(BYTES("\0\0\0\5salt"), &code, &s, &why) == 0);
	EXPECT_EQ(code, BACK_AUTH_MD5);
	EXPECT_MEM(s, BYTES("salt"));
	EXPECT_EQ(back_auth_decode(BYTES("\0\0\0\5sal"), &code, &s, &why), -1);
	EXPECT_EQ(back_auth_decode(BYTES("\0\0\0\0x"), &code, &s, &why), -1);
	REQUIRE(back_ready_decode(BYTES("T"), &status, &why) == 0);
	EXPECT_EQ(status, 'T');
	EXPECT_EQ(back_ready_decode(BYTES("X"), &status, &why), -1);
	EXPECT_EQ(back_ready_decode(BYTES(""), &status, &why), -1);
	EXPECT_EQ(back_ready_decode(BYTES("II"), &status, &why), -1);
	REQUIRE(back_complete_decode(BYTES("INSERT 0 1\0"), &s, &why) == 0);
	EXPECT_MEM(s, BYTES("INSERT 0 1"));
	REQUIRE(back_negotiate_decode(BYTES("\0\3\0\2\0\0\0\1_pq_.x\0"), &minor, &options, &why) == 0);
	EXPECT_EQ(minor, 2);
	EXPECT_EQ(options, 1);
	EXPECT_EQ(back_negotiate_decode(BYTES("\0\3\0\2\xff\xff\xff\xff"), &minor, &options, &why), -1);
}

TEST(back, reads_what_write_builds)
{
	const struct span unknown[] = {BYTES("_pq_.a"), BYTES("_pq_.b")};
	struct back_error e;
	uint32_t minor, options;
	const char *why;
	struct buf b;

	buf_init(&b, 1000);
	write_error(&b, 'E', "FATAL", "08P01", "no", NULL, "try");
	REQUIRE(!b.failed);
	REQUIRE(back_error_decode(span_skip(buf_span(&b), 5), &e, &why) == 0);
	EXPECT_MEM(e.severity, BYTES("FATAL"));
	EXPECT_MEM(e.hint, BYTES("try"));
	EXPECT(e.detail.p == NULL);
	buf_clear(&b);
	write_negotiate(&b, 2, unknown, 2);
	REQUIRE(back_negotiate_decode(span_skip(buf_span(&b), 5), &minor, &options, &why) == 0);
	EXPECT_EQ(minor, 2);
	EXPECT_EQ(options, 2);
	buf_free(&b);
}
