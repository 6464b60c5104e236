/* How long a read waits for its proof before PostgreSQL is asked. */
#include "proxy/base/clock.h"
#include "proxy/origin/fresh_private.h"

#define WINDOW_US 1000000u
#define QUESTIONS (1 + FRESH_GATHER + 1) /* that one read may have to wait for */

void fresh_patience(struct fresh *f, uint64_t patience_us, uint64_t max_us)
{
	f->patience_us = patience_us;
	f->patience_max_us = max_us;
}

/* The longest that a question took in the last second or two. */
void fresh_note_took(struct fresh *f, uint64_t took_us)
{
	uint64_t now_us = loop_now_us(f->loop);

	if (now_us - f->window_us > WINDOW_US) {
		f->longest_before_us = now_us - f->window_us > 2 * WINDOW_US ? 0 : f->longest_us;
		f->longest_us = 0;
		f->window_us = now_us;
	}
	if (f->longest_us < took_us)
		f->longest_us = took_us;
}

/* Waiting is worth what asking would cost now. For that stand what the statement took when its answer was stored, and, until the
 * question is answered, the probe itself, which takes as long as PostgreSQL and this machine need for anything at all (and longer, as a
 * reader may have to wait for the question in flight and for further readers first). Readers that do not wait for it would make a
 * busy machine busier.
 * r = the question that is answered; then it is the feed that is waited for, which may be held up for other reasons. */
static uint64_t due_us(const struct fresh *f, const struct fresh_wait *w, const struct round *r)
{
	uint64_t longest_us = f->longest_us > f->longest_before_us ? f->longest_us : f->longest_before_us;
	uint64_t asking_us = r == NULL ? longest_us * QUESTIONS : 0;
	uint64_t worth_us = asking_us > w->cost_us ? asking_us : w->cost_us, at_us;

	if (worth_us > f->patience_max_us)
		worth_us = f->patience_max_us;
	at_us = w->since_us + (worth_us > f->patience_us ? worth_us : f->patience_us);
	return r != NULL && r->answered_us + f->patience_us > at_us ? r->answered_us + f->patience_us : at_us;
}

void fresh_arm_late(struct fresh *f, const struct fresh_wait *w, const struct round *r)
{
	uint64_t now_us = loop_now_us(f->loop), at_us = due_us(f, w, r);

	if (f->late_at_us != 0 && f->late_at_us <= at_us)
		return;
	f->late_at_us = at_us;
	timer_set(f->loop, &f->late, at_us > now_us ? at_us - now_us : 0);
}

/* Moves out who has waited long enough; the timer is set for the others. */
static void take_late(struct fresh *f, struct ring *waits, const struct round *r, uint64_t now_us,
		      struct ring *late)
{
	ring_each_safe (node, waits) {
		struct fresh_wait *w = ring_item(node, struct fresh_wait, node);

		if (due_us(f, w, r) > now_us) {
			fresh_arm_late(f, w, r);
			continue;
		}
		ring_remove(node);
		ring_add(late, node);
	}
}

static void sweep(struct fresh *f, struct ring *late)
{
	uint64_t now_us = loop_now_us(f->loop);

	ring_each_safe (node, &f->rounds) {
		struct round *r = ring_item(node, struct round, node);
		bool had = !ring_empty(&r->waits);

		take_late(f, &r->waits, r, now_us, late);
		if (!ring_empty(&r->waits))
			continue;
		/* Too late for these, but what holds up the position would hold up the next, too. */
		if (had && r->probe.insert > r->probe.flush)
			origin_nudge(f->origin);
		origin_note_lag(f->origin, clock_us() - r->answered_us);
		fresh_round_drop(f, r);
	}
	if (f->asking != NULL)
		take_late(f, &f->asking->waits, NULL, now_us, late);
	take_late(f, &f->joined, NULL, now_us, late);
}

void fresh_on_late(void *arg)
{
	struct fresh *f = arg;
	struct ring late;

	f->late_at_us = 0;
	/* On a busy machine the answer may be here already, and this thread was late. */
	if (f->link == LINK_ASKING)
		fresh_read(f);
	ring_init(&late);
	sweep(f, &late);
	if (!ring_empty(&late) && ++f->late_run >= FRESH_LATE_RUN) {
		f->late_run = FRESH_LATE_RUN / 2;
		f->rest_until_us = loop_now_us(f->loop) + FRESH_REST_US;
	}
	if (!ring_empty(&f->joined))
		loop_later(f->loop, &f->later);
	fresh_tell_all(&late, FRESH_LATE);
}
