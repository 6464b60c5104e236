/* What a backend goes through between two sessions: cancelled, synced, rolled back, reset. Each step is taken only
 * when the one before has been answered. */
#include "proxy/backend/settle.h"

#include "proxy/backend/pool.h"
#include "proxy/backend/server_cancel.h"
#include "proxy/base/check.h"
#include "protocol/back.h"
#include "protocol/write.h"

#define SETTLE_PATIENCE_US 15000000u
/* PostgreSQL ignores a cancel request that comes before it has begun with the query, so it is repeated: after 0.2, 0.4, .. 6.4 s. */
#define SETTLE_CANCEL_US 200000u
#define SETTLE_CANCELS 6u
#define SETTLE_LONG_BODY (64u * 1024u)

static void fail_copy(struct backend *b)
{
	struct buf *out = conn_out(b->conn);
	size_t mark = write_begin(out, 'f');

	buf_add_cstr(out, "the client has gone");
	write_end(out, mark);
	conn_flush_later(b->conn);
	b->copying_in = false;
}

/* A statement_timeout that comes at the very end of a command fails the next one: not the next client's. */
static void await_timeout(struct backend *b, bool timeout)
{
	if (timeout)
		backend_sync(b, WHY_SETTLE);
}

void settle_go_on(struct backend *b)
{
	bool timeout;

	if (b->state != BACKEND_SETTLING)
		return;
	if (b->broken) {
		struct err err;

		err_state(&err, "08006", "not fit for reuse");
		backend_close(b, err.text);
		pool_backend_gone(b->pool, b, false, &err);
		return;
	}
	if (b->cancel != NULL || expect_head(&b->expects) != NULL || b->stream_left > 0)
		return;
	timeout = settings_get(&b->image, "statement_timeout") != NULL;
	if (b->ignoring) {
		backend_sync(b, WHY_SETTLE);
	} else if (b->status != 'I') {
		backend_query(b, "ROLLBACK", WHY_SETTLE);
	} else if (b->dirty) {
		backend_query(b, "DISCARD ALL", WHY_SETTLE);
		await_timeout(b, timeout);
		if (b->target->db->connect_query[0] != '\0')
			backend_query(b, b->target->db->connect_query, WHY_SETTLE);
		prepared_clear(&b->prepared);
		b->sys_prepared = b->sys_doubtful = 0;
		settings_copy(&b->base, &b->image);
		backend_note_limits(b);
		b->seq_owner = 0;
		b->dirty = false;
		b->reset_all = false;
	} else if (b->reset_all) {
		backend_query(b, "RESET ALL", WHY_SETTLE);
		await_timeout(b, timeout);
		if (settings_keep_roles(&b->image) != 0) /* RESET ALL leaves them */
			b->broken = true;
		backend_note_limits(b);
		b->reset_all = false;
	} else {
		loop_later(b->host->loop, &b->free_later);
	}
}

void settle_end(struct later *later)
{
	struct backend *b = (struct backend *)(void *)((char *)later - offsetof(struct backend, free_later));

	if (b->state != BACKEND_SETTLING || expect_head(&b->expects) != NULL)
		return;
	if (conn_pending(b->conn) > 0 && b->end_rounds++ < 2) {
		loop_later(b->host->loop, &b->free_later); /* perhaps just not flushed yet */
		return;
	}
	b->end_rounds = 0;
	if (conn_pending(b->conn) > 0) {
		/* Late CopyData that the server has not even taken: not worth waiting for. */
		b->broken = true;
		settle_go_on(b);
		return;
	}
	timer_cancel(&b->timer);
	b->silent_us = loop_now_us(b->host->loop);
	pool_backend_free(b->pool, b);
}

void backend_cancel(struct backend *b)
{
	server_cancel_start(b);
}

void backend_give_back(struct backend *b, bool cancel)
{
	check(b->state == BACKEND_LENT);
	b->state = BACKEND_SETTLING;
	b->ops = NULL;
	b->user = NULL;
	/* Also wakes it for bytes that are there already: nobody else would read them. */
	conn_pause(b->conn);
	conn_resume(b->conn);
	expect_skip_local(&b->expects);
	if (expect_head(&b->expects) != NULL) {
		if (b->copying_in)
			fail_copy(b);
		if (b->expects.visible > 0 && cancel)
			backend_cancel(b);
		b->settle_cancels = 0;
		if (cancel)
			timer_set(b->host->loop, &b->timer, SETTLE_CANCEL_US);
		if (b->expects.syncs == 0)
			backend_sync(b, WHY_SETTLE);
	} else if (b->status != 'I' || b->dirty || b->reset_all || b->cancel != NULL || b->ignoring) {
		b->settle_cancels = SETTLE_CANCELS;
		timer_set(b->host->loop, &b->timer, SETTLE_PATIENCE_US);
	}
	settle_go_on(b);
}

void settle_message(struct backend *b, const struct frame *f)
{
	enum reply_step step = backend_reply(b, f->type);
	struct expect *head = expect_head(&b->expects);
	const char *why;

	if (f->type == 'G' || f->type == 'W') {
		bool done;

		b->broken |= expect_doubt_syncs(&b->expects, &done) >
			     0; /* which of them it answers is not worth asking */
		fail_copy(b);
	}
	if (step == REPLY_BAD) {
		b->broken = true;
		settle_go_on(b);
		return;
	}
	if (f->type == 'E' && head != NULL && (head->why == WHY_IMAGE || head->why == WHY_TRY))
		b->dirty = true; /* what b->image says has been rolled back */
	if (f->type == 'E' && head != NULL && head->why == WHY_SETTLE)
		b->broken = true; /* not even ROLLBACK or DISCARD ALL works */
	if (f->type == 'Z' && back_ready_decode(f->body, &b->status, &why) != 0)
		b->broken = true;
	backend_reply_done(b, f->type, step, NULL, NULL);
	expect_skip_local(&b->expects);
	/* A Sync that is still owed keeps the queue alive; after the last reply go on. */
	if (expect_head(&b->expects) == NULL || b->broken)
		settle_go_on(b);
}

bool settle_skip(struct backend *b)
{
	for (;;) {
		struct span in = conn_input(b->conn);
		uint32_t body_n;
		const char *why;
		char type;

		if (b->stream_left > 0) {
			size_t n = in.n < b->stream_left ? in.n : b->stream_left;

			conn_consume(b->conn, n);
			b->stream_left -= (uint32_t)n;
			if (b->stream_left > 0)
				return true;
			continue;
		}
		if (frame_peek(in, UINT32_MAX, &type, &body_n, &why) != FRAME_OK)
			return false;
		if (body_n <= SETTLE_LONG_BODY)
			return false;
		conn_consume(b->conn, FRAME_HEADER);
		b->stream_left = body_n;
	}
}

void settle_timed_out(struct backend *b)
{
	if (b->settle_cancels < SETTLE_CANCELS) {
		if (b->expects.visible > 0)
			backend_cancel(b);
		timer_set(b->host->loop, &b->timer, SETTLE_CANCEL_US << ++b->settle_cancels);
		return;
	}
	b->broken = true;
	settle_go_on(b);
}
