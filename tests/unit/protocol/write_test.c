#include "tests/unit/protocol/tools.h"

#include "protocol/frame.h"
#include "protocol/write.h"

#define EXPECT_WRITTEN(call, wanted)                     \
	do {                                             \
		struct buf b;                            \
		buf_init(&b, 1000);                      \
		call;                                    \
		EXPECT(!b.failed);                       \
		EXPECT_MEM(buf_span(&b), BYTES(wanted)); \
		buf_free(&b);                            \
	} while (0)

TEST(write, builds_what_a_server_says)
{
	const uint32_t oids[] = {23, 25};
	const struct span row[] = {BYTES("ab"), {NULL, 0}};

	EXPECT_WRITTEN(write_auth(&b, 5, BYTES("salt")), "R\0\0\0\x0c\0\0\0\5salt");
	EXPECT_WRITTEN(write_param_status(&b, BYTES("a"), BYTES("b")), "S\0\0\0\x08"
								       "a\0b\0");
	EXPECT_WRITTEN(write_backend_key(&b, 1, BYTES("keyk")), "K\0\0\0\x0c\0\0\0\1keyk");
	EXPECT_WRITTEN(write_ready(&b, 'I'), "Z\0\0\0\5I");
	EXPECT_WRITTEN(write_complete(&b, "SET"), "C\0\0\0\x08SET\0");
	EXPECT_WRITTEN(write_parse_complete(&b), "1\0\0\0\4");
	EXPECT_WRITTEN(write_bind_complete(&b), "2\0\0\0\4");
	EXPECT_WRITTEN(write_close_complete(&b), "3\0\0\0\4");
	EXPECT_WRITTEN(write_no_data(&b), "n\0\0\0\4");
	EXPECT_WRITTEN(write_empty_query(&b), "I\0\0\0\4");
	EXPECT_WRITTEN(write_param_description(&b, oids, 2), "t\0\0\0\x0e\0\2\0\0\0\x17\0\0\0\x19");
	EXPECT_WRITTEN(write_data_row(&b, row, 2), "D\0\0\0\x10\0\2\0\0\0\2ab\xff\xff\xff\xff");
	EXPECT_WRITTEN(write_notification(&b, 9, BYTES("c"), BYTES("")), "A\0\0\0\x0b\0\0\0\x09"
									 "c\0\0");
	EXPECT_WRITTEN(write_negotiate(&b, 0, NULL, 0), "v\0\0\0\x0c\0\3\0\0\0\0\0\0");
	EXPECT_WRITTEN(write_error(&b, 'N', "WARNING", "01000", "m", "d", NULL),
		       "N\0\0\0\x24SWARNING\0VWARNING\0C01000\0Mm\0Dd\0\0");
}

TEST(write, builds_what_a_client_says)
{
	const uint32_t oids[] = {20};

	EXPECT_WRITTEN(write_ssl_request(&b), "\0\0\0\x08\x04\xd2\x16\x2f");
	EXPECT_WRITTEN(write_cancel(&b, 1, BYTES("abcd")), "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1abcd");
	EXPECT_WRITTEN(write_password(&b, BYTES("pw")), "p\0\0\0\7pw\0");
	EXPECT_WRITTEN(write_sasl_initial(&b, "M", BYTES("n,,")), "p\0\0\0\x0dM\0\0\0\0\3n,,");
	EXPECT_WRITTEN(write_sasl_initial(&b, "M", span_of(NULL, 0)), "p\0\0\0\x0aM\0\xff\xff\xff\xff");
	EXPECT_WRITTEN(write_sasl_response(&b, BYTES("c=")), "p\0\0\0\6c=");
	EXPECT_WRITTEN(write_query(&b, BYTES("x")), "Q\0\0\0\6x\0");
	EXPECT_WRITTEN(write_parse(&b, BYTES(""), BYTES("x"), oids, 1), "P\0\0\0\x0d\0x\0\0\1\0\0\0\x14");
	EXPECT_WRITTEN(write_describe(&b, 'P', BYTES("p")), "D\0\0\0\7Pp\0");
	EXPECT_WRITTEN(write_close(&b, 'S', BYTES("")), "C\0\0\0\6S\0");
	EXPECT_WRITTEN(write_execute(&b, BYTES(""), 7), "E\0\0\0\x09\0\0\0\0\7");
	EXPECT_WRITTEN(write_sync(&b), "S\0\0\0\4");
	EXPECT_WRITTEN(write_flush(&b), "H\0\0\0\4");
	EXPECT_WRITTEN(write_terminate(&b), "X\0\0\0\4");
}

TEST(write, never_lets_a_nul_shift_the_message)
{
	struct buf b;

	buf_init(&b, 1000);
	write_query(&b, BYTES("a\0b"));
	EXPECT(b.failed);
	buf_free(&b);
}

TEST(write, fails_the_buffer_and_not_the_process)
{
	for (size_t max = 0; max < 40; max++) {
		struct frame f;
		const char *why;
		struct buf b;
		size_t used;

		buf_init(&b, max);
		write_error(&b, 'E', "ERROR", "57P01", "gone", NULL, NULL);
		if (!b.failed)
			EXPECT(frame_next(buf_span(&b), 100, &f, &used, &why) == FRAME_OK && used == b.len);
		EXPECT_EQ(b.failed, max < 33);
		EXPECT(b.len <= max);
		buf_free(&b);
	}
}
