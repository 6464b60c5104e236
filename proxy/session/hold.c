/* Which statements the backend holds for the client's names: the shared ones under our names, made again where they are missing, and
 * those that SQL can reach under the client's own. A name is used only when it is certain what it stands for. */
#include "proxy/session/session_private.h"

#include "proxy/base/utf8.h"
#include "protocol/write.h"

#include <stdio.h>

#define OUR_PREFIX "pgweir_"

static uint64_t batch_now(const struct session *s)
{
	return s->backend->expects.batches_sent;
}

/* A hidden request. When the queue is full its reply could not be told from others, so the backend is not used again. */
static void expecting_hidden(struct session *s, const struct expect *e)
{
	if (expect_push(&s->backend->expects, e) != 0)
		s->backend->broken = true;
}

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
		prepared_closing(&b->prepared, id);
	}
}

/* The number of a statement that is parsed now: it is shared only between sessions with equal settings. */
static uint64_t number_now(struct session *s, struct stmt *stmt)
{
	return under_number_now(s, under_now(s, stmt), stmt);
}

/* The client's name stands for it from here on. 0 = too many bytes. */
static uint64_t parsed_now(struct session *s, struct span name, struct stmt *stmt, uint64_t number)
{
	uint64_t change = stmts_change(&s->stmts, name, stmt, number, under_now(s, stmt), batch_now(s));

	if (change != 0)
		under_note_types(s, stmts_parsed(&s->stmts, name), stmt);
	return change;
}

/* Sends the client's own Parse. */
static int send_parse(struct session *s, struct span name, struct stmt *stmt, const struct expect *e)
{
	under_parse(s, name, NULL, stmt, NULL);
	if (expect_push(&s->backend->expects, e) != 0)
		return -1;
	if (!e->again)
		under_learn(s, under_now(s, stmt), stmt);
	return 0;
}

/* --- what is certain --- */

/* It may take names away or make some. */
bool hold_unsettles(const struct facts *f)
{
	return f->nstmts < 0 || (f->effects & (EFFECT_PREPARED | EFFECT_DISCARD)) != 0;
}

static bool state_certain(const struct session *s, uint64_t number, enum prepared_state state)
{
	struct backend *b = s->backend;

	switch (state) {
	case PREPARED_CLOSING: return false;
	case PREPARED_PENDING: return !expect_in_flight(&b->expects, prepared_batch(&b->prepared, number));
	default: return true;
	}
}

static bool number_certain(const struct session *s, uint64_t number)
{
	return state_certain(s, number, prepared_look(&s->backend->prepared, number));
}

/* .. of a statement of the client's, under the number that it is going to have: what has to be made again is shared with those who
 * have the settings of now. */
static bool parsed_certain(struct session *s, struct parsed *p, struct stmt *stmt)
{
	uint64_t number = under_number(s, p, stmt);
	enum prepared_state state = prepared_look(&s->backend->prepared, number);

	if (state == PREPARED_NOT)
		return under_others(s, p, stmt) || number_certain(s, number_now(s, stmt));
	return state_certain(s, number, state);
}

/* Inside one batch what was sent before has succeeded, or this will be skipped as well. Behind a Sync it may have failed. */
bool hold_certain(struct session *s, struct span name)
{
	struct expects *q = &s->backend->expects;
	struct parsed *p = stmts_parsed(&s->stmts, name);
	uint64_t batch;

	if (stmts_open(&s->stmts, name, &batch) && expect_in_flight(q, batch))
		return false;
	if (p != NULL && s->changed.n > 0 && !under_known(s, p, stmts_find(&s->stmts, name)))
		return false;
	if (name.n == 0)
		return !expect_in_flight(q, s->backend->unnamed_batch);
	if (s->unsettling > 0)
		return false;
	return p == NULL || parsed_certain(s, p, stmts_find(&s->stmts, name));
}

bool hold_just_parsed(const struct session *s, struct span name)
{
	const struct parsed *p;
	uint64_t batch;

	if (name.n > 0 || s->changed.n > 0 || !stmts_open(&s->stmts, name, &batch) || batch != batch_now(s))
		return false;
	p = stmts_parsed(&s->stmts, name);
	return p != NULL && p->under == s->meaning && p->number == s->backend->unnamed && p->number != 0;
}

static bool sql_certain(struct session *s, struct span name)
{
	struct parsed *p = stmts_parsed(&s->stmts, name);
	uint64_t batch;

	return !(stmts_open(&s->stmts, name, &batch) && expect_in_flight(&s->backend->expects, batch)) &&
	       (p == NULL || under_known(s, p, stmts_find(&s->stmts, name)));
}

