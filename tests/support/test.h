/* test.h - the little language of the unit tests.
 * Source  none. Criterion by default; with -Drunner=plain a runner of our own in one process, because
 *         Criterion aborts under ThreadSanitizer and forks for every test.
 * Shape   TEST(suite, name) { ... } registers itself; EXPECT* notes a failure and goes on, REQUIRE ends
 *         the test. Both runners count a test with any failure as failed.
 * Owner   -
 * Thread  EXPECT* from any thread of the test, REQUIRE only from the test's own.
 * Errors  a failure prints file:line and the values, and the program exits non-zero. */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "protocol/span.h"

#ifdef TEST_PLAIN

struct test_case {
	const char *suite;
	const char *name;
	void (*run)(void);
	struct test_case *next; /* set by test_register */
};

void test_register(struct test_case *tc);

#define TEST(suite_, name_)                                                                    \
	static void test_##suite_##_##name_(void);                                             \
	__attribute__((constructor)) static void test_reg_##suite_##_##name_(void)             \
	{                                                                                      \
		static struct test_case tc = {#suite_, #name_, test_##suite_##_##name_, NULL}; \
		test_register(&tc);                                                            \
	}                                                                                      \
	static void test_##suite_##_##name_(void)

#else

#include <criterion/criterion.h>
#define TEST(suite_, name_) Test(suite_, name_)

#endif

bool test_true(bool ok, const char *file, int line, const char *text);
bool test_int(long long a, long long b, const char *file, int line, const char *text);
bool test_str(const char *a, const char *b, const char *file, int line, const char *text);
bool test_mem(struct span a, struct span b, const char *file, int line, const char *text);
_Noreturn void test_abort(void);

#define EXPECT(cond) ((void)test_true(!!(cond), __FILE__, __LINE__, #cond))
#define EXPECT_EQ(a, b) ((void)test_int((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b))
#define EXPECT_STR(a, b) ((void)test_str((a), (b), __FILE__, __LINE__, #a " == " #b))
#define EXPECT_MEM(a, b) ((void)test_mem((a), (b), __FILE__, __LINE__, #a " == " #b))
#define REQUIRE(cond)                                                \
	do {                                                         \
		if (!test_true(!!(cond), __FILE__, __LINE__, #cond)) \
			test_abort();                                \
	} while (0)

#endif
