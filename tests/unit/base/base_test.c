#include "tests/support/test.h"

#include "proxy/base/blob.h"
#include "proxy/base/clock.h"
#include "proxy/base/counters.h"
#include "proxy/base/err.h"
#include "proxy/base/hist.h"
#include "proxy/base/map.h"
#include "proxy/base/ring.h"

#include <stdio.h>

TEST(err, carries_text_and_sqlstate_and_may_wrap_itself)
{
	struct err err;

	EXPECT_EQ(err_state(&err, "53300", "too many %s", "clients"), -1);
	EXPECT_STR(err.sqlstate, "53300");
	EXPECT_EQ(err_set(&err, "cannot start: %s", err.text), -1);
	EXPECT_STR(err.text, "cannot start: too many clients");
	EXPECT_STR(err.sqlstate, "");
	EXPECT_EQ(err_set(NULL, "nobody asks"), -1);
}

TEST(err, cuts_what_does_not_fit)
{
	struct err err;
	char big[2000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&err, "%s", big);
	EXPECT_EQ(strlen(err.text), sizeof(err.text) - 1);
}

TEST(hist, puts_each_value_into_the_first_bucket_that_holds_it)
{
	static const struct {
		uint64_t us;
		unsigned bucket;
	} cases[] = {{0, 0},
		     {1, 0},
		     {2, 1},
		     {3, 2},
		     {4, 2},
		     {5, 3},
		     {8, 3},
		     {9, 4},
		     {1 << 26, 26},
		     {(1 << 26) + 1, 27},
		     {UINT64_C(1) << 40, 27},
		     {UINT64_MAX / 2, 27}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hist h = {0};

		hist_add(&h, cases[i].us);
		for (unsigned b = 0; b < HIST_BUCKETS; b++)
			EXPECT_EQ(h.bucket[b], b == cases[i].bucket);
		EXPECT_EQ(h.sum_us, cases[i].us);
	}
}

TEST(counters, are_summed_over_threads_blocks)
{
	static struct counters a, b;
	int64_t sum[NCOUNTERS] = {0};

	count(&a, cache_hits);
	count(&b, cache_hits);
	count_add(&b, COUNTER_cache_bytes, 100);
	count_add(&a, COUNTER_cache_bytes, -40);
	counters_sum(sum, &a);
	counters_sum(sum, &b);
	EXPECT_EQ(sum[COUNTER_cache_hits], 2);
	EXPECT_EQ(sum[COUNTER_cache_bytes], 60);
	EXPECT_EQ(sum[COUNTER_waits], 0);
	EXPECT_STR(counter_rows[COUNTER_cache_hits].name, "cache_hits");
	EXPECT(!counter_rows[COUNTER_cache_hits].is_gauge);
	EXPECT(counter_rows[COUNTER_cache_bytes].is_gauge);
	EXPECT_STR(counter_rows[COUNTER_cache_bytes].unit, "bytes");
}

TEST(blob, lives_until_its_last_holder_lets_go)
{
	struct blob *b = blob_new(span_str("bytes"));

	REQUIRE(b != NULL);
	EXPECT(blob_ref(b) == b);
	blob_unref(b);
	EXPECT_MEM(span_of(b->bytes, b->n), span_str("bytes"));
	blob_unref(b); /* the sanitizers see what is wrong with the count */
	blob_unref(NULL);
}

TEST(ring, keeps_order_and_forgives_a_second_removal)
{
	struct item {
		int value;
		struct ring node;
	} items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
	struct ring head;
	int sum = 0;

	ring_init(&head);
	EXPECT(ring_first(&head) == NULL);
	ring_add(&head, &items[1].node);
	ring_add(&head, &items[2].node);
	ring_push(&head, &items[0].node);
	ring_each (node, &head)
		sum = sum * 10 + ring_item(node, struct item, node)->value;
	EXPECT_EQ(sum, 123);
	ring_remove(&items[1].node);
	ring_remove(&items[1].node);
	ring_each_safe (node, &head) {
		sum = sum * 10 + ring_item(node, struct item, node)->value;
		ring_remove(node);
	}
	EXPECT_EQ(sum, 12313);
	EXPECT(ring_empty(&head));
}

struct word {
	char text[16];
	int n;
	UT_hash_handle hh;
};

TEST(map, finds_what_was_put_in)
{
	struct word *map = NULL, *word, *next;
	char key[16];

	for (int i = 0; i < 1000; i++) {
		word = check_alloc(sizeof(*word));
		snprintf(word->text, sizeof(word->text), "word%d", i);
		word->n = i;
		HASH_ADD_KEYPTR(hh, map, word->text, strlen(word->text), word);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "word%d", i);
		HASH_FIND(hh, map, key, strlen(key), word);
		REQUIRE(word != NULL);
		EXPECT_EQ(word->n, i);
	}
	HASH_FIND(hh, map, "absent", 6, word);
	EXPECT(word == NULL);
	HASH_ITER (hh, map, word, next) {
		HASH_DEL(map, word);
		free(word);
	}
}

TEST(clock, does_not_go_back)
{
	uint64_t before = clock_us();

	EXPECT(before > 0);
	EXPECT(clock_us() >= before);
	EXPECT(clock_ns() / 1000 >= before);
}
