/* A request arrives while no reply is outstanding: answered here, from the cache, or by a backend. */
#include "proxy/session/listen.h"
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "protocol/write.h"

static void lent(struct lend *lend, struct backend *b, const struct err *err);

/* It knows a custom setting that this client may not find: a new one takes its place. */
static void refuse_backend(struct session *s)
{
	struct backend *b = s->backend;

	s->backend = NULL;
	b->broken = true;
	backend_give_back(b, true);
}

/* A backend for the request in the input: the linked one, a free one now, or one that comes later. */
static enum step want_backend(struct session *s)
{
	struct house *h = s->house;
	struct backend *b;

	if (s->backend != NULL) {
		ready_lent(s);
		return STEP_AGAIN;
	}
	s->lend.fn = lent;
	s->lend.fits = customs_fits;
	b = pool_lend(s->pool, &h->host, &s->lend);
	while (b != NULL && s->lend.strict && !customs_fits(&s->lend, b)) {
		s->backend = b;
		backend_lent(b, &relay_ops, s);
		refuse_backend(s);
		b = pool_lend(s->pool, &h->host, &s->lend);
	}
	s->lending = b == NULL;
	if (b == NULL) {
		count(&h->host.counters, waits);
		s->wait_notified = false;
		session_enter(s, SESSION_QUEUED);
		return STEP_WAIT;
	}
	s->backend = b;
	s->linked = false;
	backend_lent(b, &relay_ops, s);
	tally_add(s->tally, TALLY_assignments, 1);
	ready_lent(s);
	return STEP_AGAIN;
}

/* What other clients have made known while this one waited counts too. */
static void ask_again(struct session *s)
{
	struct batch batch;
	const char *why;

	if (pool_customs(s->pool) &&
	    batch_scan(conn_input(s->client), (uint32_t)s->config->max_packet_size, &batch, &why) == BATCH_OK)
		customs_ask(s, &batch);
}

static void lent(struct lend *lend, struct backend *b, const struct err *err)
{
	struct session *s = (struct session *)(void *)((char *)lend - offsetof(struct session, lend));
	uint64_t waited = clock_us() - lend->since_us;

	s->lending = false;
	if (session_lent_too_late(s, b))
		return;
	count_add(&s->house->host.counters, COUNTER_wait_us, (int64_t)waited);
	hist_add(&s->tally->wait, waited);
	tally_add(s->tally, TALLY_wait_us, waited);
	s->waited_us += waited;
	if (b == NULL) {
		/* Only this statement fails; the client may try again when the database is back. */
		fill_drop(s);
		local_error(s, err->sqlstate[0] ? err->sqlstate : "08006", err->text);
		return;
	}
	s->backend = b;
	s->linked = false;
	backend_lent(b, &relay_ops, s);
	ask_again(s);
	if (lend->strict && !customs_fits(lend, b)) {
		session_enter(s, SESSION_READY);
		refuse_backend(s);
		s->pass_only = true;
	} else {
		tally_add(s->tally, TALLY_assignments, 1);
		ready_lent(s);
	}
	session_run(s);
}

/* Behind the settings: BEGIN, the snapshot of a fill. */
static void go_on(struct session *s)
{
	if (s->txn == TXN_VIRTUAL) {
		txn_materialise(s);
		if (s->status == 'E')
			txn_fail(s);
	}
	if (s->fill_wanted)
		fill_begin(s);
	replay_sent(s);
}

/* In front of the client's own messages. */
void ready_lent(struct session *s)
{
	bool fresh_loan = s->txn != TXN_REAL && !s->unsynced;

	session_enter(s, SESSION_BUSY);
	if (fresh_loan) {
		s->block_epoch = s->served != NULL ? cache_epoch(s->served->cache) : 0;
		image_link(s);
		if (s->held)
			return;
		listen_link(s);
	}
	go_on(s);
}

void ready_linked(struct session *s)
{
	s->held = false;
	listen_link(s);
	go_on(s);
}

void ready_again(struct session *s)
{
	struct backend *b = s->backend;

	s->backend = NULL;
	s->linking = s->held = false;
	settings_clear(&s->tried);
	stmts_no_literals(&s->stmts);
	fill_drop(s);
	b->broken = true;
	backend_give_back(b, true);
	session_enter(s, SESSION_READY);
	if (++s->attempts < READY_ATTEMPTS) {
		s->pass_only = true;
		return;
	}
	s->attempts = 0;
	s->cancel_waits = false;
	local_error(s, "57014", "canceling statement due to statement timeout");
}

