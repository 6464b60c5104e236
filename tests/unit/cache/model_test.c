/* All rules together against a model of the database: no stale hit. And with one rule left out: stale hits, so the model can see. */
#include "proxy/base/clock.h"
#include "tests/unit/cache/model.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000)
#ifdef __SANITIZE_THREAD__
#define USUALLY (SECOND / 2)
#define ONLY_RACES true /* so slow that hardly a row stays hot until somebody reads it */
#else
#define USUALLY (SECOND * 3 / 2)
#define ONLY_RACES false
#endif
#define ENOUGH 30 /* to have looked at something */

static uint64_t run_us(void)
{
	const char *seconds = getenv("MODEL_SECONDS");

	return seconds == NULL ? USUALLY : strtoull(seconds, NULL, 10) * SECOND;
}

static struct model_result run(struct model_settings set)
{
	struct model_result r = model_run(&set);

	fprintf(stderr, "model: %llu hits, %llu fills, %llu refused, %llu late, %llu restarts, %llu stale\n",
		(unsigned long long)r.hits, (unsigned long long)r.fills, (unsigned long long)r.refused,
		(unsigned long long)r.late, (unsigned long long)r.restarts, (unsigned long long)r.stale_hits);
	EXPECT_EQ(r.stale_reads, 0);
	return r;
}

static void expect_fresh(struct model_settings set)
{
	struct model_result r;

	set.run_us = run_us();
	r = run(set);
	/* a machine that has much else to do */
	for (int tries = 0;
	     tries < 3 && r.stale_hits == 0 && (r.hits <= ENOUGH || r.fills <= ENOUGH || r.refused == 0);
	     tries++) {
		set.run_us *= 2;
		r = run(set);
	}
	EXPECT_EQ(r.stale_hits, 0);
	EXPECT(r.hits > ENOUGH);
	EXPECT(r.fills > ENOUGH);
	EXPECT(r.refused > 0);
}

TEST(model, fresh_when_commits_are_flushed)
{
	expect_fresh((struct model_settings){.async_percent = 0});
}

TEST(model, fresh_when_commits_are_visible_before_they_are_flushed)
{
	expect_fresh((struct model_settings){.async_percent = 100});
}

TEST(model, fresh_when_some_are)
{
	expect_fresh((struct model_settings){.async_percent = 30});
}

TEST(model, fresh_when_the_stream_is_lost)
{
	expect_fresh((struct model_settings){.async_percent = 30, .restarts = true});
}

TEST(model, fresh_and_whole_when_made_of_rows)
{
	struct model_settings set = {.async_percent = 50, .rows = true, .run_us = run_us()};

	for (int tries = 0; tries < 4; tries++) {
		struct model_result r = run(set);

		EXPECT_EQ(r.stale_hits, 0);
		if (r.stale_hits > 0 || (r.made > ENOUGH && r.refused > 0) ||
		    (ONLY_RACES && r.fills > ENOUGH))
			return;
		set.run_us *= 2;
	}
	EXPECT(!"answers were made of rows");
}

TEST(model, fresh_and_whole_when_made_of_rows_and_the_stream_is_lost)
{
	struct model_settings set = {.async_percent = 20, .rows = true, .restarts = true, .run_us = run_us()};

	EXPECT_EQ(run(set).stale_hits, 0);
}

TEST(model, fresh_and_whole_when_rows_are_kept_hot)
{
	struct model_settings set = {.async_percent = 50, .rows = true, .refresh = true, .run_us = run_us()};

	for (int tries = 0; tries < 4; tries++) {
		struct model_result r = run(set);

		EXPECT_EQ(r.stale_hits, 0);
		if (r.stale_hits > 0 || (r.made > ENOUGH && r.refreshes > ENOUGH) ||
		    (ONLY_RACES && r.fills > ENOUGH))
			return;
		set.run_us *= 2;
	}
	EXPECT(!"rows were kept hot");
}

TEST(model, fresh_and_whole_when_rows_are_kept_hot_and_the_stream_is_lost)
{
	struct model_settings set = {
		.async_percent = 20, .rows = true, .refresh = true, .restarts = true, .run_us = run_us()};

	EXPECT_EQ(run(set).stale_hits, 0);
}

/* --- that the model sees; races are the others' to show --- */

#ifndef __SANITIZE_THREAD__

static void expect_stale(struct model_settings set)
{
	set.run_us = 40 * SECOND; /* it ends at the first */
	EXPECT(run(set).stale_hits > 0);
}

TEST(model, too_early_when_rows_are_kept_hot_before_they_are_visible)
{
	expect_stale((struct model_settings){
		.without = WITHOUT_CONFIRM, .slow_commits = true, .rows = true, .refresh = true});
}

TEST(model, stale_when_rows_are_kept_whatever_happened_meanwhile)
{
	expect_stale((struct model_settings){.without = WITHOUT_RECENT, .rows = true, .meet = true});
}

TEST(model, torn_when_made_after_the_proof_was_asked_for)
{
	expect_stale((struct model_settings){
		.without = WITHOUT_MADE_BEFORE, .async_percent = 50, .rows = true, .meet = true});
}

TEST(model, stale_without_the_fill_rule)
{
	expect_stale((struct model_settings){.without = WITHOUT_FILL_RULE});
}

TEST(model, stale_without_the_unconfirmed)
{
	expect_stale((struct model_settings){.without = WITHOUT_UNCONFIRMED});
}

TEST(model, stale_without_the_probe)
{
	expect_stale((struct model_settings){.without = WITHOUT_PROBE});
}

TEST(model, stale_without_the_insert_position)
{
	expect_stale((struct model_settings){.without = WITHOUT_INSERT_LSN, .async_percent = 50});
}

TEST(model, stale_without_a_second_look)
{
	expect_stale((struct model_settings){.without = WITHOUT_SECOND_LOOK});
}

TEST(model, stale_when_the_position_comes_before_the_change)
{
	expect_stale((struct model_settings){.without = WITHOUT_APPLY_FIRST});
}

TEST(model, stale_without_the_baseline)
{
	expect_stale((struct model_settings){.without = WITHOUT_BASELINE, .restarts = true});
}

#endif
