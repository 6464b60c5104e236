#include "proxy/origin/ending.h"
#include "tests/support/test.h"

/* 100 and 102 run; 101 and what is below 100 are completed. */
static const struct snapshot *snapshot(void)
{
	static uint64_t running[] = {100, 102};
	static const struct snapshot s = {.xmin = 100, .xmax = 103, .xip = running, .nxip = 2};

	return &s;
}

TEST(ending, keeps_of_the_ids_that_are_held_those_that_are_visible)
{
	struct ending e = {0};

	EXPECT(ending_note(&e, "100 101 99 102 103", snapshot()) == 0);
	EXPECT(e.n == 2 && e.xid[0] == 101 && e.xid[1] == 99);
	EXPECT(ending_note(&e, "100 102", snapshot()) == 0);
	EXPECT(e.n == 0);
	EXPECT(ending_note(&e, "", snapshot()) == 0);
	EXPECT(e.n == 0);
	ending_free(&e);
}

TEST(ending, ends_when_each_of_them_has_been_let_go_whoever_came_later)
{
	struct ending e = {0};

	EXPECT(ending_note(&e, "98 99 101", snapshot()) == 0);
	EXPECT(e.n == 3);
	EXPECT(ending_still(&e, "101 101 98 104") == 0);
	EXPECT(e.n == 2);
	EXPECT(ending_still(&e, "99 101") == 0);
	EXPECT(e.n == 1 && e.xid[0] == 101);
	EXPECT(ending_still(&e, "98 99") == 0);
	EXPECT(e.n == 0);
	ending_free(&e);
}

TEST(ending, refuses_what_is_no_list_of_ids)
{
	struct ending e = {0};

	EXPECT(ending_note(&e, "99 x", snapshot()) == -1);
	EXPECT(ending_note(&e, "99999999999", snapshot()) == -1);
	EXPECT(ending_note(&e, "-1", snapshot()) == -1);
	EXPECT(ending_still(&e, "9,8") == -1);
	ending_free(&e);
}
