/* Client to backend: messages are forwarded one by one; names of prepared statements become ours, and what has to be parsed again is
 * parsed in front. Long messages stream through. */
#include "proxy/session/image_ids.h"
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "protocol/write.h"

#include <stdio.h>

#define PARSE_MAX (16u * 1024u * 1024u) /* a Parse has to be held whole */
#define SMALL_MAX (64u * 1024u)		/* Describe, Close, Execute, Sync, .. */
#define HELD_MAX (60u * 1024u)		/* what conn_input can hold for sure */
#define OUR_PREFIX "pgweir_"

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

/* A hidden request. When the queue is full its reply could not be told from others, so the backend is not used again. */
static void expecting_hidden(struct session *s, const struct expect *e)
{
	if (expect_push(&s->backend->expects, e) != 0)
		s->backend->broken = true;
}

/* A reply of ours in its place in the order. */
static int expecting_local(struct session *s, char type, uint64_t client_stmt)
{
	struct expect e = {
		.kind = EXPECT_LOCAL, .why = WHY_CLIENT, .local = type, .client_stmt = client_stmt};
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
	s->client_skip = false;
}

static void skip(struct session *s, struct span in, size_t total)
{
	size_t n = in.n < total ? in.n : total;

	conn_consume(s->client, n);
	s->client_left = (uint32_t)(total - n);
	s->client_skip = s->client_left > 0;
}

/* --- prepared statements on the backend --- */

static void make_room(struct session *s)
{
	struct backend *b = s->backend;
	unsigned max = (unsigned)s->config->max_prepared_statements;
	char name[PREPARED_NAME_MAX];
	uint64_t id;

	if (max == 0)
		max = 1; /* names need at least one; 0 cannot switch them off */
	while (b->prepared.n >= max && (id = prepared_oldest(&b->prepared)) != 0) {
		struct expect e = {.kind = EXPECT_CLOSE, .why = WHY_EVICT, .stmt = id};

		write_close(conn_out(b->conn), 'S', prepared_name(id, name));
		expecting_hidden(s, &e);
		prepared_forget(&b->prepared, id);
	}
}

static void send_parse(struct session *s, struct span name, struct stmt *stmt)
{
	write_parse(conn_out(s->backend->conn), name, stmt->text, stmt->oids, stmt->noids);
	conn_flush_later(s->backend->conn);
}

/* PostgreSQL turns literals into values when it parses, under the settings of that moment: a statement is shared only between
 * sessions with equal settings. */
static uint64_t prepared_id(struct session *s, struct stmt *stmt)
{
	const uint32_t unsettled = EFFECT_SETTING | EFFECT_RESET_ALL | EFFECT_ROLE | EFFECT_TAINT;

	/* Settings that this transaction has changed are known only at its end. */
	if (s->txn_image_id == 0 && (s->touched.n > 0 || s->asked > 0 || (s->effects & unsettled) != 0))
		s->txn_image_id = image_ids_fresh(s->house->image_ids);
	return stmt_number(stmt, s->txn_image_id != 0 ? s->txn_image_id : s->image_id);
}

/* The client's statement under its server name. It was parsed under the settings of the client's Parse, and a backend that
 * holds that one is right whatever the settings are now; another one parses it under those of now. */
static void hold_named(struct session *s, struct span client_name, struct stmt *stmt,
		       char name[PREPARED_NAME_MAX], struct span *name_r)
{
	struct backend *b = s->backend;
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_PARSE};
	uint64_t *number = stmts_number(&s->stmts, client_name);

	if (*number == 0 || prepared_look(&b->prepared, *number) == PREPARED_NOT)
		*number = prepared_id(s, stmt);
	e.stmt = *number;
	*name_r = prepared_name(e.stmt, name);
	if (prepared_look(&b->prepared, e.stmt) != PREPARED_NOT)
		return;
	make_room(s);
	send_parse(s, *name_r, stmt);
	prepared_sent(&b->prepared, e.stmt);
	expecting_hidden(s, &e);
	count(&s->house->host.counters, reparses);
}

