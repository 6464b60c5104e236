/* Client to backend: messages are forwarded one by one; names of prepared statements become ours, and what has to be parsed again is
 * parsed in front. Long messages stream through. */
#include "proxy/session/image_ids.h"
#include "proxy/session/listen.h"
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "protocol/write.h"

#include <stdio.h>

#define PARSE_MAX (16u * 1024u * 1024u) /* a Parse has to be held whole */
#define SMALL_MAX (64u * 1024u)		/* Describe, Close, Execute, Sync, .. */
#define HELD_MAX (60u * 1024u)		/* what conn_input can hold for sure */
#define PIPELINE_MAX (EXPECT_MAX / 2)	/* answers that are waited for, then the client waits */

/* What to do after one message. */
enum forward { FORWARD_NEXT, FORWARD_WAIT, FORWARD_CLOSED };

static enum forward fail(struct session *s, const char *sqlstate, const char *message)
{
	if (strcmp(sqlstate, "08P01") == 0)
		count(&s->house->host.counters, protocol_errors);
	session_fatal(s, sqlstate, message, NULL);
	return FORWARD_CLOSED;
}

static int expecting(struct session *s, enum expect_kind kind)
{
	struct expect e = {.kind = (uint8_t)kind, .why = WHY_CLIENT};

	return expect_push(&s->backend->expects, &e);
}

/* A reply of ours in its place in the order. */
int expect_local(struct session *s, char type, uint64_t change)
{
	struct expect e = {.kind = EXPECT_LOCAL, .why = WHY_CLIENT, .local = type, .change = change};
	int rc = expect_push(&s->backend->expects, &e);

	relay_locals(s);
	return rc;
}

/* Sends the message as it is: all of it, or what is there, the rest as it comes. */
static void pass_on(struct session *s, struct span in, size_t total)
{
	size_t n = in.n < total ? in.n : total;

	conn_send(s->backend->conn, in.p, n);
	conn_consume(s->client, n);
	s->client_left = (uint32_t)(total - n);
	s->client_skip = s->left_unread = false;
}

/* Of a text that is too long to be held, a piece as it came. A name that lies in two of them is not seen. */
static void pass_unread(struct session *s, struct span in, size_t total)
{
	customs_note_long(s, span_of(in.p, in.n < total ? in.n : total));
	pass_on(s, in, total);
	s->left_unread = s->client_left > 0;
}

static void skip(struct session *s, struct span in, size_t total)
{
	size_t n = in.n < total ? in.n : total;

	conn_consume(s->client, n);
	s->client_left = (uint32_t)(total - n);
	s->client_skip = s->client_left > 0;
}

/* --- the messages --- */

static const char too_many[] = "too many messages in a pipeline";
static const char misplaced[] = "settings of pgweir cannot be set or shown in the middle of a pipeline";

/* In its place a statement that fails when it runs: a setting of ours cannot be changed between statements that the server has not run
 * yet, and nobody may reach statements that the proxy shares between clients. */
static struct stmt *instead_of(struct session *s, struct stmt *stmt, bool names)
{
	struct buf text;

	stmt_unref(stmt);
	buf_init(&text, 2048);
	if (names)
		own_raise_text(&text, "26000", OUR_NAMES_ERROR, "Use another name.");
	else
		own_raise_text(&text, "0A000", misplaced, "Send it behind a Sync.");
	stmt = text.failed ? NULL : memo_get(s->house->memo, span_of(text.p, text.len - 1), span_of(NULL, 0));
	buf_free(&text);
	return stmt;
}

static enum forward forward_parse(struct session *s, struct span message)
{
	struct span body = span_skip(message, FRAME_HEADER);
	struct front_parse p;
	struct stmt *stmt;
	bool as_it_is = true;
	const char *why;
	enum hold hold;

	if (front_parse_decode(body, &p, &why) != 0)
		return fail(s, "08P01", why);
	stmt = memo_get(s->house->memo, p.query, p.param_oids);
	if (stmt == NULL)
		return fail(s, "53200", "out of memory");
	switch (own_forwarded(s, stmt->facts)) {
	case OWN_NOT: break;
	case OWN_WAIT: stmt_unref(stmt); return FORWARD_WAIT;
	case OWN_MISPLACED:
		stmt = instead_of(s, stmt, false);
		as_it_is = false;
		break;
	}
	if (stmt != NULL && touches_our_names(stmt->facts)) {
		stmt = instead_of(s, stmt, true);
		as_it_is = false;
	}
	if (stmt == NULL)
		return fail(s, "53200", "out of memory");
	hold = hold_parse(s, p.name, stmt, as_it_is ? message : span_of(NULL, 0));
	stmt_unref(stmt);
	if (hold == HOLD_WAIT) {
		hold_wait(s);
		return FORWARD_WAIT;
	}
	s->unsynced = true;
	if (hold == HOLD_TOO_MUCH && hold_refuse(s) != 0)
		return fail(s, "54000", too_many);
	tally_add(s->tally, TALLY_client_parses, 1);
	conn_consume(s->client, message.n);
	return FORWARD_NEXT;
}

