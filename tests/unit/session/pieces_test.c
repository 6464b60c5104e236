/* An answer, cut. */
#include "proxy/session/pieces.h"
#include "protocol/write.h"
#include "tests/support/test.h"

static bool same(struct span got, const struct buf *whole, size_t from, size_t to)
{
	return got.n == to - from && (got.n == 0 || got.p == whole->p + from);
}

static void row(struct buf *b, const char *first, const char *second)
{
	struct span values[2] = {span_str(first), second == NULL ? span_of(NULL, 0) : span_str(second)};

	write_data_row(b, values, 2);
}

TEST(pieces, of_an_extended_answer)
{
	static const uint32_t oids[2] = {23, 25};
	const struct span names[2] = {span_str("id"), span_str("name")};
	struct piece_field fields[PIECES_COLUMNS];
	struct pieces pieces;
	size_t rows, tag, tail;
	struct buf b;
	unsigned n;

	buf_init(&b, 1u << 16);
	write_parse_complete(&b);
	write_bind_complete(&b);
	write_row_description(&b, names, oids, 2);
	rows = b.len;
	row(&b, "1", "one");
	row(&b, "2", NULL);
	tag = b.len;
	write_complete(&b, "SELECT 2");
	tail = b.len;
	write_close_complete(&b);
	REQUIRE(pieces_cut(buf_span(&b), &pieces));
	EXPECT(same(pieces.head, &b, 0, rows));
	EXPECT(same(pieces.rows, &b, rows, tag));
	EXPECT(same(pieces.tail, &b, tail, b.len));
	EXPECT(pieces.description.n > 0);
	REQUIRE(pieces_row(&pieces.rows, fields, &n));
	EXPECT_EQ(n, 2);
	EXPECT(!fields[1].null && span_eq(fields[1].value, span_str("one")));
	REQUIRE(pieces_row(&pieces.rows, fields, &n));
	EXPECT(fields[1].null && span_eq(fields[0].value, span_str("2")));
	EXPECT(!pieces_row(&pieces.rows, fields, &n));
	buf_free(&b);
}

TEST(pieces, of_a_short_answer)
{
	struct pieces pieces;
	struct buf b;

	buf_init(&b, 1u << 16);
	write_bind_complete(&b);
	write_complete(&b, "SELECT 0");
	REQUIRE(pieces_cut(buf_span(&b), &pieces));
	EXPECT_EQ(pieces.rows.n, 0);
	EXPECT_EQ(pieces.tail.n, 0);
	EXPECT_EQ(pieces.description.n, 0);
	buf_free(&b);
}

TEST(pieces, anything_else_is_refused)
{
	struct pieces pieces;
	struct buf b;

	buf_init(&b, 1u << 16);
	EXPECT(!pieces_cut(buf_span(&b), &pieces));
	row(&b, "1", "one");
	EXPECT(!pieces_cut(buf_span(&b), &pieces)); /* no end */
	write_complete(&b, "SELECT 1");
	EXPECT(pieces_cut(buf_span(&b), &pieces));
	EXPECT(!pieces_cut(span_of(b.p, b.len - 1), &pieces));
	row(&b, "2", "two");
	EXPECT(!pieces_cut(buf_span(&b), &pieces)); /* something behind it */
	buf_clear(&b);
	write_empty_query(&b);
	EXPECT(!pieces_cut(buf_span(&b), &pieces));
	buf_clear(&b);
	write_error(&b, 'N', "NOTICE", "00000", "hear", NULL, NULL);
	write_complete(&b, "SELECT 0");
	EXPECT(!pieces_cut(buf_span(&b), &pieces));
	buf_free(&b);
}
