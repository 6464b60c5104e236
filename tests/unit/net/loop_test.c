#include "tests/support/test.h"
#include "tests/unit/net/help.h"

#include "proxy/base/clock.h"
#include "proxy/net/loop.h"

#include <pthread.h>
#include <stdlib.h>

struct notes {
	struct loop *l;
	char text[64]; /* what happened, one letter each */
	bool done;
};

struct timed {
	struct timer timer;
	struct notes *notes;
	char letter;
	uint64_t fired_us;
};

static void note(struct notes *notes, char letter)
{
	size_t n = strlen(notes->text);

	if (n < sizeof(notes->text) - 1)
		notes->text[n] = letter;
}

static void timed_fire(void *arg)
{
	struct timed *timed = arg;

	note(timed->notes, timed->letter);
	timed->fired_us = clock_us();
	timed->notes->done = timed->letter == 'z';
}

static void timed_init(struct timed *timed, struct notes *notes, char letter)
{
	timed->notes = notes;
	timed->letter = letter;
	timed->fired_us = 0;
	timer_init(&timed->timer, timed_fire, timed);
}

TEST(loop, fires_timers_in_the_order_in_which_they_are_due)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	struct timed t[5];

	REQUIRE(l != NULL);
	for (int i = 0; i < 5; i++)
		timed_init(&t[i], &notes, "abcdz"[i]);
	timer_set(l, &t[4].timer, 20000);
	timer_set(l, &t[2].timer, 3000);
	timer_set(l, &t[0].timer, 1000);
	timer_set(l, &t[1].timer, 2000);
	timer_set(l, &t[3].timer, 4000);
	REQUIRE(run_until_set(l, &notes.done));
	EXPECT_STR(notes.text, "abcdz");
	for (int i = 0; i < 5; i++)
		timer_free(&t[i].timer);
	loop_free(&l);
	EXPECT(l == NULL);
}

TEST(loop, moves_and_cancels_timers)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	struct timed later, earlier, cancelled, again, end;

	timed_init(&later, &notes, 'l');
	timed_init(&earlier, &notes, 'e');
	timed_init(&cancelled, &notes, 'c');
	timed_init(&again, &notes, 'a');
	timed_init(&end, &notes, 'z');
	timer_set(l, &later.timer, 1000);
	timer_set(l, &later.timer, 160000);
	timer_set(l, &earlier.timer, 1000000);
	timer_set(l, &earlier.timer, 80000);
	timer_set(l, &cancelled.timer, 2000);
	timer_cancel(&cancelled.timer);
	timer_cancel(&cancelled.timer);
	timer_set(l, &again.timer, 2000);
	timer_cancel(&again.timer);
	timer_set(l, &again.timer, 120000);
	timer_set(l, &end.timer, 300000);
	REQUIRE(run_until_set(l, &notes.done));
	EXPECT_STR(notes.text, "ealz");
	timer_free(&later.timer);
	timer_free(&earlier.timer);
	timer_free(&cancelled.timer);
	timer_free(&again.timer);
	timer_free(&end.timer);
	loop_free(&l);
}

TEST(loop, wakes_for_a_short_timer_neither_early_nor_a_tick_late)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	struct timed t;
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 20; i++) {
		uint64_t start, took;

		notes.done = false;
		timed_init(&t, &notes, 'z');
		run_for(l, 0); /* a fresh loop_now_us */
		start = loop_now_us(l);
		timer_set(l, &t.timer, 300);
		REQUIRE(run_until_set(l, &notes.done));
		took = t.fired_us - start;
		EXPECT(took >= 300);
		best = took < best ? took : best;
		timer_free(&t.timer);
	}
	EXPECT(best < 1000); /* libevent's own timers would take a millisecond or more */
	loop_free(&l);
}

static void repeat_fire(void *arg)
{
	struct timed *timed = arg;

	if (++timed->fired_us == 50)
		timed->notes->done = true;
	timer_set(timed->notes->l, &timed->timer, 0);
}

TEST(loop, is_not_caught_by_a_timer_that_sets_itself_at_once)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	struct timed t = {.notes = &notes};

	timer_init(&t.timer, repeat_fire, &t);
	timer_set(l, &t.timer, 0);
	EXPECT(run_until_set(l, &notes.done));
	timer_free(&t.timer);
	loop_free(&l);
}

TEST(loop, keeps_ten_thousand_timers_in_order)
{
	enum { N = 10000 };
	static struct timed t[N];
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	uint64_t last = 0;
	unsigned seed = 7;

	for (int i = 0; i < N; i++) {
		timed_init(&t[i], &notes, 'x');
		timer_set(l, &t[i].timer, 1000 + (uint64_t)(rand_r(&seed) % 20000));
	}
	for (int i = 0; i < N; i += 3)
		timer_free(&t[i].timer);
	for (int i = 1; i < N; i += 3)
		timer_set(l, &t[i].timer, 1000 + (uint64_t)(rand_r(&seed) % 20000));
	run_for(l, 60);
	for (int i = 0; i < N; i++) {
		EXPECT((t[i].fired_us == 0) == (i % 3 == 0));
		last = t[i].fired_us > last ? t[i].fired_us : last;
	}
	EXPECT(last > 0);
	loop_free(&l);
}

struct chore {
	struct later later;
	struct loop *l;
	struct notes *notes;
	struct chore *next; /* asked for when this one runs */
	char letter;
};