static void hold_unnamed(struct session *s)
{
	struct backend *b = s->backend;
	struct stmts *t = &s->stmts;
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_PARSE};

	if (t->unnamed != NULL && b->unnamed == t->unnamed_number && b->unnamed != 0)
		return;
	if (t->unnamed == NULL) {
		/* This client has none: PostgreSQL must not find another client's. */
		if (b->unnamed == 0)
			return;
		e = (struct expect){.kind = EXPECT_CLOSE, .why = WHY_PARSE};
		write_close(conn_out(b->conn), 'S', span_str(""));
		b->unnamed = 0;
	} else {
		send_parse(s, span_str(""), t->unnamed);
		t->unnamed_number = prepared_id(s, t->unnamed);
		b->unnamed = t->unnamed_number;
		count(&s->house->host.counters, reparses);
	}
	conn_flush_later(b->conn);
	expecting_hidden(s, &e);
}

/* The name that the backend knows for the client's `name`. */
static struct span server_name(struct session *s, struct span name, char out[PREPARED_NAME_MAX])
{
	struct stmt *stmt = stmts_find(&s->stmts, name);
	struct span server = name;

	if (name.n == 0) {
		hold_unnamed(s);
		return name;
	}
	if (stmt != NULL)
		hold_named(s, name, stmt, out, &server);
	else if (name.n >= sizeof OUR_PREFIX - 1 && memcmp(name.p, OUR_PREFIX, sizeof OUR_PREFIX - 1) == 0)
		return span_str("pgweir-no-such-statement"); /* nobody may reach our names */
	return server; /* an unknown one goes as it is: the error is PostgreSQL's */
}

/* --- the messages --- */

static enum forward parse_again(struct session *s, struct span client_name, struct stmt *stmt)
{
	/* The name is in use. The statement it stands for is there or made so, then its Parse fails with 42P05; relay.c puts
	 * the client's name into the message. */
	struct expect e = {
		.kind = EXPECT_PARSE, .why = WHY_CLIENT, .stmt = prepared_id(s, stmt), .rename = true};
	char name[PREPARED_NAME_MAX];
	struct span server;

	hold_named(s, client_name, stmt, name, &server);
	e.stmt = *stmts_number(&s->stmts, client_name);
	send_parse(s, server, stmt);
	return expect_push(&s->backend->expects, &e) != 0
		       ? fail(s, "54000", "too many messages in a pipeline")
		       : FORWARD_NEXT;
}

static enum forward parse_named(struct session *s, struct span client_name, struct stmt *stmt)
{
	struct backend *b = s->backend;
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_CLIENT, .stmt = prepared_id(s, stmt)};
	char name[PREPARED_NAME_MAX];

	if (stmts_add(&s->stmts, client_name, stmt) != 0)
		return fail(s, "54000", "too many or too long prepared statements");
	e.client_stmt = stmts_key(&s->stmts, client_name);
	*stmts_number(&s->stmts, client_name) = e.stmt;
	if (s->parsing != NULL)
		stmt_unref(s->parsing);
	s->parsing = stmt_ref(stmt);
	s->parsing_number = e.stmt;
	if (prepared_look(&b->prepared, e.stmt) != PREPARED_NOT) {
		expecting_local(s, '1', e.client_stmt);
		return FORWARD_NEXT;
	}
	make_room(s);
	send_parse(s, prepared_name(e.stmt, name), stmt);
	prepared_sent(&b->prepared, e.stmt);
	if (expect_push(&b->expects, &e) != 0)
		return fail(s, "54000", "too many messages in a pipeline");
	return FORWARD_NEXT;
}

/* Was the name made by a Parse of an earlier batch of this pipeline that is not answered yet? */
static bool parse_is_open(struct session *s, struct span name)
{
	struct expects *q = &s->backend->expects;
	uint64_t key = stmts_key(&s->stmts, name);
	bool open = false;

	for (uint32_t i = 0; i < q->n; i++) {
		const struct expect *e = expect_at(q, i);

		open |= e->kind == EXPECT_PARSE && e->client_stmt == key;
		if (open && e->kind == EXPECT_SYNC)
			return true;
	}
	return false;
}

