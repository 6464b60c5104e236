/* What is answered without a backend and without the cache: BEGIN and COMMIT of a transaction that no backend knows
 * of, empty statements, DEALLOCATE of what the client prepared by protocol. */
#include "proxy/session/listen.h"
#include "proxy/session/session_private.h"

#include "protocol/write.h"

static struct buf *out(struct session *s)
{
	conn_flush_later(s->client);
	return conn_out(s->client);
}

/* A Parse that is answered here counts as parsed under the settings of now. */
int stmts_add_settled(struct session *s, struct span name, struct stmt *stmt)
{
	struct parsed *p;

	if (stmts_add(&s->stmts, name, stmt) != 0)
		return -1;
	p = stmts_parsed(&s->stmts, name);
	p->number = under_number_now(s, under_settled(s), stmt);
	stmts_parsed_under(&s->stmts, p, under_settled(s));
	under_note_types(s, p, stmt);
	return 0;
}

void local_ready(struct session *s)
{
	if (s->status == 'I')
		listen_flush(s);
	write_ready(out(s), s->status);
	s->owed_ready = false;
	s->request_us = loop_now_us(s->house->host.loop);
	s->statement_us = 0;
	if (s->status == 'I')
		s->xact_us = 0;
}

/* Its end is not in sight: a long simple query, or extended messages whose Sync is still to come (step_ready). */
static void skip_cut(struct session *s)
{
	struct span in = conn_input(s->client);
	uint32_t body_n;
	const char *why;
	char type;

	if (frame_peek(in, (uint32_t)s->config->max_packet_size, &type, &body_n, &why) != FRAME_OK ||
	    (type != 'Q' && type != 'F')) {
		s->skipping = true;
		return;
	}
	s->client_left = (uint32_t)FRAME_HEADER + body_n;
	s->client_skip = true;
	local_ready(s);
}

/* The request in the input fails with an ERROR of ours; what follows up to its Sync is skipped, as PostgreSQL does. */
void local_error(struct session *s, const char *sqlstate, const char *message)
{
	struct batch batch;
	const char *why;
	enum batch_status st =
		batch_scan(conn_input(s->client), (uint32_t)s->config->max_packet_size, &batch, &why);

	if (s->status == 'T')
		s->status = 'E';
	if (s->config->log_pooler_errors) {
		struct log_who w = session_who(s);

		log_warn(&w, "statement refused", F_STR("sqlstate", sqlstate), F_STR("reason", message));
	}
	write_error(out(s), 'E', "ERROR", sqlstate, message, NULL, NULL);
	if (st == BATCH_OK && (batch.whole || batch.op[batch.n - 1].type == 'S')) {
		conn_consume(s->client, batch.op[batch.n - 1].end);
		local_ready(s);
	} else {
		skip_cut(s);
	}
	session_enter(s, SESSION_READY);
	session_run(s);
}

/* One statement that can be answered here; the tag, or NULL. Does its work. */
static const char *answer(struct session *s, struct stmt *stmt)
{
	const struct stmt_facts *f = stmt->facts->stmts;

	if (stmt->facts->nstmts != 1)
		return NULL;
	switch (f->command) {
	case COMMAND_BEGIN:
		if (s->txn != TXN_NONE || !s->policy->defer_begin ||
		    s->policy->pool_mode == POOL_MODE_STATEMENT || f->tag == NULL ||
		    (s->backend != NULL &&
		     s->idle_limit_ms > 0)) /* its server would not know that it is in a block */
			return NULL;
		txn_begin_virtual(s, stmt);
		return f->tag;
	case COMMAND_COMMIT:
	case COMMAND_ROLLBACK: {
		const char *tag = s->status == 'E' ? "ROLLBACK" : f->tag;

		if (s->txn != TXN_VIRTUAL || tag == NULL)
			return NULL;
		wishes_end(&s->wishes, strcmp(tag, "COMMIT") == 0);
		txn_end_local(s);
		return tag;
	}
	case COMMAND_DEALLOCATE:
		/* SQL-level statements of the same session are PostgreSQL's business. */
		if (s->status == 'E' || hold_sql_names(s) || (s->effects & EFFECT_TAINT) != 0)
			return NULL;
		if (f->name == NULL)
			stmts_forget_all(&s->stmts);
		/* A name that is not known goes to PostgreSQL, which says so. */
		else if (f->name[0] == '\0' || !stmts_remove(&s->stmts, span_str(f->name)))
			return NULL;
		s->queried = s->txn != TXN_NONE;
		return f->name == NULL ? "DEALLOCATE ALL" : "DEALLOCATE";
	default: return NULL;
	}
}

