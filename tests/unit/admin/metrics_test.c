#include "proxy/admin/metrics.h"
#include "proxy/admin/quote.h"
#include "proxy/admin/stats.h"
#include "proxy/base/clock.h"
#include "tests/support/test.h"
#include "tests/unit/admin/fake.h"

#include <stdio.h>
#include <stdlib.h>

static char *text_of(struct buf *b)
{
	char *text = malloc(b->len + 1);

	REQUIRE(!b->failed);
	memcpy(text, b->p, b->len);
	text[b->len] = '\0';
	buf_free(b);
	return text;
}

static char *metrics(struct fake *fake, bool open)
{
	struct report_source source = fake_source(fake);
	struct reading r;
	struct buf out;

	buf_init(&out, 16u << 20);
	reading_take(&source, clock_us(), &r);
	metrics_write(&out, &r, open);
	reading_free(&r);
	return text_of(&out);
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

TEST(metrics, names_follow_the_unit)
{
	static const struct {
		struct counter_row row;
		const char *name;
	} cases[] = {
		{{"probes", "", "", 0}, "probes"},
		{{"wait_us", "us", "", 0}, "wait_seconds"},
		{{"waiting", "us", "", 0}, "waiting_seconds"},
		{{"bytes_sent", "bytes", "", 0}, "sent_bytes"},
		{{"cache_bytes", "bytes", "", 1}, "cache_bytes"},
		{{"heap", "bytes", "", 1}, "heap_bytes"},
	};
	char name[96];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		metrics_counter_name(&cases[i].row, name, sizeof name);
		EXPECT_STR(name, cases[i].name);
	}
}

TEST(metrics, shows_every_row_in_openmetrics)
{
	struct fake fake = {0};
	char *text = metrics(&fake, true);

	EXPECT(has(text, "# TYPE pgweir_cache_hits counter\npgweir_cache_hits_total 41\n"));
	EXPECT(has(text, "# TYPE pgweir_wait_seconds counter\n# UNIT pgweir_wait_seconds seconds\n"
			 "pgweir_wait_seconds_total 1.500000\n"));
	EXPECT(has(text, "pgweir_sent_bytes_total 5000000000\n"));
	EXPECT(has(
		text,
		"# TYPE pgweir_cache_bytes gauge\n# UNIT pgweir_cache_bytes bytes\npgweir_cache_bytes 4096\n"));
	EXPECT(has(text, "pgweir_pass_total{database=\"shop\",reason=\"NOT_SELECT\"} 9\n"));
	EXPECT(has(text, "pgweir_pass_total{database=\"\",reason=\"NOT_SELECT\"} 3\n"));
	EXPECT(has(text, "pgweir_pins{reason=\"temp\"} 2\n"));
	EXPECT(!has(text, "reason=\"NONE\""));
	EXPECT(has(text, "pgweir_clients{state=\"idle\"} 8\n"));
	EXPECT(has(text, "pgweir_cache_on{database=\"attic\"} 0\npgweir_cache_on{database=\"shop\"} 1\n"));
	EXPECT(has(text, "pgweir_feed_position_lsn{database=\"shop\"} 78187493530\n"));
	EXPECT(has(text, "pgweir_watermark_lag_seconds{database=\"shop\"} 0.001200\n"));
	EXPECT(has(text, "# TYPE pgweir info\npgweir_info{version=\""));
	EXPECT_STR(text + strlen(text) - 6, "# EOF\n");
	for (unsigned i = 0; i < NCOUNTERS; i++)
		EXPECT(has(text, counter_rows[i].help));
	free(text);
}

TEST(metrics, adds_up_the_workers_and_quotes_names)
{
	struct fake fake = {0};
	char *text = metrics(&fake, true);

	EXPECT(has(text, "pgweir_pools{database=\"shop\",user=\"api\",state=\"active\"} 4\n"));
	EXPECT(has(text, "pgweir_pool_size{database=\"shop\",user=\"api\"} 20\n"));
	EXPECT(has(text, "pgweir_pool_wait_seconds_total{database=\"shop\",user=\"api\"} 3.000000\n"));
	EXPECT(has(text, "pgweir_pool_hits_total{database=\"shop\",user=\"api\"} 40\n"));
	EXPECT(has(text, "pgweir_pool_waiting{database=\"shop\",user=\"api\"} 1\n"));
	EXPECT(has(text, "pgweir_pool_maxwait_seconds{database=\"shop\",user=\"api\"} 0.000250\n"));
	EXPECT(has(text, "pgweir_pools{database=\"a\\\"b\\\\c\\nd\",user=\"bad?"
			 "byte \xc3\xa9\",state=\"login\"} 1\n"));
	free(text);
}

