#include "tests/unit/protocol/tools.h"

#include "protocol/switches.h"

#include <stdio.h>

/* "name=value name=value .." that the options stand for; behind it why they end early. */
static void expect_settings(const char *options, const char *settings, const char *why)
{
	char got[512] = "";
	struct switches w;
	struct span name, value;
	enum switch_status status;

	REQUIRE(switches_begin(&w, span_str(options)) == 0);
	while ((status = switches_next(&w, &name, &value)) == SWITCH_SETTING) {
		size_t n = strlen(got);

		snprintf(got + n, sizeof(got) - n, "%s%.*s=%.*s", n > 0 ? " " : "", (int)name.n,
			 (const char *)name.p, (int)value.n, (const char *)value.p);
	}
	EXPECT_STR(got, settings);
	EXPECT_STR(status == SWITCH_BAD ? w.why : "", why);
}

TEST(switches, splits_words_as_the_server_does)
{
	expect_settings("  -c a=b\t-csearch_path=x\\ y,z\\\\ --work-mem=1MB -c q=a=b=  --e= ",
			"a=b search_path=x y,z\\ work_mem=1MB q=a=b= e=", "");
	expect_settings("", "", "");
	expect_settings(" \n ", "", "");
}

TEST(switches, stand_for_settings)
{
	expect_settings("-S 512 -es", "work_mem=512 datestyle=euro log_statement_stats=true", "");
	expect_settings(
		"-d 0 -d9",
		"log_min_messages=notice log_min_messages=debug9 log_statement=all debug_print_parse=true "
		"debug_print_plan=true debug_print_rewritten=true",
		"");
	expect_settings("-d 1 -fh -t pl",
			"log_min_messages=debug1 enable_hashjoin=false log_planner_stats=true", "");
	expect_settings("-nTC x -r y --", "", "");
}

#define INVALID "invalid command-line argument for server process: "

TEST(switches, are_refused_in_the_words_of_the_server)
{
	expect_settings("-c", "", INVALID "-c");
	expect_settings("-c a", "", "-c a requires a value");
	expect_settings("--a-b", "", "--a-b requires a value");
	expect_settings("-c =x", "", "unrecognized configuration parameter \"\"");
	expect_settings("x -S 5 y", "work_mem=5", INVALID "x");
	expect_settings("-S 5 -- -S 6", "work_mem=5", INVALID "-S");
	expect_settings("-", "", INVALID "-");
	expect_settings("\\", "", INVALID);
	expect_settings("-S 5 -x", "work_mem=5", INVALID "-x");
	expect_settings("-S 5 -xe", "work_mem=5", INVALID "5");
	expect_settings("-xe", "", INVALID "postgres");
	expect_settings("-f y", "", INVALID "y");
	expect_settings("-tx", "", INVALID "-tx");
}

TEST(switches, are_bounded)
{
	static char longest[STARTUP_MAX];
	struct switches w;

	memset(longest, 'x', sizeof(longest));
	EXPECT_EQ(switches_begin(&w, span_of(longest, sizeof(longest) - 1)), 0);
	EXPECT_EQ(switches_begin(&w, span_of(longest, sizeof(longest))), -1);
}
