#include "tests/unit/protocol/tools.h"

#include "protocol/frame.h"
#include "protocol/write.h"

TEST(frame, takes_a_whole_message)
{
	struct span in = BYTES("Q\0\0\0\x0dselect 1\0X");
	struct frame f;
	const char *why;
	size_t used;

	REQUIRE(frame_next(in, 100, &f, &used, &why) == FRAME_OK);
	EXPECT_EQ(f.type, 'Q');
	EXPECT_EQ(used, 14);
	EXPECT_MEM(f.body, BYTES("select 1\0"));
}

TEST(frame, asks_for_more_when_cut_anywhere)
{
	struct span in = BYTES("Q\0\0\0\x0dselect 1\0");
	struct frame f = {.type = '?'};
	const char *why;
	size_t used = 77;

	for (size_t n = 0; n < in.n; n++)
		EXPECT_EQ(frame_next(span_of(in.p, n), 100, &f, &used, &why), FRAME_MORE);
	EXPECT_EQ(f.type, '?');
	EXPECT_EQ(used, 77);
}

TEST(frame, takes_an_empty_body)
{
	struct frame f;
	const char *why;
	size_t used;

	REQUIRE(frame_next(BYTES("S\0\0\0\x04"), 0, &f, &used, &why) == FRAME_OK);
	EXPECT_EQ(f.body.n, 0);
	EXPECT_EQ(used, 5);
}

TEST(frame, refuses_lengths_that_cannot_be)
{
	struct frame f;
	const char *why = NULL;
	size_t used;

	EXPECT_EQ(frame_next(BYTES("Q\0\0\0\x03"), 100, &f, &used, &why), FRAME_BAD);
	EXPECT_STR(why, "invalid message length");
	EXPECT_EQ(frame_next(BYTES("Q\0\0\0\0"), 100, &f, &used, &why), FRAME_BAD);
	EXPECT_EQ(frame_next(BYTES("Q\xff\xff\xff\xff"), 100, &f, &used, &why), FRAME_BAD);
	EXPECT_EQ(frame_next(BYTES("Q\x80\0\0\0"), UINT32_MAX, &f, &used, &why), FRAME_MORE);
}

TEST(frame, holds_the_bound_exactly)
{
	struct frame f;
	const char *why = NULL;
	size_t used;

	EXPECT_EQ(frame_next(BYTES("d\0\0\0\x07"
				   "abc"),
			     3, &f, &used, &why),
		  FRAME_OK);
	EXPECT_EQ(frame_next(BYTES("d\0\0\0\x08"
				   "abcd"),
			     3, &f, &used, &why),
		  FRAME_BAD);
	EXPECT_STR(why, "message is too long");
}

TEST(frame, peeks_at_a_message_that_is_not_there_yet)
{
	char type;
	uint32_t n;
	const char *why;

	REQUIRE(frame_peek(BYTES("d\0\x01\0\0"), 1 << 20, &type, &n, &why) == FRAME_OK);
	EXPECT_EQ(type, 'd');
	EXPECT_EQ(n, 65532);
	EXPECT_EQ(frame_peek(BYTES("d\0\x01\0"), 1 << 20, &type, &n, &why), FRAME_MORE);
}

TEST(frame, walks_a_pipeline_byte_by_byte)
{
	struct buf b;
	struct frame f;
	const char *why;
	char types[8] = "";
	size_t used, from = 0, found = 0;

	buf_init(&b, 1000);
	write_parse(&b, span_str("s"), span_str("select $1"), NULL, 0);
	write_describe(&b, 'S', span_str("s"));
	write_flush(&b);
	write_sync(&b);
	REQUIRE(!b.failed);
	for (size_t have = 0; have <= b.len; have++) {
		while (frame_next(span_of(b.p + from, have - from), 100, &f, &used, &why) == FRAME_OK) {
			REQUIRE(found < 7);
			types[found++] = f.type;
			from += used;
		}
	}
	EXPECT_STR(types, "PDHS");
	EXPECT_EQ(from, b.len);
	buf_free(&b);
}

TEST(frame, counts_a_run_of_whole_messages_of_one_type)
{
	struct span in = BYTES("d\0\0\0\x06"
			       "ab"
			       "d\0\0\0\x04"
			       "d\0\0\0\x05"
			       "c"
			       "D\0\0\0\x04");

	EXPECT_EQ(frame_run(in, 'd', 2), 18);
	EXPECT_EQ(frame_run(in, 'D', 2), 0);
	EXPECT_EQ(frame_run(span_skip(in, 18), 'D', 2), 5);
	EXPECT_EQ(frame_run(span_of(NULL, 0), 'd', 2), 0);
	for (size_t n = 0; n < 18; n++)
		EXPECT_EQ(frame_run(span_of(in.p, n), 'd', 2), n < 7 ? 0 : n < 12 ? 7 : 12);
}

TEST(frame, ends_a_run_before_a_length_that_cannot_be)
{
	EXPECT_EQ(frame_run(BYTES("d\0\0\0\x04"
				  "d\0\0\0\x03"
				  "d\0\0\0\x04"),
			    'd', 100),
		  5);
	EXPECT_EQ(frame_run(BYTES("d\0\0\0\x04"
				  "d\xff\xff\xff\xff"),
			    'd', UINT32_MAX),
		  5);
	EXPECT_EQ(frame_run(BYTES("d\0\0\0\x07"
				  "abc"),
			    'd', 2),
		  0);
}
