/* loop_private.h - the loop as its own folder sees it.
 * Source  none.
 * Shape   struct loop, and the two end-of-round phases that only connections use.
 * Owner   the loop's thread.
 * Thread  the loop's; `stop` any.
 * Errors  none. */
#ifndef PROXY_NET_LOOP_PRIVATE_H
#define PROXY_NET_LOOP_PRIVATE_H

#include "proxy/net/loop.h"

#include <stdatomic.h>
#include <stdbool.h>

struct conn;

/* One read's worth, with room in front for what the last one left over. */
#define LOOP_READ_MAX (64u * 1024)
#define LOOP_LEFT_MAX (4u * 1024)
/* Output buffers that wait for their next user. */
#define LOOP_SPARES 64
#define LOOP_SPARE_SIZE (16u * 1024)
/* The same for input that waits for something: a short request. */
#define LOOP_HOLDS 256
#define LOOP_HOLD_SIZE 512u

struct loop_retired {
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	struct event_base *base; /* owned */
	struct mailbox mailbox;
	struct event *mail_event; /* owned */
	atomic_bool stop;
	uint64_t now_us; /* 0 = not read yet in this round */

	struct ring nexts;   /* struct later, for the laters of the next round */
	struct ring laters;  /* struct later, then .. */
	struct ring flushes; /* .. struct later of connections with something to send or to tell */
	struct ring closers; /* struct later, run by loop_free: connections that linger */

	struct loop_retired *retired; /* owned */
	size_t nretired, retired_cap;

	struct timer **heap; /* owned; the timers are borrowed; ordered by key_us */
	unsigned nheap, heap_cap;
	struct event *timer_event; /* owned */
	int timer_fd;
	uint64_t armed_us; /* when timer_fd fires; 0 = never */

	uint8_t *scratch;     /* owned, LOOP_LEFT_MAX + LOOP_READ_MAX */
	uint8_t *tls_scratch; /* owned, one TLS record's worth of output */
	struct conn
		*calling; /* whose owner is being called; NULL when that conn was freed or moved meanwhile */
	uint8_t *spares[LOOP_SPARES]; /* owned, LOOP_SPARE_SIZE each */
	unsigned nspares;
	uint8_t *holds[LOOP_HOLDS]; /* owned, LOOP_HOLD_SIZE each */
	unsigned nholds;
};

/* Like loop_later, but after all of them: one write per connection and round. */
void loop_flush_later(struct loop *l, struct later *later);
/* Runs at loop_free unless cancelled. */
void loop_at_free(struct loop *l, struct later *later);

int loop_timers_init(struct loop *l, struct err *err);
void loop_timers_done(struct loop *l);
/* Runs what is due. */
void loop_timers_run(struct loop *l);
/* Makes the loop wake for the next timer; false = one is due now. */
bool loop_timers_arm(struct loop *l);

#endif
