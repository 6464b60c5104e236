/* Which one statement a batch runs, and how its answer is to look. What is not one read, to its end, is not the cache's. */
#include "proxy/session/serve_private.h"

void wanted_free(struct wanted *w)
{
	if (w->stmt != NULL)
		stmt_unref(w->stmt);
	w->stmt = NULL;
}

static enum reason want_simple(struct session *s, const struct batch *batch, struct wanted *w)
{
	struct front_parse none;

	w->simple = true;
	w->stmt = batch_stmt(s->house->memo, batch, 0, &none);
	return w->stmt == NULL ? REASON_SYNTAX : REASON_NONE;
}

static enum reason want_parse(struct session *s, const struct batch *batch, unsigned i, struct wanted *w)
{
	struct front_parse p;

	if (w->nshape != 0)
		return REASON_PIPELINE;
	w->stmt = batch_stmt(s->house->memo, batch, i, &p);
	if (w->stmt == NULL)
		return REASON_SYNTAX;
	if (p.name.n > 0 && (stmts_find(&s->stmts, p.name) != NULL || !hold_name_sound(s, p.name)))
		return REASON_SYNTAX; /* 42P05, or 22021, is PostgreSQL's to say */
	w->parse_name = p.name;
	w->parsed = true;
	return stmts_fit(&s->stmts, p.name, w->stmt) ? REASON_NONE : REASON_TOO_LARGE; /* 54000 */
}

/* The statement of that name; with a Parse in the batch it has to be the same. */
static enum reason want_named(struct session *s, struct span name, struct wanted *w)
{
	struct parsed *from;
	struct stmt *stmt;

	if (w->parsed)
		return span_eq(name, w->parse_name) ? REASON_NONE : REASON_PIPELINE;
	stmt = stmts_find(&s->stmts, name);
	if (stmt == NULL)
		return REASON_SYNTAX; /* 26000 is PostgreSQL's to say */
	/* Its literals have the meaning that they had under the settings of its Parse; the key has those of now. */
	from = stmts_parsed(&s->stmts, name);
	if (!under_same(s, from, stmt))
		return REASON_SESSION_STATE;
	w->from = from;
	if (w->stmt != NULL)
		return w->stmt == stmt ? REASON_NONE : REASON_PIPELINE;
	w->stmt = stmt_ref(stmt);
	return REASON_NONE;
}

static enum reason want_op(struct session *s, const struct batch *batch, unsigned i, struct wanted *w,
			   bool *bound, bool *executed)
{
	const struct op *op = &batch->op[i];
	struct front_target t;
	struct front_execute e;
	const char *why;
	uint8_t mark = (uint8_t)op->type;
	enum reason r = REASON_NONE;

	switch (op->type) {
	case 'P': r = want_parse(s, batch, i, w); break;
	case 'D':
		if (front_target_decode(op->body, &t, &why) != 0)
			return REASON_SYNTAX;
		mark = t.kind == 'S' ? 's' : 'p';
		if (t.kind == 'S')
			r = want_named(s, t.name, w);
		else if (t.name.n != 0 || !*bound)
			r = REASON_PORTAL;
		break;
	case 'B':
		if (*bound || front_bind_decode(op->body, &w->bind, &why) != 0)
			return REASON_PIPELINE;
		if (w->bind.portal.n != 0)
			return REASON_PORTAL;
		if (!front_bind_formats_known(&w->bind))
			return REASON_PARAMETER;
		*bound = true;
		r = want_named(s, w->bind.stmt, w);
		break;
	case 'E':
		if (front_execute_decode(op->body, &e, &why) != 0 || e.portal.n != 0 || !*bound)
			return REASON_PORTAL;
		if (*executed)
			return REASON_PIPELINE;
		if (e.max_rows != 0)
			return REASON_ROW_LIMIT;
		*executed = true;
		break;
	case 'C':
		if (front_target_decode(op->body, &t, &why) != 0 || t.kind != 'P' || t.name.n != 0 ||
		    !*executed)
			return REASON_PORTAL;
		break;
	default: return REASON_PIPELINE;
	}
	w->shape[w->nshape++] = mark;
	return r;
}

static enum reason want_extended(struct session *s, const struct batch *batch, struct wanted *w)
{
	bool bound = false, executed = false;
	enum reason r;

	for (unsigned i = 0; i + 1 < batch->n; i++) {
		r = want_op(s, batch, i, w, &bound, &executed);
		if (r != REASON_NONE)
			return r;
	}
	return executed ? REASON_NONE : REASON_NOT_SELECT;
}

enum reason wanted_read(struct session *s, const struct batch *batch, struct wanted *w)
{
	return batch->op[0].type == 'Q' ? want_simple(s, batch, w) : want_extended(s, batch, w);
}
