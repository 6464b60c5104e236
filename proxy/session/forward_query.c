/* Simple queries, and what stands in the place of a statement that must not reach the server. */
#include "proxy/session/forward_private.h"
#include "proxy/session/listen.h"

#include "protocol/write.h"

struct stmt *forward_instead(struct session *s, struct stmt *stmt, bool names)
{
	struct buf text;

	stmt_unref(stmt);
	buf_init(&text, 2048);
	if (names)
		own_raise_text(&text, "26000", OUR_NAMES_ERROR, "Use another name.");
	else
		own_raise_text(&text, "0A000", FORWARD_MISPLACED, "Send it behind a Sync.");
	stmt = text.failed ? NULL : memo_get(s->house->memo, span_of(text.p, text.len - 1), span_of(NULL, 0));
	buf_free(&text);
	return stmt;
}

/* May the statement of a simple query go now? *stmt_r is what the server gets; `instead`: in the place of the client's. */
static enum forward query_may_go(struct session *s, struct stmt **stmt_r, bool *instead_r)
{
	struct stmt *stmt = *stmt_r;

	if (stmt != NULL && touches_our_names(stmt->facts)) {
		stmt = forward_instead(s, stmt, true);
		*instead_r = true;
	} else if (stmt != NULL && own_forwarded(s, stmt->facts) == OWN_MISPLACED) {
		stmt = forward_instead(s, stmt, false);
		*instead_r = true;
	}
	*stmt_r = stmt;
	if (stmt == NULL && *instead_r)
		return forward_fail(s, "53200", "out of memory");
	if (sequence_must_wait(s) ||
	    (stmt != NULL && !(hold_sql_certain(s, stmt->facts) && sequence_certain(s, stmt->facts))))
		hold_wait(s);
	else if (!listen_must_wait(s, 'Q', stmt) &&
		 (stmt == NULL || own_forwarded(s, stmt->facts) == OWN_NOT))
		return FORWARD_NEXT;
	if (stmt != NULL)
		stmt_unref(stmt);
	return FORWARD_WAIT;
}

enum forward forward_query(struct session *s, struct span in, uint32_t body_n, bool whole)
{
	struct expect e = {.kind = EXPECT_QUERY, .why = WHY_CLIENT};
	size_t total = FRAME_HEADER + (size_t)body_n;
	struct stmt *stmt = NULL;
	bool instead = false;
	struct span text;
	const char *why;
	enum forward f;

	if (whole) {
		if (front_query_decode(span_of(in.p + FRAME_HEADER, body_n), &text, &why) != 0)
			return forward_fail(s, "08P01", why);
		stmt = memo_get_query(s->house->memo, text);
	}
	f = query_may_go(s, &stmt, &instead);
	if (f != FORWARD_NEXT)
		return f;
	/* Once it has failed nobody could tell whether the unnamed portal is the one that it has made. In a pipeline it may be the client's. */
	if (s->backend->expects.visible == 0)
		forward_close_begin_portal(s);
	if ((check_wanted(s) || s->checking != NULL) && check_statement(s, stmt, NULL, true) == CHECK_WAIT) {
		if (stmt != NULL)
			stmt_unref(stmt);
		return FORWARD_WAIT;
	}
	e.unsettles = stmt == NULL || hold_unsettles(stmt->facts);
	s->unsettling += e.unsettles;
	if (stmt != NULL) {
		bool views = view_hide_others(s, stmt);

		forward_note(s, stmt);
		if (views)
			backend_sys_close(s->backend); /* also those that had to stand in front of it */
	} else {
		txn_note_unknown(s);
		copy_note(s, NULL);
	}
	if (s->changed.n > 0)
		under_synced(s);
	e.change = stmts_change_away(&s->stmts, span_str(""), s->backend->expects.batches_sent);
	backend_unnamed(s->backend, 0);
	s->binds_unsettle = s->bound = s->bound_unnamed = s->ran = false;
	if (stmt == NULL || stmt->facts->nstmts < 0)
		s->resetting = 1; /* who knows */
	/* PostgreSQL 18.4 cannot go on with such a connection; nobody else may get it. */
	s->backend->broken |= s->unsynced && s->txn != TXN_REAL && backend_pipelines_are_blocks(s->backend);
	s->unsynced = false; /* its ReadyForQuery ends the batch as a Sync would */
	if (instead) {
		write_query(conn_out(s->backend->conn), stmt->text);
		conn_flush_later(s->backend->conn);
		forward_skip(s, in, total);
	} else if (stmt == NULL) {
		forward_pass_unread(s, in, total);
	} else {
		forward_pass_on(s, in, total);
	}
	if (stmt != NULL)
		stmt_unref(stmt);
	if (expect_push(&s->backend->expects, &e) != 0)
		return forward_fail(s, "54000", FORWARD_TOO_MANY);
	forward_ran(s, true);
	s->forgets = false;
	return FORWARD_NEXT;
}
