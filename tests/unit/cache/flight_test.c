#include "tests/unit/cache/kit.h"

struct follower {
	struct flight_wait wait;
	int woken;
};

static void on_mail(struct mail *mail, void *ctx)
{
	struct follower *follower = (struct follower *)((char *)mail - offsetof(struct follower, wait.mail));

	(void)ctx;
	follower->woken++;
}

static bool join(struct cache *c, struct mailbox *mb, struct follower *follower, const char *key)
{
	follower->wait.mb = mb;
	follower->wait.mail.run = on_mail;
	return flight_join(c, span_str(key), &follower->wait);
}

TEST(flight, one_leads_the_others_follow)
{
	struct cache *c = kit_cache_on();
	struct mailbox mb;
	struct follower f[4] = {0};
	size_t bytes = cache_bytes(c);

	REQUIRE(mailbox_init(&mb, NULL, NULL) == 0);
	EXPECT(join(c, &mb, &f[0], "q"));
	EXPECT(cache_bytes(c) > bytes);
	EXPECT(join(c, &mb, &f[1], "p"));
	EXPECT(!join(c, &mb, &f[2], "q"));
	EXPECT(!join(c, &mb, &f[3], "q"));
	mailbox_run(&mb);
	EXPECT_EQ(f[2].woken + f[3].woken, 0);
	flight_done(c, span_str("q"));
	mailbox_run(&mb);
	EXPECT_EQ(f[2].woken, 1);
	EXPECT_EQ(f[3].woken, 1);
	EXPECT_EQ(f[0].woken, 0);
	EXPECT(join(c, &mb, &f[2], "q"));
	flight_done(c, span_str("q"));
	flight_done(c, span_str("q")); /* nobody is there */
	flight_done(c, span_str("p"));
	mailbox_run(&mb);
	EXPECT_EQ(f[2].woken, 1);
	EXPECT_EQ(cache_bytes(c), bytes);
	mailbox_done(&mb);
	cache_unref(c);
}

TEST(flight, who_does_not_queue_may_still_lead)
{
	struct cache *c = kit_cache_on();
	struct mailbox mb;
	struct follower f = {0};

	REQUIRE(mailbox_init(&mb, NULL, NULL) == 0);
	EXPECT(flight_join(c, span_str("q"), NULL));
	EXPECT(!flight_join(c, span_str("q"), NULL));
	EXPECT(!join(c, &mb, &f, "q"));
	flight_done(c, span_str("q"));
	mailbox_run(&mb);
	EXPECT_EQ(f.woken, 1);
	EXPECT(flight_join(c, span_str("q"), NULL));
	flight_done(c, span_str("q"));
	mailbox_done(&mb);
	cache_unref(c);
}

TEST(flight, a_follower_may_leave)
{
	struct cache *c = kit_cache_on();
	struct mailbox mb;
	struct follower f[4] = {0};

	REQUIRE(mailbox_init(&mb, NULL, NULL) == 0);
	EXPECT(join(c, &mb, &f[0], "q"));
	for (int i = 1; i < 4; i++)
		EXPECT(!join(c, &mb, &f[i], "q"));
	EXPECT(flight_cancel(c, span_str("q"), &f[3].wait)); /* the last */
	EXPECT(flight_cancel(c, span_str("q"), &f[1].wait));
	EXPECT(!flight_cancel(c, span_str("q"), &f[1].wait));
	EXPECT(!join(c, &mb, &f[3], "q"));
	flight_done(c, span_str("q"));
	EXPECT(!flight_cancel(c, span_str("q"), &f[2].wait));
	mailbox_run(&mb);
	EXPECT_EQ(f[1].woken, 0);
	EXPECT_EQ(f[2].woken, 1);
	EXPECT_EQ(f[3].woken, 1);
	mailbox_done(&mb);
	cache_unref(c);
}