/* Are the names certain that SQL is about to use? */
bool hold_sql_certain(struct session *s, const struct facts *f)
{
	if (!hold_unsettles(f))
		return true;
	for (int i = 0; i < f->nstmts; i++)
		if (f->stmts[i].prepared != NULL && !sql_certain(s, span_str(f->stmts[i].prepared)))
			return false;
	return s->unsettling == 0;
}

void hold_wait(struct session *s)
{
	if (!s->unsynced || s->flushed)
		return;
	/* The server keeps its answers back until a Sync that waits behind what is held back here. */
	write_flush(conn_out(s->backend->conn));
	conn_flush_later(s->backend->conn);
	s->flushed = true;
}

/* May SQL have made statements on this backend, which share their names with those of the protocol? */
bool hold_sql_names(const struct session *s)
{
	return (s->pins & (1u << PIN_PREPARED)) != 0 || (s->effects & EFFECT_PREPARED) != 0;
}

/* --- names that are no text --- */

bool hold_name_sound(const struct session *s, struct span name)
{
	const char *encoding;

	if (utf8_is_ascii(name))
		return true;
	encoding = settings_get(&s->params, "client_encoding");
	return s->same_encoding && encoding != NULL && strcmp(encoding, "UTF8") == 0 && utf8_valid(name);
}

/* It does not reach the server in its message, so the server looks at it in another: an error is the client's. */
static int show_name(struct session *s, struct span name)
{
	struct expect e = {.kind = EXPECT_CLOSE, .why = WHY_PARSE};

	if (hold_name_sound(s, name) || hold_sql_names(s))
		return 0;
	write_close(conn_out(s->backend->conn), 'S', name);
	conn_flush_later(s->backend->conn);
	return expect_push(&s->backend->expects, &e);
}

/* --- statements under our names --- */

bool hold_held(struct session *s, struct span name)
{
	uint64_t number = under_number(s, stmts_parsed(&s->stmts, name), stmts_find(&s->stmts, name));

	if (stmts_is_literal(&s->stmts, name))
		return true;
	if (name.n == 0)
		return s->backend->unnamed == number && number != 0;
	return number != 0 && prepared_look(&s->backend->prepared, number) != PREPARED_NOT;
}

/* The number of a statement that has to be made again. Under the settings of now it is shared with those who have the same. */
static uint64_t number_again(struct session *s, struct parsed *p, struct stmt *stmt, uint64_t number)
{
	struct meaning *now = under_now(s, stmt);

	if (under_others(s, p, stmt))
		return number;
	number = number_now(s, stmt);
	if (s->backend->status == 'E')
		return number; /* it may be refused */
	p->number = number;
	if (now == s->meaning)
		stmts_parsed_under(&s->stmts, p, now);
	under_note_types(s, p, stmt);
	return number;
}

/* The client's statement under its server name. */
static uint64_t hold_named(struct session *s, struct span client_name, struct stmt *stmt)
{
	struct backend *b = s->backend;
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_PARSE};
	struct parsed *p = stmts_parsed(&s->stmts, client_name);
	char name[PREPARED_NAME_MAX];

	e.stmt = under_number(s, p, stmt);
	if (e.stmt == 0 || prepared_look(&b->prepared, e.stmt) == PREPARED_NOT)
		e.stmt = number_again(s, p, stmt, e.stmt);
	if (prepared_look(&b->prepared, e.stmt) != PREPARED_NOT)
		return e.stmt;
	make_room(s);
	under_parse(s, prepared_name(e.stmt, name), p, stmt, &e);
	prepared_sent(&b->prepared, e.stmt, batch_now(s));
	count(&s->house->host.counters, reparses);
	return e.stmt;
}

static void hold_unnamed(struct session *s)
{
	struct backend *b = s->backend;
	struct stmts *t = &s->stmts;
	struct stmt *stmt = stmts_find(t, span_str(""));
	struct parsed *p = stmts_parsed(t, span_str(""));
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_PARSE};
	uint64_t number = stmt != NULL ? under_number(s, p, stmt) : 0;

	if (stmt != NULL && b->unnamed == number && b->unnamed != 0)
		return;
	if (stmt == NULL) {
		/* This client has none: PostgreSQL must not find another client's. */
		if (b->unnamed == 0)
			return;
		e = (struct expect){.kind = EXPECT_CLOSE, .why = WHY_PARSE};
		write_close(conn_out(b->conn), 'S', span_str(""));
		backend_unnamed(b, 0);
		conn_flush_later(b->conn);
		expecting_hidden(s, &e);
	} else {
		number = number_again(s, p, stmt, number);
		under_parse(s, span_str(""), p, stmt, &e);
		backend_unnamed(b, number);
		count(&s->house->host.counters, reparses);
	}
}