static bool resets(const struct facts *f)
{
	if (f->effects & EFFECT_RESET_ALL)
		return true;
	for (int i = 0; i < f->nstmts; i++)
		for (unsigned k = 0; k < f->stmts[i].nsettings; k++)
			if (setting_resets(f->stmts[i].settings[k].action))
				return true;
	return false;
}

/* What has just been sent may be a RESET. */
static void reset_sent(struct session *s, bool sync)
{
	if (s->resetting == NULL)
		return;
	image_reset_follows(s, s->resetting->facts, sync);
	stmt_unref(s->resetting);
	s->resetting = NULL;
}

/* A statement is about to be run. */
/* SET TRANSACTION is refused behind the first snapshot of a transaction; of what was answered here the server knows nothing. */
static void take_owed_snapshot(struct session *s, const struct stmt *stmt)
{
	if (!s->queried || (stmt->facts->effects & EFFECT_TXN_MODE) == 0 || s->backend->status == 'E')
		return;
	s->queried = false;
	if (backend_sys_apart(s->backend, SYS_SNAPSHOT, NULL, 0, WHY_BEGIN, 0) != 0)
		s->backend->broken = true;
}

static void note_statement(struct session *s, struct stmt *stmt)
{
	take_owed_snapshot(s, stmt);
	s->binds_change |= under_bound(s, stmt->facts);
	txn_note(s, stmt);
	copy_note(s, stmt);
	if (resets(stmt->facts)) {
		if (s->resetting != NULL)
			stmt_unref(s->resetting);
		s->resetting = stmt_ref(stmt);
	}
	if (!hold_unsettles(stmt->facts))
		return;
	hold_for_sql(s, stmt->facts);
	s->binds_unsettle = true;
	if (s->deallocating != NULL)
		stmt_unref(s->deallocating);
	s->deallocating = stmt_ref(stmt);
	s->deallocating_at = 0;
}

/* The client has not made the unnamed portal, so it must not find that of the BEGIN which was sent for it. */
static void close_begin_portal(struct session *s)
{
	struct expect e = {.kind = EXPECT_CLOSE, .why = WHY_BEGIN};

	if (!s->begin_portal || s->bound_unnamed)
		return;
	s->begin_portal = false;
	write_close(conn_out(s->backend->conn), 'P', span_str(""));
	if (expect_push(&s->backend->expects, &e) != 0)
		s->backend->broken = true;
}

/* PostgreSQL keeps the unnamed portal of a simple query that failed in a transaction block, but not the memory of its statements: an Execute
 * reads what is there now, and may end the whole server. Without the portal it is an error. */
static void close_failed_portal(struct session *s)
{
	if (!s->query_failed || s->bound_unnamed)
		return;
	s->query_failed = false;
	s->begin_portal = true;
}

/* Too long to be held. */
static enum forward refuse_parse(struct session *s, struct span in, size_t total)
{
	s->unsynced = true;
	skip(s, in, total);
	return hold_refuse(s) != 0 ? fail(s, "54000", too_many) : FORWARD_NEXT;
}

/* row_version_check: reads are noted, writes wait until their rows have been looked at. */
static enum forward check_bind(struct session *s, struct stmt *stmt, struct span avail, uint32_t body_n)
{
	struct front_bind bind;
	const char *why;

	if (avail.n < body_n && check_needs_whole(s, stmt)) {
		if (body_n > PARSE_MAX)
			return fail(s, "54000", "message is too long for row_version_check");
		conn_input_max(s->client, FRAME_HEADER + (size_t)body_n);
		return FORWARD_WAIT;
	}
	if (avail.n < body_n || (stmt != NULL && front_bind_decode(avail, &bind, &why) != 0))
		stmt = NULL;
	return check_statement(s, stmt, &bind, false) == CHECK_GO ? FORWARD_NEXT : FORWARD_WAIT;
}

void forward_synced(struct session *s)
{
	s->unsynced = false;
	s->binds_unsettle = s->bound = s->bound_unnamed = s->ran = false;
	s->backend->ignoring = false;
	if (s->changed.n > 0)
		under_synced(s);
}

