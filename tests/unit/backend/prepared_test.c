#include "proxy/backend/prepared.h"
#include "tests/support/test.h"

TEST(prepared, goes_from_sent_to_held_to_forgotten)
{
	struct prepared p;

	prepared_init(&p);
	EXPECT_EQ(prepared_look(&p, 7), PREPARED_NOT);
	EXPECT_EQ(prepared_sent(&p, 7, 0), 0);
	EXPECT_EQ(prepared_look(&p, 7), PREPARED_PENDING);
	prepared_confirmed(&p, 7);
	EXPECT_EQ(prepared_look(&p, 7), PREPARED_HELD);
	EXPECT_EQ(p.n, 1);
	prepared_forget(&p, 7);
	EXPECT_EQ(prepared_look(&p, 7), PREPARED_NOT);
	EXPECT_EQ(p.n, 0);
	prepared_forget(&p, 7);
	prepared_confirmed(&p, 7); /* of one that is gone: nothing comes back */
	EXPECT_EQ(prepared_look(&p, 7), PREPARED_NOT);
}

TEST(prepared, sent_twice_is_one_and_keeps_what_is_known)
{
	struct prepared p;

	prepared_init(&p);
	prepared_sent(&p, 7, 0);
	prepared_confirmed(&p, 7);
	prepared_sent(&p, 7, 0);
	EXPECT_EQ(p.n, 1);
	EXPECT_EQ(prepared_look(&p, 7), PREPARED_HELD);
	prepared_clear(&p);
}

TEST(prepared, the_oldest_is_the_one_not_used_for_longest)
{
	struct prepared p;

	prepared_init(&p);
	EXPECT_EQ(prepared_oldest(&p), 0);
	for (uint64_t id = 1; id <= 3; id++) {
		prepared_sent(&p, id, 0);
		prepared_confirmed(&p, id);
	}
	EXPECT_EQ(prepared_oldest(&p), 1);
	prepared_look(&p, 1);
	EXPECT_EQ(prepared_oldest(&p), 2);
	prepared_forget(&p, 2);
	EXPECT_EQ(prepared_oldest(&p), 3);
	prepared_look(&p, 3);
	EXPECT_EQ(prepared_oldest(&p), 1);
	prepared_clear(&p);
	EXPECT_EQ(p.n, 0);
	EXPECT_EQ(prepared_oldest(&p), 0);
}

TEST(prepared, what_is_not_confirmed_is_not_the_oldest)
{
	struct prepared p;

	prepared_init(&p);
	prepared_sent(&p, 1, 0);
	prepared_sent(&p, 2, 0);
	EXPECT_EQ(prepared_oldest(&p), 0);
	prepared_confirmed(&p, 2);
	EXPECT_EQ(prepared_oldest(&p), 2);
	prepared_confirmed(&p, 1);
	EXPECT_EQ(prepared_oldest(&p), 1);
	prepared_clear(&p);
}

TEST(prepared, clearing_the_held_leaves_the_pending)
{
	struct prepared p;

	prepared_init(&p);
	prepared_sent(&p, 1, 0);
	prepared_confirmed(&p, 1);
	prepared_sent(&p, 2, 0);
	prepared_clear_held(&p);
	EXPECT_EQ(p.n, 1);
	EXPECT_EQ(prepared_look(&p, 1), PREPARED_NOT);
	EXPECT_EQ(prepared_look(&p, 2), PREPARED_PENDING);
	prepared_clear(&p);
}

TEST(prepared, a_look_tells_which_held_ones_are_gone)
{
	struct prepared p;

	prepared_init(&p);
	for (uint64_t id = 1; id <= 4; id++)
		prepared_sent(&p, id, 0);
	for (uint64_t id = 1; id <= 3; id++)
		prepared_confirmed(&p, id);
	EXPECT_EQ(prepared_unsee(&p), 3);
	prepared_see(&p, 1);
	prepared_see(&p, 3);
	prepared_see(&p, 99);
	EXPECT_EQ(prepared_unseen(&p), 2);
	prepared_forget(&p, 2);
	EXPECT_EQ(prepared_unseen(&p), 0); /* 4 is on its way, and not looked for */
	prepared_clear(&p);
}

TEST(prepared, a_name_is_made_of_the_number)
{
	char room[PREPARED_NAME_MAX];

	EXPECT_MEM(prepared_name(1, room), span_str("pgweir_1"));
	EXPECT_MEM(prepared_name(UINT64_MAX, room), span_str("pgweir_18446744073709551615"));
}