/* The name that the backend knows for the client's `name`; *e is what the answer of its user needs. */
struct span hold_server_name(struct session *s, struct span name, char out[PREPARED_NAME_MAX],
			     struct expect *e)
{
	struct stmt *stmt = stmts_find(&s->stmts, name);

	if (name.n == 0) {
		hold_unnamed(s);
		return name;
	}
	if (stmts_is_literal(&s->stmts, name))
		return name;
	if (stmt != NULL) {
		e->name_id = stmts_id(&s->stmts, name);
		e->stmt = hold_named(s, name, stmt);
		return prepared_name(e->stmt, out);
	}
	if (name.n >= sizeof OUR_PREFIX - 1 && memcmp(name.p, OUR_PREFIX, sizeof OUR_PREFIX - 1) == 0) {
		/* Nobody may reach our names. */
		e->change = stmts_mention(&s->stmts, name, batch_now(s));
		return span_str(HOLD_NO_SUCH);
	}
	return name; /* an unknown one goes as it is: the error is PostgreSQL's */
}

/* --- Parse --- */

/* The name is in use. PostgreSQL looks at the text first and then says 42P05, which is what it does with a name of ours that it holds
 * for sure; relay.c puts the client's name into the message. */
static int parse_again(struct session *s, struct span name, struct stmt *stmt)
{
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_CLIENT, .again = true};

	e.change = stmts_mention(&s->stmts, name, batch_now(s));
	if (e.change == 0 || backend_sys_hold(s->backend, SYS_COMMIT, WHY_PARSE) != 0)
		return -1;
	return send_parse(s, span_str(backend_sys_name(SYS_COMMIT)), stmt, &e);
}

/* SQL may have made one of that name: PostgreSQL has to look. */
static int parse_literal(struct session *s, struct span name, struct stmt *stmt)
{
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_CLIENT};

	e.change = parsed_now(s, name, stmt, number_now(s, stmt));
	if (e.change == 0)
		return -1;
	stmts_mark_literal(&s->stmts, name);
	s->backend->dirty = true;
	return send_parse(s, name, stmt, &e);
}

static int parse_ours(struct session *s, struct span name, struct stmt *stmt, uint64_t number)
{
	struct backend *b = s->backend;
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_CLIENT, .stmt = number};
	char ours[PREPARED_NAME_MAX];

	e.change = parsed_now(s, name, stmt, number);
	if (e.change == 0)
		return -1;
	if (s->parsing != NULL)
		stmt_unref(s->parsing);
	s->parsing = under_now(s, stmt) == s->meaning ? stmt_ref(stmt) : NULL;
	s->parsing_number = number;
	if (prepared_look(&b->prepared, number) != PREPARED_NOT)
		return expect_local(s, '1', e.change);
	make_room(s);
	prepared_sent(&b->prepared, number, batch_now(s));
	return send_parse(s, prepared_name(number, ours), stmt, &e);
}

/* A failed transaction refuses to parse what does not end it, or lead out of its failure. */
static bool allowed_when_failed(const struct facts *f)
{
	const struct stmt_facts *one = f->stmts;

	if (f->nstmts == 0 || one->command == COMMAND_COMMIT || one->command == COMMAND_ROLLBACK)
		return true;
	return one->command == COMMAND_TXN &&
	       (one->tag == NULL || (strcmp(one->tag, "SAVEPOINT") != 0 && strcmp(one->tag, "RELEASE") != 0));
}

static enum hold parse_unnamed(struct session *s, struct stmt *stmt, struct span message)
{
	struct span name = span_str("");
	struct meaning *now = under_now(s, stmt);
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_CLIENT};
	uint64_t number = number_now(s, stmt);

	e.change = parsed_now(s, name, stmt, number);
	if (e.change == 0)
		return HOLD_TOO_MUCH;
	backend_unnamed(s->backend, number);
	if (message.n > 0) {
		conn_send(s->backend->conn, message.p, message.n);
		tally_add(s->tally, TALLY_server_parses, 1);
	} else {
		under_parse(s, name, NULL, stmt, NULL);
	}
	if (expect_push(&s->backend->expects, &e) != 0)
		return HOLD_TOO_MUCH;
	under_learn(s, now, stmt);
	return HOLD_DONE;
}

enum hold hold_parse(struct session *s, struct span name, struct stmt *stmt, struct span message)
{
	uint64_t number;

