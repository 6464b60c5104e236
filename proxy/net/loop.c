#include "proxy/net/loop.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/net/loop_private.h"

#include <stdlib.h>

/* How often a round may go over mail and `later` work before the sockets are looked at again. */
#define LOOP_PASSES 8

static void loop_on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	mailbox_quiet(&l->mailbox); /* the mail itself is run at the end of the round */
}

/* One thread per base: no locks. epoll or nothing: the others cannot carry thousands of sockets. */
static struct event_base *loop_make_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg == NULL)
		return NULL;
	if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0 &&
	    event_config_avoid_method(cfg, "select") == 0 && event_config_avoid_method(cfg, "poll") == 0)
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

struct loop *loop_new(void *mail_ctx, struct err *err)
{
	struct loop *l = check_alloc(sizeof *l);

	ring_init(&l->nexts);
	ring_init(&l->laters);
	ring_init(&l->flushes);
	ring_init(&l->closers);
	l->scratch = check_alloc(LOOP_LEFT_MAX + LOOP_READ_MAX);
	l->timer_fd = -1;
	l->mailbox.fd = -1;
	l->base = loop_make_base();
	if (l->base == NULL) {
		err_set(err, "libevent: cannot make an event base");
		goto fail;
	}
	if (mailbox_init(&l->mailbox, mail_ctx, err) != 0 || loop_timers_init(l, err) != 0)
		goto fail;
	l->mail_event = event_new(l->base, l->mailbox.fd, EV_READ | EV_PERSIST, loop_on_mail, l);
	check(l->mail_event != NULL);
	if (event_add(l->mail_event, NULL) != 0) {
		err_set(err, "libevent: cannot watch the mailbox");
		goto fail;
	}
	return l;
fail:
	loop_free(&l);
	return NULL;
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

struct mailbox *loop_mailbox(struct loop *l)
{
	return &l->mailbox;
}

void loop_post(struct loop *l, struct mail *mail)
{
	mailbox_post(&l->mailbox, mail);
}

uint64_t loop_now_us(const struct loop *l)
{
	if (l->now_us == 0)
		((struct loop *)l)->now_us = clock_us(); /* a cache, not a change */
	return l->now_us;
}

void later_init(struct later *later, void (*fn)(struct later *later))
{
	ring_init(&later->node);
	later->fn = fn;
}

static void later_add(struct ring *list, struct later *later)
{
	if (ring_empty(&later->node))
		ring_add(list, &later->node);
}

void loop_later(struct loop *l, struct later *later)
{
	later_add(&l->laters, later);
}

void loop_later_round(struct loop *l, struct later *later)
{
	later_add(&l->nexts, later);
}

void loop_flush_later(struct loop *l, struct later *later)
{
	later_add(&l->flushes, later);
}

void loop_at_free(struct loop *l, struct later *later)
{
	later_add(&l->closers, later);
}

void later_cancel(struct later *later)
{
	ring_remove(&later->node);
}

void loop_retire(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_retired *more;

	if (l->nretired == l->retired_cap) {
		l->retired_cap = l->retired_cap == 0 ? 64 : l->retired_cap * 2;
		more = realloc(l->retired, l->retired_cap * sizeof *more);
		check(more != NULL);
		l->retired = more;
	}
	l->retired[l->nretired++] = (struct loop_retired){.fn = fn, .arg = arg};
}

/* Only those that are dead now: a fn may retire more, and that waits for the next round. */
static void loop_bury(struct loop *l)
{
	size_t n = l->nretired;

	for (size_t i = 0; i < n; i++) {
		struct loop_retired r = l->retired[i]; /* the array may move meanwhile */

		r.fn(r.arg);
	}
	for (size_t i = n; i < l->nretired; i++)
		l->retired[i - n] = l->retired[i];
	l->nretired -= n;
}

/* What is added meanwhile waits for the next pass. */
static bool loop_run_list(struct ring *list)
{
	struct ring batch, *node;

	if (ring_empty(list))
		return false;
	batch = *list;
	batch.next->prev = &batch;
	batch.prev->next = &batch;
	ring_init(list);
	while ((node = ring_first(&batch)) != NULL) {
		struct later *later = ring_item(node, struct later, node);

		ring_remove(node);
		later->fn(later);
	}
	return true;
}

static bool loop_pass(struct loop *l)
{
	bool any = mailbox_run(&l->mailbox);

	any |= loop_run_list(&l->laters);
	any |= loop_run_list(&l->flushes);
	return any;
}

/* One more, with what waits for the next round. */
static bool loop_last_pass(struct loop *l)
{
	ring_splice(&l->laters, &l->nexts);
	return loop_pass(l);
}

/* The order matters: the box is asked last, because from then on a sender writes the eventfd. */
static bool loop_may_sleep(struct loop *l)
{
	return ring_empty(&l->nexts) && ring_empty(&l->laters) && ring_empty(&l->flushes) &&
	       l->nretired == 0 && loop_timers_arm(l) && mailbox_sleep(&l->mailbox);
}

static void loop_round(struct loop *l)
{
	int flags = EVLOOP_ONCE;

	if (!loop_may_sleep(l))
		flags |= EVLOOP_NONBLOCK;
	l->now_us = 0;
	check(event_base_loop(l->base, flags) >= 0);
	ring_splice(&l->laters, &l->nexts);
	loop_timers_run(l);
	for (unsigned i = 0; i < LOOP_PASSES && loop_pass(l); i++)
		;
	loop_bury(l);
}

void loop_run(struct loop *l)
{
	while (!atomic_load(&l->stop))
		loop_round(l);
	atomic_store(&l->stop, false);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	mailbox_wake(&l->mailbox);
}

/* The last will: mail may still hand over connections, and those may have something to send. */
static void loop_settle(struct loop *l)
{
	for (unsigned i = 0; i < LOOP_PASSES && loop_last_pass(l); i++)
		;
	mailbox_done(&l->mailbox);
	loop_run_list(&l->laters);
	loop_run_list(&l->flushes);
	loop_run_list(&l->closers);
	while (l->nretired != 0)
		loop_bury(l);
}

void loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	if (l->mailbox.fd >= 0)
		loop_settle(l);
	if (l->mail_event != NULL)
		event_free(l->mail_event);
	loop_timers_done(l);
	if (l->base != NULL)
		event_base_free(l->base);
	while (l->nspares > 0)
		free(l->spares[--l->nspares]);
	while (l->nholds > 0)
		free(l->holds[--l->nholds]);
	free(l->retired);
	free(l->scratch);
	free(l->tls_scratch);
	free(l);
}
