/* The shared probe: proven, too late, or impossible; and who shares which question. */
#include "proxy/origin/fresh.h"
#include "proxy/origin/link.h"
#include "tests/support/test.h"
#include "tests/unit/origin/site.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct bench {
	struct site site;
	struct loop *loop;
	struct fresh *fresh;
	struct counters counters;
	struct timer poll;
	bool (*until)(struct bench *b);
	uint64_t deadline;
};

struct reader {
	struct fresh_wait wait;
	struct bench *bench;
	int told; /* how often */
	enum fresh_result result;
	struct reader *joins_next; /* joins from within the callback */
};

static void on_told(struct fresh_wait *w, enum fresh_result result)
{
	struct reader *r = (struct reader *)w;

	r->told++;
	r->result = result;
	if (r->joins_next != NULL)
		fresh_join(r->bench->fresh, &r->joins_next->wait, 0);
}

static struct reader reader(struct bench *b)
{
	return (struct reader){.wait.fn = on_told, .bench = b};
}

static void on_poll(void *arg)
{
	struct bench *b = arg;

	if (b->until(b) || expired(b->deadline))
		loop_stop(b->loop);
	else
		timer_set(b->loop, &b->poll, 500);
}

/* Runs the loop until the condition holds. */
static bool run_until(struct bench *b, bool (*until)(struct bench *b), unsigned seconds)
{
	b->until = until;
	b->deadline = deadline_in(seconds);
	timer_set(b->loop, &b->poll, 0);
	loop_run(b->loop);
	return until(b);
}

static bool ready(struct bench *b)
{
	return fresh_ready(b->fresh);
}

static struct reader *watched[64];
static int nwatched;

static bool all_told(struct bench *b)
{
	(void)b;
	for (int i = 0; i < nwatched; i++) {
		if (watched[i]->told == 0)
			return false;
	}
	return true;
}

static void watch_only(struct reader *r)
{
	watched[0] = r;
	nwatched = 1;
}

static void bench_start(struct bench *b, uint64_t patience_us)
{
	struct err err;

	*b = (struct bench){0};
	site_start(&b->site, NULL);
	sql(b->site.db,
	    "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1); CREATE UNLOGGED TABLE u (a int)");
	site_watch(&b->site, 0);
	b->loop = loop_new(NULL, &err);
	REQUIRE(b->loop != NULL);
	timer_init(&b->poll, on_poll, b);
	b->fresh = fresh_new(b->loop, b->site.origin, &b->counters, patience_us, patience_us);
	REQUIRE(run_until(b, ready, 10));
}

static void bench_stop(struct bench *b)
{
	fresh_free(&b->fresh);
	timer_free(&b->poll);
	loop_free(&b->loop);
	site_stop(&b->site);
}

static int64_t counted(struct bench *b, enum counter id)
{
	return atomic_load(&b->counters.v[id]);
}

TEST(fresh, one_question_serves_all_who_join_before_it_is_sent)
{
	struct bench b;
	struct reader r[10];

	bench_start(&b, 5000000);
	for (int i = 0; i < 10; i++) {
		r[i] = reader(&b);
		fresh_join(b.fresh, &r[i].wait, 0);
		EXPECT_EQ(r[i].told, 0); /* never from inside */
		watched[i] = &r[i];
	}
	nwatched = 10;
	REQUIRE(run_until(&b, all_told, 10));
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(r[i].told, 1);
		EXPECT_EQ(r[i].result, FRESH_PROVEN);
	}
	EXPECT_EQ(counted(&b, COUNTER_probes), 1);
	EXPECT_EQ(counted(&b, COUNTER_probe_readers), 10);
	EXPECT(fresh_rtt_us(b.fresh) > 0);
	bench_stop(&b);
}

static void on_join_late(void *arg)
{
	struct reader *r = arg;

	fresh_join(r->bench->fresh, &r->wait, 0);
}

static bool asked_once(struct bench *b)
{
	return counted(b, COUNTER_probes) == 1;
}

