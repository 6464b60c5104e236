#include "proxy/cache/versions.h"
#include "tests/support/test.h"

TEST(versions, see_a_raise)
{
	struct versions v;
	uint64_t keys[2] = {11, 12};
	struct lease_key taken[2];

	REQUIRE(versions_init(&v, 64 << 20) == 0);
	versions_turn_on(&v);
	versions_take(&v, keys, 2, taken);
	EXPECT(versions_unchanged(&v, versions_epoch(&v), taken, 2));
	versions_raise(&v, 13);
	EXPECT(versions_unchanged(&v, versions_epoch(&v), taken, 2));
	versions_raise(&v, 12);
	EXPECT(!versions_unchanged(&v, versions_epoch(&v), taken, 2));
	EXPECT(versions_unchanged(&v, versions_epoch(&v), taken, 1));
	versions_done(&v);
}

TEST(versions, coming_round_changes_the_epoch)
{
	struct versions v;
	uint64_t key = 11, epoch;
	struct lease_key taken;

	REQUIRE(versions_init(&v, 64 << 20) == 0);
	versions_turn_on(&v);
	epoch = versions_epoch(&v);
	versions_take(&v, &key, 1, &taken);
	EXPECT_EQ(taken.version, 0);
	atomic_store(&v.slot[taken.slot], UINT32_MAX); /* as if raised that often */
	versions_raise(&v, key);
	EXPECT_EQ(atomic_load(&v.slot[taken.slot]), 0);
	EXPECT(!versions_unchanged(&v, epoch, &taken, 1));
	EXPECT(versions_on(&v));
	versions_done(&v);
}

TEST(versions, no_epoch_comes_twice)
{
	struct versions v;
	uint64_t last;

	REQUIRE(versions_init(&v, 1 << 20) == 0);
	last = versions_epoch(&v);
	for (int i = 0; i < 20; i++) {
		if (i % 3 == 0)
			versions_turn_on(&v);
		else if (i % 3 == 1)
			versions_new_epoch(&v);
		else
			versions_turn_off(&v);
		EXPECT(versions_epoch(&v) > last);
		EXPECT(versions_on(&v) == (i % 3 != 2));
		last = versions_epoch(&v);
	}
	versions_done(&v);
}

TEST(versions, table_fits_the_cache)
{
	struct versions v;

	REQUIRE(versions_init(&v, 1 << 20) == 0);
	EXPECT_EQ(versions_bytes(&v), 64 << 10);
	versions_done(&v);
	REQUIRE(versions_init(&v, SIZE_MAX) == 0);
	EXPECT_EQ(versions_bytes(&v), 4 << 20);
	versions_done(&v);
	REQUIRE(versions_init(&v, 0) == 0);
	EXPECT_EQ(versions_bytes(&v), 16 << 10);
	versions_done(&v);
}
