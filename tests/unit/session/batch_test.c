#include "proxy/session/batch.h"
#include "protocol/write.h"
#include "tests/support/test.h"

#include <stdlib.h>

#define BODY_MAX (1u << 30)

static struct buf made(void)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	return b;
}

static enum batch_status scan(const struct buf *b, struct batch *batch)
{
	const char *why = NULL;
	enum batch_status status = batch_scan(buf_span(b), BODY_MAX, batch, &why);

	EXPECT((status == BATCH_BAD) == (why != NULL));
	return status;
}

static void extended(struct buf *b)
{
	write_parse(b, span_str("name"), span_str("SELECT 1"), NULL, 0);
	write_bind_text(b, span_str(""), span_str("name"), NULL, 0);
	write_describe(b, 'P', span_str(""));
	write_execute(b, span_str(""), 0);
}

TEST(batch, asks_for_more_of_nothing)
{
	struct batch batch;
	struct buf b = made();

	EXPECT_EQ(scan(&b, &batch), BATCH_MORE);
	buf_free(&b);
}

TEST(batch, a_simple_query_is_whole)
{
	struct batch batch;
	struct buf b = made();

	write_query(&b, span_str("SELECT 1"));
	write_query(&b, span_str("SELECT 2"));
	REQUIRE(scan(&b, &batch) == BATCH_OK);
	EXPECT_EQ(batch.n, 1);
	EXPECT(batch.whole);
	EXPECT_EQ(batch.op[0].type, 'Q');
	EXPECT_MEM(batch.op[0].body, span_of("SELECT 1", 9));
	EXPECT_EQ(batch.op[0].end, b.len / 2);
	buf_free(&b);
}

TEST(batch, extended_messages_up_to_their_sync)
{
	static const char types[] = "PBDES";
	struct batch batch;
	struct buf b = made();
	size_t end;

	extended(&b);
	write_sync(&b);
	end = b.len;
	write_query(&b, span_str("the next request"));
	REQUIRE(scan(&b, &batch) == BATCH_OK);
	REQUIRE(batch.n == 5);
	for (unsigned i = 0; i < 5; i++)
		EXPECT_EQ(batch.op[i].type, types[i]);
	EXPECT(batch.whole);
	EXPECT_EQ(batch.op[4].end, end);
	EXPECT(batch.op[0].body.p == b.p + FRAME_HEADER); /* nothing is copied */
	for (size_t i = 0, at = 0; i < 5; at = batch.op[i++].end) {
		struct frame f;
		const char *why;
		size_t used;

		REQUIRE(frame_next(span_skip(buf_span(&b), at), BODY_MAX, &f, &used, &why) == FRAME_OK);
		EXPECT_EQ(batch.op[i].end, at + used);
		EXPECT(batch.op[i].body.p == f.body.p && batch.op[i].body.n == f.body.n);
	}
	buf_free(&b);
}

/* They are cut without being looked at one by one (front_runs), but not where there is no room for them. */
TEST(batch, a_run_at_the_end_of_a_long_batch)
{
	for (unsigned binds = BATCH_OPS - 4; binds <= BATCH_OPS - 2; binds++) {
		struct batch batch;
		struct buf b = made();

		for (unsigned i = 0; i < binds; i++)
			write_bind_text(&b, span_str(""), span_str("name"), NULL, 0);
		write_describe(&b, 'P', span_str(""));
		write_execute(&b, span_str(""), 0);
		write_sync(&b);
		if (binds + 3 <= BATCH_OPS) {
			REQUIRE(scan(&b, &batch) == BATCH_OK);
			EXPECT_EQ(batch.n, binds + 3);
			EXPECT_EQ(batch.op[batch.n - 1].end, b.len);
		} else {
			EXPECT_EQ(scan(&b, &batch), BATCH_LARGE);
		}
		buf_free(&b);
	}
}

TEST(batch, is_complete_at_its_last_byte_and_not_before)
{
	struct batch batch;
	struct buf b = made();
	const char *why;

	extended(&b);
	write_sync(&b);
	for (size_t n = 0; n < b.len; n++)
		EXPECT_EQ(batch_scan(span_of(b.p, n), BODY_MAX, &batch, &why), BATCH_MORE);
	EXPECT_EQ(batch_scan(span_of(b.p, b.len), BODY_MAX, &batch, &why), BATCH_OK);
	buf_free(&b);
}

TEST(batch, flush_ends_it_but_leaves_it_open)
{
	struct batch batch;
	struct buf b = made();

	extended(&b);
	write_flush(&b);
	write_sync(&b);
	REQUIRE(scan(&b, &batch) == BATCH_OK);
	EXPECT_EQ(batch.n, 5);
	EXPECT(!batch.whole);
	EXPECT_EQ(batch.op[4].type, 'H');
	buf_free(&b);
}

