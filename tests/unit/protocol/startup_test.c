#include "tests/unit/protocol/tools.h"

#include "protocol/startup.h"
#include "protocol/write.h"

static struct span hello(struct buf *b, uint32_t version)
{
	const struct span pairs[] = {BYTES("user"), BYTES("bob"),    BYTES("database"),
				     BYTES(""),	    BYTES("_pq_.x"), BYTES("1")};

	buf_init(b, 1000);
	write_startup(b, version, pairs, 6);
	REQUIRE(!b->failed);
	return buf_span(b);
}

TEST(startup, reads_a_startup_message)
{
	struct buf b;
	struct span in = hello(&b, PROTOCOL_3_0), name, value;
	struct startup s;
	const char *why;
	size_t used = 0, at = 0;

	for (size_t n = 0; n < in.n; n++)
		EXPECT_EQ(startup_next(span_of(in.p, n), &s, &used, &why), STARTUP_MORE);
	REQUIRE(startup_next(in, &s, &used, &why) == STARTUP_HELLO);
	EXPECT_EQ(used, in.n);
	EXPECT_EQ(s.version, PROTOCOL_3_0);
	REQUIRE(startup_param_next(s.params, &at, &name, &value));
	EXPECT_MEM(name, BYTES("user"));
	EXPECT_MEM(value, BYTES("bob"));
	REQUIRE(startup_param_next(s.params, &at, &name, &value));
	EXPECT_MEM(name, BYTES("database"));
	EXPECT_EQ(value.n, 0);
	REQUIRE(startup_param_next(s.params, &at, &name, &value));
	EXPECT_MEM(name, BYTES("_pq_.x"));
	EXPECT(!startup_param_next(s.params, &at, &name, &value));
	buf_free(&b);
}

TEST(startup, tells_the_special_requests_apart)
{
	struct startup s;
	const char *why;
	size_t used = 0;

	EXPECT_EQ(startup_next(BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), &s, &used, &why), STARTUP_SSL);
	EXPECT_EQ(used, 8);
	EXPECT_EQ(startup_next(BYTES("\0\0\0\x08\x04\xd2\x16\x30"), &s, &used, &why), STARTUP_GSS);
	REQUIRE(startup_next(BYTES("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x2a"
				   "abcd"
				   "rest"),
			     &s, &used, &why) == STARTUP_CANCEL);
	EXPECT_EQ(used, 16);
	EXPECT_EQ(s.pid, 42);
	EXPECT_MEM(s.secret, BYTES("abcd"));
	used = 99;
	EXPECT_EQ(startup_next(BYTES("\x16"), &s, &used, &why), STARTUP_TLS);
	EXPECT_EQ(used, 0);
}

TEST(startup, reads_a_long_cancel_key_and_bounds_it)
{
	uint8_t secret[257] = {7};
	struct buf b;
	struct startup s;
	const char *why;
	size_t used;

	buf_init(&b, 1000);
	write_cancel(&b, 5, span_of(secret, 256));
	REQUIRE(startup_next(buf_span(&b), &s, &used, &why) == STARTUP_CANCEL);
	EXPECT_MEM(s.secret, span_of(secret, 256));
	buf_clear(&b);
	write_cancel(&b, 5, span_of(secret, 257));
	EXPECT_EQ(startup_next(buf_span(&b), &s, &used, &why), STARTUP_BAD);
	buf_clear(&b);
	write_cancel(&b, 5, span_of(secret, 3));
	EXPECT_EQ(startup_next(buf_span(&b), &s, &used, &why), STARTUP_BAD);
	buf_free(&b);
}

TEST(startup, refuses_lengths_that_cannot_be)
{
	struct startup s;
	const char *why = NULL;
	size_t used;

	EXPECT_EQ(startup_next(BYTES("\0\0\0\x07"), &s, &used, &why), STARTUP_BAD);
	EXPECT_STR(why, "invalid length of startup packet");
	EXPECT_EQ(startup_next(BYTES("\0\0\0\0"), &s, &used, &why), STARTUP_BAD);
	EXPECT_EQ(startup_next(BYTES("\0\0\x27\x15"), &s, &used, &why), STARTUP_BAD);
	EXPECT_EQ(startup_next(BYTES("\0\0\x27\x14"), &s, &used, &why), STARTUP_MORE);
	EXPECT_EQ(startup_next(BYTES("GET / HTTP/1.1\r\n"), &s, &used, &why), STARTUP_BAD);
	EXPECT_EQ(startup_next(BYTES("\0\0\0\x09\x04\xd2\x16\x2fx"), &s, &used, &why), STARTUP_BAD);
}

TEST(startup, wants_a_terminator_as_last_byte)
{
	struct startup s;
	const char *why = NULL;
	size_t used;

	EXPECT_EQ(startup_next(BYTES("\0\0\0\x08\0\3\0\0"), &s, &used, &why), STARTUP_BAD);
	EXPECT_STR(why, "invalid startup packet layout: expected terminator as last byte");
	EXPECT_EQ(startup_next(BYTES("\0\0\0\x0f\0\3\0\0user\0b\0"), &s, &used, &why), STARTUP_BAD);
	EXPECT_EQ(startup_next(BYTES("\0\0\0\x0d\0\3\0\0user\0"), &s, &used, &why), STARTUP_BAD);
	EXPECT_EQ(startup_next(BYTES("\0\0\0\x10\0\3\0\0user\0b\0\0"), &s, &used, &why), STARTUP_HELLO);
	EXPECT_EQ(startup_next(BYTES("\0\0\0\x11\0\3\0\0user\0b\0\0x"), &s, &used, &why), STARTUP_BAD);
	EXPECT_EQ(startup_next(BYTES("\0\0\0\x09\0\3\0\0\0"), &s, &used, &why), STARTUP_HELLO);
}

TEST(startup, negotiates_the_version)
{
	struct buf b;
	struct span in = hello(&b, PROTOCOL_3_2);
	struct startup s;
	const char *why;
	size_t used;
	bool ask;

	EXPECT_EQ(startup_negotiate(PROTOCOL_3_0, BYTES("user\0b\0\0"), &ask), 0);
	EXPECT(!ask);
	EXPECT_EQ(startup_negotiate(PROTOCOL_3_2, BYTES("user\0b\0\0"), &ask), 2);
	EXPECT(!ask);
	EXPECT_EQ(startup_negotiate(0x00030001, BYTES("\0"), &ask), 0);
	EXPECT(ask);
	EXPECT_EQ(startup_negotiate(0x0003270f, BYTES("\0"), &ask), 2);
	EXPECT(ask);
	EXPECT_EQ(startup_negotiate(0x00020000, BYTES(""), &ask), -1);
	EXPECT_EQ(startup_negotiate(0x00040000, BYTES(""), &ask), -1);
	REQUIRE(startup_next(in, &s, &used, &why) == STARTUP_HELLO);
	EXPECT_EQ(startup_negotiate(s.version, s.params, &ask), 2);
	EXPECT(ask); /* the _pq_ option */
	buf_free(&b);
}