static enum forward forward_parse(struct session *s, struct span body, size_t total, struct span in)
{
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_CLIENT};
	struct front_parse p;
	struct stmt *stmt, *old;
	const char *why;
	enum forward f = FORWARD_NEXT;

	if (front_parse_decode(body, &p, &why) != 0)
		return fail(s, "08P01", why);
	s->unsynced = true;
	stmt = memo_get(s->house->memo, p.query, p.param_oids);
	if (stmt == NULL)
		return fail(s, "53200", "out of memory");
	old = p.name.n > 0 ? stmts_find(&s->stmts, p.name) : NULL;
	if (old != NULL && parse_is_open(s, p.name)) {
		/* Whether the name is in use will be known when the batch before has been answered. */
		stmt_unref(stmt);
		return FORWARD_WAIT;
	}
	if (old != NULL) {
		buf_clear(&s->renamed);
		buf_add_span(&s->renamed, p.name);
		f = parse_again(s, p.name, old);
	} else if (p.name.n > 0) {
		f = parse_named(s, p.name, stmt);
	} else {
		stmts_set_unnamed(&s->stmts, stmt);
		s->stmts.unnamed_number = prepared_id(s, stmt);
		s->backend->unnamed = s->stmts.unnamed_number;
		conn_send(s->backend->conn, in.p, total);
		if (expect_push(&s->backend->expects, &e) != 0)
			f = fail(s, "54000", "too many messages in a pipeline");
	}
	stmt_unref(stmt);
	if (f != FORWARD_CLOSED)
		conn_consume(s->client, total);
	return f;
}

static enum forward forward_bind(struct session *s, struct span in, uint32_t body_n)
{
	struct span avail = span_skip(in, FRAME_HEADER), portal, name, server;
	struct buf *out = conn_out(s->backend->conn);
	char ours[PREPARED_NAME_MAX];
	struct stmt *stmt;
	const char *why;
	size_t used;
	size_t rest;

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
	s->unsynced = true;
	server = server_name(s, name, ours);
	stmt = stmts_find(&s->stmts, name);
	if (stmt != NULL)
		txn_note(s, stmt);
	else
		s->clean = false;
	buf_add_u8(out, 'B');
	buf_add_u32(out, (uint32_t)(4 + portal.n + 1 + server.n + 1 + (body_n - used)));
	buf_add_span(out, portal);
	buf_add_u8(out, 0);
	buf_add_span(out, server);
	buf_add_u8(out, 0);
	conn_flush_later(s->backend->conn);
	rest = body_n - used;
	conn_consume(s->client, FRAME_HEADER + used);
	pass_on(s, span_skip(avail, used), rest);
	return expecting(s, EXPECT_BIND) != 0 ? fail(s, "54000", "too many messages in a pipeline")
					      : FORWARD_NEXT;
}

static enum forward forward_target(struct session *s, char type, struct span body, size_t total,
				   struct span in)
{
	struct front_target t;
	char ours[PREPARED_NAME_MAX];
	struct span server;
	const char *why;
	int rc;

	if (front_target_decode(body, &t, &why) != 0)
		return fail(s, "08P01", why);
	s->unsynced = true;
	if (type == 'C' && t.kind == 'S') {
		rc = expecting_local(s, '3', stmts_close_begin(&s->stmts, t.name));
	} else if (t.kind == 'S') {
		server = server_name(s, t.name, ours);
		write_describe(conn_out(s->backend->conn), 'S', server);
		conn_flush_later(s->backend->conn);
		rc = expecting(s, EXPECT_DESCRIBE);
	} else {
		conn_send(s->backend->conn, in.p, total);
		rc = expecting(s, type == 'D' ? EXPECT_DESCRIBE : EXPECT_CLOSE);
	}
	conn_consume(s->client, total);
	return rc != 0 ? fail(s, "54000", "too many messages in a pipeline") : FORWARD_NEXT;
}

static enum forward forward_query(struct session *s, struct span in, uint32_t body_n, bool whole)
{
	struct span text;
	struct stmt *stmt = NULL;
	const char *why;

