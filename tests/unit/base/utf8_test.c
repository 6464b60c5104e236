#include "proxy/base/utf8.h"
#include "tests/support/test.h"

TEST(utf8, takes_what_postgresql_takes)
{
	static const char *const good[] = {"",
					   "abc",
					   ("gr\xc3\xb6\xc3\x9f"
					    "e"),
					   "\xe2\x82\xac",
					   "\xed\x9f\xbf",
					   "\xf0\x9f\x98\x80",
					   "\xf4\x8f\xbf\xbf"};

	for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
		EXPECT(utf8_valid(span_str(good[i])));
}

TEST(utf8, refuses_what_postgresql_refuses)
{
	static const char *const bad[] = {"\xff",
					  "a\xc3",
					  "\x80",
					  "\xc0\x80",
					  "\xe0\x80\x80",
					  "\xed\xa0\x80",
					  "\xc3(",
					  "\xf4\x90\x80\x80",
					  "\xf0\x80\x80\x80",
					  "\xf8\x88\x80\x80\x80",
					  "\xfc\x80\x80\x80",
					  "\xe2\x82"};

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		EXPECT(!utf8_valid(span_str(bad[i])));
}

TEST(utf8, knows_ascii)
{
	EXPECT(utf8_is_ascii(span_str("")));
	EXPECT(utf8_is_ascii(span_str("a~")));
	EXPECT(!utf8_is_ascii(span_str("a\xc3\xb6")));
}
