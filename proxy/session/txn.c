/* Transactions of a session: where they are, what they have done, and what becomes of the backend at their end. */
#include "proxy/session/listen.h"
#include "proxy/session/session_private.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "protocol/write.h"

/* What forces a look at the backend after the transaction: the text does not show the outcome. */
#define EFFECTS_PROBED                                                                                      \
	(EFFECT_TAINT | EFFECT_LOAD | EFFECT_PROCESS | EFFECT_TEMP | EFFECT_HOLD_CURSOR | EFFECT_ADVISORY | \
	 EFFECT_LISTEN | EFFECT_PREPARED | EFFECT_DISCARD)

/* What may end a block, and savepoints. */
#define COMMANDS_OF_BLOCKS                                                                          \
	(COMMAND_BIT(COMMAND_BEGIN) | COMMAND_BIT(COMMAND_COMMIT) | COMMAND_BIT(COMMAND_ROLLBACK) | \
	 COMMAND_BIT(COMMAND_TXN))

static void forget_begin(struct session *s)
{
	if (s->begin != NULL)
		stmt_unref(s->begin);
	s->begin = NULL;
}

void txn_begin_virtual(struct session *s, struct stmt *begin)
{
	forget_begin(s);
	s->begin = stmt_ref(begin);
	s->begin_extended = false;
	s->txn = TXN_VIRTUAL;
	s->txn_since_us = loop_now_us(s->house->host.loop);
	s->status = 'T';
	s->clean = true;
	s->queried = false;
	s->above_rc = (begin->facts->effects & EFFECT_TXN_SNAPSHOT) != 0;
	count(&s->house->host.counters, begins_deferred);
}

void txn_end_local(struct session *s)
{
	forget_begin(s);
	s->txn = TXN_NONE;
	s->status = 'I';
	s->clean = true;
	s->above_rc = s->queried = false;
	repeat_end(s);
	check_end(s);
	count(&s->house->host.counters, begins_saved);
	account_xact(s);
}

/* The deferred BEGIN, in front of the first statement that needs a backend. In the extended protocol and without Sync, so that
 * nothing runs should it fail. */
void txn_materialise(struct session *s)
{
	struct backend *b = s->backend;
	struct buf *out = conn_out(b->conn);
	struct span text = s->begin->text;
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_BEGIN};

	if (s->begin->facts->effects & EFFECT_TXN_MODE) {
		write_parse(out, span_str(""), text, NULL, 0);
		b->unnamed = UNNAMED_UNKNOWN;
		expect_push(&b->expects, &e);
		write_bind_text(out, span_str(""), span_str(""), NULL, 0);
		e.kind = EXPECT_BIND;
		expect_push(&b->expects, &e);
		write_execute(out, span_str(""), 0);
		e.kind = EXPECT_EXECUTE;
		expect_push(&b->expects, &e);
		conn_flush_later(b->conn);
	} else {
		backend_sys(b, SYS_BEGIN, NULL, 0, WHY_BEGIN, 0);
	}
	s->begin_portal = !s->begin_extended;
	replay_begin_sent(s, s->begin);
	forget_begin(s);
	s->txn = TXN_REAL;
}

void txn_virtual_again(struct session *s, struct stmt *begin)
{
	forget_begin(s);
	s->begin = begin != NULL ? stmt_ref(begin) : NULL;
	s->txn = begin != NULL ? TXN_VIRTUAL : TXN_NONE;
}

void txn_fail(struct session *s)
{
	backend_query(s->backend, "pgweir has refused a statement of this transaction", WHY_ABORT);
}

bool txn_stands_alone(const struct session *s)
{
	const struct expects *q = &s->backend->expects;

	return s->txn == TXN_NONE && s->backend->status == 'I' && !s->bound && q->visible == 0;
}

