#include "tests/support/test.h"

TEST(test, compares_what_it_is_given)
{
	EXPECT(1 + 1 == 2);
	EXPECT_EQ(7u, (uint8_t)7);
	EXPECT_STR("weir", "weir");
	EXPECT_MEM(span_of("a\0b", 3), span_of("a\0b", 3));
	REQUIRE(true);
}

TEST(test, tells_lengths_apart)
{
	EXPECT(!span_eq(span_str("ab"), span_str("abc")));
}
