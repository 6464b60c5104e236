#include "proxy/base/check.h"
#include "tests/unit/cache/kit.h"

#include <pthread.h>
#include <sched.h>

struct sleeper {
	struct position_wait wait;
	atomic_int woken;
};

static void on_mail(struct mail *mail, void *ctx)
{
	struct sleeper *sleeper = (struct sleeper *)((char *)mail - offsetof(struct sleeper, wait.mail));

	(void)ctx;
	atomic_fetch_add(&sleeper->woken, 1);
}

static void sleep_until(struct cache *c, struct mailbox *mb, struct sleeper *sleeper, uint64_t target)
{
	sleeper->wait.target = target;
	sleeper->wait.mb = mb;
	sleeper->wait.mail.run = on_mail;
	position_wait(c, &sleeper->wait);
}

TEST(watermark, wakes_whom_it_reaches)
{
	struct cache *c = kit_cache_on();
	struct mailbox mb;
	struct sleeper a = {0}, b = {0}, d = {0};

	REQUIRE(mailbox_init(&mb, NULL, NULL) == 0);
	sleep_until(c, &mb, &b, 1200);
	sleep_until(c, &mb, &a, 1100);
	sleep_until(c, &mb, &d, 1200);
	cache_advance(c, 1099);
	mailbox_run(&mb);
	EXPECT_EQ(a.woken + b.woken + d.woken, 0);
	cache_advance(c, 1100);
	cache_advance(c, 1100);
	mailbox_run(&mb);
	EXPECT_EQ(a.woken, 1);
	EXPECT_EQ(b.woken, 0);
	cache_advance(c, 5000);
	mailbox_run(&mb);
	EXPECT_EQ(a.woken, 1);
	EXPECT_EQ(b.woken, 1);
	EXPECT_EQ(d.woken, 1);
	mailbox_done(&mb);
	cache_unref(c);
}

TEST(watermark, never_goes_back)
{
	struct cache *c = kit_cache_on();

	cache_advance(c, 2000);
	cache_advance(c, 1500);
	EXPECT_EQ(cache_position(c), 2000);
	cache_unref(c);
}

TEST(watermark, what_is_reached_already_wakes_at_once)
{
	struct cache *c = kit_cache_on();
	struct mailbox mb;
	struct sleeper a = {0};

	REQUIRE(mailbox_init(&mb, NULL, NULL) == 0);
	sleep_until(c, &mb, &a, 1000);
	EXPECT(!position_cancel(c, &a.wait)); /* too late */
	mailbox_run(&mb);
	EXPECT_EQ(a.woken, 1);
	sleep_until(c, &mb, &a, 900); /* used again */
	mailbox_run(&mb);
	EXPECT_EQ(a.woken, 2);
	mailbox_done(&mb);
	cache_unref(c);
}

TEST(watermark, going_off_wakes_all)
{
	struct cache *c = kit_cache_on();
	struct mailbox mb;
	struct sleeper a = {0}, b = {0};

	REQUIRE(mailbox_init(&mb, NULL, NULL) == 0);
	sleep_until(c, &mb, &a, 5000);
	cache_turn_off(c, "test");
	sleep_until(c, &mb, &b, 5000);
	mailbox_run(&mb);
	EXPECT_EQ(a.woken, 1);
	EXPECT_EQ(b.woken, 1);
	mailbox_done(&mb);
	cache_unref(c);
}

TEST(watermark, cancelled_means_no_mail)
{
	struct cache *c = kit_cache_on();
	struct mailbox mb;
	struct sleeper a = {0}, b = {0};

	REQUIRE(mailbox_init(&mb, NULL, NULL) == 0);
	EXPECT(!position_cancel(c, &a.wait)); /* never waited */
	sleep_until(c, &mb, &a, 1100);
	sleep_until(c, &mb, &b, 1200);
	EXPECT(position_cancel(c, &a.wait));
	EXPECT(!position_cancel(c, &a.wait));
	cache_advance(c, 3000);
	mailbox_run(&mb);
	EXPECT_EQ(a.woken, 0);
	EXPECT_EQ(b.woken, 1);
	mailbox_done(&mb);
	cache_unref(c);
}

/* --- threads: nobody is forgotten, nobody is woken twice --- */

#define SLEEPS 20000

struct crowd {
	struct cache *c;
	atomic_bool done;
};

static void *advance(void *arg)
{
	struct crowd *crowd = arg;

	for (uint64_t pos = 1001; !atomic_load(&crowd->done); pos++) {
		cache_advance(crowd->c, pos);
		if (pos % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void *sleep_often(void *arg)
{
	struct crowd *crowd = arg;
	struct mailbox mb;
	struct sleeper sleeper = {0};
	int expected = 0;

	check(mailbox_init(&mb, NULL, NULL) == 0);
	for (int i = 0; i < SLEEPS; i++) {
		sleep_until(crowd->c, &mb, &sleeper, cache_position(crowd->c) + (uint64_t)(i % 7));
		if (i % 5 == 0 && position_cancel(crowd->c, &sleeper.wait))
			continue;
		expected++;
		while (atomic_load(&sleeper.woken) < expected) {
			mailbox_run(&mb);
			sched_yield();
		}
		EXPECT_EQ(sleeper.woken, expected);
		EXPECT(cache_position(crowd->c) >= sleeper.wait.target);
	}
	mailbox_run(&mb);
	EXPECT_EQ(sleeper.woken, expected);
	mailbox_done(&mb);
	return NULL;
}

TEST(watermark, no_wake_up_is_lost)
{
	struct crowd crowd = {.c = kit_cache_on()};
	pthread_t feed, reader[3];

	REQUIRE(pthread_create(&feed, NULL, advance, &crowd) == 0);
	for (int i = 0; i < 3; i++)
		REQUIRE(pthread_create(&reader[i], NULL, sleep_often, &crowd) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(reader[i], NULL);
	atomic_store(&crowd.done, true);
	pthread_join(feed, NULL);
	cache_unref(crowd.c);
}