/* Its backend is nobody else's any more (keepers.h). */
static void note_process(struct session *s)
{
	if (!s->policy->pin_process_state)
		return;
	s->effects |= EFFECT_PROCESS;
	s->lasting_pins |= 1u << PIN_PROCESS;
}

void txn_note_unknown(struct session *s)
{
	s->clean = s->queried = false;
	repeat_wrote(s, NULL, 0);
	s->schema_changed = true;
	s->code_changed |= s->served == NULL;
	if (s->replication != NULL)
		return;
	s->effects |= EFFECT_TAINT;
	if (keepers_known(s))
		note_process(s);
	image_note_unknown(s);
	sequence_note(s, EFFECT_TAINT | EFFECT_WRITES);
	backend_sys_doubt(s->backend);
}

/* Proven free of writes, locks and side effects? Only the catalog can tell; without one nothing is served anyway. */
static bool harmless(struct session *s, struct stmt *stmt)
{
	const struct catalog *catalog;
	struct reads_session rs;
	struct reads *reads;
	uint64_t epoch;

	if (s->served == NULL || !cache_on(s->served->cache))
		return false;
	catalog = served_catalog(s->served, &epoch);
	if (catalog == NULL)
		return false;
	if (!key_reads(s, &rs))
		return false;
	reads = memo_reads(stmt, catalog, &rs);
	return reads != NULL && reads_harmless(reads);
}

/* DDL, and what may contain it. */
static bool changes_schema(const struct facts *f)
{
	if (f->effects & EFFECT_DDL)
		return true;
	for (int i = 0; i < f->nstmts; i++)
		if (f->stmts[i].command == COMMAND_DO)
			return true;
	return false;
}

/* .. of the kind that other statements may run unseen. What is temporary is run by its own session only, which is probed. */
static bool brings_code(const struct stmt *stmt)
{
	static const char harmless_verb[] = "TRUNCATE";
	size_t n = sizeof harmless_verb - 1;

	return changes_schema(stmt->facts) && (stmt->facts->effects & EFFECT_TEMP) == 0 &&
	       (stmt->facts->nstmts != 1 || stmt->text.n < n ||
		strncasecmp((const char *)stmt->text.p, harmless_verb, n) != 0);
}

static bool mentions(struct span text, const char *word)
{
	return memmem(text.p, text.n, word, strlen(word)) != NULL;
}

bool txn_runs_hidden_code(struct session *s, struct stmt *stmt)
{
	const struct facts *f = stmt->facts;

	if (f->nstmts == 0)
		return false;
	/* An UPDATE of that view is a SET. */
	if ((f->effects & EFFECT_WRITES) &&
	    (mentions(stmt->text, "pg_settings") || mentions(stmt->text, "PG_SETTINGS")))
		return true;
	if (!s->hooks && !pool_suspect(s->pool, s->backend))
		return false;
	for (int i = 0; i < f->nstmts; i++)
		switch (f->stmts[i].command) {
		case COMMAND_BEGIN:
		case COMMAND_COMMIT: /* deferred triggers run here, but their statement has been noted */
		case COMMAND_ROLLBACK:
		case COMMAND_TXN:
		case COMMAND_SET:
		case COMMAND_SET_TXN:
		case COMMAND_SHOW:
		case COMMAND_DEALLOCATE:
		case COMMAND_DISCARD:
		case COMMAND_LISTEN:
		case COMMAND_UNLISTEN:
		case COMMAND_NOTIFY: break;
		default: return !harmless(s, stmt);
		}
	return false;
}

bool txn_text_certain(const struct session *s, const struct stmt *stmt)
{
	return stmt->facts->nstmts >= 0 &&
	       (s->certain || (s->certain_plain && memchr(stmt->text.p, '\\', stmt->text.n) == NULL));
}