static int sync_sent(struct session *s)
{
	if (s->backend->copying_in)
		return copy_sync(s);
	if (s->copies)
		s->copy = COPY_SENT;
	forward_synced(s);
	return expecting(s, EXPECT_SYNC);
}

/* Are the next messages those of front_runs(), and is each of them what it nearly always is (forward_target, forward_plain)? The Bind in
 * front of them is whole and makes the unnamed portal, so there is no other of that name to close. */
static bool runs_plainly(const struct session *s, struct span behind)
{
	return front_runs(behind) && s->listen == NULL && s->resetting == NULL && !s->backend->copying_in;
}

/* They are sent with the Bind. */
static int expect_run(struct session *s)
{
	struct expect execute = {.kind = EXPECT_EXECUTE, .why = WHY_CLIENT, .unsettles = s->binds_unsettle};

	if (s->binds_change)
		under_moves(s);
	s->unsettling += execute.unsettles;
	if (expecting(s, EXPECT_DESCRIBE) != 0 || expect_push(&s->backend->expects, &execute) != 0)
		return -1;
	return sync_sent(s);
}

static enum forward forward_bind(struct session *s, struct span in, uint32_t body_n)
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
	default: return fail(s, "08P01", why);
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
	case OWN_MISPLACED: return fail(s, "0A000", misplaced);
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
		note_statement(s, stmt);
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
	pass_on(s, span_skip(in, FRAME_HEADER + used), rest + (runs ? FRONT_RUN_SIZE : 0));
	if (expect_push(&s->backend->expects, &e) != 0 || (runs && expect_run(s) != 0))
		return fail(s, "54000", too_many);
	return FORWARD_NEXT;
}

/* It may take away what pins the session, as CLOSE and DEALLOCATE do: the probe looks. */
static void note_close(struct session *s, char kind)
{
	if (s->pins & (1u << (kind == 'S' ? PIN_PREPARED : PIN_CURSOR)))
		s->effects |= EFFECT_PORTAL;
}

static enum forward forward_target(struct session *s, char type, struct span body, size_t total,
				   struct span in)
{
	struct front_target t;
	struct expect e = {.kind = EXPECT_DESCRIBE, .why = WHY_CLIENT};
	char ours[PREPARED_NAME_MAX];
	struct stmt *stmt;
	struct span server;
	const char *why;
	int rc;

	if (front_target_decode(body, &t, &why) != 0)
		return fail(s, "08P01", why);
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
		close_begin_portal(s);
		conn_send(s->backend->conn, in.p, total);
		rc = expecting(s, type == 'D' ? EXPECT_DESCRIBE : EXPECT_CLOSE);
	}
	conn_consume(s->client, total);
	return rc != 0 ? fail(s, "54000", too_many) : FORWARD_NEXT;
}

/* May the statement of a simple query go now? *stmt_r is what the server gets; `instead`: in the place of the client's. */
static enum forward query_may_go(struct session *s, struct stmt **stmt_r, bool *instead_r)
{
	struct stmt *stmt = *stmt_r;

	if (stmt != NULL && touches_our_names(stmt->facts)) {
		stmt = instead_of(s, stmt, true);
		*instead_r = true;
	} else if (stmt != NULL && own_forwarded(s, stmt->facts) == OWN_MISPLACED) {
		stmt = instead_of(s, stmt, false);
		*instead_r = true;
	}
	*stmt_r = stmt;
	if (stmt == NULL && *instead_r)
		return fail(s, "53200", "out of memory");
	if (stmt != NULL && !(hold_sql_certain(s, stmt->facts) && sequence_certain(s, stmt->facts)))
		hold_wait(s);
	else if (!listen_must_wait(s, 'Q', stmt) &&
		 (stmt == NULL || own_forwarded(s, stmt->facts) == OWN_NOT))
		return FORWARD_NEXT;
	if (stmt != NULL)
		stmt_unref(stmt);
	return FORWARD_WAIT;
}

