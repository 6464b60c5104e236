/* SET, RESET and SHOW of the proxy's own settings (wishes.def): answered here, never sent to a server, so that nothing of them can be
 * seen by another client. What cannot be answered here, such as several statements in one text, is an error and not silence. */
#include "proxy/session/session_private.h"

#include "protocol/datum.h"
#include "protocol/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* How many answers of this transaction, or the last one, others have changed; can only be shown. */
static const char shows_changed[] = WISHES_PREFIX "context_changed";

static bool own_one(const struct stmt_facts *f)
{
	if (f->command == COMMAND_SHOW)
		return f->name != NULL && wishes_name(f->name);
	return f->command == COMMAND_SET && f->nsettings > 0 && wishes_name(f->settings[0].name);
}

bool own_text(const struct facts *f)
{
	if ((f->commands & (COMMAND_BIT(COMMAND_SHOW) | COMMAND_BIT(COMMAND_SET))) == 0)
		return false;
	for (int i = 0; i < f->nstmts; i++)
		if (own_one(&f->stmts[i]))
			return true;
	return false;
}

/* No server ever hears of it. */
int own_startup(struct session *s, const char *name, struct span value)
{
	enum wish wish = wishes_find(name);
	char text[128], why[512];

	snprintf(text, sizeof text, "%.*s", (int)value.n, (const char *)value.p);
	if (wish < NWISHES && wishes_read(wish, text, &s->arrival->wish_start) == 0) {
		s->arrival->wished[wish] = true;
		return 0;
	}
	if (wish < NWISHES)
		snprintf(why, sizeof why, "invalid value for parameter \"%s\": \"%s\"", name, text);
	else
		snprintf(why, sizeof why, "unrecognized configuration parameter \"%s\"", name);
	free(s->arrival->bad_wish);
	s->arrival->bad_wish = strdup(why);
	return s->arrival->bad_wish != NULL ? 0 : -1;
}

/* --- errors --- */

/* Part of a string constant in SQL; what could end it is left out. */
static void add_plain(struct buf *b, const char *text)
{
	for (size_t i = 0; text[i] != '\0' && i < 200; i++)
		buf_add_u8(b, text[i] == '\'' || text[i] == '\\' || text[i] == '$' || (uint8_t)text[i] < 32 ||
					      (uint8_t)text[i] > 126
				      ? '?'
				      : (uint8_t)text[i]);
}

void own_raise_text(struct buf *b, const char *sqlstate, const char *message, const char *hint)
{
	buf_add_span(b, span_str("DO $pgweir$ BEGIN RAISE EXCEPTION USING ERRCODE = '"));
	buf_add_span(b, span_str(sqlstate));
	buf_add_span(b, span_str("', MESSAGE = '"));
	add_plain(b, message);
	buf_add_span(b, span_str("', HINT = '"));
	add_plain(b, hint);
	buf_add_cstr(b, "'; END $pgweir$");
}

/* In an open transaction the server has to fail as well: it raises the error. */
static void refuse(struct session *s, const struct batch *batch, const char *sqlstate, const char *message,
		   const char *hint)
{
	struct buf text;

	if (s->txn != TXN_REAL || s->backend == NULL || !batch->whole) {
		local_error(s, sqlstate, message);
		return;
	}
	buf_init(&text, 2048);
	own_raise_text(&text, sqlstate, message, hint);
	conn_consume(s->client, batch->op[batch->n - 1].end);
	stmts_set_unnamed(&s->stmts, NULL);
	session_enter(s, SESSION_BUSY);
	if (backend_query(s->backend, (const char *)text.p, WHY_CLIENT) != 0)
		session_fatal(s, "54000", "too many messages in a pipeline", NULL);
	buf_free(&text);
}

static const char hint_alone[] = "Send it as a statement of its own.";

static void refuse_value(struct session *s, const struct batch *batch, const char *sqlstate,
			 const struct setting_change *change)
{
	char message[256];

	if (strcmp(sqlstate, "42704") == 0)
		snprintf(message, sizeof message, "unrecognized configuration parameter \"%.80s\"",
			 change->name);
	else
		snprintf(message, sizeof message, "invalid value for parameter \"%.80s\": \"%.80s\"",
			 change->name, change->value != NULL ? change->value : "");
	refuse(s, batch, sqlstate, message, "See the options of pgweir.");
}

/* --- answers --- */

static void describe(struct buf *out, const struct stmt_facts *f)
{
	struct span name = span_str(f->name != NULL ? f->name : "");
	uint32_t oid = DATUM_TEXT;

	if (f->command == COMMAND_SHOW)
		write_row_description(out, &name, &oid, 1);
	else
		write_no_data(out);
}

static void answer_show(struct session *s, const struct stmt_facts *f)
{
	char text[64];
	struct span value;

	if (strcasecmp(f->name, shows_changed) == 0)
		snprintf(text, sizeof text, "%u", repeat_changed(s));
	else
		wishes_text(wishes_find(f->name), &s->wishes.now, text, sizeof text);
	value = span_str(text);
	write_data_row(conn_out(s->client), &value, 1);
	write_complete(conn_out(s->client), "SHOW");
}