static void broke_protocol(struct session *s, const char *why)
{
	count(&s->house->host.counters, protocol_errors);
	session_fatal(s, "08P01", why, NULL);
}

/* Messages that need no thought. true = the batch has been dealt with. */
static bool trivial(struct session *s, const struct batch *batch)
{
	if (strchr("HS", batch->op[0].type) != NULL && batch->op[0].body.n > 0) {
		s->skipping = false;
		return false; /* the error is PostgreSQL's */
	}
	switch (batch->op[0].type) {
	case 'X':
		s->goodbye = true;
		session_close(s, "client said goodbye");
		return true;
	case 'p': broke_protocol(s, "unexpected password message"); return true;
	case 'H': conn_consume(s->client, batch->op[0].end); return true;
	case 'S':
		if (s->backend != NULL && s->txn == TXN_REAL && !s->skipping &&
		    backend_pipelines_are_blocks(s->backend))
			return false; /* it may end an implicit block */
		conn_consume(s->client, batch->op[0].end);
		s->skipping = false;
		local_ready(s);
		return true;
	default: return false;
	}
}

/* The request as a whole: where does it go? */
static enum step dispatch_request(struct session *s, struct batch *batch)
{
	account_begin(s);
	s->fill_wanted = false;
	if (!s->pass_only) {
		if (local_answer(s, batch))
			return s->state == SESSION_CLOSED ? STEP_WAIT : STEP_AGAIN;
		switch (serve_decide(s, batch)) {
		case SERVE_WAIT: return STEP_WAIT;
		case SERVE_DONE: return STEP_AGAIN;
		case SERVE_FILL: s->fill_wanted = true; break;
		case SERVE_PASS: break;
		}
		if (vacate_begin(s, batch))
			return STEP_WAIT;
	}
	s->pass_only = false;
	replay_keep(s, batch);
	customs_ask(s, batch);
	return want_backend(s);
}

static enum step dispatch(struct session *s, struct batch *batch)
{
	struct stmt *stmt;
	enum step step;

	if (trivial(s, batch))
		return s->state == SESSION_CLOSED ? STEP_WAIT : STEP_AGAIN;
	stmt = batch_stmt(s->house->memo, batch, 0, &batch->parse);
	batch->stmt = stmt;
	step = dispatch_request(s, batch);
	if (stmt != NULL)
		stmt_unref(stmt);
	return step;
}

/* CopyData of a COPY that has failed already is thrown away, as PostgreSQL does, however long it is; and behind an error everything up
 * to the Sync. */
static bool thrown_away(struct session *s, struct span in)
{
	const char *types = s->skipping ? "dcfQPBDECHF" : "dcf";
	uint32_t body_n;
	const char *why;
	char type;

	if (in.p[0] == '\0' || strchr(types, (char)in.p[0]) == NULL ||
	    frame_peek(in, (uint32_t)s->config->max_packet_size, &type, &body_n, &why) != FRAME_OK)
		return false;
	s->client_left = FRAME_HEADER + body_n;
	s->client_skip = true;
	return true;
}

enum step step_ready(struct session *s)
{
	struct span in = conn_input(s->client);
	struct batch batch;
	const char *why = "";

	if (s->client_skip) {
		size_t n = in.n < s->client_left ? in.n : s->client_left;

		conn_consume(s->client, n);
		s->client_left -= (uint32_t)n;
		s->client_skip = s->client_left > 0;
		return s->client_skip ? STEP_WAIT : STEP_AGAIN;
	}
	if (in.n == 0)
		return STEP_WAIT;
	if (conn_full(s->client))
		return STEP_WAIT; /* on_output runs us again */
	session_renew(s);
	if (thrown_away(s, in))
		return STEP_AGAIN;
	switch (batch_scan(in, (uint32_t)s->config->max_packet_size, &batch, &why)) {
	case BATCH_MORE: return STEP_WAIT;
	case BATCH_BAD: broke_protocol(s, why); return STEP_WAIT;
	case BATCH_LARGE:
		account_begin(s);
		account_pass(s, REASON_TOO_LARGE);
		s->pass_only = false;
		s->fill_wanted = false;
		s->replaying = false;
		return want_backend(s);
	case BATCH_OK: break;
	}
	return dispatch(s, &batch);
}