static enum forward forward_query(struct session *s, struct span in, uint32_t body_n, bool whole)
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
			return fail(s, "08P01", why);
		stmt = memo_get_query(s->house->memo, text);
	}
	f = query_may_go(s, &stmt, &instead);
	if (f != FORWARD_NEXT)
		return f;
	/* Once it has failed nobody could tell whether the unnamed portal is the one that it has made. In a pipeline it may be the client's. */
	if (s->backend->expects.visible == 0)
		close_begin_portal(s);
	if ((check_wanted(s) || s->checking != NULL) && check_statement(s, stmt, NULL, true) == CHECK_WAIT) {
		if (stmt != NULL)
			stmt_unref(stmt);
		return FORWARD_WAIT;
	}
	e.unsettles = stmt == NULL || hold_unsettles(stmt->facts);
	s->unsettling += e.unsettles;
	if (stmt != NULL) {
		bool views = view_hide_others(s, stmt);

		note_statement(s, stmt);
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
	s->unsynced = false; /* its ReadyForQuery ends the batch as a Sync would */
	if (instead) {
		write_query(conn_out(s->backend->conn), stmt->text);
		conn_flush_later(s->backend->conn);
		skip(s, in, total);
	} else if (stmt == NULL) {
		pass_unread(s, in, total);
	} else {
		pass_on(s, in, total);
	}
	if (stmt != NULL)
		stmt_unref(stmt);
	if (expect_push(&s->backend->expects, &e) != 0)
		return fail(s, "54000", too_many);
	reset_sent(s, true);
	return FORWARD_NEXT;
}

/* --- a client that prepares and flushes --- */

/* Would a Sync end nothing? Parse, Describe and Close leave no portal and no change; behind an error the server has rolled back. What
 * differs from PostgreSQL is in docs/isolation.md. */
static bool may_part(const struct session *s)
{
	/* A server that the session keeps anyway would take it for idle. */
	if (s->idle_limit_ms > 0 && (s->pins != 0 || s->policy->pool_mode == POOL_MODE_SESSION))
		return false;
	return s->unsynced && s->replication == NULL && !s->backend->copying_in &&
	       (!s->ran || s->backend->ignoring);
}

static void part(struct session *s)
{
	s->skipping |= s->backend->ignoring;
	s->parting = true;
	s->unsynced = s->binds_unsettle = s->bound = s->ran = false;
	if (backend_sync(s->backend, WHY_PART) != 0)
		s->backend->broken = true;
}

void forward_part(struct session *s)
{
	if (may_part(s) && conn_input(s->client).n == 0)
		part(s);
}

/* At once, instead of the Flush, when nothing is behind it and no earlier batch can still turn into a COPY. */
static bool part_instead(struct session *s, size_t total)
{
	const struct expects *q = &s->backend->expects;

	if (total > FRAME_HEADER || !may_part(s) || conn_input(s->client).n != total ||
	    q->batches_sent != q->batches_done)
		return false;
	conn_consume(s->client, total);
	part(s);
	return true;
}

/* With a body it fails, and only then it is answered. */
static int flush_sent(struct session *s, size_t total)
{
	if (total == FRAME_HEADER || s->backend->copying_in)
		return 0;
	s->unsynced = true;
	return expecting(s, EXPECT_CLOSE);
}

static enum forward forward_plain(struct session *s, char type, struct span in, size_t total)
{
	struct expect e = {.kind = EXPECT_EXECUTE, .why = WHY_CLIENT, .unsettles = s->binds_unsettle};
	int rc = 0;

	if ((type == 'S' || type == 'F') && listen_must_wait(s, type, NULL))
		return FORWARD_WAIT;
	if (type == 'H' && part_instead(s, total))
		return FORWARD_NEXT;
	switch (type) {
	case 'E':
		s->unsynced = s->ran = true;
		if (s->binds_change)
			under_moves(s);
		if (in.n <= FRAME_HEADER || in.p[FRAME_HEADER] == 0) { /* of the unnamed portal */
			close_failed_portal(s);
			close_begin_portal(s);
		}
		s->unsettling += e.unsettles;
		rc = expect_push(&s->backend->expects, &e);
		break;
	case 'S': rc = sync_sent(s); break;
	case 'H': rc = flush_sent(s, total); break;
	case 'F':
		txn_note_unknown(s);
		s->unsynced = false;
		rc = expecting(s, EXPECT_FUNCTION);
		break;
	case 'c':
	case 'f':
		s->backend->copying_in = false;
		rc = expect_local(s, 0, 0);
		break;
	default: break;
	}
	if (rc != 0)
		return fail(s, "54000", too_many);
	pass_on(s, in, total);
	if (type == 'E' && s->client_left == 0)
		reset_sent(s, false);
	return FORWARD_NEXT;
}

/* Messages that have to be there whole before they can be forwarded. */
static enum forward forward_whole(struct session *s, char type, uint32_t body_n, struct span in)
{
	size_t total = FRAME_HEADER + (size_t)body_n;

