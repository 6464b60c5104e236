#include "tests/unit/protocol/tools.h"

#include "protocol/buf.h"

TEST(buf, grows_and_keeps_its_bytes)
{
	struct buf b;

	buf_init(&b, 100000);
	for (unsigned i = 0; i < 10000; i++)
		buf_add_u32(&b, i);
	REQUIRE(!b.failed && b.len == 40000);
	EXPECT_EQ(b.p[4 * 9999 + 2], 9999 >> 8);
	EXPECT_EQ(b.p[4 * 9999 + 3], 9999 & 0xff);
	buf_free(&b);
	EXPECT(b.p == NULL && b.len == 0 && b.cap == 0);
}

TEST(buf, writes_network_order)
{
	struct buf b;

	buf_init(&b, 100);
	buf_add_u8(&b, 1);
	buf_add_u16(&b, 0x0203);
	buf_add_u32(&b, 0x04050607);
	buf_add_cstr(&b, "ab");
	EXPECT_MEM(buf_span(&b), BYTES("\1\2\3\4\5\6\7ab\0"));
	buf_free(&b);
}

TEST(buf, stays_failed_after_the_bound_and_keeps_what_it_had)
{
	struct buf b;

	buf_init(&b, 10);
	buf_add(&b, "12345678", 8);
	EXPECT(!b.failed);
	buf_add(&b, "abc", 3);
	EXPECT(b.failed);
	buf_add_u8(&b, 'x');
	EXPECT(b.failed);
	EXPECT(buf_reserve(&b, 1) == NULL);
	EXPECT_MEM(buf_span(&b), BYTES("12345678"));
	buf_clear(&b);
	EXPECT(!b.failed && b.len == 0);
	buf_add(&b, "0123456789", 10);
	EXPECT(!b.failed);
	buf_add_u8(&b, 'x');
	EXPECT(b.failed);
	buf_free(&b);
}

TEST(buf, refuses_sizes_that_would_overflow)
{
	struct buf b;

	buf_init(&b, SIZE_MAX);
	buf_add_u8(&b, 1);
	EXPECT(buf_reserve(&b, SIZE_MAX) == NULL);
	EXPECT(b.failed);
	buf_free(&b);
}

TEST(buf, drops_from_the_front)
{
	struct buf b;

	buf_init(&b, 100);
	buf_drop(&b, 0);
	buf_add(&b, "abcdef", 6);
	buf_drop(&b, 2);
	EXPECT_MEM(buf_span(&b), BYTES("cdef"));
	buf_drop(&b, 4);
	EXPECT_EQ(b.len, 0);
	buf_free(&b);
}

TEST(buf, reserves_without_adding)
{
	struct buf b;
	uint8_t *p;

	buf_init(&b, 100);
	EXPECT(buf_reserve(&b, 0) != NULL);
	p = buf_reserve(&b, 50);
	REQUIRE(p != NULL);
	memset(p, 'x', 50);
	EXPECT_EQ(b.len, 0);
	b.len += 3;
	EXPECT_MEM(buf_span(&b), BYTES("xxx"));
	buf_add(&b, NULL, 0);
	EXPECT_EQ(b.len, 3);
	buf_free(&b);
}