static bool may_end_block(const struct facts *f)
{
	if ((f->commands & COMMANDS_OF_BLOCKS) == 0)
		return false;
	for (int i = 0; i < f->nstmts; i++) {
		const struct stmt_facts *one = &f->stmts[i];
		bool savepoint = one->command == COMMAND_TXN && one->name != NULL;

		if (!savepoint && (COMMAND_BIT(one->command) & COMMANDS_OF_BLOCKS) != 0)
			return true;
	}
	return false;
}

void txn_note(struct session *s, struct stmt *stmt)
{
	const struct facts *f = stmt->facts;
	uint32_t effects = f->effects;

	account_text(s, stmt);
	if (s->replication != NULL)
		return;
	if (!txn_text_certain(s, stmt)) {
		txn_note_unknown(s);
		customs_note_long(s, stmt->text);
		return;
	}
	effects |= txn_runs_hidden_code(s, stmt) ? EFFECT_TAINT : 0;
	s->effects |= effects;
	if (effects & EFFECT_TAINT)
		customs_note_words(s, stmt->text);
	sequence_note(s, effects);
	if (effects & EFFECT_TAINT)
		backend_sys_doubt(s->backend); /* not those that stand in front of it */
	if (s->served == NULL && brings_code(stmt)) {
		pools_suspect(s->house->pools, s->database);
		s->code_changed = true;
	}
	if (effects & EFFECT_LOAD)
		s->lasting_pins |= 1u << PIN_LOAD;
	if ((effects & EFFECT_PROCESS) || ((effects & EFFECT_TAINT) && keepers_met(s, stmt)))
		note_process(s);
	if (f->effects & EFFECT_TEMP)
		s->backend->temp_used = true;
	for (int i = 0; i < f->nstmts; i++) {
		image_note(s, &f->stmts[i], s->unsynced || (f->commands & COMMAND_BIT(COMMAND_BEGIN)) != 0);
		wishes_note(&s->wishes, &f->stmts[i]);
	}
	if ((f->effects & EFFECT_RESET_ALL) && s->status != 'E')
		wishes_reset(&s->wishes, s->txn != TXN_NONE);
	if (f->effects & EFFECT_TXN_SNAPSHOT)
		s->above_rc = true;
	if (may_end_block(f))
		s->queried = false; /* the next block may be sent before this one is answered */
	if (changes_schema(f))
		s->schema_changed = true;
	if ((s->clean || s->context != NULL) && f->nstmts > 0 && !harmless(s, stmt)) {
		s->clean = false;
		repeat_wrote(s, stmt, effects);
	}
}

/* Only now do backends that log in see it. Roles are those of all databases. */
static void code_committed(struct session *s)
{
	if (s->logins_changed)
		pools_reconnect(s->house->pools, NULL);
	if (s->code_changed)
		pools_suspect(s->house->pools, s->database);
	s->code_changed = false;
	s->logins_changed = false;
}

void txn_ready(struct session *s, char status)
{
	/* The commit is visible and its reply is about to be: until the feed has looked, nothing is served. */
	if (status == 'I' && s->schema_changed && s->served != NULL)
		origin_suspect_ddl(s->served->origin);
	if (status == 'I' && (s->code_changed || s->logins_changed))
		code_committed(s);
	if (status == 'I' && s->schema_changed)
		pools_schema_changed(s->house->pools, s->database);
	if (status == 'I')
		s->schema_changed = false;
	s->status = status;
	s->floor_us = s->served_us = clock_us();
	s->owed_ready = false;
	account_ready(s, s->floor_us, status == 'I');
	if (status != 'I' && s->txn == TXN_NONE)
		s->txn_since_us = loop_now_us(s->house->host.loop);
	s->txn = status == 'I' ? TXN_NONE : TXN_REAL;
	s->query_failed &= status != 'I';
}

void txn_parted(struct session *s, char status)
{
	s->parting = false;
	s->owed_ready = true;
	s->status = status;
	s->txn = status == 'I' ? TXN_NONE : TXN_REAL;
	/* The client was shown the catalog of now: no rows from before (bounded). */
	s->floor_us = clock_us();
	s->statement_us = 0; /* what it thinks about is no part of the statement's time */
	if (status == 'I')
		s->xact_us = 0;
}