	if (in.n < total) {
		if (type == 'P' && body_n > PARSE_MAX)
			return refuse_parse(s, in, total);
		if (type != 'P' && body_n > SMALL_MAX)
			return fail(s, "54000", "message is too long");
		conn_input_max(s->client, total > SMALL_MAX ? total : SMALL_MAX);
		return FORWARD_WAIT;
	}
	if (type == 'P')
		return forward_parse(s, span_of(in.p, total));
	return forward_target(s, type, span_of(in.p + FRAME_HEADER, body_n), total, in);
}

static enum forward forward_one(struct session *s, struct span in)
{
	uint32_t body_n;
	const char *why;
	size_t total;
	char type;

	switch (frame_peek(in, (uint32_t)s->config->max_packet_size, &type, &body_n, &why)) {
	case FRAME_MORE: return FORWARD_WAIT;
	case FRAME_BAD: return fail(s, "08P01", why);
	case FRAME_OK: break;
	}
	total = FRAME_HEADER + (size_t)body_n;
	if (listen_alone(s, type))
		return FORWARD_WAIT;
	account_begin(s);
	if (s->backend->ignoring && strchr("PBDECHQF", type) != NULL) {
		skip(s, in, total); /* as the server would, up to the Sync */
		return FORWARD_NEXT;
	}
	switch (type) {
	case 'X':
		s->goodbye = true; /* PostgreSQL would finish what was sent before, and answer it */
		if (s->backend->expects.syncs > 0 && !s->backend->copying_in)
			return FORWARD_WAIT;
		session_close(s, "client said goodbye");
		return FORWARD_CLOSED;
	case 'P':
	case 'D':
	case 'C': return forward_whole(s, type, body_n, in);
	case 'B': return forward_bind(s, in, body_n);
	case 'Q':
		/* Short ones are waited for, so that their text can be understood. */
		if (in.n < total && total <= HELD_MAX)
			return FORWARD_WAIT;
		return forward_query(s, in, body_n, in.n >= total);
	case 'E':
	case 'S':
	case 'H':
	case 'F':
	case 'd':
	case 'c':
	case 'f': return forward_plain(s, type, in, total);
	default: return fail(s, "08P01", "unexpected message type");
	}
}

/* CopyData needs no thought: all that is there, with the begin of the next one, goes in one piece, which the connection need not copy.
 * false = there is none. */
static bool forward_copy(struct session *s, struct span in)
{
	uint32_t max = (uint32_t)s->config->max_packet_size, body_n;
	size_t total;
	const char *why;
	char type;

	if (in.p[0] != 'd')
		return false;
	total = frame_run(in, 'd', max);
	if (frame_peek(span_skip(in, total), max, &type, &body_n, &why) == FRAME_OK && type == 'd')
		total += FRAME_HEADER + (size_t)body_n;
	if (total == 0)
		return false;
	account_begin(s);
	pass_on(s, in, total);
	return true;
}

/* The rest of a long message. true = go on. */
static bool forward_rest(struct session *s)
{
	struct span in = conn_input(s->client);
	size_t left = s->client_left;

	if (left == 0)
		return true;
	if (in.n == 0)
		return false;
	if (s->client_skip)
		skip(s, in, left);
	else if (s->left_unread)
		pass_unread(s, in, left);
	else
		pass_on(s, in, left);
	return s->client_left == 0;
}

bool forward_input(struct session *s)
{
	enum forward f = FORWARD_NEXT;

	while (f == FORWARD_NEXT && s->state == SESSION_BUSY && s->backend != NULL) {
		struct span in;

		if (s->backend->expects.n >= PIPELINE_MAX) {
			hold_wait(s);
			return true;
		}
		if (conn_full(s->backend->conn)) {
			conn_pause(s->client);
			return true;
		}
		if (!forward_rest(s))
			return true;
		if (s->copy != COPY_CERTAIN && copy_holds(s))
			return true;
		in = conn_input(s->client);
		if (in.n == 0)
			return true;
		if (s->asked > 0 || s->parting || s->skipping || image_holds(s))
			return true; /* what the transaction has changed, or whether it goes on, is known in a moment */
		s->held = false;
		if (forward_copy(s, in)) {
			s->flushed = false;
			continue;
		}
		f = forward_one(s, in);
		if (f == FORWARD_NEXT)
			s->flushed = false;
	}
	return f != FORWARD_CLOSED;
}

enum step step_busy(struct session *s)
{
	bool was_cut = s->client_left > 0;

	/* The replies may all have come while the rest of a long message, or a cancel request, was still under way, or messages that
	 * an error makes the server skip. */
	if (forward_input(s) && ((was_cut && s->client_left == 0) || s->quiet_waits || s->unsynced) &&
	    relay_quiet(s))
		return STEP_AGAIN;
	return STEP_WAIT;
}
