#include "proxy/base/toplist.h"

#include "tests/support/test.h"

#include <stdlib.h>

TEST(toplist, counts_and_names)
{
	struct toplist *t = toplist_new(4);
	struct toplist_row rows[8] = {0};

	EXPECT(!toplist_count(t, 7, TOPLIST_HITS));
	toplist_name(t, 7, span_str("shop"), span_str("SELECT 1"));
	EXPECT(toplist_count(t, 7, TOPLIST_MISSES));
	EXPECT(toplist_count(t, 7, TOPLIST_HITS));
	EXPECT_EQ(toplist_add(t, rows, 0, 8), 1);
	EXPECT_STR(rows[0].name, "SELECT 1");
	EXPECT_STR(rows[0].group, "shop");
	EXPECT(rows[0].count[TOPLIST_HITS] == 2 && rows[0].count[TOPLIST_MISSES] == 1);
	toplist_name(t, 8, span_str("shop"), span_str("nobody")); /* not there */
	EXPECT_EQ(toplist_add(t, rows, 1, 8), 1);		  /* the same again: added up */
	EXPECT_EQ(rows[0].count[TOPLIST_HITS], 4);
	toplist_free(&t);
	EXPECT(t == NULL);
}

/* A few frequent ones among many that come once: they stay, whatever the order. */
TEST(toplist, keeps_what_is_frequent)
{
	struct toplist *t = toplist_new(16);
	struct toplist_row rows[16] = {0};

	for (uint64_t i = 0; i < 20000; i++) {
		toplist_count(t, 1 + i % 5, TOPLIST_HITS);
		toplist_count(t, 1000 + i, TOPLIST_MISSES);
	}
	EXPECT_EQ(toplist_add(t, rows, 0, 16), 16);
	toplist_sort(rows, 16);
	for (unsigned i = 0; i < 5; i++)
		EXPECT(rows[i].id >= 1 && rows[i].id <= 5 && rows[i].count[TOPLIST_HITS] > 3900);
	EXPECT(rows[5].id >= 1000 && rows[5].weight >= rows[6].weight);
	toplist_free(&t);
}

TEST(toplist, cuts_names_between_characters)
{
	struct toplist *t = toplist_new(1);
	struct toplist_row row[1] = {0};
	char text[300];

	memset(text, 'x', sizeof(text));
	memcpy(text + 254, "\xc3\xa4", 2);
	toplist_count(t, 1, TOPLIST_HITS);
	toplist_name(t, 1, span_str("d"), span_of(text, sizeof(text)));
	EXPECT_EQ(toplist_add(t, row, 0, 1), 1);
	EXPECT_EQ(strlen(row[0].name), 254);
	toplist_count(t, 2, TOPLIST_HITS); /* takes its row */
	EXPECT_EQ(toplist_add(t, row, 0, 1), 1);
	EXPECT(row[0].id == 2 && row[0].name[0] == '\0' && row[0].weight == 2);
	toplist_free(&t);
}
