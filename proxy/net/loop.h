/* loop.h - one thread's event loop on libevent.
 * Source  libevent book; the round structure is ours: poll, callbacks, mail, flush of dirty
 *         connections, then the dead are freed.
 * Shape   an event_base with timers, a mailbox and an end-of-round list. A round does not end while mail,
 *         `later` work or output is left, unless that would starve the sockets: then it polls without waiting.
 * Owner   the thread that runs it.
 * Thread  loop_post and loop_stop from any; all else from the owner's thread.
 * Errors  loop_new returns NULL with the reason. */
#ifndef PROXY_NET_LOOP_H
#define PROXY_NET_LOOP_H

#include "proxy/base/err.h"
#include "proxy/base/mailbox.h"
#include "proxy/base/ring.h"

#include <event2/event.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void *mail_ctx, struct err *err);
/* Runs what mail and end-of-round work is left, closes lingering connections. */
void loop_free(struct loop **l);
/* Runs rounds until loop_stop; a stop that came before the start counts. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
struct event_base *loop_base(struct loop *l);
struct mailbox *loop_mailbox(struct loop *l);
void loop_post(struct loop *l, struct mail *mail);

/* Monotonic microseconds, read once per round. */
uint64_t loop_now_us(const struct loop *l);

/* Run `fn(later)` once at the end of this round, after callbacks and mail. Doing it twice before it ran is harmless. */
struct later {
	struct ring node;
	void (*fn)(struct later *later);
};
void later_init(struct later *later, void (*fn)(struct later *later));
void loop_later(struct loop *l, struct later *later);
/* The same at the end of the next round, which does not wait for the sockets: what they have is taken first. */
void loop_later_round(struct loop *l, struct later *later);
void later_cancel(struct later *later);

/* Free an object after the round: `fn(arg)` runs when no callback of this round can still see it. */
void loop_retire(struct loop *l, void (*fn)(void *arg), void *arg);

/* One-shot timer with microsecond resolution; setting it again moves it. Moving it later and cancelling
 * it cost nothing (the place in the queue is kept), so an idle timeout per transaction is cheap. */
struct timer {
	struct loop *loop; /* NULL = not in a queue */
	uint64_t due_us;   /* 0 = cancelled */
	uint64_t key_us;   /* its place in the queue, never after due_us */
	unsigned slot;
	void (*fn)(void *arg);
	void *arg;
};
void timer_init(struct timer *t, void (*fn)(void *arg), void *arg);
void timer_set(struct loop *l, struct timer *t, uint64_t after_us);
void timer_cancel(struct timer *t);
/* Needed before the object is freed or moves to another loop: a cancelled timer may still be queued. */
void timer_free(struct timer *t);

#endif
