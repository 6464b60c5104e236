/* Timers of a loop: a heap of our own over one timerfd. libevent's own would give milliseconds at best,
 * or a system call in every round. */
#include "proxy/base/check.h"
#include "proxy/net/loop_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void heap_put(struct loop *l, unsigned slot, struct timer *t)
{
	l->heap[slot] = t;
	t->slot = slot;
}

static void heap_up(struct loop *l, struct timer *t)
{
	unsigned slot = t->slot, parent;

	for (; slot > 0; slot = parent) {
		parent = (slot - 1) / 2;
		if (l->heap[parent]->key_us <= t->key_us)
			break;
		heap_put(l, slot, l->heap[parent]);
	}
	heap_put(l, slot, t);
}

static void heap_down(struct loop *l, struct timer *t)
{
	unsigned slot = t->slot, child;

	for (; (child = 2 * slot + 1) < l->nheap; slot = child) {
		if (child + 1 < l->nheap && l->heap[child + 1]->key_us < l->heap[child]->key_us)
			child++;
		if (l->heap[child]->key_us >= t->key_us)
			break;
		heap_put(l, slot, l->heap[child]);
	}
	heap_put(l, slot, t);
}

static void heap_add(struct loop *l, struct timer *t)
{
	struct timer **more;

	if (l->nheap == l->heap_cap) {
		l->heap_cap = l->heap_cap == 0 ? 64 : l->heap_cap * 2;
		more = realloc(l->heap, l->heap_cap * sizeof(*more));
		check(more != NULL);
		l->heap = more;
	}
	t->loop = l;
	t->slot = l->nheap++;
	heap_up(l, t);
}

static void heap_remove(struct timer *t)
{
	struct loop *l = t->loop;
	struct timer *last = l->heap[--l->nheap];

	check(t->slot <= l->nheap && l->heap[t->slot] == t);
	t->loop = NULL;
	if (last == t)
		return;
	last->slot = t->slot;
	heap_up(l, last);
	heap_down(l, last);
}

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg)
{
	*t = (struct timer){.fn = fn, .arg = arg};
}

void timer_set(struct loop *l, struct timer *t, uint64_t after_us)
{
	uint64_t now = loop_now_us(l);

	/* Never now: a timer that sets itself again would keep the round from ending. */
	if (after_us == 0)
		after_us = 1;
	t->due_us = after_us > UINT64_MAX / 2 - now ? UINT64_MAX / 2 : now + after_us;
	if (t->loop == NULL) {
		t->key_us = t->due_us;
		heap_add(l, t);
		return;
	}
	check(t->loop == l);
	if (t->due_us < t->key_us) {
		t->key_us = t->due_us;
		heap_up(l, t);
	}
}

void timer_cancel(struct timer *t)
{
	t->due_us = 0;
}

void timer_free(struct timer *t)
{
	t->due_us = 0;
	if (t->loop != NULL)
		heap_remove(t);
}

static void loop_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t times;

	(void)what;
	(void)!read(fd, &times, sizeof(times));
	l->armed_us = 0; /* the timers themselves are run after the callbacks of this round */
}

int loop_timers_init(struct loop *l, struct err *err)
{
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->timer_fd < 0)
		return err_set(err, "timerfd: %s", strerror(errno));
	l->timer_event = event_new(l->base, l->timer_fd, EV_READ | EV_PERSIST, loop_on_timer, l);
	check(l->timer_event != NULL);
	if (event_add(l->timer_event, NULL) != 0)
		return err_set(err, "libevent: cannot watch the timer");
	return 0;
}

void loop_timers_done(struct loop *l)
{
	/* Whoever frees its timer after the loop must not find it. */
	for (unsigned i = 0; i < l->nheap; i++)
		l->heap[i]->loop = NULL;
	if (l->timer_event != NULL)
		event_free(l->timer_event);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	free(l->heap);
}

void loop_timers_run(struct loop *l)
{
	uint64_t now;
	struct timer *t;

	if (l->nheap == 0)
		return;
	now = loop_now_us(l);
	while (l->nheap > 0 && l->heap[0]->key_us <= now) {
		t = l->heap[0];
		if (t->due_us > now) {
			/* It was moved later while it waited. */
			t->key_us = t->due_us;
			heap_down(l, t);
			continue;
		}
		heap_remove(t);
		if (t->due_us == 0)
			continue;
		t->due_us = 0;
		t->fn(t->arg);
	}
}

bool loop_timers_arm(struct loop *l)
{
	struct itimerspec at = {0};
	uint64_t due;

	if (l->nheap == 0)
		return true;
	due = l->heap[0]->key_us;
	if (due <= loop_now_us(l))
		return false;
	/* Armed for something earlier that is gone by now: that wake-up will arm it again. Most timers are
	 * moved or cancelled long before they fire, so this saves nearly all of the system calls. */
	if (l->armed_us != 0 && l->armed_us <= due)
		return true;
	at.it_value.tv_sec = (time_t)(due / 1000000);
	at.it_value.tv_nsec = (long)(due % 1000000) * 1000;
	check(timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
	l->armed_us = due;
	return true;
}
