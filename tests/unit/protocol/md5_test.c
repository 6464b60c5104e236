#include "tests/unit/protocol/tools.h"

#include "protocol/md5.h"

/* From another implementation: md5("secretbob"), md5(that + salt 1 2 0 4). */
#define MD5_BOB_SECRET "21f3163f8f86fa10bdefbfbd502a8f06"
#define MD5_ANSWER "8ba05e62a8be357f6ef4c435861b0e7c"

TEST(md5, hashes_as_the_server_stores_it)
{
	char text[MD5_TEXT];

	REQUIRE(md5_hash(BYTES("bob"), BYTES("secret"), text) == 0);
	EXPECT_STR(text, "md5" MD5_BOB_SECRET);
	EXPECT(md5_is_hash(span_str(text)));
	EXPECT(!md5_is_hash(BYTES("md5")));
	EXPECT(!md5_is_hash(BYTES("md5G123456789abcdef0123456789abcdef")));
	EXPECT(!md5_is_hash(BYTES("MD5" MD5_BOB_SECRET)));
}

TEST(md5, answers_and_checks_a_salt)
{
	const uint8_t salt[4] = {1, 2, 0, 4}, other[4] = {1, 2, 0, 5};
	struct span stored = BYTES("md5" MD5_BOB_SECRET);
	char answer[MD5_TEXT];

	REQUIRE(md5_answer(stored, salt, answer) == 0);
	EXPECT_STR(answer, "md5" MD5_ANSWER);
	EXPECT(md5_check(stored, salt, span_str(answer)));
	EXPECT(!md5_check(stored, other, span_str(answer)));
	EXPECT(!md5_check(stored, salt, span_of(answer, 34)));
	EXPECT(!md5_check(BYTES("secret"), salt, span_str(answer)));
	answer[10] ^= 1;
	EXPECT(!md5_check(stored, salt, span_str(answer)));
	EXPECT_EQ(md5_answer(BYTES("secret"), salt, answer), -1);
}