	if (name.n == 0)
		return parse_unnamed(s, stmt, message);
	if (!hold_certain(s, name))
		return HOLD_WAIT;
	if (stmts_find(&s->stmts, name) != NULL)
		return parse_again(s, name, stmt) == 0 ? HOLD_DONE : HOLD_TOO_MUCH;
	if (hold_sql_names(s))
		return parse_literal(s, name, stmt) == 0 ? HOLD_DONE : HOLD_TOO_MUCH;
	number = stmt->warned ? stmt_number_fresh() : number_now(s, stmt);
	if (!number_certain(s, number))
		return HOLD_WAIT;
	if (show_name(s, name) != 0)
		return HOLD_TOO_MUCH;
	if (prepared_look(&s->backend->prepared, number) == PREPARED_HELD) {
		/* Not sent, so it has to be known that it would not fail. */
		if (s->backend->expects.batches_sent != s->backend->expects.batches_done)
			return HOLD_WAIT;
		if (s->backend->status == 'E' && !allowed_when_failed(stmt->facts))
			return parse_again(s, name, stmt) == 0 ? HOLD_DONE : HOLD_TOO_MUCH;
	}
	return parse_ours(s, name, stmt, number) == 0 ? HOLD_DONE : HOLD_TOO_MUCH;
}

/* It fails in a failed transaction as well, and takes no unnamed statement away. */
int hold_refuse(struct session *s)
{
	struct expect e = {.kind = EXPECT_PARSE, .why = WHY_CLIENT, .refused = true};

	write_parse(conn_out(s->backend->conn), span_str(HOLD_NO_SUCH), span_str(HOLD_REFUSED), NULL, 0);
	conn_flush_later(s->backend->conn);
	return expect_push(&s->backend->expects, &e);
}

int hold_close(struct session *s, struct span name)
{
	struct expect e = {.kind = EXPECT_CLOSE, .why = WHY_CLIENT};
	bool literal = stmts_is_literal(&s->stmts, name) ||
		       (name.n > 0 && hold_sql_names(s) && stmts_find(&s->stmts, name) == NULL);

	if (show_name(s, name) != 0)
		return -1;
	e.change = stmts_change_away(&s->stmts, name, batch_now(s));
	if (!literal)
		return expect_local(s, '3', e.change);
	write_close(conn_out(s->backend->conn), 'S', name);
	conn_flush_later(s->backend->conn);
	return expect_push(&s->backend->expects, &e);
}

/* --- SQL's PREPARE, EXECUTE, DEALLOCATE --- */

/* What the client has prepared by protocol is there under its own name as well, for SQL that names it. */
void hold_for_sql(struct session *s, const struct facts *f)
{
	if (s->status == 'E' || s->backend->status == 'E')
		return; /* the error is another one */
	for (int i = 0; i < f->nstmts; i++) {
		struct span name = span_str(f->stmts[i].prepared != NULL ? f->stmts[i].prepared : "");
		struct stmt *stmt = name.n > 0 ? stmts_find(&s->stmts, name) : NULL;
		struct expect e = {.kind = EXPECT_PARSE, .why = WHY_PARSE};

		if (stmt == NULL || stmts_is_literal(&s->stmts, name))
			continue;
		s->backend->dirty = true; /* nobody else may have it */
		/* Perhaps there is one that was to go (below), and did not. */
		write_close(conn_out(s->backend->conn), 'S', name);
		expecting_hidden(s, &(struct expect){.kind = EXPECT_CLOSE, .why = WHY_PARSE});
		if (f->nstmts == 1 && f->stmts[i].command == COMMAND_DEALLOCATE) {
			/* It only has to be there: whether it could still be parsed does not matter. */
			write_parse(conn_out(s->backend->conn), name, span_str("SELECT"), NULL, 0);
			expecting_hidden(s, &e);
		} else {
			e.change = stmts_literal(&s->stmts, name, batch_now(s));
			under_parse(s, name, stmts_parsed(&s->stmts, name), stmt, &e);
		}
	}
}

/* A DEALLOCATE of one name has succeeded; several in one text succeed in their order. */
void hold_deallocated(struct session *s)
{
	const struct facts *f = s->deallocating != NULL ? s->deallocating->facts : NULL;

	for (; f != NULL && s->deallocating_at < f->nstmts; s->deallocating_at++) {
		const struct stmt_facts *one = &f->stmts[s->deallocating_at];

		if (one->command != COMMAND_DEALLOCATE)
			continue;
		s->deallocating_at++;
		if (one->name != NULL)
			stmts_remove(&s->stmts, span_str(one->name));
		return;
	}
}
