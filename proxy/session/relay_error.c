/* Errors of the backend: of the client's requests, which it is told; of ours, after some of which it cannot go on; and of a statement
 * that is out of date, which is run again unseen. */
#include "proxy/session/relay_private.h"

#include "proxy/backend/servers.h"
#include "protocol/back.h"

#include <stdio.h>

struct dropped {
	struct session *s;
	const struct expect *head; /* the one that has failed; the others are skipped */
	/* Simple queries of the client that were skipped, and would not have been without a hidden request: they get no ReadyForQuery by
	 * themselves. */
	unsigned queries;
	bool extended; /* .. but one behind messages of its own without a Sync is skipped by PostgreSQL as well */
};

static void on_dropped(void *arg, const struct expect *e)
{
	struct dropped *d = arg;

	stmts_undone(&d->s->stmts, e->change, d->head == e);
	d->s->unsettling -= e->unsettles;
	if (e->why == WHY_LEARN && e->kind == EXPECT_EXECUTE)
		under_answered(d->s, true);
	if (e->why != WHY_CLIENT)
		return;
	if (e->kind != EXPECT_QUERY && e->kind != EXPECT_FUNCTION)
		d->extended = true;
	else if (!d->extended)
		d->queries++;
}

static bool has_state(struct span body, const char *state)
{
	struct back_error e = {0};
	const char *why;

	return back_error_decode(body, &e, &why) == 0 && span_eq(e.sqlstate, span_str(state));
}

/* A statement that is out of date, or that is not there although our record says so: nothing of the client's has run. */
static bool replay_helps(const struct session *s, const struct expect *head, struct span body)
{
	return replay_possible(s, head) && ((replay_described(s) && has_state(body, "0A000")) ||
					    (head->stmt != 0 && has_state(body, "26000")));
}

static bool is_fatal(struct span body)
{
	struct back_error e = {0};
	const char *why;

	return back_error_decode(body, &e, &why) == 0 &&
	       (span_eq(e.severity, span_str("FATAL")) || span_eq(e.severity, span_str("PANIC")));
}

/* Did the Bind that failed with this error replace the unnamed portal? It does so once it has found its statement, in a transaction
 * that has not failed, and counted the values. */
static bool portal_was_made(struct span body)
{
	return !has_state(body, "26000") && !has_state(body, "08P01") && !has_state(body, "25P02");
}

/* The message is consumed first: whoever has the backend next must not read it again. */
static void consume(struct session *s, struct run *r, size_t used)
{
	conn_consume(s->backend->conn, r->to + used);
	backend_reply_done(s->backend, 'E', REPLY_ERROR, NULL, NULL);
}

/* A hidden request failed and the client cannot go on. */
static void fatal_from(struct session *s, struct run *r, struct span body, size_t used, const char *prefix)
{
	struct backend *b = s->backend;
	struct back_error e = {0};
	char text[600], hint[600] = "", state[6] = "XX000";
	const char *why;

	if (back_error_decode(body, &e, &why) != 0)
		e.message = span_str(why);
	if (e.sqlstate.n == 5)
		memcpy(state, e.sqlstate.p, 5);
	snprintf(hint, sizeof hint, "%.*s", (int)e.hint.n, (const char *)e.hint.p);
	snprintf(text, sizeof text, "%s%.*s", prefix, (int)e.message.n, (const char *)e.message.p);
	consume(s, r, used);
	b->dirty = true;
	session_fatal(s, state, text, hint[0] != '\0' ? hint : NULL);
}

enum ours { OURS_FATAL, OURS_AGAIN, OURS_GONE };

/* One of ours has failed that must not. If that is for a timeout, or somebody has cancelled it, and nothing of the client is lost by it, it is
 * done again: at once, AGAIN, or with another backend, GONE. */
static enum ours ours_failed(struct session *s, struct run *r, const struct frame *f, size_t used)
{
	bool late = has_state(f->body, "57014") || has_state(f->body, "55P03");

