/* What a transaction has read, and as of when. */
#include "proxy/session/marks.h"
#include "tests/support/test.h"

#include <stdio.h>

static uint32_t place(struct marks *m, const char *text)
{
	struct snapshot s;
	uint32_t at;

	REQUIRE(snapshot_parse(span_str(text), &s) == 0);
	at = marks_place_now(m, &s);
	snapshot_free(&s);
	return at;
}

static uint64_t xmax(const struct marks *m, uint32_t relid, uint64_t key)
{
	bool shown;
	const struct snapshot *s = marks_snapshot(m, marks_find_row(m, relid, key, &shown));

	return s != NULL ? s->xmax : 0;
}

TEST(marks, the_oldest_read_counts)
{
	struct marks *m = marks_new();
	uint32_t one = place(m, "10:10:"), two = place(m, "20:20:"), three = place(m, "30:30:");
	bool shown;

	EXPECT_EQ(marks_find_row(m, 7, 71, &shown), MARKS_NONE);
	EXPECT_EQ(marks_find_any(m, 0), MARKS_NONE);
	marks_row(m, 7, 71, two);
	marks_row(m, 7, 71, three);
	EXPECT_EQ(xmax(m, 7, 71), 20);
	EXPECT_EQ(xmax(m, 7, 72), 0);
	EXPECT_EQ(xmax(m, 8, 71), 0);
	marks_relation(m, 7, three);
	EXPECT_EQ(xmax(m, 7, 71), 20);
	EXPECT_EQ(xmax(m, 7, 72), 30);
	marks_all(m, one);
	EXPECT_EQ(xmax(m, 8, 1), 10);
	EXPECT_EQ(marks_find_any(m, 7), one);
	marks_free(&m);
}

TEST(marks, a_skipped_read_was_none)
{
	struct marks *m = marks_new();
	uint32_t skipped = marks_place(m), read;

	marks_row(m, 7, 71, skipped);
	EXPECT_EQ(xmax(m, 7, 71), 0);
	read = place(m, "20:20:");
	marks_row(m, 7, 71, read);
	EXPECT_EQ(xmax(m, 7, 71), 20); /* the later one was read */
	marks_free(&m);
}

TEST(marks, know_which_rows_were_shown)
{
	struct marks *m = marks_new();
	uint32_t one = place(m, "10:10:"), two = place(m, "20:20:");
	bool shown = true;

	marks_row(m, 7, 71, one);
	marks_row(m, 7, 72, two);
	marks_shown(m, two);
	marks_find_row(m, 7, 71, &shown);
	EXPECT(!shown);
	marks_find_row(m, 7, 72, &shown);
	EXPECT(shown);
	marks_free(&m);
}

TEST(marks, what_a_lost_lock_has_shown_counts)
{
	struct marks *m = marks_new();

	EXPECT(!marks_locks(m));
	marks_locked(m, place(m, "10:10:"));
	marks_locked(m, place(m, "20:20:"));
	EXPECT(marks_locks(m));
	EXPECT_EQ(xmax(m, 7, 71), 0);
	marks_unlocked(m);
	EXPECT_EQ(xmax(m, 7, 71), 10);
	marks_free(&m);
}

/* Without room it gets coarser and older, never younger. */
TEST(marks, are_bounded)
{
	struct marks *m = marks_new();
	char text[32];

	for (uint32_t i = 1; i <= 4 * MARKS_SNAPSHOTS; i++) {
		snprintf(text, sizeof text, "%u:%u:", i, i);
		marks_row(m, 7, i, place(m, text));
		EXPECT(xmax(m, 7, i) != 0 && xmax(m, 7, i) <= i);
	}
	for (uint32_t i = 1; i <= MARKS_ROWS; i++)
		marks_row(m, 8, i, 5);
	EXPECT_EQ(xmax(m, 8, 99999), 6);
	for (uint32_t i = 0; i < 2 * MARKS_RELATIONS; i++)
		marks_relation(m, 100 + i, 3);
	EXPECT_EQ(xmax(m, 5555, 1), 4);
	marks_free(&m);
}
