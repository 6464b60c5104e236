/* Replies to requests of ours: they go to whoever has asked, and the client sees nothing of them. */
#include "proxy/session/listen.h"
#include "proxy/session/relay_private.h"

#include "protocol/back.h"

static void on_hidden_row(struct session *s, const struct expect *head, struct span body)
{
	struct span v[3] = {{0}};
	size_t at = 2;
	bool null = false, last_null = false;
	int n = back_count(body);

	for (int i = 0; i < n && i < 3; i++) {
		last_null = back_value_next(body, &at, &v[i]) != 0;
		null |= i == 0 && last_null;
	}
	switch (head->why) {
	case WHY_SNAPSHOT:
		if (s->deps == NULL)
			break; /* the fill was dropped meanwhile */
		snapshot_free(&s->deps->s0);
		s->fill.have_s0 = n == 1 && !null && snapshot_parse(v[0], &s->deps->s0) == 0;
		break;
	case WHY_READ:
	case WHY_CHECK: check_row(s, head, v, n); break;
	case WHY_INSPECT:
		/* Refused or reset: the backend has its default, which belongs into no image. */
		null |= !s->welcome_learning && n == 2 && !last_null && !span_eq(v[1], span_str("session"));
		image_inspected(s, head->index, v[0], null, n == 2 && !last_null);
		break;
	case WHY_LEARN: under_row(s, head->index, null ? NULL : &v[0]); break;
	case WHY_LISTEN:
		if (n == 2)
			listen_row(s, v[1]);
		break;
	case WHY_PROBE:
		if (n == 3 && v[0].n == 1)
			image_probed(s, (char)v[0].p[0], v[1], v[2]);
		break;
	case WHY_INVENTORY:
		if (n == 2)
			inventory_row(s, v[1]);
		break;
	default: break;
	}
}

/* Does that end the questions behind a transaction? */
static bool asked_last(const struct session *s, const struct expect *head)
{
	return head->why == WHY_PROBE || head->why == WHY_INVENTORY || head->why == WHY_LISTEN ||
	       (head->why == WHY_INSPECT && head->kind == EXPECT_SYNC && !s->probing);
}

void relay_hidden(struct session *s, const struct frame *f, enum reply_step step)
{
	struct backend *b = s->backend;
	struct expect head = *expect_head(&b->expects);
	const char *why;

	if (step == REPLY_LAST)
		relay_answered(s, &head);
	if (f->type == 'D')
		on_hidden_row(s, &head, f->body);
	if (f->type == 'Z')
		back_ready_decode(f->body, &b->status, &why);
	backend_reply_done(b, f->type, step, NULL, NULL);
	if (step != REPLY_LAST)
		return;
	if (head.why == WHY_IMAGE && head.kind == EXPECT_EXECUTE && head.index == 1)
		image_synced(s);
	if (s->unanswered && asked_last(s, &head)) {
		if (head.why == WHY_LISTEN)
			listen_settle_again(s);
		else
			image_ask_again(s);
		return;
	}
	if (head.why == WHY_INSPECT && head.kind == EXPECT_SYNC && !s->welcome_learning && !s->probing)
		image_inspect_done(s, false);
	if (head.why == WHY_LEARN && head.kind == EXPECT_EXECUTE)
		under_answered(s, false);
	if (head.why == WHY_CHECK)
		check_last(s, &head);
	if (head.why == WHY_LISTEN)
		listen_settled(s);
	if (head.why == WHY_PROBE && !inventory_right(s) && inventory_take(s) == 0)
		return;
	if (head.why == WHY_INVENTORY)
		inventory_done(s);
	if (head.why == WHY_PROBE || head.why == WHY_INVENTORY)
		image_inspect_done(s, true);
	if (head.why == WHY_REPLAY)
		replay_go(s);
	if (head.why == WHY_PART)
		txn_parted(s, b->status);
	if (head.why == WHY_COPY && head.kind == EXPECT_SYNC)
		copy_asked(s);
}
