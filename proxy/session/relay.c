/* Backend to client: replies are delivered in runs of whole messages; hidden ones are taken out; long ones stream through. */
#include "proxy/session/listen.h"
#include "proxy/session/relay_private.h"

#include "protocol/back.h"
#include "protocol/write.h"

#define WHOLE_MAX (64u * 1024u * 1024u) /* longest error or hidden row */
#define STREAM_ABOVE (32u * 1024u)	/* longer rows and CopyData are not waited for */

void relay_send(struct session *s, struct run *r)
{
	struct span bytes = span_of(r->in.p + r->from, r->to - r->from);

	if (bytes.n > 0) {
		conn_send(s->client, bytes.p, bytes.n);
		fill_tee(s, bytes);
	}
	r->from = r->to;
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

/* --- messages that belong to no request --- */

static void tell_instead(struct session *s, struct run *r, struct span name, struct span value)
{
	if (settings_set(&s->params, name, &value) == 0)
		return;
	relay_send(s, r);
	write_param_status(conn_out(s->client), name, value);
	conn_flush_later(s->client);
	image_note_params(s);
	s->fill.spoiled = true;
}

/* PostgreSQL says it again whenever the text is parsed, so a Parse of it always goes there. */
static void note_warning(struct session *s, const struct expect *head)
{
	struct stmt *stmt = NULL;

	if (head != NULL && head->kind == EXPECT_PARSE && head->why == WHY_CLIENT && head->change != 0)
		stmt = stmts_find(&s->stmts, stmts_change_name(&s->stmts, head->change));
	if (stmt != NULL)
		stmt->warned = true;
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
		reset = s->reset_done > RESET_NONE ? image_reset_value(s, p.name, p.value) : NULL;
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
		relay_send(s, r);
	if (f->type == 'N')
		note_warning(s, head);
	if ((hidden && f->type != 'A') || (f->type == 'A' && listen_relay(s, f->body))) {
		relay_send(s, r);
		relay_skip(r, used);
		return;
	}
	/* An answer with a notice or a changed parameter cannot be given again from the cache. */
	s->fill.spoiled = true;
	r->to += used;
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
	s->logins_changed |= span_eq(tag, span_str("ALTER ROLE")) || span_eq(tag, span_str("DROP ROLE")) ||
			     span_eq(tag, span_str("ALTER DATABASE"));
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

	relay_send(s, r);
	back_ready_decode(f->body, &status, &why);
	if (status == 'I' && b->expects.n == 1) /* nothing behind it has been noted */
		image_block_ended(s);
	if (s->reset_done > RESET_NONE)
		tell_resets(s, r);
	/* PostgreSQL reports what has changed since its last report, which another client has had. */
	image_tell_params(s, false);
	s->reset_done = RESET_NONE;
	b->status = status;
	b->copying_in = false;
	fill_end(s); /* before ReadyForQuery, which is not part of the answer */
	if (status == 'I')
		listen_flush(s);
	r->to += used;
	relay_send(s, r);
	txn_ready(s, status);
}

/* The head is answered. */
static void request_done(struct session *s, struct run *r, struct expect *head)
{
	relay_answered(s, head);
	backend_answered(s->backend);
	head = expect_head(&s->backend->expects);
	if (head != NULL && head->kind == EXPECT_LOCAL) {
		relay_send(s, r);
		relay_locals(s);
	}
}

/* One whole message that take_answers() has left. false = stop: the session is closed or the backend gone. */
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
	case REPLY_ERROR: return relay_error(s, r, f, used);
	default: break;
	}
	if (head->why != WHY_CLIENT) {
		relay_send(s, r);
		relay_hidden(s, f, step);
		relay_skip(r, used);
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
	case 'G':
		copy_begins(s);
		/* fall through */
	case 'H':
	case 'W':
	case 's':
		s->fill.spoiled = true;
		r->to += used;
		break;
	default: r->to += used; break;
	}
	if (step == REPLY_LAST)
		request_done(s, r, head);
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
	relay_send(s, r);
	b->stream_left = (uint32_t)(FRAME_HEADER + body_n - here);
	if (type == 'T' && head->kind == EXPECT_DESCRIBE) {
		relay_answered(s, head);
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
	relay_send(s, r);
	b->stream_left -= (uint32_t)here;
	relay_locals(s);
}

/* --- the usual replies --- */

/* The size of the message, when it is whole and short; else 0. */
static size_t whole(struct span in)
{
	uint32_t n = in.n < FRAME_HEADER ? 0 : frame_length(in.p);

	return n < 4 || n > BACKEND_INPUT_MAX / 2 || n >= in.n ? 0 : n + 1;
}

/* A message to a request of the client that has not failed: what it does. PART, LAST, or BAD = it is another one. */
static enum reply_step take_one(struct session *s, const struct expect *head, char type, struct span body)
{
	switch (head->kind) {
	case EXPECT_PARSE:
		if (type != '1')
			return REPLY_BAD;
		if (s->parsing != NULL && s->parsing_number == head->stmt)
			s->parsing->valid_for = parse_circumstances(s);
		return REPLY_LAST;
	case EXPECT_BIND:
		if (type != '2')
			return REPLY_BAD;
		if (head->index == 1)
			s->begin_portal = s->query_failed = false;
		return REPLY_LAST;
	case EXPECT_DESCRIBE:
		return type == 'T' || type == 'n' ? REPLY_LAST : type == 't' ? REPLY_PART : REPLY_BAD;
	case EXPECT_CLOSE: return type == '3' ? REPLY_LAST : REPLY_BAD;
	case EXPECT_EXECUTE:
	case EXPECT_QUERY:
		if (type != 'C')
			return REPLY_BAD;
		on_complete(s, body);
		return head->kind == EXPECT_QUERY ? REPLY_PART : REPLY_LAST;
	default: return REPLY_BAD;
	}
}

/* Rows and CopyData, and what describes them to a simple query, need no thought at all. How many bytes there are. */
static size_t rows(const struct expect *head, struct span in)
{
	char type = (char)in.p[0];
	bool is_query = head->kind == EXPECT_QUERY;

	if ((type != 'D' && type != 'd' && (type != 'T' || !is_query)) ||
	    (!is_query && head->kind != EXPECT_EXECUTE))
		return 0;
	return frame_run(in, type, BACKEND_INPUT_MAX / 2);
}

/* As many whole messages for the client as are there, of those that nearly all are, are added to the run. */
static void take_answers(struct session *s, struct run *r)
{
	struct expect *head;
	struct span in;
	size_t n;

	while ((head = expect_head(&s->backend->expects)) != NULL && head->why == WHY_CLIENT &&
	       (in = span_skip(r->in, r->to)).n >= FRAME_HEADER) {
		enum reply_step step = REPLY_PART;

		n = rows(head, in);
		if (n == 0) {
			n = whole(in);
			step = n == 0 ? REPLY_BAD
				      : take_one(s, head, (char)in.p[0],
						 span_of(in.p + FRAME_HEADER, n - FRAME_HEADER));
		}
		if (step == REPLY_BAD)
			return;
		r->to += n;
		s->replaying = false;
		if (step == REPLY_LAST)
			request_done(s, r, head);
	}
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

		take_answers(s, &r);
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
		if (s->listen != NULL && listen_holds(s, type, f.body))
			break;
		going = on_message(s, &r, &f, FRAME_HEADER + (size_t)body_n);
		if (going && f.type == 'Z' && expect_head(&b->expects) == NULL)
			break; /* quiet: the session decides what comes next */
	}
	if (!going)
		return false;
	relay_send(s, &r);
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