TEST(batch, a_query_behind_extended_messages_belongs_to_them)
{
	struct batch batch;
	struct buf b = made();

	extended(&b);
	write_query(&b, span_str("SELECT 2"));
	REQUIRE(scan(&b, &batch) == BATCH_OK);
	EXPECT_EQ(batch.n, 5);
	EXPECT(!batch.whole);
	buf_free(&b);
}

TEST(batch, copy_messages_and_terminate_stand_alone)
{
	static const char types[] = "dcfXFHp";

	for (const char *type = types; *type != '\0'; type++) {
		struct batch batch;
		struct buf b = made();

		write_end(&b, write_begin(&b, *type));
		write_sync(&b);
		REQUIRE(scan(&b, &batch) == BATCH_OK);
		EXPECT_EQ(batch.n, 1);
		EXPECT_EQ(batch.op[0].type, *type);
		EXPECT_EQ(batch.op[0].end, FRAME_HEADER);
		buf_free(&b);
	}
}

TEST(batch, only_types_that_a_client_may_send)
{
	for (unsigned type = 0; type < 256; type++) {
		struct batch batch;
		struct buf b = made();
		bool known = type != 0 && strchr("QPBDECSHFXdcfp", (int)type) != NULL;

		/* Told from the first byte on: nobody waits for the rest of it. */
		buf_add_u8(&b, (uint8_t)type);
		EXPECT_EQ(scan(&b, &batch), known ? BATCH_MORE : BATCH_BAD);
		buf_free(&b);
	}
}

TEST(batch, an_unknown_type_behind_a_good_message_is_bad)
{
	struct batch batch;
	struct buf b = made();

	write_parse(&b, span_str(""), span_str(""), NULL, 0);
	buf_add_u8(&b, 'z');
	EXPECT_EQ(scan(&b, &batch), BATCH_BAD);
	buf_free(&b);
}

TEST(batch, a_length_below_four_is_bad)
{
	for (uint32_t length = 0; length < 4; length++) {
		struct batch batch;
		struct buf b = made();

		buf_add_u8(&b, 'S');
		buf_add_u32(&b, length);
		EXPECT_EQ(scan(&b, &batch), BATCH_BAD);
		buf_free(&b);
	}
}

TEST(batch, a_body_above_the_limit_is_bad_before_it_has_come)
{
	struct batch batch;
	struct buf b = made();
	const char *why = NULL;

	buf_add_u8(&b, 'Q');
	buf_add_u32(&b, 4 + 1001);
	EXPECT_EQ(batch_scan(buf_span(&b), 1000, &batch, &why), BATCH_BAD);
	EXPECT(why != NULL);
	EXPECT_EQ(batch_scan(buf_span(&b), 1001, &batch, &why), BATCH_MORE);
	buf_free(&b);
}

TEST(batch, more_messages_than_it_holds_are_not_looked_at)
{
	struct batch batch;
	struct buf b = made();

	for (unsigned i = 0; i < BATCH_OPS - 1; i++)
		write_execute(&b, span_str(""), 0);
	EXPECT_EQ(scan(&b, &batch), BATCH_MORE);
	write_sync(&b); /* with the Sync it is just full */
	EXPECT_EQ(scan(&b, &batch), BATCH_OK);
	EXPECT_EQ(batch.n, BATCH_OPS);
	EXPECT(batch.whole);
	b.len -= FRAME_HEADER;
	write_execute(&b, span_str(""), 0);
	write_sync(&b);
	EXPECT_EQ(scan(&b, &batch), BATCH_LARGE);
	buf_free(&b);
}

TEST(batch, more_bytes_than_it_holds_are_not_waited_for)
{
	struct batch batch;
	struct buf b = made();
	char *text = malloc(BATCH_BYTES);

	REQUIRE(text != NULL);
	memset(text, 'x', BATCH_BYTES);
	write_query(&b, span_of(text, BATCH_BYTES));
	EXPECT_EQ(batch_scan(span_of(b.p, BATCH_BYTES - 1), BODY_MAX, &batch, &(const char *){NULL}),
		  BATCH_MORE);
	EXPECT_EQ(batch_scan(span_of(b.p, BATCH_BYTES), BODY_MAX, &batch, &(const char *){NULL}),
		  BATCH_LARGE);
	/* One that has come whole all the same is fine. */
	EXPECT_EQ(scan(&b, &batch), BATCH_OK);
	buf_free(&b);
	free(text);
}