/* PREPARE, EXECUTE and DEALLOCATE must not reach the statements that the proxy shares between clients. */
bool touches_our_names(const struct facts *f)
{
	if ((f->effects & EFFECT_PREPARED) == 0)
		return false;
	for (int i = 0; i < f->nstmts; i++)
		if (f->stmts[i].prepared != NULL && strncmp(f->stmts[i].prepared, "pgweir_", 7) == 0)
			return true;
	return false;
}

static bool answer_query(struct session *s, struct batch *batch)
{
	struct stmt *stmt = batch->stmt;
	const char *tag;

	if (stmt == NULL)
		return false;
	if (touches_our_names(stmt->facts)) {
		if (s->txn == TXN_REAL)
			return false; /* its transaction has to fail (forward_query) */
		local_error(s, "26000", OUR_NAMES_ERROR);
		return true;
	}
	if (stmt->facts->nstmts == 0) {
		write_empty_query(out(s));
	} else {
		tag = answer(s, stmt);
		if (tag == NULL)
			return false;
		write_complete(out(s), tag);
	}
	stmts_set_unnamed(&s->stmts, NULL); /* as PostgreSQL does at a simple query */
	s->begin_extended = false;
	conn_consume(s->client, batch->op[0].end);
	account_text(s, stmt);
	account_answered(s);
	local_ready(s);
	return true;
}

/* Might answer() have something for it? */
static bool answerable(const struct stmt *stmt)
{
	const uint32_t ours = COMMAND_BIT(COMMAND_BEGIN) | COMMAND_BIT(COMMAND_COMMIT) |
			      COMMAND_BIT(COMMAND_ROLLBACK) | COMMAND_BIT(COMMAND_DEALLOCATE);

	return stmt->facts->nstmts == 0 || (stmt->facts->commands & ours) != 0;
}

/* The statement that a leading [Parse] Bind [Describe portal] Execute runs; *nops_r = how many messages that is. */
static struct stmt *leading_execute(struct session *s, const struct batch *batch, unsigned *nops_r,
				    bool *new_r)
{
	struct front_parse parse = {0};
	struct front_bind bind;
	struct span portal, name;
	size_t used;
	struct front_target target;
	struct front_execute exec;
	struct stmt *stmt = NULL;
	const char *why;
	unsigned i = 0;

	*new_r = false;
	if (batch->op[i].type == 'P') {
		if (batch->stmt == NULL || !answerable(batch->stmt))
			return NULL;
		parse = batch->parse;
		if (parse.name.n > 0 && (stmts_find(&s->stmts, parse.name) != NULL || hold_sql_names(s) ||
					 !hold_name_sound(s, parse.name)))
			return NULL;
		if (!stmts_fit(&s->stmts, parse.name, batch->stmt))
			return NULL; /* 54000 */
		stmt = stmt_ref(batch->stmt);
		*new_r = true;
		i++;
	}
	if (i >= batch->n || batch->op[i].type != 'B' ||
	    front_bind_names(batch->op[i].body, &portal, &name, &used, &why) != 0)
		goto no;
	if (!*new_r) {
		stmt = stmts_find(&s->stmts, name);
		if (stmt == NULL || !answerable(stmt))
			return NULL;
		stmt_ref(stmt);
	}
	if (front_bind_decode(batch->op[i].body, &bind, &why) != 0 || portal.n != 0 || bind.nparams != 0 ||
	    (*new_r && !span_eq(name, parse.name)))
		goto no;
	i++;
	if (i < batch->n && batch->op[i].type == 'D') {
		if (front_target_decode(batch->op[i].body, &target, &why) != 0 || target.kind != 'P' ||
		    target.name.n != 0)
			goto no;
		i++;
	}
	if (i >= batch->n || batch->op[i].type != 'E' ||
	    front_execute_decode(batch->op[i].body, &exec, &why) != 0 || exec.portal.n != 0)
		goto no;
	*nops_r = i + 1;
	return stmt;
no:
	if (stmt != NULL)
		stmt_unref(stmt);
	return NULL;
}

