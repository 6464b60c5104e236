#include "proxy/cache/change.h"
#include "tests/support/test.h"

TEST(change, lists_a_relation_once)
{
	struct change c;

	change_init(&c, 10);
	change_begin(&c, 5);
	change_relation(&c, 1, false);
	change_relation(&c, 2, false);
	change_relation(&c, 1, true);
	change_relation(&c, 1, false);
	EXPECT_EQ(c.xid, 5);
	EXPECT_EQ(c.nrels, 2);
	EXPECT(c.rels[0].relid == 1 && c.rels[0].whole);
	EXPECT(c.rels[1].relid == 2 && !c.rels[1].whole);
	change_free(&c);
}

TEST(change, a_key_lists_its_relation)
{
	struct change c;

	change_init(&c, 10);
	change_begin(&c, 5);
	change_key(&c, 3, 33);
	EXPECT_EQ(c.nkeys, 1);
	EXPECT_EQ(c.nrels, 1);
	EXPECT(!c.rels[0].whole);
	change_free(&c);
}

TEST(change, too_many_keys_become_the_whole_relation)
{
	struct change c;

	change_init(&c, 3);
	change_begin(&c, 5);
	for (uint64_t key = 0; key < 5; key++)
		change_key(&c, 1, key);
	change_key(&c, 2, 7);
	EXPECT_EQ(c.nkeys, 3);
	EXPECT_EQ(c.nrels, 2);
	EXPECT(c.rels[0].whole && c.rels[1].whole);
	EXPECT(!c.everything);
	change_free(&c);
}

TEST(change, too_many_relations_become_everything)
{
	struct change c;

	change_init(&c, 3);
	change_begin(&c, 5);
	for (uint32_t rel = 1; rel <= 1024; rel++)
		change_relation(&c, rel, false);
	EXPECT(!c.everything);
	change_relation(&c, 1025, false);
	EXPECT(c.everything);
	change_free(&c);
}

TEST(change, begin_empties_it)
{
	struct change c;

	change_init(&c, 3);
	change_begin(&c, 5);
	change_key(&c, 1, 2);
	c.everything = true;
	change_begin(&c, 6);
	EXPECT_EQ(c.xid, 6);
	EXPECT_EQ(c.nkeys, 0);
	EXPECT_EQ(c.nrels, 0);
	EXPECT(!c.everything);
	change_free(&c);
}