static bool keeps_backend(const struct session *s)
{
	return s->status != 'I' || s->pins != 0 || s->policy->pool_mode == POOL_MODE_SESSION;
}

/* A RESET has been answered. Behind the transaction image_inspect and image_link do it. true = still BUSY: the answers are ours */
static bool restores(struct session *s)
{
	if (!s->restore_due || s->status == 'E')
		return false; /* what a ROLLBACK TO leaves is to be seen */
	if (s->status != 'I' && s->backend->cancel != NULL) {
		s->quiet_waits = true; /* it could hit ours; server_cancel calls again */
		return true;
	}
	s->restore_due = false;
	return s->status != 'I' && image_put_back(s, true);
}

void txn_quiet(struct session *s)
{
	struct backend *b = s->backend;

	if (s->welcome_learning) {
		welcome_learned(s);
		return;
	}
	s->quiet_waits = false;
	s->copies = false;
	s->copy = COPY_CERTAIN;
	wishes_settled(&s->wishes);
	if (restores(s))
		return;
	/* Only here: in a pipeline the statements behind a ReadyForQuery have been noted already. */
	if (s->status == 'I') {
		wishes_end(&s->wishes,
			   true); /* its COMMIT or ROLLBACK has been seen, or there was no block */
		s->clean = true;
		s->above_rc = s->queried = false;
		repeat_end(s);
		check_end(s);
	}
	if (s->status == 'I' && s->asked == 0 && listen_settle(s))
		return; /* still BUSY: the answers are ours */
	if (s->status == 'I' && s->asked == 0 && (s->touched.n > 0 || txn_needs_probe(s))) {
		if (b->cancel != NULL) {
			s->quiet_waits = true;
			return; /* it could hit our question; server_cancel calls again */
		}
		if (image_inspect(s))
			return; /* still BUSY: the answers are ours */
	}
	s->cancel_waits = false;
	session_enter(s, SESSION_READY);
	if (s->status == 'I')
		sequence_keep(s);
	if (s->over_pinned) {
		session_fatal(
			s, "53300",
			"too many sessions of this pool keep their server connection (max_pinned)",
			"Temporary tables, session advisory locks, LISTEN, WITH HOLD cursors and PREPARE bind a session to a server connection.");
		return;
	}
	if (s->policy->pool_mode == POOL_MODE_STATEMENT && s->status != 'I') {
		session_fatal(s, "08P01", "transaction blocks not allowed in statement pooling mode", NULL);
		return;
	}
	if (s->house->draining && s->status == 'I' && conn_input(s->client).n == 0 &&
	    clock_us() >= s->house->drain_busy_us) {
		session_fatal(s, "57P01", "the proxy is shutting down", NULL);
		return;
	}
	if (s->status == 'I') {
		s->effects = 0;
		under_end(s);
	}
	if (!keeps_backend(s))
		txn_let_go(s);
}

void txn_let_go(struct session *s)
{
	struct backend *b = s->backend;

	s->backend = NULL;
	stmts_no_literals(&s->stmts);
	if (s->config->server_reset_query_always)
		b->dirty = true;
	backend_give_back(b, true);
}

bool txn_needs_probe(const struct session *s)
{
	/* A pinned session may have dropped what it was pinned for. */
	return (s->effects & EFFECTS_PROBED) != 0 ||
	       (s->pins != 0 && (s->effects & (EFFECT_DDL | EFFECT_PORTAL)) != 0);
}

bool txn_left_traces(const struct session *s)
{
	return s->lasting_pins != 0 ||
	       (s->effects & (EFFECTS_PROBED | EFFECT_RESET_ALL | EFFECT_LOAD | EFFECT_ROLE)) != 0;
}