	if (s->welcome_learning && late && s->attempts + 1 < READY_ATTEMPTS) {
		consume(s, r, used);
		return welcome_again(s) ? OURS_GONE : OURS_FATAL;
	}
	if (s->welcome_learning)
		return OURS_FATAL;
	if (s->held && !s->linked && late) {
		consume(s, r, used);
		ready_again(s);
		return OURS_GONE;
	}
	/* It came at the very end of the COMMIT: the settings are there, and nothing is in the Sync. */
	if (s->linked && late && expect_head(&s->backend->expects)->kind == EXPECT_SYNC &&
	    expect_head(&s->backend->expects)->why == WHY_IMAGE)
		return OURS_AGAIN;
	/* 25P02: also the ROLLBACK has met it. */
	late |= s->attempts > 0 && has_state(f->body, "25P02");
	return !s->linking && late && image_unanswered(s) ? OURS_AGAIN : OURS_FATAL;
}

bool relay_error(struct session *s, struct run *r, const struct frame *f, size_t used)
{
	struct backend *b = s->backend;
	struct expect *head = expect_head(&b->expects);
	enum expect_why why = head != NULL ? (enum expect_why)head->why : WHY_CLIENT;
	struct dropped d = {.s = s, .head = head};

	s->fill.spoiled = true;
	relay_send(s, r);
	if (s->copy_open)
		copy_failed(s);
	if (why == WHY_ABORT || (why == WHY_RESET && head->index == 1) ||
	    (why == WHY_TRY && tries_refused(s, head, f->body))) {
		relay_skip(r, used);
		backend_reply_done(b, 'E', REPLY_ERROR, on_dropped, &d);
		return true;
	}
	if (why == WHY_IMAGE || why == WHY_TRY || why == WHY_INSPECT || why == WHY_PROBE ||
	    why == WHY_INVENTORY || why == WHY_LISTEN) {
		enum ours ours = ours_failed(s, r, f, used);

		if (ours == OURS_GONE)
			return false;
		if (ours == OURS_AGAIN) {
			relay_skip(r, used);
			backend_reply_done(b, 'E', REPLY_ERROR, on_dropped, &d);
			return true;
		}
		if (has_state(f->body, "26000"))
			b->broken = true; /* our own statements are gone */
		fatal_from(s, r, f->body, used,
			   s->welcome_learning ? "" : "session settings cannot be kept: ");
		return false;
	}
	if (replay_helps(s, head, f->body)) {
		relay_skip(r, used);
		replay_prepare(s);
		backend_reply_done(b, 'E', REPLY_ERROR, on_dropped, &d);
		return true;
	}
	s->replaying = false;
	s->reset_done = RESET_NONE; /* rolled back */
	if (why == WHY_CHECK && check_error(s, head)) {
		relay_skip(r, used);
	} else if (head != NULL && rename_error(s, head, f->body)) {
		relay_skip(r, used);
	} else {
		r->to += used;
		relay_send(s, r);
	}
	if (head != NULL && head->kind == EXPECT_BIND && head->index == 1 && portal_was_made(f->body))
		s->begin_portal = s->query_failed = false;
	s->query_failed |= head != NULL && head->kind == EXPECT_QUERY;
	s->server_gone |= is_fatal(f->body);
	if (has_state(f->body, "25006"))
		servers_read_only(b);
	if (has_state(f->body, "55000"))
		s->seq_asks = false; /* "not yet defined in this session": nothing to keep */
	if (has_state(f->body, "0A000") && head != NULL &&
	    (head->kind == EXPECT_BIND || head->kind == EXPECT_DESCRIBE))
		b->dirty = true; /* a cached plan may be out of date: DISCARD ALL before the next session */
	backend_reply_done(b, 'E', REPLY_ERROR, on_dropped, &d);
	if (why == WHY_CHECK)
		check_skipped(s);
	head = expect_head(&b->expects);
	s->skipping |= head != NULL && head->why == WHY_PART;
	s->unsynced |= b->ignoring; /* a skipped query is no Sync */
	if (d.queries == 1 && b->ignoring) {
		backend_sync(b, WHY_CLIENT);
		s->unsynced = false;
	} else if (d.queries > 0) {
		/* Behind a hidden request that failed the server has skipped several queries, which it would answer one by one. */
		conn_consume(b->conn, r->to);
		b->broken = true;
		session_fatal(s, "08P01", "the pipeline cannot go on after this error", NULL);
		return false;
	}
	if (why != WHY_CLIENT && why != WHY_PARSE && has_state(f->body, "26000"))
		b->broken = true;
	return true;
}
