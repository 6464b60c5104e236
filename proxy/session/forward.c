/* Client to backend: messages are forwarded one by one; what is long streams through. */
#include "proxy/session/forward_private.h"
#include "proxy/session/listen.h"

#define PIPELINE_MAX (EXPECT_MAX / 2) /* answers that are waited for, then the client waits */

enum forward forward_fail(struct session *s, const char *sqlstate, const char *message)
{
	if (strcmp(sqlstate, "08P01") == 0)
		count(&s->house->host.counters, protocol_errors);
	session_fatal(s, sqlstate, message, NULL);
	return FORWARD_CLOSED;
}

int forward_expecting(struct session *s, enum expect_kind kind)
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

void forward_pass_on(struct session *s, struct span in, size_t total)
{
	size_t n = in.n < total ? in.n : total;

	conn_send(s->backend->conn, in.p, n);
	conn_consume(s->client, n);
	s->client_left = (uint32_t)(total - n);
	s->client_skip = s->left_unread = false;
}

void forward_pass_unread(struct session *s, struct span in, size_t total)
{
	customs_note_long(s, span_of(in.p, in.n < total ? in.n : total));
	forward_pass_on(s, in, total);
	s->left_unread = s->client_left > 0;
}

void forward_skip(struct session *s, struct span in, size_t total)
{
	size_t n = in.n < total ? in.n : total;

	conn_consume(s->client, n);
	s->client_left = (uint32_t)(total - n);
	s->client_skip = s->client_left > 0;
}

void forward_synced(struct session *s)
{
	s->unsynced = false;
	s->binds_unsettle = s->forgets = s->bound = s->bound_unnamed = s->ran = false;
	s->backend->ignoring = false;
	if (s->changed.n > 0)
		under_synced(s);
}

int forward_sync_sent(struct session *s)
{
	if (s->backend->copying_in)
		return copy_sync(s);
	if (s->copies)
		s->copy = COPY_SENT;
	forward_synced(s);
	return forward_expecting(s, EXPECT_SYNC);
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
	s->unsynced = s->binds_unsettle = s->forgets = s->bound = s->ran = false;
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
	return forward_expecting(s, EXPECT_CLOSE);
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
			forward_close_failed_portal(s);
			forward_close_begin_portal(s);
		}
		s->unsettling += e.unsettles;
		rc = expect_push(&s->backend->expects, &e);
		break;
	case 'S': rc = forward_sync_sent(s); break;
	case 'H': rc = flush_sent(s, total); break;
	case 'F':
		txn_note_unknown(s);
		s->unsynced = false;
		rc = forward_expecting(s, EXPECT_FUNCTION);
		break;
	case 'c':
	case 'f':
		s->backend->copying_in = false;
		rc = expect_local(s, 0, 0);
		break;
	default: break;
	}
	if (rc != 0)
		return forward_fail(s, "54000", FORWARD_TOO_MANY);
	forward_pass_on(s, in, total);
	if (type == 'E' && s->client_left == 0)
		forward_ran(s, false);
	return FORWARD_NEXT;
}

/* Messages that have to be there whole before they can be forwarded. */
static enum forward forward_whole(struct session *s, char type, uint32_t body_n, struct span in)
{
	size_t total = FRAME_HEADER + (size_t)body_n;

	if (in.n < total) {
		if (type == 'P' && body_n > PARSE_MAX)
			return forward_refuse_parse(s, in, total);
		if (type != 'P' && body_n > SMALL_MAX)
			return forward_fail(s, "54000", "message is too long");
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
	case FRAME_BAD: return forward_fail(s, "08P01", why);
	case FRAME_OK: break;
	}
	total = FRAME_HEADER + (size_t)body_n;
	if (listen_alone(s, type))
		return FORWARD_WAIT;
	account_begin(s);
	if (s->backend->ignoring && strchr("PBDECHQF", type) != NULL) {
		forward_skip(s, in, total); /* as the server would, up to the Sync */
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
	default: return forward_fail(s, "08P01", "unexpected message type");
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
	forward_pass_on(s, in, total);
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
		forward_skip(s, in, left);
	else if (s->left_unread)
		forward_pass_unread(s, in, left);
	else
		forward_pass_on(s, in, left);
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
		if (s->asked > 0 || s->parting || s->skipping || image_holds(s) || forward_restores(s))
			return true; /* what the transaction has changed, or whether it goes on, is known in a moment */
		if (s->held)
			ready_linked(s);
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
	bool was_cut = s->client_left > 0, open = forward_input(s);

	if (s->cancel_waits && open)
		startup_cancel_again(s);
	/* The replies may all have come while the rest of a long message, or a cancel request, was still under way, or messages that
	 * an error makes the server skip. */
	if (open && ((was_cut && s->client_left == 0) || s->quiet_waits || s->unsynced) && relay_quiet(s))
		return STEP_AGAIN;
	return STEP_WAIT;
}
