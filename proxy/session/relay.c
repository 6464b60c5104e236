/* Backend to client: replies are delivered in runs of whole messages; hidden ones are taken out; long ones stream through. */
#include "proxy/session/image_ids.h"
#include "proxy/session/listen.h"
#include "proxy/session/session_private.h"

#include "proxy/backend/servers.h"
#include "proxy/base/check.h"
#include "protocol/back.h"
#include "protocol/write.h"

#include <stdio.h>

#define WHOLE_MAX (64u * 1024u * 1024u) /* longest error or hidden row */
#define STREAM_ABOVE (32u * 1024u)	/* longer rows and CopyData are not waited for */

/* Bytes of the backend's input that are for the client and have not been sent yet. */
struct run {
	struct span in;
	size_t from, to;
};

static void run_send(struct session *s, struct run *r)
{
	struct span bytes = span_of(r->in.p + r->from, r->to - r->from);

	if (bytes.n > 0) {
		conn_send(s->client, bytes.p, bytes.n);
		fill_tee(s, bytes);
	}
	r->from = r->to;
}

static void run_skip(struct run *r, size_t n)
{
	check(r->from == r->to);
	r->from += n;
	r->to += n;
}

void relay_locals(struct session *s)
{
	struct backend *b = s->backend;
	struct expect *head;

	if (b->stream_left > 0)
		return; /* not into the middle of a message */
	while ((head = expect_head(&b->expects)) != NULL && head->kind == EXPECT_LOCAL) {
		struct buf *out = conn_out(s->client);
		size_t before = out->len;

		if (head->local == '1') {
			write_parse_complete(out);
		} else if (head->local == '3') {
			write_close_complete(out);
		}
		stmts_done(&s->stmts, head->change);
		if (!out->failed)
			fill_tee(s, span_of(out->p + before, out->len - before));
		conn_flush_later(s->client);
		expect_pop(&b->expects);
	}
}

/* --- errors --- */

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

/* A hidden request failed and the client cannot go on. The message is consumed first: whoever has the backend next must not read
 * it again. */
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
	conn_consume(b->conn, r->to + used);
	backend_reply_done(b, 'E', REPLY_ERROR, NULL, NULL);
	b->dirty = true;
	session_fatal(s, state, text, hint[0] != '\0' ? hint : NULL);
}

