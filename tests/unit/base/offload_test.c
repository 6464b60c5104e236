#include "tests/support/test.h"

#include "proxy/base/offload.h"
#include "proxy/base/ring.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

struct square {
	struct offload_job job;
	long in, out;
	pthread_t worked_in;
};

static atomic_int gate; /* the stuck job waits for it */

static void square_work(struct offload_job *job)
{
	struct square *square = ring_item(job, struct square, job);

	square->out = square->in * square->in;
	square->worked_in = pthread_self();
}

static void gate_work(struct offload_job *job)
{
	(void)job;
	while (atomic_load(&gate) == 0)
		poll(NULL, 0, 1);
}

static void count_run(struct mail *mail, void *ctx)
{
	(void)mail;
	++*(int *)ctx;
}

static void wait_for(struct mailbox *mb, const int *done, int want)
{
	while (*done < want) {
		struct pollfd p = {.fd = mb->fd, .events = POLLIN};

		if (mailbox_sleep(mb)) {
			REQUIRE(poll(&p, 1, 10000) == 1);
			mailbox_quiet(mb);
		}
		mailbox_run(mb);
	}
}

TEST(offload, works_elsewhere_and_replies_here)
{
	struct square squares[50] = {0};
	struct mailbox mb;
	struct offload *o = offload_new(2, 100, NULL);
	int done = 0;

	REQUIRE(o != NULL && mailbox_init(&mb, &done, NULL) == 0);
	for (int i = 0; i < 50; i++) {
		squares[i].in = i;
		squares[i].job = (struct offload_job){
			.work = square_work, .reply_to = &mb, .mail = {.run = count_run}};
		REQUIRE(offload_submit(o, &squares[i].job) == 0);
	}
	wait_for(&mb, &done, 50);
	for (int i = 0; i < 50; i++) {
		EXPECT_EQ(squares[i].out, (long)i * i);
		EXPECT(!pthread_equal(squares[i].worked_in, pthread_self()));
	}
	offload_free(&o);
	EXPECT(o == NULL);
	mailbox_done(&mb);
}

TEST(offload, refuses_what_exceeds_the_queue_and_finishes_the_rest_at_the_end)
{
	struct square jobs[4] = {0};
	struct mailbox mb;
	struct offload *o = offload_new(1, 2, NULL);
	int done = 0, refused = 0;

	REQUIRE(o != NULL && mailbox_init(&mb, &done, NULL) == 0);
	atomic_store(&gate, 0);
	for (int i = 0; i < 4; i++) {
		jobs[i].job =
			(struct offload_job){.work = gate_work, .reply_to = &mb, .mail = {.run = count_run}};
		refused += offload_submit(o, &jobs[i].job) != 0;
	}
	/* One may be in the thread already, two wait. */
	EXPECT(refused == 1 || refused == 2);
	atomic_store(&gate, 1);
	offload_free(&o);
	mailbox_run(&mb);
	EXPECT_EQ(done, 4 - refused);
	mailbox_done(&mb);
}