TEST(metrics, histograms_are_cumulative)
{
	struct fake fake = {0};
	char *text = metrics(&fake, true);

	EXPECT(has(text, "pgweir_query_duration_seconds_bucket{database=\"shop\",le=\"0.000001\"} 1\n"));
	EXPECT(has(text, "pgweir_query_duration_seconds_bucket{database=\"shop\",le=\"0.000512\"} 1\n"));
	EXPECT(has(text, "pgweir_query_duration_seconds_bucket{database=\"shop\",le=\"0.001024\"} 3\n"));
	EXPECT(has(
		text,
		"pgweir_query_duration_seconds_bucket{database=\"shop\",le=\"67.108864\"} 3\n"
		"pgweir_query_duration_seconds_bucket{database=\"shop\",le=\"+Inf\"} 4\n"
		"pgweir_query_duration_seconds_sum{database=\"shop\"} 2.500000\npgweir_query_duration_seconds_count{database=\"shop\"} 4\n"));
	free(text);
}

TEST(metrics, older_scrapers_get_counters_by_their_full_name)
{
	struct fake fake = {0};
	char *text = metrics(&fake, false);

	EXPECT(has(text, "# TYPE pgweir_cache_hits_total counter\npgweir_cache_hits_total 41\n"));
	EXPECT(has(text, "# TYPE pgweir_info gauge\n"));
	EXPECT(!has(text, "# TYPE pgweir info"));
	free(text);
}

/* A scraper refuses the whole page when a series stands twice or a family is cut in two. */
TEST(metrics, no_series_and_no_family_stands_twice)
{
	struct fake fake = {0};
	char *text = metrics(&fake, true), *line, *end;
	char *seen[4096];
	size_t n = 0;

	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		if (line[0] == '#' && strncmp(line, "# TYPE ", 7) != 0)
			continue;
		if (line[0] != '#')
			*strrchr(line, ' ') = '\0'; /* the value */
		for (size_t i = 0; i < n; i++)
			if (strcmp(seen[i], line) == 0)
				EXPECT_STR(line, "stands twice");
		REQUIRE(n < 4096);
		seen[n++] = line;
	}
	EXPECT(n > 100);
	free(text);
}

TEST(metrics, too_many_pools_are_counted_and_not_shown)
{
	struct fake fake = {.many_pools = REPORT_POOLS + 5};
	char *text = metrics(&fake, true);

	EXPECT(has(text, "pgweir_pools_hidden 5\n"));
	EXPECT(has(text, "database=\"db255\""));
	EXPECT(!has(text, "database=\"db256\""));
	free(text);
}

TEST(metrics, a_source_may_leave_parts_out)
{
	struct report_source source = {0};
	struct reading r;
	struct buf out;
	char *text;

	buf_init(&out, 1u << 20);
	reading_take(&source, clock_us(), &r);
	EXPECT(r.ready);
	metrics_write(&out, &r, true);
	text = text_of(&out);
	EXPECT(has(text, "pgweir_cache_hits_total 0\n"));
	EXPECT(!has(text, "duration_seconds_bucket"));
	free(text);
	buf_init(&out, 1u << 20);
	stats_write(&out, &r);
	text = text_of(&out);
	EXPECT(has(
		text,
		"\"pools\":[],\"pools_hidden\":0,\"caches\":[],\"statements\":[],\"relations\":[],\"durations\":{\"query\":{\"count\":0,"));
	free(text);
	reading_free(&r);
}

TEST(quote, keeps_utf8_and_replaces_what_is_none)
{
	static const struct {
		const char *in, *label, *json;
	} cases[] = {
		{"plain", "plain", "plain"},
		{"a\"b\\c\nd", "a\\\"b\\\\c\\nd", "a\\\"b\\\\c\\u000ad"},
		{"\x01\x7f", "\x01\x7f", "\\u0001\\u007f"},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		 "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc3", "\xef\xbf\xbd", "\xef\xbf\xbd"},			      /* cut */
		{"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
		 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf4\x90\x80\x80x", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx",
		 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx"},
		{"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf b;
		char *text;

		buf_init(&b, 1024);
		quote_label(&b, cases[i].in);
		text = text_of(&b);
		EXPECT_STR(text, cases[i].label);
		free(text);
		buf_init(&b, 1024);
		quote_json(&b, cases[i].in);
		text = text_of(&b);
		EXPECT_STR(text, cases[i].json);
		free(text);
	}
}