/* false = refused: the whole batch has been dealt with. `rows` = a row description goes in front. */
static bool run(struct session *s, const struct batch *batch, const struct stmt_facts *f, bool rows)
{
	struct buf *out = conn_out(s->client);
	const struct setting_change *change = f->nsettings > 0 ? &f->settings[0] : NULL;
	const char *sqlstate;

	conn_flush_later(s->client);
	if (f->command == COMMAND_SHOW) {
		if (wishes_find(f->name) == NWISHES && strcasecmp(f->name, shows_changed) != 0) {
			refuse_value(s, batch, "42704", &(struct setting_change){.name = f->name});
			return false;
		}
		if (rows)
			describe(out, f);
		answer_show(s, f);
		return true;
	}
	if (change->action == SETTING_SET && change->value == NULL) {
		refuse_value(s, batch, "22023", change);
		return false;
	}
	sqlstate = wishes_change(&s->wishes, change->action, change->name, change->value, s->txn != TXN_NONE);
	if (sqlstate != NULL) {
		refuse_value(s, batch, sqlstate, change);
		return false;
	}
	if (setting_is_local(change->action) && s->txn == TXN_NONE)
		write_error(out, 'N', "WARNING", "25P01", "SET LOCAL can only be used in transaction blocks",
			    NULL, NULL);
	write_complete(out, change->action == SETTING_RESET ? "RESET" : "SET");
	return true;
}

static void refuse_company(struct session *s, const struct batch *batch)
{
	refuse(s, batch, "0A000", "settings of pgweir cannot be set or shown together with other statements",
	       hint_alone);
}

static bool answer_query(struct session *s, struct batch *batch)
{
	struct stmt *stmt = batch->stmt;
	bool ours;

	if (stmt == NULL)
		return false;
	ours = own_text(stmt->facts);
	if (ours && stmt->facts->nstmts != 1) {
		refuse_company(s, batch);
	} else if (ours && run(s, batch, stmt->facts->stmts, true)) {
		stmts_set_unnamed(&s->stmts, NULL); /* as PostgreSQL does at a simple query */
		conn_consume(s->client, batch->op[0].end);
		account_text(s, stmt);
		account_answered(s);
		local_ready(s);
	}
	return ours;
}

/* Of a Parse, when it makes one of ours; counted. */
static struct stmt *new_subject(struct session *s, const struct batch *batch, unsigned i)
{
	struct front_parse p;
	struct stmt *stmt = batch_stmt(s->house->memo, batch, i, &p);

	if (stmt == NULL ||
	    (own_text(stmt->facts) && (p.name.n == 0 || stmts_find(&s->stmts, p.name) == NULL)))
		return stmt;
	stmt_unref(stmt);
	return NULL;
}

/* The statement that a message of the extended protocol is about; borrowed from the session or, for a Parse, counted. */
static struct stmt *subject(struct session *s, const struct batch *batch, unsigned i, struct stmt *bound)
{
	const struct op *op = &batch->op[i];
	struct front_bind bind;
	struct span portal, name;
	size_t used;
	struct front_target t;
	struct stmt *stmt;
	const char *why;

	switch (op->type) {
	case 'P': return new_subject(s, batch, i);
	case 'B':
		if (front_bind_names(op->body, &portal, &name, &used, &why) != 0)
			return NULL;
		stmt = stmts_find(&s->stmts, name);
		if (stmt == NULL || !own_text(stmt->facts)) /* most of them */
			return NULL;
		if (front_bind_decode(op->body, &bind, &why) != 0 || portal.n != 0 || bind.nparams != 0)
			return NULL;
		return stmt;
	case 'D':
		if (front_target_decode(op->body, &t, &why) != 0)
			return NULL;
		return t.kind == 'S' ? stmts_find(&s->stmts, t.name) : t.name.n == 0 ? bound : NULL;
	case 'E': return bound;
	default: return NULL;
	}
}

/* One message about a statement of ours. false = refused, or out of memory. */
static bool answer_op(struct session *s, struct batch *batch, const struct op *op, struct stmt *stmt)
{
	struct buf *out = conn_out(s->client);
	struct front_target t;
	struct front_parse p;
	const char *why;

	switch (op->type) {
	case 'P':
		if (front_parse_decode(op->body, &p, &why) != 0 || stmts_add_settled(s, p.name, stmt) != 0) {
			local_error(s, "54000", "too many or too long prepared statements");
			return false;
		}
		write_parse_complete(out);
		return true;
	case 'B': write_bind_complete(out); return true;
	case 'D':
		if (front_target_decode(op->body, &t, &why) == 0 && t.kind == 'S')
			write_param_description(out, NULL, 0);
		describe(out, stmt->facts->stmts);
		return true;
	default:
		account_text(s, stmt);
		account_answered(s);
		return run(s, batch, stmt->facts->stmts, false);
	}
}

/* As many messages at the head of the batch as are about statements of ours; what follows, at least a Sync, is the next batch. */
static bool answer_extended(struct session *s, struct batch *batch)
{
	struct stmt *bound = NULL, *stmt;
	unsigned i = 0;
	bool going = true;

	while (i < batch->n && going) {
		const struct op *op = &batch->op[i];

		stmt = subject(s, batch, i, bound);
		going = stmt != NULL && stmt->facts->nstmts == 1 && own_text(stmt->facts);
		if (going && !answer_op(s, batch, op, stmt)) {
			if (op->type == 'P')
				stmt_unref(stmt);
			return true;
		}
		if (going && op->type == 'B')
			bound = stmt;
		if (stmt != NULL && op->type == 'P')
			stmt_unref(stmt);
		i += going;
	}
	if (i == 0)
		return false;
	conn_flush_later(s->client);
	conn_consume(s->client, batch->op[i - 1].end);
	return true;
}

bool own_answer(struct session *s, struct batch *batch)
{
	if (s->status == 'E')
		return false; /* the error is PostgreSQL's */
	return batch->op[0].type == 'Q' ? answer_query(s, batch) : answer_extended(s, batch);
}

enum own own_forwarded(struct session *s, const struct facts *f)
{
	if (!own_text(f) || s->status == 'E')
		return OWN_NOT;
	if (s->unsynced)
		return OWN_MISPLACED;
	return s->backend->expects.visible > 0 ? OWN_WAIT : OWN_NOT;
}