static void chore_run(struct later *later)
{
	struct chore *chore = ring_item(&later->node, struct chore, later.node);

	note(chore->notes, chore->letter);
	if (chore->next != NULL)
		loop_later(chore->l, &chore->next->later);
	else
		loop_stop(chore->l);
}

TEST(loop, runs_later_work_once_and_what_it_asks_for_without_waiting)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	struct chore chores[30], cancelled;

	cancelled = (struct chore){.l = l, .notes = &notes, .letter = 'c'};
	later_init(&cancelled.later, chore_run);
	for (int i = 0; i < 30; i++) {
		chores[i] = (struct chore){.l = l, .notes = &notes, .letter = (char)('A' + i)};
		later_init(&chores[i].later, chore_run);
		chores[i].next = i < 29 ? &chores[i + 1] : NULL;
	}
	loop_later(l, &chores[0].later);
	loop_later(l, &chores[0].later);
	loop_later(l, &cancelled.later);
	later_cancel(&cancelled.later);
	loop_run(l); /* would hang for ever if one of the thirty waited for the next poll */
	EXPECT_STR(notes.text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^");
	loop_free(&l);
}

/* Put off until the sockets were looked at, for which a timer stands that is due at once. */
struct put_off {
	struct later later;
	struct chore chore;
	struct timed timed;
};

static void put_off_run(struct later *later)
{
	struct put_off *p = ring_item(&later->node, struct put_off, later.node);

	note(p->chore.notes, 'a');
	loop_later_round(p->chore.l, &p->chore.later);
	loop_later_round(p->chore.l, &p->chore.later);
	timer_set(p->chore.l, &p->timed.timer, 0);
	for (uint64_t due = clock_us() + 2; clock_us() < due;)
		; /* a round can be over within the microsecond */
}

TEST(loop, puts_work_off_to_the_next_round_and_does_not_sleep_before)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	struct put_off p = {.chore = {.l = l, .notes = &notes, .letter = 'z'}};

	later_init(&p.later, put_off_run);
	later_init(&p.chore.later, chore_run);
	timed_init(&p.timed, &notes, 't');
	loop_later(l, &p.later);
	loop_run(l); /* would hang for ever if it waited for the sockets */
	EXPECT_STR(notes.text, "atz");
	loop_later_round(l, &p.chore.later);
	loop_free(&l);
	EXPECT_STR(notes.text, "atzz");
}

struct corpse {
	struct mail mail;
	struct loop *l;
	struct notes *notes;
};

static void corpse_bury(void *arg)
{
	struct corpse *corpse = arg;

	note(corpse->notes, 'b');
	corpse->notes->done = true;
	free(corpse);
}

static void corpse_dies(struct mail *mail, void *ctx)
{
	struct corpse *corpse = ring_item(mail, struct corpse, mail);

	(void)ctx;
	loop_retire(corpse->l, corpse_bury, corpse);
	note(corpse->notes, 'd'); /* it can still be seen in this round */
}

TEST(loop, frees_the_dead_after_the_round)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};

	for (int i = 0; i < 3; i++) {
		struct corpse *corpse = calloc(1, sizeof(*corpse));

		*corpse = (struct corpse){.mail = {.run = corpse_dies}, .l = l, .notes = &notes};
		loop_post(l, &corpse->mail);
	}
	REQUIRE(run_until_set(l, &notes.done));
	EXPECT_STR(notes.text, "dddbbb");
	loop_free(&l);
}

TEST(loop, buries_who_died_when_it_is_freed_itself)
{
	struct loop *l = loop_new(NULL, NULL);
	struct notes notes = {.l = l};
	struct corpse *corpse = calloc(1, sizeof(*corpse));

	*corpse = (struct corpse){.mail = {.run = corpse_dies}, .l = l, .notes = &notes};
	loop_post(l, &corpse->mail);
	loop_free(&l);
	EXPECT_STR(notes.text, "db");
}

static void *stopper(void *arg)
{
	loop_stop(arg);
	return NULL;
}

TEST(loop, stops_when_another_thread_says_so_even_before_it_runs)
{
	struct loop *l = loop_new(NULL, NULL);
	pthread_t thread;

	for (int i = 0; i < 100; i++) {
		pthread_create(&thread, NULL, stopper, l);
		loop_run(l);
		pthread_join(thread, NULL);
	}
	loop_stop(l);
	loop_run(l);
	loop_free(&l);
	EXPECT(l == NULL);
}

struct ball {
	struct mail mail;
	struct loop *here, *there;
	int hops;
};

static void ball_hop(struct mail *mail, void *ctx)
{
	struct ball *ball = ring_item(mail, struct ball, mail);
	struct loop *from = ball->here;

	(void)ctx;
	if (--ball->hops <= 0) {
		loop_stop(ball->there);
		loop_stop(from);
		return;
	}
	ball->here = ball->there;
	ball->there = from;
	loop_post(ball->here, &ball->mail);
}

static void *loop_main(void *arg)
{
	loop_run(arg);
	return NULL;
}

TEST(loop, passes_mail_between_threads_without_losing_a_wake_up)
{
	struct loop *a = loop_new(NULL, NULL), *b = loop_new(NULL, NULL);
	struct ball ball = {.mail = {.run = ball_hop}, .here = a, .there = b, .hops = 20000};
	pthread_t thread;

	loop_post(a, &ball.mail);
	pthread_create(&thread, NULL, loop_main, b);
	loop_run(a);
	pthread_join(thread, NULL);
	EXPECT_EQ(ball.hops, 0);
	loop_free(&a);
	loop_free(&b);
}