TEST(fresh, who_joins_while_a_question_is_in_flight_gets_the_next)
{
	struct bench b;
	struct reader first, second, third;
	pid_t probe;

	bench_start(&b, 20000000);
	first = reader(&b);
	second = reader(&b);
	third = reader(&b);
	probe = (pid_t)atoi(sql_text(
		b.site.db, "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgweir probe'"));
	REQUIRE(probe > 0);
	kill(probe, SIGSTOP); /* the first question stays in flight */
	fresh_join(b.fresh, &first.wait, 0);
	REQUIRE(run_until(&b, asked_once, 5));
	fresh_join(b.fresh, &second.wait, 0);
	on_join_late(&third);
	kill(probe, SIGCONT);
	first.joins_next = NULL;
	watched[0] = &first;
	watched[1] = &second;
	watched[2] = &third;
	nwatched = 3;
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(counted(&b, COUNTER_probes), 2);
	EXPECT_EQ(counted(&b, COUNTER_probe_readers), 3);
	EXPECT(first.result == FRESH_PROVEN && second.result == FRESH_PROVEN && third.result == FRESH_PROVEN);

	/* From within the callback, too. */
	struct reader a = reader(&b), c = reader(&b);
	a.joins_next = &c;
	fresh_join(b.fresh, &a.wait, 0);
	watch_only(&c);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(c.result, FRESH_PROVEN);
	EXPECT_EQ(counted(&b, COUNTER_probes), 4);

	/* Who left is not told. */
	struct reader gone = reader(&b), stays = reader(&b);
	fresh_join(b.fresh, &gone.wait, 0);
	fresh_join(b.fresh, &stays.wait, 0);
	fresh_leave(&gone.wait);
	watch_only(&stays);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(gone.told, 0);
	bench_stop(&b);
}

/* Two who read at almost the same time: the second joins in the round of the loop after that of the first. */
struct pair {
	struct reader first, second;
	struct timer timer;
};

static void on_second(void *arg)
{
	struct pair *p = arg;

	fresh_join(p->second.bench->fresh, &p->second.wait, 0);
}

static void on_first(void *arg)
{
	struct pair *p = arg;

	fresh_join(p->first.bench->fresh, &p->first.wait, 0);
	timer_free(&p->timer);
	timer_init(&p->timer, on_second, p);
	timer_set(p->first.bench->loop, &p->timer, 0);
}

/* How many questions they needed. */
static int64_t ask_in_turn(struct bench *b)
{
	struct pair p = {.first = reader(b), .second = reader(b)};
	int64_t before = counted(b, COUNTER_probes);

	timer_init(&p.timer, on_first, &p);
	timer_set(b->loop, &p.timer, 0);
	watched[0] = &p.first;
	watched[1] = &p.second;
	nwatched = 2;
	REQUIRE(run_until(b, all_told, 10));
	timer_free(&p.timer);
	EXPECT_EQ(p.first.result, FRESH_PROVEN);
	EXPECT_EQ(p.second.result, FRESH_PROVEN);
	return counted(b, COUNTER_probes) - before;
}

static void ask_together(struct bench *b)
{
	struct reader both[2] = {reader(b), reader(b)};

	for (int i = 0; i < 2; i++) {
		watched[i] = &both[i];
		fresh_join(b->fresh, &both[i].wait, 0);
	}
	nwatched = 2;
	REQUIRE(run_until(b, all_told, 10));
}

static void ask_alone(struct bench *b)
{
	struct reader one = reader(b);

	watch_only(&one);
	fresh_join(b->fresh, &one.wait, 0);
	REQUIRE(run_until(b, all_told, 10));
}

TEST(fresh, who_reads_at_almost_the_same_time_shares_a_question_where_several_read)
{
	struct bench b;
	bool shared = false;

	bench_start(&b, 5000000);
	/* A thread that is not let run for longer than questions take does not wait any more. */
	for (int i = 0; i < 100 && !shared; i++) {
		ask_together(&b);
		shared = ask_in_turn(&b) == 1;
	}
	EXPECT(shared);
	for (int i = 0; i < 10; i++) {
		ask_alone(&b);
		EXPECT_EQ(ask_in_turn(&b), 2);
	}
	bench_stop(&b);
}

TEST(fresh, a_stream_that_lags_makes_it_late)
{
	struct bench b;
	struct reader late, more, again;
	pid_t sender;

	bench_start(&b, 2000);
	sender = (pid_t)atoi(sql_text(
		b.site.db, "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgweir feed'"));
	REQUIRE(sender > 0);
	kill(sender, SIGSTOP);
	sql(b.site.db, "UPDATE t SET v = v + 1");
	late = reader(&b);
	fresh_join(b.fresh, &late.wait, 0);
	watch_only(&late);
	REQUIRE(run_until(&b, all_told, 5));
	EXPECT_EQ(late.result, FRESH_LATE);
	more = reader(&b);
	fresh_patience(b.fresh, 10000000, 10000000);
	fresh_join(b.fresh, &more.wait, 0);
	watch_only(&more);
	EXPECT(!run_until(&b, all_told, 1)); /* patient, and not proven as long as the stream lags */
	kill(sender, SIGCONT);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(more.result, FRESH_PROVEN);
	again = reader(&b);
	fresh_join(b.fresh, &again.wait, 0);
	watch_only(&again);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(again.result, FRESH_PROVEN);
	bench_stop(&b);
}

