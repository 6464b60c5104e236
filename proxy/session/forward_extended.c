/* Parse, Bind, Describe and Close: names of prepared statements become ours, and what has to be parsed again is parsed in front. */
#include "proxy/session/forward_private.h"
#include "proxy/session/image_ids.h"
#include "proxy/session/listen.h"

#include "protocol/write.h"

enum forward forward_parse(struct session *s, struct span message)
{
	struct span body = span_skip(message, FRAME_HEADER);
	struct front_parse p;
	struct stmt *stmt;
	bool as_it_is = true;
	const char *why;
	enum hold hold;

	if (front_parse_decode(body, &p, &why) != 0)
		return forward_fail(s, "08P01", why);
	stmt = memo_get(s->house->memo, p.query, p.param_oids);
	if (stmt == NULL)
		return forward_fail(s, "53200", "out of memory");
	switch (own_forwarded(s, stmt->facts)) {
	case OWN_NOT: break;
	case OWN_WAIT: stmt_unref(stmt); return FORWARD_WAIT;
	case OWN_MISPLACED:
		stmt = forward_instead(s, stmt, false);
		as_it_is = false;
		break;
	}
	if (stmt != NULL && touches_our_names(stmt->facts)) {
		stmt = forward_instead(s, stmt, true);
		as_it_is = false;
	}
	if (stmt == NULL)
		return forward_fail(s, "53200", "out of memory");
	hold = hold_parse(s, p.name, stmt, as_it_is ? message : span_of(NULL, 0));
	stmt_unref(stmt);
	if (hold == HOLD_WAIT) {
		hold_wait(s);
		return FORWARD_WAIT;
	}
	s->unsynced = true;
	if (hold == HOLD_TOO_MUCH && hold_refuse(s) != 0)
		return forward_fail(s, "54000", FORWARD_TOO_MANY);
	tally_add(s->tally, TALLY_client_parses, 1);
	conn_consume(s->client, message.n);
	return FORWARD_NEXT;
}

enum forward forward_refuse_parse(struct session *s, struct span in, size_t total)
{
	s->unsynced = true;
	forward_skip(s, in, total);
	return hold_refuse(s) != 0 ? forward_fail(s, "54000", FORWARD_TOO_MANY) : FORWARD_NEXT;
}

/* row_version_check: reads are noted, writes wait until their rows have been looked at. */
static enum forward check_bind(struct session *s, struct stmt *stmt, struct span avail, uint32_t body_n)
{
	struct front_bind bind;
	const char *why;

	if (avail.n < body_n && check_needs_whole(s, stmt)) {
		if (body_n > PARSE_MAX)
			return forward_fail(s, "54000", "message is too long for row_version_check");
		conn_input_max(s->client, FRAME_HEADER + (size_t)body_n);
		return FORWARD_WAIT;
	}
	if (avail.n < body_n || (stmt != NULL && front_bind_decode(avail, &bind, &why) != 0))
		stmt = NULL;
	return check_statement(s, stmt, &bind, false) == CHECK_GO ? FORWARD_NEXT : FORWARD_WAIT;
}

/* Are the next messages those of front_runs(), and is each of them what it nearly always is (forward_target, forward_plain)? The Bind in
 * front of them is whole and makes the unnamed portal, so there is no other of that name to close. */
static bool runs_plainly(const struct session *s, struct span behind)
{
	return front_runs(behind) && s->listen == NULL && s->resetting == 0 && !s->restore_due &&
	       !s->forgets && !s->backend->copying_in;
}

/* They are sent with the Bind. */
static int expect_run(struct session *s)
{
	struct expect execute = {.kind = EXPECT_EXECUTE, .why = WHY_CLIENT, .unsettles = s->binds_unsettle};

	if (s->binds_change)
		under_moves(s);
	s->unsettling += execute.unsettles;
	if (forward_expecting(s, EXPECT_DESCRIBE) != 0 || expect_push(&s->backend->expects, &execute) != 0)
		return -1;
	return forward_sync_sent(s);
}

enum forward forward_bind(struct session *s, struct span in, uint32_t body_n)
{
	struct span avail = span_skip(in, FRAME_HEADER), portal, name, server;
	struct expect e = {.kind = EXPECT_BIND, .why = WHY_CLIENT};
	struct buf *out = conn_out(s->backend->conn);
	char ours[PREPARED_NAME_MAX];
	struct stmt *stmt;
	const char *why;
	size_t used, rest;
	bool views, runs;

