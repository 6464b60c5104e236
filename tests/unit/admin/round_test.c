#include "proxy/admin/round.h"
#include "proxy/base/clock.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdlib.h>

struct world {
	struct loop *loop;
	struct house houses[3];
	struct house *list[3];
	struct console_parts parts;
	pthread_t thread[3];
	unsigned called, missing;
	uint64_t number;
};

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* The third worker is busy: its loop does not run. */
static void world_make(struct world *w)
{
	struct err err;

	memset(w, 0, sizeof *w);
	w->loop = loop_new(NULL, &err);
	for (unsigned i = 0; i < 3; i++) {
		w->houses[i].host.loop = loop_new(NULL, &err);
		w->houses[i].host.index = i;
		w->list[i] = &w->houses[i];
		if (i < 2)
			REQUIRE(pthread_create(&w->thread[i], NULL, run_loop, w->houses[i].host.loop) == 0);
	}
	w->parts = (struct console_parts){.loop = w->loop, .houses = w->list, .nhouses = 3};
}

static void world_free(struct world *w)
{
	for (unsigned i = 0; i < 3; i++) {
		loop_stop(w->houses[i].host.loop);
		if (i < 2)
			pthread_join(w->thread[i], NULL);
		loop_free(&w->houses[i].host.loop); /* late mail is run here */
	}
	loop_free(&w->loop);
}

static void work(struct house *h, const struct round_order *order, struct round_part *part)
{
	part->number = (h->host.index + 1) * order->id;
}

static void done(struct round *r, void *arg)
{
	struct world *w = arg;

	w->called++;
	w->missing = r->missing;
	w->number = round_number(r);
	loop_stop(w->loop);
}

TEST(round, does_not_wait_for_a_busy_worker)
{
	struct world w;
	struct round_order order = {.work = work, .id = 10};
	uint64_t began = clock_us();

	world_make(&w);
	round_start(&w.parts, &order, done, &w);
	loop_run(w.loop);
	EXPECT_EQ(w.called, 1);
	EXPECT_EQ(w.missing, 1);
	EXPECT_EQ(w.number, 30);
	EXPECT(clock_us() - began >= ROUND_US);
	world_free(&w);
	EXPECT_EQ(w.called, 1); /* the late answer was thrown away */
}

TEST(round, is_done_when_all_are_back)
{
	struct world w;
	struct round_order order = {.work = work, .id = 1};
	uint64_t began = clock_us();

	world_make(&w);
	w.parts.nhouses = 2;
	round_start(&w.parts, &order, done, &w);
	loop_run(w.loop);
	EXPECT_EQ(w.missing, 0);
	EXPECT_EQ(w.number, 3);
	EXPECT(clock_us() - began < ROUND_US);
	world_free(&w);
}

TEST(round, that_is_abandoned_calls_nobody)
{
	struct world w;
	struct round_order order = {.work = work, .id = 1};

	world_make(&w);
	round_abandon(round_start(&w.parts, &order, done, &w));
	world_free(&w);
	EXPECT_EQ(w.called, 0);
}
