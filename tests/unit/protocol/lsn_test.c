#include "tests/unit/protocol/tools.h"

#include "protocol/lsn.h"

TEST(lsn, reads_and_writes_text)
{
	char text[LSN_TEXT];
	uint64_t lsn = 0;

	REQUIRE(lsn_parse(BYTES("0/16B3748"), &lsn));
	EXPECT_EQ(lsn, 0x16B3748);
	EXPECT_STR(lsn_format(lsn, text), "0/16B3748");
	REQUIRE(lsn_parse(BYTES("ffffffff/FFFFFFFF"), &lsn));
	EXPECT(lsn == UINT64_MAX);
	EXPECT_STR(lsn_format(lsn, text), "FFFFFFFF/FFFFFFFF");
	REQUIRE(lsn_parse(BYTES("1A/0"), &lsn));
	EXPECT_EQ(lsn, 0x1A00000000);
	EXPECT_STR(lsn_format(lsn, text), "1A/0");
}

TEST(lsn, refuses_other_text)
{
	static const char *const bad[] = {"",	  "/",		 "0/",		"/0",  "0",    "0/0 ",
					  " 0/0", "0/123456789", "123456789/0", "0/G", "0/-1", "0//1"};
	uint64_t lsn = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT(!lsn_parse(span_str(bad[i]), &lsn));
	EXPECT_EQ(lsn, 7);
}

TEST(lsn, takes_page_headers_away_and_nothing_else)
{
	const uint32_t block = 8192, segment = 16 << 20;
	uint64_t page = 5 * (uint64_t)segment + 3 * block, start = 5 * (uint64_t)segment;

	EXPECT_EQ(lsn_normalise(page + 24, block, segment), page);
	EXPECT_EQ(lsn_normalise(start + 40, block, segment), start);
	/* a record may end 40 bytes into a page that does not begin a segment */
	EXPECT_EQ(lsn_normalise(page + 40, block, segment), page + 40);
	EXPECT_EQ(lsn_normalise(page + 32, block, segment), page + 32);
	EXPECT_EQ(lsn_normalise(page, block, segment), page);
	EXPECT_EQ(lsn_normalise(0, block, segment), 0);
	EXPECT_EQ(lsn_normalise(page + 24, 0, 0), page + 24);
}
