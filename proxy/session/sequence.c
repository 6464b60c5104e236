/* currval() and lastval() show the session's own values or PostgreSQL's error 55000, never another client's.
 *
 * A backend knows whose values it holds (seq_owner), a session which backend it has used last: those it used before hold what it was
 * told then. Statements that may read values, or may do so unseen, find only the session's own and latest: otherwise
 * DISCARD SEQUENCES goes in front. Statements that may advance a sequence are too many for that: only the first few of a session are
 * kept apart in this way, and all of those in a pool where somebody has asked. A client that asks keeps its backend from then on. */
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"

#define MIXED UINT64_MAX
#define KEPT_APART \
	3 /* transactions that may advance a sequence, until a session counts as one that does not ask */

static bool own(const struct session *s)
{
	const struct backend *b = s->backend;

	return b->seq_owner == 0 || (b->seq_owner == s->id && b->id == s->lend.prefer);
}

/* In the extended protocol and without a Sync; its answers are hidden. Skipped together with what it stands in front of. In a
 * transaction of its own, if that is possible: BEGIN ISOLATION LEVEL and DISCARD ALL stand nothing in front of them. */
static void discard(struct session *s)
{
	struct backend *b = s->backend;
	bool apart = txn_stands_alone(s);
	bool full = (apart && backend_sys(b, SYS_BEGIN, NULL, 0, WHY_SEQUENCE, 0) != 0) ||
		    backend_sys_apart(b, SYS_DISCARD_SEQUENCES, NULL, 0, WHY_SEQUENCE, 0) != 0 ||
		    (apart && backend_sys(b, SYS_COMMIT, NULL, 0, WHY_SEQUENCE, 0) != 0);

	b->broken |= full;
	b->seq_owner = 0;
	b->seq_batch = b->expects.batches_sent;
	count(&s->house->host.counters, sequence_discards);
}

static bool discards(const struct session *s, uint32_t effects)
{
	const struct backend *b = s->backend;
	bool advances = (effects & (EFFECT_WRITES | EFFECT_SEQUENCE | EFFECT_TAINT)) != 0;

	if (own(s) || s->status == 'E' || b->status == 'E')
		return false;
	return (effects & (EFFECT_SEQUENCE_READ | EFFECT_TAINT)) != 0 ||
	       (advances && (b->seq_owner == s->id || s->seq_asks || s->seq_uses < KEPT_APART ||
			     pool_asks_sequences(s->pool)));
}

bool sequence_must_wait(const struct session *s)
{
	return s->backend->expects.visible > 0 && backend_pipelines_are_blocks(s->backend) &&
	       discards(s, EFFECT_TAINT);
}

bool sequence_certain(const struct session *s, const struct facts *f)
{
	const uint32_t asks = EFFECT_SEQUENCE_READ | EFFECT_TAINT;

	return (f->effects & asks) == 0 || !expect_in_flight(&s->backend->expects, s->backend->seq_batch);
}

void sequence_note(struct session *s, uint32_t effects)
{
	struct backend *b = s->backend;
	bool asks = (effects & EFFECT_SEQUENCE_READ) != 0;
	bool advances = (effects & (EFFECT_WRITES | EFFECT_SEQUENCE | EFFECT_TAINT)) != 0;

	if (effects & EFFECT_NO_BLOCK)
		return; /* nothing may stand in front of it; it calls nothing of this kind */
	if (asks) {
		s->seq_asks = true;
		pool_ask_sequences(s->pool);
	}
	if (discards(s, effects))
		discard(s);
	if (!advances)
		return;
	b->seq_owner = own(s) ? s->id : MIXED;
	s->lend.prefer = b->id;
	s->seq_uses += !s->seq_used_now && s->seq_uses < KEPT_APART;
	s->seq_used_now = true;
}

bool sequence_only(const struct session *s)
{
	return s->state == SESSION_READY && s->txn == TXN_NONE && s->backend != NULL &&
	       s->pins == 1u << PIN_SEQUENCE && s->policy->pool_mode != POOL_MODE_SESSION;
}

void sequence_let_go(struct session *s)
{
	check(sequence_only(s));
	s->pins = 0;
	image_count_pin(s);
	txn_let_go(s);
}

void sequence_keep(struct session *s)
{
	bool keep = s->seq_asks && s->backend->seq_owner == s->id;

	s->seq_used_now = false;
	if (keep == ((s->pins & (1u << PIN_SEQUENCE)) != 0))
		return;
	s->pins ^= 1u << PIN_SEQUENCE;
	image_count_pin(s);
	if (s->over_pinned && s->pins == 1u << PIN_SEQUENCE) {
		/* Not worth the client: it may get 55000, as the text above says. */
		s->over_pinned = false;
		s->pins = 0;
	}
}