uint64_t parse_circumstances(const struct session *s)
{
	uint64_t epoch = s->served != NULL ? cache_epoch(s->served->cache) : 0;

	return ((uint64_t)(uintptr_t)s->pool ^ (s->image_id * 0xff51afd7ed558ccdu) ^
		(epoch * 0x9e3779b97f4a7c15u)) |
	       1;
}

/* Close of a prepared statement at the head of a batch: the shared one on the backend stays. */
static bool answer_close(struct session *s, struct batch *batch)
{
	struct front_target t;
	const char *why;

	if (batch->op[0].type != 'C' || front_target_decode(batch->op[0].body, &t, &why) != 0 ||
	    t.kind != 'S' || hold_sql_names(s) || !hold_name_sound(s, t.name))
		return false; /* SQL may have made one of that name */
	stmts_remove(&s->stmts, t.name);
	write_close_complete(out(s));
	conn_consume(s->client, batch->op[0].end);
	return true;
}

/* Parse and Sync alone, of a text that a backend has accepted under the same circumstances: the backend that runs it will
 * parse it. So a client inside a deferred transaction, or a thread of many clients, does not wait for a backend to prepare. */
static bool answer_parse(struct session *s, struct batch *batch)
{
	struct stmt *stmt = batch->stmt;
	struct span name;

	if (batch->n != 2 || batch->op[0].type != 'P' || batch->op[1].type != 'S' || s->status == 'E' ||
	    s->touched.n > 0 || s->effects != 0 || s->asked > 0 || hold_sql_names(s) || stmt == NULL)
		return false;
	name = batch->parse.name;
	if (name.n == 0 || stmts_find(&s->stmts, name) != NULL || !hold_name_sound(s, name))
		return false;
	if (stmt->warned || stmt->valid_for != parse_circumstances(s) ||
	    stmts_add_settled(s, name, stmt) != 0)
		return false;
	write_parse_complete(out(s));
	conn_consume(s->client, batch->op[0].end);
	return true;
}

static bool answer_extended(struct session *s, struct batch *batch)
{
	unsigned nops;
	bool is_new;
	struct stmt *stmt;
	const char *tag;

	if (s->txn == TXN_REAL)
		return false; /* its portal stays to the end of the transaction */
	stmt = leading_execute(s, batch, &nops, &is_new);
	if (stmt == NULL)
		return false;
	if (stmt->facts->nstmts == 0)
		tag = s->status == 'E' ? NULL : "";
	else
		tag = answer(s, stmt);
	if (tag == NULL) {
		stmt_unref(stmt);
		return false;
	}
	for (unsigned i = 0; i < nops; i++) {
		switch (batch->op[i].type) {
		case 'P':
			stmts_add_settled(s, batch->parse.name, stmt);
			write_parse_complete(out(s));
			break;
		case 'B': write_bind_complete(out(s)); break;
		case 'D': write_no_data(out(s)); break;
		default:
			if (tag[0] == '\0')
				write_empty_query(out(s));
			else
				write_complete(out(s), tag);
			break;
		}
	}
	s->begin_extended = true; /* its portal stays */
	if (stmt->facts->nstmts == 1 && stmt->facts->stmts->command == COMMAND_DEALLOCATE &&
	    stmt->facts->stmts->name == NULL)
		stmts_forget_all(&s->stmts); /* its own name goes as well */
	account_text(s, stmt);
	stmt_unref(stmt);
	account_answered(s);
	conn_consume(s->client, batch->op[nops - 1].end);
	return true; /* what follows, at least a Sync, is the next batch */
}

bool local_answer(struct session *s, struct batch *batch)
{
	if (!s->certain || s->replication != NULL)
		return false;
	if (own_answer(s, batch))
		return true;
	if (s->backend != NULL && limits_backend_dozes(s))
		return false;
	if (batch->op[0].type == 'Q')
		return answer_query(s, batch);
	return answer_close(s, batch) || answer_parse(s, batch) || answer_extended(s, batch);
}