	if (avail.n > body_n)
		avail.n = body_n;
	switch (front_bind_names(avail, &portal, &name, &used, &why)) {
	case 0: break;
	case 1:
		if (avail.n < body_n && avail.n < HELD_MAX)
			return FORWARD_WAIT;
		why = "names in a Bind are too long";
		/* fall through */
	default: return forward_fail(s, "08P01", why);
	}
	stmt = stmts_find(&s->stmts, name);
	if ((!hold_just_parsed(s, name) && !hold_certain(s, name)) ||
	    (stmt != NULL && !(hold_sql_certain(s, stmt->facts) && sequence_certain(s, stmt->facts)))) {
		hold_wait(s);
		return FORWARD_WAIT;
	}
	if (listen_must_wait(s, 'B', stmt))
		return FORWARD_WAIT;
	views = stmt != NULL && view_hide_others(s, stmt);
	switch (stmt != NULL ? own_forwarded(s, stmt->facts) : OWN_NOT) {
	case OWN_NOT: break;
	case OWN_WAIT: return FORWARD_WAIT;
	case OWN_MISPLACED: return forward_fail(s, "0A000", FORWARD_MISPLACED);
	}
	if (check_wanted(s) || s->checking != NULL) {
		enum forward checked = check_bind(s, stmt, avail, body_n);

		if (checked != FORWARD_NEXT)
			return checked;
	}
	s->unsynced = true;
	tally_add(s->tally, TALLY_binds, 1);
	if (hold_just_parsed(s, name)) /* still: row_version_check may have made another one */
		server = name;
	else if (stmt != NULL && avail.n == body_n && standin_bind(s, name, stmt, avail, &e))
		server = span_str(STANDIN_NAME);
	else
		server = hold_server_name(s, name, ours, &e);
	if (stmt != NULL) {
		forward_note(s, stmt);
		if (views)
			backend_sys_close(s->backend); /* also those that had to stand in front of it */
	} else {
		s->clean = false;
		repeat_wrote(s, NULL, 0);
	}
	e.index = portal.n == 0;
	s->bound = s->ran = true;
	s->bound_unnamed |= portal.n == 0;
	if (stmt != NULL && (s->effects & EFFECT_TAINT))
		customs_note_words(s, avail);
	buf_add_u8(out, 'B');
	buf_add_u32(out, (uint32_t)(4 + portal.n + 1 + server.n + 1 + (body_n - used)));
	buf_add_span(out, portal);
	buf_add_u8(out, 0);
	buf_add_span(out, server);
	buf_add_u8(out, 0);
	conn_flush_later(s->backend->conn);
	rest = body_n - used;
	runs = portal.n == 0 && avail.n == body_n &&
	       runs_plainly(s, span_skip(in, FRAME_HEADER + (size_t)body_n));
	conn_consume(s->client, FRAME_HEADER + used);
	forward_pass_on(s, span_skip(in, FRAME_HEADER + used), rest + (runs ? FRONT_RUN_SIZE : 0));
	if (expect_push(&s->backend->expects, &e) != 0 || (runs && expect_run(s) != 0))
		return forward_fail(s, "54000", FORWARD_TOO_MANY);
	return FORWARD_NEXT;
}

/* It may take away what pins the session, as CLOSE and DEALLOCATE do: the probe looks. */
static void note_close(struct session *s, char kind)
{
	if (s->pins & (1u << (kind == 'S' ? PIN_PREPARED : PIN_CURSOR)))
		s->effects |= EFFECT_PORTAL;
}

enum forward forward_target(struct session *s, char type, struct span body, size_t total, struct span in)
{
	struct front_target t;
	struct expect e = {.kind = EXPECT_DESCRIBE, .why = WHY_CLIENT};
	char ours[PREPARED_NAME_MAX];
	struct stmt *stmt;
	struct span server;
	const char *why;
	int rc;

	if (front_target_decode(body, &t, &why) != 0)
		return forward_fail(s, "08P01", why);
	if (t.kind == 'S' && !hold_certain(s, t.name)) {
		hold_wait(s);
		return FORWARD_WAIT;
	}
	s->unsynced = true;
	if (type == 'C')
		note_close(s, t.kind);
	if (type == 'C' && t.kind == 'S') {
		rc = hold_close(s, t.name);
	} else if (t.kind == 'S') {
		stmt = stmts_find(&s->stmts, t.name);
		if (stmt != NULL && standin_describe(s, t.name, stmt))
			server = span_str(STANDIN_NAME);
		else
			server = hold_server_name(s, t.name, ours, &e);
		write_describe(conn_out(s->backend->conn), 'S', server);
		conn_flush_later(s->backend->conn);
		rc = expect_push(&s->backend->expects, &e);
	} else {
		forward_close_begin_portal(s);
		conn_send(s->backend->conn, in.p, total);
		rc = forward_expecting(s, type == 'D' ? EXPECT_DESCRIBE : EXPECT_CLOSE);
	}
	conn_consume(s->client, total);
	return rc != 0 ? forward_fail(s, "54000", FORWARD_TOO_MANY) : FORWARD_NEXT;
}
