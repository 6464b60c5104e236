#include "config/text.h"
#include "tests/support/test.h"

#include <stddef.h>
#include <stdio.h>

static const char *const words[] = {"query_timeout", "query_wait_timeout", "pool_mode", "coherence", NULL};

TEST(text, finds_the_nearest_word)
{
	EXPECT_STR(text_nearest("qurey_timeout", words), "query_timeout");
	EXPECT_STR(text_nearest("query_wait_timout", words), "query_wait_timeout");
	EXPECT_STR(text_nearest("poolmode", words), "pool_mode");
	EXPECT_STR(text_nearest("coherance", words), "coherence");
}

TEST(text, finds_no_word_when_none_is_near)
{
	EXPECT(text_nearest("zzzz", words) == NULL);
	EXPECT(text_nearest("", words) == NULL);
	EXPECT(text_nearest(
		       "a_name_that_is_longer_than_every_word_and_than_the_table_of_distances_could_hold",
		       words) == NULL);
}

TEST(text, keeps_large_and_small_strings_apart)
{
	struct text_pool *pool = text_pool_new();
	char *small[200], *large;

	for (int i = 0; i < 200; i++)
		small[i] = text_printf(pool, "string %d", i);
	large = text_alloc(pool, 100000);
	memset(large, 'x', 100000);
	for (int i = 0; i < 200; i++) {
		char want[32];

		snprintf(want, sizeof want, "string %d", i);
		EXPECT_STR(small[i], want);
		EXPECT_EQ((uintptr_t)small[i] % _Alignof(max_align_t), 0);
	}
	text_pool_free(&pool);
	EXPECT(pool == NULL);
}

TEST(text, finds_the_byte_that_does_not_belong_into_a_text)
{
	int line;

	EXPECT_EQ(text_bad_byte("a\tb\r\nc", 6, &line), 6);
	EXPECT_EQ(text_bad_byte("a\nb\x01", 4, &line), 3);
	EXPECT_EQ(line, 2);
	EXPECT_EQ(text_bad_byte("a\0b", 3, &line), 1);
	EXPECT_EQ(text_bad_byte("gr\xC3\xBC\xC3\x9F", 6, &line), 6);
}