/* An ErrorResponse. false = the session is closed. */
static bool on_error(struct session *s, struct run *r, const struct frame *f, size_t used)
{
	struct backend *b = s->backend;
	struct expect *head = expect_head(&b->expects);
	enum expect_why why = head != NULL ? (enum expect_why)head->why : WHY_CLIENT;
	struct dropped d = {.s = s, .head = head};

	s->fill.spoiled = true;
	run_send(s, r);
	if (s->copy_open)
		copy_failed(s);
	if (why == WHY_ABORT || (why == WHY_RESET && head->index == 1) ||
	    (why == WHY_TRY && tries_refused(s, head, f->body))) {
		run_skip(r, used);
		backend_reply_done(b, 'E', REPLY_ERROR, on_dropped, &d);
		return true;
	}
	if (why == WHY_IMAGE || why == WHY_TRY || why == WHY_INSPECT || why == WHY_PROBE ||
	    why == WHY_INVENTORY || why == WHY_LISTEN) {
		if (has_state(f->body, "26000"))
			b->broken = true; /* our own statements are gone */
		fatal_from(s, r, f->body, used,
			   s->welcome_learning ? "" : "session settings cannot be kept: ");
		return false;
	}
	if (replay_helps(s, head, f->body)) {
		run_skip(r, used);
		replay_prepare(s);
		backend_reply_done(b, 'E', REPLY_ERROR, on_dropped, &d);
		return true;
	}
	s->replaying = false;
	s->reset_done = RESET_NONE; /* rolled back */
	if (why == WHY_CHECK && check_error(s, head)) {
		run_skip(r, used);
	} else if (head != NULL && rename_error(s, head, f->body)) {
		run_skip(r, used);
	} else {
		r->to += used;
		run_send(s, r);
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

/* --- messages that belong to no request --- */

static void tell_instead(struct session *s, struct run *r, struct span name, struct span value)
{
	if (settings_set(&s->params, name, &value) == 0)
		return;
	run_send(s, r);
	write_param_status(conn_out(s->client), name, value);
	conn_flush_later(s->client);
	image_note_params(s);
	s->fill.spoiled = true;
}

static void on_async(struct session *s, struct run *r, const struct frame *f, size_t used)
{
	struct expect *head = expect_head(&s->backend->expects);
	bool hidden = head != NULL && head->why != WHY_CLIENT;
	struct back_param p;
	const char *why, *reset;

	if (f->type == 'S') {
		backend_note_param(s->backend, f->body);
		if (back_param_decode(f->body, &p, &why) != 0)
			p = (struct back_param){0};
		/* RESET goes to what the client's startup packet asked for; the shared backend reports its own default. */
		reset = s->reset_done > RESET_NONE || image_reports_at_once(s->backend)
				? image_reset_value(s, p.name, p.value)
				: NULL;
		if (hidden && head->why == WHY_RESET)
			tell_instead(s, r, p.name, p.value);
		else if (!hidden && reset != NULL)
			tell_instead(s, r, p.name, span_str(reset));
		hidden = hidden || reset != NULL;
		/* A value that the client knows already is the echo of our own image commands, whose report PostgreSQL gives
		 * only with the next ReadyForQuery: it says nothing new, and must not spoil the answer for the cache. */
		if (!hidden && settings_set(&s->params, p.name, &p.value) == 0)
			hidden = true;
		else if (!hidden)
			image_note_params(s);
	}
	if (f->type == 'A')
		run_send(s, r);
	if ((hidden && f->type != 'A') || (f->type == 'A' && listen_relay(s, f->body))) {
		run_send(s, r);
		run_skip(r, used);
		return;
	}
	/* An answer with a notice or a changed parameter cannot be given again from the cache. */
	s->fill.spoiled = true;
	r->to += used;
}

/* --- hidden replies --- */

/* The request at the head has succeeded, or is a simple query that was tried. */
static void answered(struct session *s, const struct expect *head)
{
	stmts_done(&s->stmts, head->change);
	s->unsettling -= head->unsettles;
}

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

static void on_hidden(struct session *s, const struct frame *f, enum reply_step step)
{
	struct backend *b = s->backend;
	struct expect head = *expect_head(&b->expects);
	const char *why;

	if (step == REPLY_LAST)
		answered(s, &head);
	if (f->type == 'D')
		on_hidden_row(s, &head, f->body);
	if (f->type == 'Z')
		back_ready_decode(f->body, &b->status, &why);
	backend_reply_done(b, f->type, step, NULL, NULL);
	if (step != REPLY_LAST)
		return;
	if (head.why == WHY_IMAGE && head.kind == EXPECT_EXECUTE && head.index == 1)
		image_synced(s);
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

/* --- replies to the client's requests --- */

/* The server has none of the statements any more that were made so far; those behind it in the pipeline are to come. */
static void forget_prepared(struct session *s)
{
	struct backend *b = s->backend;

	stmts_forget_all(&s->stmts);
	prepared_clear_held(&b->prepared);
	backend_sys_doubt(b); /* those behind it in the pipeline are there */
	b->unnamed = UNNAMED_UNKNOWN;
}

static void on_complete(struct session *s, struct span body)
{
	struct span tag;
	const char *why;

	if (back_complete_decode(body, &tag, &why) != 0)
		return;
	if (s->copy_open)
		copy_ends(s);
	wishes_answered(&s->wishes, tag);
	check_tag(s, tag);
	if (span_eq(tag, span_str("DISCARD ALL")))
		s->reset_done = RESET_OF_ALL;
	else if (span_eq(tag, span_str("RESET")) && s->reset_done < RESET_DONE)
		s->reset_done = RESET_DONE;
	else if (span_eq(tag, span_str("SET")) && s->reset_done == RESET_NONE)
		s->reset_done = RESET_PERHAPS; /* SET x = DEFAULT is a RESET too */
	if (span_eq(tag, span_str("DISCARD ALL")) || span_eq(tag, span_str("DEALLOCATE ALL"))) {
		forget_prepared(s);
		if (tag.n == strlen("DISCARD ALL"))
			s->backend->seq_owner = 0;
	} else if (span_eq(tag, span_str("DISCARD SEQUENCES"))) {
		s->backend->seq_owner = 0;
	} else if (span_eq(tag, span_str("DEALLOCATE"))) {
		hold_deallocated(s);
	}
}

/* A parameter that was at the backend's default all the time is not reported by its RESET, but the client's default is another. */
static void tell_resets(struct session *s, struct run *r)
{
	enum reset_done done = s->reset_done;

	if (done < RESET_OF_ALL)
		s->reset_done = RESET_PERHAPS; /* only those that are certain */
	for (unsigned i = 0; i < s->startup.n; i++) {
		struct span name = span_str(s->startup.at[i].name);
		const char *now = settings_get(&s->backend->params, s->startup.at[i].name);
		const char *value = image_reset_value(s, name, span_str(now != NULL ? now : ""));

		if (value != NULL && settings_get(&s->params, s->startup.at[i].name) != NULL)
			tell_instead(s, r, name, span_str(value));
	}
	s->reset_done = done;
}

static void on_ready(struct session *s, struct run *r, const struct frame *f, size_t used)
{
	struct backend *b = s->backend;
	const char *why;
	char status = 'I';

	run_send(s, r);
	if (s->reset_done > RESET_NONE)
		tell_resets(s, r);
	/* PostgreSQL reports what has changed since its last report, which another client has had. */
	image_tell_params(s, false);
	s->reset_done = RESET_NONE;
	back_ready_decode(f->body, &status, &why);
	b->status = status;
	b->copying_in = false;
	fill_end(s); /* before ReadyForQuery, which is not part of the answer */
	if (status == 'I')
		listen_flush(s);
	r->to += used;
	run_send(s, r);
	txn_ready(s, status);
}

/* One whole message. false = stop: the session is closed or the backend gone. */
static bool on_message(struct session *s, struct run *r, const struct frame *f, size_t used)
{
	struct backend *b = s->backend;
	enum reply_step step = backend_reply(b, f->type);
	struct expect *head = expect_head(&b->expects);

	switch (step) {
	case REPLY_ASYNC: on_async(s, r, f, used); return s->state != SESSION_CLOSED;
	case REPLY_BAD:
		b->broken = true;
		session_fatal(s, "08P01", "the server sent an unexpected message", NULL);
		return false;
	case REPLY_ERROR: return on_error(s, r, f, used);
	default: break;
	}
	if (head->why != WHY_CLIENT) {
		run_send(s, r);
		on_hidden(s, f, step);
		run_skip(r, used);
		relay_locals(s);
		return s->state != SESSION_CLOSED;
	}
	s->replaying = false;
	switch (f->type) {
	case 'Z':
		if (head->doubtful)
			forward_synced(s);
		on_ready(s, r, f, used);
		break;
	case '2':
		if (head->index == 1)
			s->begin_portal = s->query_failed = false;
		r->to += used;
		break;
	case '1':
		if (s->parsing != NULL && s->parsing_number == head->stmt)
			s->parsing->valid_for = parse_circumstances(s);
		r->to += used;
		break;
	case 'G':
		copy_begins(s);
		/* fall through */
	case 'H':
	case 'W':
	case 's':
		s->fill.spoiled = true;
		r->to += used;
		break;
	case 'C':
		on_complete(s, f->body);
		/* fall through */
	default: r->to += used; break;
	}
	if (step == REPLY_LAST) {
		answered(s, head);
		backend_reply_done(b, f->type, step, NULL, NULL);
		head = expect_head(&b->expects);
		if (head != NULL && head->kind == EXPECT_LOCAL) {
			run_send(s, r);
			relay_locals(s);
		}
	}
	return true;
}

/* The begin of a message that is too long to be waited for. false = it has to be whole. */
static bool on_long(struct session *s, struct run *r, char type, uint32_t body_n)
{
	struct backend *b = s->backend;
	struct expect *head = expect_head(&b->expects);
	size_t here = r->in.n - r->to;

	if (body_n <= STREAM_ABOVE || strchr("DdTV", type) == NULL)
		return false;
	if (backend_reply(b, type) == REPLY_BAD || head == NULL || head->why != WHY_CLIENT)
		return false;
	r->to += here;
	run_send(s, r);
	b->stream_left = (uint32_t)(FRAME_HEADER + body_n - here);
	if (type == 'T' && head->kind == EXPECT_DESCRIBE) {
		answered(s, head);
		backend_reply_done(b, 'T', REPLY_LAST, NULL, NULL);
	}
	return true;
}

/* A long message that has to be there whole (an error, a hidden row): room for it. */
static bool wait_for_whole(struct session *s, uint32_t body_n)
{
	struct backend *b = s->backend;

	if (body_n > WHOLE_MAX) {
		b->broken = true;
		session_fatal(s, "54000", "the server sent a message that is too long", NULL);
		return false;
	}
	conn_input_max(b->conn, FRAME_HEADER + (size_t)body_n);
	return true;
}

static void stream_rest(struct session *s, struct run *r)
{
	struct backend *b = s->backend;
	size_t here = r->in.n < b->stream_left ? r->in.n : b->stream_left;

	r->to = here;
	run_send(s, r);
	b->stream_left -= (uint32_t)here;
	relay_locals(s);
}

/* Rows and CopyData of an answer to the client, and what describes them to a simple query, need no thought: as many as are there are
 * added to the run. */
static void take_rows(struct session *s, struct run *r)
{
	struct expect *head = expect_head(&s->backend->expects);
	size_t n;

	if (head == NULL || head->why != WHY_CLIENT ||
	    (head->kind != EXPECT_QUERY && head->kind != EXPECT_EXECUTE))
		return;
	do {
		struct span rest = span_skip(r->in, r->to);
		char type = rest.n > 0 ? (char)rest.p[0] : '\0';

		if (type != 'D' && type != 'd' && (type != 'T' || head->kind != EXPECT_QUERY))
			return;
		n = frame_run(rest, type, BACKEND_INPUT_MAX / 2);
		r->to += n;
		s->replaying &= n == 0;
	} while (n > 0);
}

/* What can be delivered of the input that is there. */
static bool relay_some(struct session *s)
{
	struct backend *b = s->backend;
	struct run r = {.in = conn_input(b->conn)};
	bool going = true;

	if (b->stream_left > 0)
		stream_rest(s, &r);
	while (going && b->stream_left == 0) {
		struct span rest;
		struct frame f;
		uint32_t body_n;
		const char *why = "";
		char type;
		enum frame_status st;

		take_rows(s, &r);
		rest = span_skip(r.in, r.to);
		st = frame_peek(rest, UINT32_MAX - 16, &type, &body_n, &why);
		if (st == FRAME_MORE)
			break;
		if (st == FRAME_BAD) {
			b->broken = true;
			session_fatal(s, "08P01", "the server broke the protocol", NULL);
			return false;
		}
		if (rest.n < FRAME_HEADER + (size_t)body_n) {
			if (!on_long(s, &r, type, body_n) && body_n > BACKEND_INPUT_MAX / 2)
				going = wait_for_whole(s, body_n);
			break;
		}
		if (body_n > BACKEND_INPUT_MAX / 2)
			conn_input_max(b->conn, BACKEND_INPUT_MAX);
		f = (struct frame){.type = type, .body = span_of(rest.p + FRAME_HEADER, body_n)};
		if (listen_holds(s, type, f.body))
			break;
		going = on_message(s, &r, &f, FRAME_HEADER + (size_t)body_n);
		if (going && f.type == 'Z' && expect_head(&b->expects) == NULL)
			break; /* quiet: the session decides what comes next */
	}
	if (!going)
		return false;
	run_send(s, &r);
	conn_consume(b->conn, r.to);
	return true;
}

/* Nothing is outstanding in either direction: the session decides what becomes of the backend. */
bool relay_quiet(struct session *s)
{
	struct backend *b = s->backend;

	if (b == NULL || (s->state != SESSION_BUSY && s->state != SESSION_WELCOME) ||
	    expect_head(&b->expects) != NULL || b->stream_left > 0 ||
	    (s->client_left > 0 && !s->client_skip) || s->held || listen_waits(s))
		return false;
	if (s->unsynced) {
		forward_part(s);
		return false;
	}
	txn_quiet(s);
	return s->state != SESSION_BUSY;
}

void relay_input(struct session *s)
{
	struct backend *b;

	while (s->state != SESSION_CLOSED && (b = s->backend) != NULL && conn_input(b->conn).n > 0) {
		size_t before = conn_input(b->conn).n;

		if (conn_full(s->client)) {
			conn_pause(b->conn); /* on_output of the client resumes it */
			return;
		}
		if (!relay_some(s))
			return;
		if (!relay_quiet(s) && s->backend == b && conn_input(b->conn).n == before)
			return;
	}
}

static void on_input(void *user)
{
	struct session *s = user;

	relay_input(s);
	session_run(s);
}

static void on_output(void *user)
{
	struct session *s = user;

	conn_resume(s->client);
	session_run(s);
}

static void on_closed(void *user, const struct err *err)
{
	struct session *s = user;
	struct backend *b = s->backend;
	bool free_of_state = s->state == SESSION_READY && s->status == 'I' && s->pins == 0 && s->asked == 0;

	s->backend = NULL;
	stmts_no_literals(&s->stmts);
	conn_resume(s->client);
	if (free_of_state && !s->server_gone)
		return;
	fill_drop(s);
	if (s->server_gone) {
		session_close(s, err->text);
		return;
	}
	if (b->stream_left > 0) {
		/* The client waits for the rest of a row: an error would be taken for it. */
		session_close(s, "server connection lost in the middle of a row");
		return;
	}
	session_fatal(s, err->sqlstate[0] ? err->sqlstate : "08006", err->text, NULL);
}

const struct backend_user_ops relay_ops = {
	.on_input = on_input, .on_output = on_output, .on_closed = on_closed};
