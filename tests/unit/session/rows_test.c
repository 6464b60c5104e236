/* Whose rows an answer shows. */
#include "proxy/session/rows.h"
#include "protocol/datum.h"
#include "tests/support/test.h"

#define NUL -1

static void describe(struct buf *b, uint32_t relid, const uint16_t *attnums, unsigned n)
{
	uint32_t length = 6;

	length += n * (2 + 18);
	buf_add_u8(b, 'T');
	buf_add_u32(b, length);
	buf_add_u16(b, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		buf_add_cstr(b, "c");
		buf_add_u32(b, relid);
		buf_add_u16(b, attnums[i]);
		buf_add_u32(b, 23);
		buf_add_u16(b, 4);
		buf_add_u32(b, 0);
		buf_add_u16(b, 0);
	}
}

static void row(struct buf *b, int first, int second, bool binary)
{
	int values[2] = {first, second};
	struct buf body;

	buf_init(&body, 100);
	buf_add_u16(&body, 2);
	for (int i = 0; i < 2; i++) {
		if (values[i] == NUL) {
			buf_add_u32(&body, UINT32_MAX);
		} else if (binary) {
			buf_add_u32(&body, 4);
			buf_add_u32(&body, (uint32_t)values[i]);
		} else {
			buf_add_u32(&body, 1);
			buf_add_u8(&body, (uint8_t)('0' + values[i]));
		}
	}
	buf_add_u8(b, 'D');
	buf_add_u32(b, (uint32_t)body.len + 4);
	buf_add_span(b, buf_span(&body));
	buf_free(&body);
}

static uint64_t key_of(int value)
{
	static const int16_t attnum[] = {7};
	char text[2] = {(char)('0' + value), '\0'};
	struct span span;
	struct buf b;
	uint64_t key;

	buf_init(&b, 64);
	REQUIRE(datum_canon(23, false, span_str(text), &b) == DATUM_OK);
	span = buf_span(&b);
	key = readkey_row(50, 1, attnum, &span);
	buf_free(&b);
	return key;
}

static const struct rows_rule rule = {
	.rule = {.relid = 50, .ncols = 1, .at = {1}, .attnums = {7}, .types = {23}}};

TEST(rows_of_answer, gives_the_key_of_every_row)
{
	struct rows_rule binary = rule;
	uint64_t keys[4];
	struct buf b;
	unsigned n;

	binary.binary = 1;
	for (int turn = 0; turn < 2; turn++) {
		buf_init(&b, 1000);
		describe(&b, 50, (const uint16_t[]){3, 7}, 2);
		row(&b, 1, 5, turn == 1);
		row(&b, 2, 5, turn == 1);
		row(&b, 3, NUL, turn == 1);
		row(&b, NUL, 6, turn == 1);
		EXPECT(rows_of_answer(buf_span(&b), turn == 1 ? &binary : &rule, 1, keys, 4, &n));
		EXPECT(n == 2 && keys[0] == key_of(5) && keys[1] == key_of(6));
		EXPECT(!rows_of_answer(buf_span(&b), turn == 1 ? &binary : &rule, 1, keys, 1, &n));
		/* Without a description the analysis alone says where the key is. */
		EXPECT(rows_of_answer(span_skip(buf_span(&b), 47), turn == 1 ? &binary : &rule, 1, keys, 4,
				      &n));
		EXPECT_EQ(n, 2);
		buf_free(&b);
	}
}

TEST(rows_of_answer, believes_no_other_description)
{
	static const struct {
		uint32_t relid;
		uint16_t attnums[2];
	} wrong[] = {{51, {3, 7}}, {50, {7, 3}}, {50, {3, 8}}};
	uint64_t keys[4];
	struct buf b;
	unsigned n;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		buf_init(&b, 1000);
		describe(&b, wrong[i].relid, wrong[i].attnums, 2);
		row(&b, 1, 5, false);
		EXPECT(!rows_of_answer(buf_span(&b), &rule, 1, keys, 4, &n));
		buf_free(&b);
	}
}

TEST(rows_of_answer, refuses_what_it_cannot_read)
{
	struct rows_rule beyond = rule;
	uint64_t keys[4];
	struct buf b;
	unsigned n;

	beyond.rule.at[0] = 2;
	buf_init(&b, 1000);
	row(&b, 1, 5, false);
	for (size_t cut = 1; cut < b.len; cut++)
		EXPECT(!rows_of_answer(span_of(b.p, cut), &rule, 1, keys, 4, &n));
	EXPECT(!rows_of_answer(buf_span(&b), &beyond, 1, keys, 4, &n));
	buf_clear(&b);
	row(&b, 1, 5, true); /* binary where text was announced */
	EXPECT(!rows_of_answer(buf_span(&b), &rule, 1, keys, 4, &n));
	buf_free(&b);
}
