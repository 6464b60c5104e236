#include "config/units.h"
#include "tests/support/test.h"

static int64_t integer(const char *text)
{
	const char *why;
	int64_t v = INT64_MIN;

	return units_int(text, &v, &why) == 0 ? v : INT64_MIN;
}

static uint64_t size(const char *text)
{
	const char *why;
	uint64_t v;

	return units_size(text, &v, &why) == 0 ? v : UINT64_MAX;
}

static uint64_t duration(const char *text)
{
	const char *why;
	uint64_t v;

	return units_duration(text, &v, &why) == 0 ? v : UINT64_MAX;
}

TEST(units, reads_whole_numbers)
{
	EXPECT_EQ(integer("0"), 0);
	EXPECT_EQ(integer(" 42 "), 42);
	EXPECT_EQ(integer("-7"), -7);
	EXPECT_EQ(integer("9223372036854775807"), INT64_MAX);
}

TEST(units, refuses_what_is_not_a_whole_number)
{
	EXPECT_EQ(integer(""), INT64_MIN);
	EXPECT_EQ(integer("x"), INT64_MIN);
	EXPECT_EQ(integer("1x"), INT64_MIN);
	EXPECT_EQ(integer("1.5"), INT64_MIN);
	EXPECT_EQ(integer("--1"), INT64_MIN);
	EXPECT_EQ(integer("9223372036854775808"), INT64_MIN);
}

TEST(units, reads_modes_as_octal)
{
	const char *why;
	int64_t v;

	EXPECT_EQ(units_mode("0777", &v, &why), 0);
	EXPECT_EQ(v, 0777);
	EXPECT_EQ(units_mode("640", &v, &why), 0);
	EXPECT_EQ(v, 0640);
	EXPECT_EQ(units_mode("0788", &v, &why), -1);
	EXPECT_STR(why, "must be an octal number such as 0770");
}

TEST(units, reads_sizes_with_units_in_any_case)
{
	EXPECT_EQ(size("0"), 0);
	EXPECT_EQ(size("2147483647"), 2147483647);
	EXPECT_EQ(size("1B"), 1);
	EXPECT_EQ(size("1kB"), 1024);
	EXPECT_EQ(size("1k"), 1024);
	EXPECT_EQ(size("64MB"), 64LL << 20);
	EXPECT_EQ(size("64 mb"), 64LL << 20);
	EXPECT_EQ(size("3G"), 3LL << 30);
	EXPECT_EQ(size("1TB"), 1LL << 40);
	EXPECT_EQ(size("1.5MB"), 3LL << 19);
	EXPECT_EQ(size("9007199254740993"), 9007199254740993);
}

TEST(units, refuses_bad_sizes)
{
	EXPECT_EQ(size(""), UINT64_MAX);
	EXPECT_EQ(size("MB"), UINT64_MAX);
	EXPECT_EQ(size("-1"), UINT64_MAX);
	EXPECT_EQ(size("1XB"), UINT64_MAX);
	EXPECT_EQ(size("1."), UINT64_MAX);
	EXPECT_EQ(size("1.MB"), UINT64_MAX);
	EXPECT_EQ(size("1 2"), UINT64_MAX);
	EXPECT_EQ(size("18446744073709551616"), UINT64_MAX);
	EXPECT_EQ(size("99999999999TB"), UINT64_MAX);
}

TEST(units, reads_plain_durations_as_seconds)
{
	EXPECT_EQ(duration("0"), 0);
	EXPECT_EQ(duration("120"), 120000000);
	EXPECT_EQ(duration("0.5"), 500000);
	EXPECT_EQ(duration("0.1"), 100000);
	EXPECT_EQ(duration("0.000001"), 1);
}

TEST(units, reads_durations_with_units)
{
	EXPECT_EQ(duration("250us"), 250);
	EXPECT_EQ(duration("1ms"), 1000);
	EXPECT_EQ(duration("1.5ms"), 1500);
	EXPECT_EQ(duration("3s"), 3000000);
	EXPECT_EQ(duration("2 min"), 120000000);
	EXPECT_EQ(duration("1h"), 3600000000);
	EXPECT_EQ(duration("1d"), 86400000000);
	EXPECT_EQ(duration("0.5d"), 43200000000);
	EXPECT_EQ(duration("1MIN"), 60000000);
}

TEST(units, refuses_bad_durations)
{
	EXPECT_EQ(duration("1m"), UINT64_MAX);
	EXPECT_EQ(duration("soon"), UINT64_MAX);
	EXPECT_EQ(duration("1 s s"), UINT64_MAX);
	EXPECT_EQ(duration("-1"), UINT64_MAX);
	EXPECT_EQ(duration("1e3"), UINT64_MAX);
	EXPECT_EQ(duration("999999999999999d"), UINT64_MAX);
}

TEST(units, reads_switches)
{
	static const char *const on[] = {"1", "on", "TRUE", "yes", "t", "Y"};
	static const char *const off[] = {"0", "off", "False", "NO", "f", "n"};
	static const char *const bad[] = {"", "2", "onn", "enable"};
	const char *why;
	bool v;

	for (int i = 0; i < 6; i++) {
		v = false;
		EXPECT_EQ(units_bool(on[i], &v, &why), 0);
		EXPECT(v);
		EXPECT_EQ(units_bool(off[i], &v, &why), 0);
		EXPECT(!v);
	}
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(units_bool(bad[i], &v, &why), -1);
}

TEST(units, prints_durations_as_pgbouncer_does)
{
	static const struct {
		uint64_t us;
		const char *text;
	} rows[] = {{0, "0"},	     {120000000, "120"}, {500000, "0.5"},
		    {1000, "0.001"}, {1, "0.000001"},	 {1250000, "1.25"}};
	char out[32];

	for (int i = 0; i < 6; i++) {
		units_duration_text(rows[i].us, out, sizeof out);
		EXPECT_STR(out, rows[i].text);
	}
}
