#include "tests/unit/protocol/tools.h"

#include "protocol/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

static struct snapshot snap(const char *text)
{
	struct snapshot s = {0};

	REQUIRE(snapshot_parse(span_str(text), &s) == 0);
	return s;
}

TEST(snapshot, knows_what_is_completed)
{
	struct snapshot s = snap("100:110:100,103,109");

	EXPECT_EQ(s.nxip, 3);
	EXPECT(snapshot_completed(&s, 99));
	EXPECT(!snapshot_completed(&s, 100));
	EXPECT(snapshot_completed(&s, 101));
	EXPECT(!snapshot_completed(&s, 103));
	EXPECT(snapshot_completed(&s, 108));
	EXPECT(!snapshot_completed(&s, 109));
	EXPECT(!snapshot_completed(&s, 110));
	EXPECT(!snapshot_completed(&s, 5000));
	snapshot_free(&s);
	EXPECT(s.xip == NULL && s.nxip == 0);
}

TEST(snapshot, reads_an_empty_list)
{
	struct snapshot s = snap("728:728:");

	EXPECT(s.xip == NULL);
	EXPECT(snapshot_completed(&s, 727));
	EXPECT(!snapshot_completed(&s, 728));
	snapshot_free(&s);
}

TEST(snapshot, extends_across_the_wrap)
{
	/* xmax = 2^32 + 5 */
	struct snapshot s = snap("4294967290:4294967301:4294967290,4294967299");

	EXPECT(snapshot_extend(&s, 4294967291u) == UINT64_C(4294967291));
	EXPECT(snapshot_extend(&s, 3) == UINT64_C(4294967299));
	EXPECT(snapshot_extend(&s, 6) == UINT64_C(4294967302));
	EXPECT(!snapshot_completed(&s, 4294967290u));
	EXPECT(snapshot_completed(&s, 4294967291u));
	EXPECT(!snapshot_completed(&s, 3));
	EXPECT(snapshot_completed(&s, 4));
	EXPECT(!snapshot_completed(&s, 5));
	EXPECT(snapshot_completed(&s, 4294967000u));
	snapshot_free(&s);
}

TEST(snapshot, takes_an_xid_from_before_the_first_epoch_for_running)
{
	struct snapshot s = snap("700:700:");

	EXPECT(!snapshot_completed(&s, 4000000000u));
	snapshot_free(&s);
}

TEST(snapshot, shows_nothing_completed_when_zeroed)
{
	struct snapshot s = {0};

	EXPECT(!snapshot_completed(&s, 3));
	EXPECT(!snapshot_completed_full(&s, 0));
	snapshot_free(&s);
}

TEST(snapshot, refuses_other_text)
{
	static const char *const bad[] = {"",	     "1",	"1:",
					  "1:2",     ":2:",	"2:1:",
					  "0:0:",    "1:2:3",	"1:5:0",
					  "5:9:6,6", "5:9:7,6", "5:9:6,",
					  "5:9:,6",  "5:9:6 ",	" 5:9:6",
					  "5:9:6:7", "a:b:",	"18446744073709551616:18446744073709551616:",
					  "-1:5:"};
	struct snapshot s = {.xmin = 77};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		EXPECT(snapshot_parse(span_str(bad[i]), &s) == -1);
	EXPECT_EQ(s.xmin, 77);
}

TEST(snapshot, refuses_a_list_beyond_the_bound)
{
	size_t n = (size_t)SNAPSHOT_XIP_MAX + 1;
	char *text = malloc(n * 8 + 64);
	struct snapshot s;
	int at;

	REQUIRE(text != NULL);
	at = sprintf(text, "1000000:9999999:");
	for (size_t i = 0; i < n; i++)
		at += sprintf(text + at, "%s%zu", i == 0 ? "" : ",", 1000000 + i);
	EXPECT_EQ(snapshot_parse(span_of(text, (size_t)at), &s), -1);
	REQUIRE(snapshot_parse(span_of(text, (size_t)at - 8), &s) == 0);
	EXPECT_EQ(s.nxip, SNAPSHOT_XIP_MAX);
	snapshot_free(&s);
	free(text);
}

TEST(snapshot, copies_deeply)
{
	struct snapshot s = snap("100:110:100,103"), copy;

	REQUIRE(snapshot_copy(&s, &copy) == 0);
	EXPECT(copy.xip != s.xip);
	snapshot_free(&s);
	EXPECT(!snapshot_completed(&copy, 103));
	EXPECT(snapshot_completed(&copy, 104));
	snapshot_free(&copy);
}
