#include "proxy/backend/expect.h"
#include "tests/support/test.h"

static void push(struct expects *q, enum expect_kind kind, enum expect_why why, uint32_t index)
{
	struct expect e = {.kind = (uint8_t)kind, .why = (uint8_t)why, .index = index};

	REQUIRE(expect_push(q, &e) == 0);
}

static void push_local(struct expects *q, char type)
{
	struct expect e = {.kind = EXPECT_LOCAL, .why = WHY_CLIENT, .local = type};

	REQUIRE(expect_push(q, &e) == 0);
}

TEST(expect, an_empty_queue_has_no_head)
{
	struct expects q = {0};
	bool done;

	EXPECT(expect_head(&q) == NULL);
	EXPECT_EQ(expect_doubt_syncs(&q, &done), 0);
	EXPECT(!done);
	expects_free(&q);
}

TEST(expect, keeps_the_order_while_it_grows_and_turns)
{
	struct expects q = {0};
	uint32_t in = 0, out = 0;

	/* More goes in than out, so the ring grows while its head is anywhere. */
	while (in < 5000) {
		for (unsigned i = 0; i < 7; i++)
			push(&q, EXPECT_BIND, WHY_CLIENT, in++);
		for (unsigned i = 0; i < 3; i++) {
			REQUIRE(expect_head(&q) != NULL);
			EXPECT_EQ(expect_head(&q)->index, out++);
			expect_pop(&q);
		}
	}
	EXPECT_EQ(q.n, in - out);
	for (uint32_t i = 0; i < q.n; i++)
		EXPECT_EQ(expect_at(&q, i)->index, out + i);
	while (expect_head(&q) != NULL) {
		EXPECT_EQ(expect_head(&q)->index, out++);
		expect_pop(&q);
	}
	EXPECT_EQ(in, out);
	expects_free(&q);
}

TEST(expect, counts_what_ends_with_ready_and_what_the_client_waits_for)
{
	struct expects q = {0};

	push(&q, EXPECT_PARSE, WHY_PARSE, 0);
	push(&q, EXPECT_BIND, WHY_CLIENT, 0);
	push(&q, EXPECT_SYNC, WHY_CLIENT, 0);
	push(&q, EXPECT_QUERY, WHY_PROBE, 0);
	push(&q, EXPECT_FUNCTION, WHY_CLIENT, 0);
	push_local(&q, '1');
	EXPECT_EQ(q.syncs, 3);
	EXPECT_EQ(q.visible, 4);
	expect_pop(&q); /* the hidden Parse */
	EXPECT_EQ(q.visible, 4);
	expect_pop(&q);
	expect_pop(&q);
	EXPECT_EQ(q.syncs, 2);
	EXPECT_EQ(q.visible, 2);
	expect_pop(&q);
	expect_pop(&q);
	expect_pop(&q);
	EXPECT_EQ(q.syncs, 0);
	EXPECT_EQ(q.visible, 0);
	expects_free(&q);
}

TEST(expect, doubts_the_syncs_in_front_of_the_end_of_the_copy)
{
	struct expects q = {0};
	bool done;

	push(&q, EXPECT_EXECUTE, WHY_CLIENT, 1);
	push(&q, EXPECT_SYNC, WHY_CLIENT, 0);
	push(&q, EXPECT_SYNC, WHY_CLIENT, 0);
	EXPECT_EQ(expect_doubt_syncs(&q, &done), 2);
	EXPECT(!done);
	push_local(&q, 0);
	push(&q, EXPECT_SYNC, WHY_CLIENT, 3);
	EXPECT_EQ(expect_doubt_syncs(&q, &done), 2);
	EXPECT(done);
	EXPECT(!expect_at(&q, 4)->doubtful);
	EXPECT_EQ(q.syncs, 3);
	expects_free(&q);
}

TEST(expect, a_copy_that_succeeds_takes_its_syncs_away)
{
	struct expects q = {0};
	bool done;

	/* Across the turn of the ring; two COPYs of one query. */
	for (unsigned i = 0; i < 16; i++)
		push(&q, EXPECT_BIND, WHY_CLIENT, i);
	for (unsigned i = 0; i < 13; i++)
		expect_pop(&q);
	expect_pop(&q);
	expect_pop(&q);
	push(&q, EXPECT_SYNC, WHY_CLIENT, 0);
	push_local(&q, 0);
	push(&q, EXPECT_SYNC, WHY_CLIENT, 0);
	push_local(&q, 0);
	push(&q, EXPECT_QUERY, WHY_CLIENT, 7);
	EXPECT_EQ(q.cap, 16);
	EXPECT_EQ(expect_doubt_syncs(&q, &done), 1);
	expect_copy_done(&q);
	REQUIRE(q.n == 4);
	EXPECT_EQ(q.syncs, 2);
	EXPECT_EQ(q.visible, 4);
	EXPECT_EQ(expect_doubt_syncs(&q, &done), 1);
	EXPECT(done);
	expect_copy_done(&q);
	REQUIRE(q.n == 2);
	EXPECT_EQ(expect_at(&q, 0)->index, 15);
	EXPECT_EQ(expect_at(&q, 1)->index, 7);
	EXPECT_EQ(q.syncs, 1);
	expects_free(&q);
}

TEST(expect, a_sync_at_the_head_is_not_doubted)
{
	struct expects q = {0};
	bool done;

	push(&q, EXPECT_SYNC, WHY_CLIENT, 0);
	push(&q, EXPECT_SYNC, WHY_CLIENT, 0);
	EXPECT_EQ(expect_doubt_syncs(&q, &done), 1);
	EXPECT(!expect_head(&q)->doubtful);
	expect_pop(&q);
	EXPECT(expect_head(&q)->doubtful);
	push_local(&q, 0);
	push(&q, EXPECT_CLOSE, WHY_COPY, 5);
	expect_drop_doubtful(&q);
	REQUIRE(q.n == 1);
	EXPECT_EQ(expect_head(&q)->index, 5);
	EXPECT_EQ(q.syncs, 0);
	expects_free(&q);
}

TEST(expect, skips_local_replies_at_the_head_only)
{
	struct expects q = {0};

	push_local(&q, '1');
	push_local(&q, '3');
	push(&q, EXPECT_BIND, WHY_CLIENT, 7);
	push_local(&q, '3');
	expect_skip_local(&q);
	EXPECT_EQ(q.n, 2);
	EXPECT_EQ(q.visible, 2);
	EXPECT_EQ(expect_head(&q)->index, 7);
	expect_skip_local(&q);
	EXPECT_EQ(q.n, 2);
	expect_pop(&q);
	expect_skip_local(&q);
	EXPECT(expect_head(&q) == NULL);
	EXPECT_EQ(q.visible, 0);
	expects_free(&q);
}

TEST(expect, is_bounded)
{
	struct expects q = {0};
	struct expect e = {.kind = EXPECT_BIND};

	for (uint32_t i = 0; i < EXPECT_MAX; i++)
		REQUIRE(expect_push(&q, &e) == 0);
	EXPECT_EQ(expect_push(&q, &e), -1);
	EXPECT_EQ(q.n, EXPECT_MAX);
	EXPECT_EQ(q.visible, EXPECT_MAX);
	expect_pop(&q);
	EXPECT_EQ(expect_push(&q, &e), 0);
	expects_free(&q);
}
