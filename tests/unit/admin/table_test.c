#include "proxy/admin/table.h"
#include "tests/support/test.h"

static const struct column columns[] = {
	{"t", COLUMN_TEXT}, {"i", COLUMN_INT4}, {"q", COLUMN_INT8}, {"n", COLUMN_NUMERIC}, {NULL, 0}};

static void row(struct table *t, const char *text, int64_t i, int64_t q, uint64_t n)
{
	table_text(t, text);
	table_int(t, i);
	table_int(t, q);
	table_unsigned(t, n);
}

static void expect_bytes(const struct buf *b, const char *bytes, size_t n)
{
	EXPECT_EQ(b->len, n);
	EXPECT(b->len == n && memcmp(b->p, bytes, n) == 0);
}

#define EXPECT_BYTES(b, text) expect_bytes(b, text, sizeof(text) - 1)

TEST(table, writes_text)
{
	struct table t;
	struct buf out;

	table_init(&t, columns);
	buf_init(&out, 1 << 20);
	row(&t, NULL, -5, 12345678901, 7);
	EXPECT_EQ(t.nrows, 1);
	EXPECT(table_write(&t, &out, NULL, 0));
	EXPECT_BYTES(&out, "D\0\0\0\x24\0\4\xff\xff\xff\xff\0\0\0\2-5\0\0\0\x0b"
			   "12345678901\0\0\0\1"
			   "7");
	buf_free(&out);
	table_free(&t);
}

TEST(table, writes_binary)
{
	struct formats all = {.n = 1, .code = {1}};
	struct table t;
	struct buf out;

	table_init(&t, columns);
	buf_init(&out, 1 << 20);
	row(&t, "", -2, 1, 10203000400005ull);
	EXPECT(table_write(&t, &out, &all, 0));
	/* 10203000400005 = 10 | 2030 | 0040 | 0005 in base 10000. */
	EXPECT_BYTES(&out, "D\0\0\0\x32\0\4\0\0\0\0\0\0\0\4\xff\xff\xff\xfe\0\0\0\x08\0\0\0\0\0\0\0\1"
			   "\0\0\0\x10\0\4\0\3\0\0\0\0\0\x0a\x07\xee\0\x28\0\5");
	buf_free(&out);
	table_free(&t);
}

TEST(table, numeric_zero_has_no_digits)
{
	static const struct column one[] = {{"n", COLUMN_NUMERIC}, {NULL, 0}};
	struct formats all = {.n = 1, .code = {1}};
	struct table t;
	struct buf out;

	table_init(&t, one);
	buf_init(&out, 1 << 20);
	table_unsigned(&t, 0);
	table_write(&t, &out, &all, 0);
	EXPECT_BYTES(&out, "D\0\0\0\x12\0\1\0\0\0\x08\0\0\0\0\0\0\0\0");
	buf_free(&out);
	table_free(&t);
}

TEST(table, comes_in_pieces)
{
	struct table t;
	struct buf out;

	table_init(&t, columns);
	buf_init(&out, 1 << 20);
	for (int i = 0; i < 5; i++)
		row(&t, "x", i, i, 0);
	EXPECT(!table_write(&t, &out, NULL, 2));
	EXPECT(!table_write(&t, &out, NULL, 2));
	EXPECT(table_write(&t, &out, NULL, 2));
	EXPECT(table_write(&t, &out, NULL, 2));
	buf_free(&out);
	table_free(&t);
}

TEST(table, describes_formats)
{
	static const struct column one[] = {{"ab", COLUMN_INT8}, {NULL, 0}};
	struct formats all = {.n = 1, .code = {1}};
	struct buf out;

	buf_init(&out, 1 << 20);
	table_describe(&out, one, &all);
	EXPECT_BYTES(&out, "T\0\0\0\x1b\0\1ab\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\1");
	buf_free(&out);
}