TEST(fresh, who_would_wait_long_for_postgresql_waits_longer_for_the_proof)
{
	struct bench b;
	struct reader cheap, dear;
	pid_t sender;

	bench_start(&b, 2000);
	fresh_patience(b.fresh, 2000, 20000000);
	sender = (pid_t)atoi(sql_text(
		b.site.db, "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgweir feed'"));
	REQUIRE(sender > 0);
	kill(sender, SIGSTOP);
	sql(b.site.db, "UPDATE t SET v = v + 1");
	dear = reader(&b);
	cheap = reader(&b);
	fresh_join(b.fresh, &dear.wait, 15000000);
	fresh_join(b.fresh, &cheap.wait, 100);
	watch_only(&cheap);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(cheap.result, FRESH_LATE);
	EXPECT_EQ(dear.told, 0);
	kill(sender, SIGCONT);
	watch_only(&dear);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(dear.result, FRESH_PROVEN);

	/* Never longer than the option allows. */
	fresh_patience(b.fresh, 2000, 2000);
	kill(sender, SIGSTOP);
	sql(b.site.db, "UPDATE t SET v = v + 1");
	dear = reader(&b);
	fresh_join(b.fresh, &dear.wait, 15000000);
	watch_only(&dear);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(dear.result, FRESH_LATE);
	kill(sender, SIGCONT);
	bench_stop(&b);
}

TEST(fresh, unflushed_log_is_flushed_for_those_who_wait)
{
	struct bench b;
	const char *ways[] = {"BEGIN; UPDATE t SET v = v + 1; ROLLBACK",
			      "SET synchronous_commit = off; UPDATE t SET v = v + 1",
			      "INSERT INTO u VALUES (1)",
			      "BEGIN; INSERT INTO t SELECT g FROM generate_series(10, 4000) g"};

	bench_start(&b, 5000000);
	for (int i = 0; i < 4; i++) {
		struct reader r = reader(&b);

		sql(b.site.db, "%s", ways[i]);
		fresh_join(b.fresh, &r.wait, 0);
		watch_only(&r);
		REQUIRE(run_until(&b, all_told, 8));
		EXPECT_EQ(r.result, FRESH_PROVEN);
	}
	sql(b.site.db, "COMMIT");
	bench_stop(&b);
}

static bool not_ready(struct bench *b)
{
	return !fresh_ready(b->fresh);
}

static bool cache_is_off(struct bench *b)
{
	return !cache_on(b->site.cache);
}

TEST(fresh, without_a_stream_it_is_off)
{
	struct bench b;
	struct reader waiting, refused, again;
	pid_t sender;

	bench_start(&b, 20000000);
	sender = (pid_t)atoi(sql_text(
		b.site.db, "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgweir feed'"));
	kill(sender, SIGSTOP);
	sql(b.site.db, "UPDATE t SET v = v + 1");
	waiting = reader(&b);
	fresh_join(b.fresh, &waiting.wait, 0);
	watch_only(&waiting);
	EXPECT(!run_until(&b, all_told, 1));
	/* The control connection ends: all off, who waits is told at once. */
	sql(b.site.db,
	    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgweir control'");
	REQUIRE(run_until(&b, all_told, 5));
	EXPECT_EQ(waiting.result, FRESH_OFF);
	REQUIRE(run_until(&b, cache_is_off, 5));
	refused = reader(&b);
	fresh_join(b.fresh, &refused.wait, 0);
	EXPECT_EQ(refused.told, 0);
	watch_only(&refused);
	REQUIRE(run_until(&b, all_told, 5));
	EXPECT_EQ(refused.result, FRESH_OFF);
	kill(sender, SIGCONT);
	/* And back again, on a connection that was verified again. */
	REQUIRE(run_until(&b, ready, 20));
	again = reader(&b);
	fresh_join(b.fresh, &again.wait, 0);
	watch_only(&again);
	REQUIRE(run_until(&b, all_told, 10));
	EXPECT_EQ(again.result, FRESH_PROVEN);

	/* Its own connection lost: not ready, then back. */
	sql(b.site.db,
	    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgweir probe'");
	REQUIRE(run_until(&b, not_ready, 5));
	REQUIRE(run_until(&b, ready, 10));
	bench_stop(&b);
}