	if (whole) {
		if (front_query_decode(span_of(in.p + FRAME_HEADER, body_n), &text, &why) != 0)
			return fail(s, "08P01", why);
		stmt = memo_get(s->house->memo, text, span_of(NULL, 0));
	}
	if (stmt != NULL && touches_our_names(stmt->facts)) {
		stmt_unref(stmt);
		return fail(s, "26000", "prepared statements named pgweir_* are the proxy's own");
	}
	if (stmt != NULL) {
		txn_note(s, stmt);
		stmt_unref(stmt);
	} else {
		txn_note_unknown(s);
	}
	stmts_set_unnamed(&s->stmts, NULL);
	s->backend->unnamed = 0;
	s->unsynced = false; /* its ReadyForQuery ends the batch as a Sync would */
	if (expecting(s, EXPECT_QUERY) != 0)
		return fail(s, "54000", "too many messages in a pipeline");
	pass_on(s, in, FRAME_HEADER + (size_t)body_n);
	return FORWARD_NEXT;
}

static enum forward forward_plain(struct session *s, char type, struct span in, size_t total)
{
	int rc = 0;

	switch (type) {
	case 'E':
		s->unsynced = true;
		rc = expecting(s, EXPECT_EXECUTE);
		break;
	case 'S':
		s->unsynced = false;
		s->backend->ignoring = false;
		rc = expecting(s, EXPECT_SYNC);
		break;
	case 'F':
		txn_note_unknown(s);
		s->unsynced = false;
		rc = expecting(s, EXPECT_FUNCTION);
		break;
	case 'c':
	case 'f':
		s->backend->copying_in = false;
		rc = expecting_local(s, 0, 0);
		break;
	default: break;
	}
	if (rc != 0)
		return fail(s, "54000", "too many messages in a pipeline");
	pass_on(s, in, total);
	return FORWARD_NEXT;
}

/* Messages that have to be there whole before they can be forwarded. */
static enum forward forward_whole(struct session *s, char type, uint32_t body_n, struct span in)
{
	size_t total = FRAME_HEADER + (size_t)body_n;
	struct span body;

	if (in.n < total) {
		if (body_n > (type == 'P' ? PARSE_MAX : SMALL_MAX))
			return fail(s, "54000",
				    type == 'P' ? "statement is too long to be prepared"
						: "message is too long");
		conn_input_max(s->client, total > SMALL_MAX ? total : SMALL_MAX);
		return FORWARD_WAIT;
	}
	body = span_of(in.p + FRAME_HEADER, body_n);
	return type == 'P' ? forward_parse(s, body, total, in) : forward_target(s, type, body, total, in);
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
	if (s->statement_us == 0)
		s->statement_us = loop_now_us(s->house->host.loop);
	if (s->backend->ignoring && strchr("PBDECHQF", type) != NULL) {
		skip(s, in, total); /* as the server would, up to the Sync */
		return FORWARD_NEXT;
	}
	switch (type) {
	case 'X':
		s->goodbye = true; /* PostgreSQL would finish what was sent before */
		session_close(s, "client said goodbye");
		return FORWARD_CLOSED;
	case 'P':
	case 'D':
	case 'C': return forward_whole(s, type, body_n, in);
	case 'B': s->unsynced = true; return forward_bind(s, in, body_n);
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
	else
		pass_on(s, in, left);
	return s->client_left == 0;
}

bool forward_input(struct session *s)
{
	enum forward f = FORWARD_NEXT;

	while (f == FORWARD_NEXT && s->state == SESSION_BUSY && s->backend != NULL) {
		struct span in;

		if (conn_full(s->backend->conn)) {
			conn_pause(s->client);
			return true;
		}
		if (!forward_rest(s))
			return true;
		in = conn_input(s->client);
		if (in.n == 0)
			return true;
		if (s->asked > 0)
			return true; /* what the transaction has changed is known in a moment */
		f = forward_one(s, in);
	}
	return f != FORWARD_CLOSED;
}

enum step step_busy(struct session *s)
{
	bool was_cut = s->client_left > 0;

	/* The replies may all have come while the rest of a long message, or a cancel request, was still under way. */
	if (forward_input(s) && ((was_cut && s->client_left == 0) || s->quiet_waits) && relay_quiet(s))
		return STEP_AGAIN;
	return STEP_WAIT;
}
