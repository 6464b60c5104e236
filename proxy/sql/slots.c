#include "proxy/sql/slots.h"

#include <stdio.h>

struct finding {
	struct span text;
	const struct literals *literals;
	struct slot *slots;
	bool fixed[LITERALS_MAX];
};

static bool same_value(struct finding *f, unsigned i, const PgQuery__AConst *value)
{
	const struct literal *literal = &f->literals->list[i];
	bool number = literal->kind == 'i' || literal->kind == 'f';
	struct span want = {0};
	char digits[24];
	struct buf buf;
	bool same;

	if (value->isnull)
		return false;
	switch (value->val_case) {
	case PG_QUERY__A__CONST__VAL_IVAL:
		snprintf(digits, sizeof(digits), "%d", value->ival->ival);
		want = span_str(digits);
		break;
	case PG_QUERY__A__CONST__VAL_FVAL: want = span_str(value->fval->fval); break;
	case PG_QUERY__A__CONST__VAL_SVAL: want = span_str(value->sval->sval); break;
	default: return false;
	}
	if (number != (value->val_case != PG_QUERY__A__CONST__VAL_SVAL))
		return false;
	buf_init(&buf, literal->n + 2u);
	literal_value(f->text, literal, f->slots[i].negative, &buf);
	same = !buf.failed && span_eq(buf_span(&buf), want);
	buf_free(&buf);
	return same;
}

static void see_const(struct finding *f, const PgQuery__AConst *value)
{
	for (unsigned i = 0; i < f->literals->count; i++) {
		const struct literal *literal = &f->literals->list[i];
		bool negative = literal->minus && value->location == (int32_t)literal->minus_at;

		if (!negative && value->location != (int32_t)literal->at)
			continue;
		f->slots[i] = (struct slot){.at = value->location, .negative = negative};
		f->slots[i].lifted = !f->fixed[i] && same_value(f, i, value);
		f->fixed[i] = true; /* should the tree have it twice, it is no value of one place */
		return;
	}
}

/* A number that means a column of the answer. */
static void fix(struct finding *f, const PgQuery__Node *node)
{
	if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_A_CONST)
		return;
	for (unsigned i = 0; i < f->literals->count; i++)
		if (node->a_const->location == (int32_t)f->literals->list[i].at ||
		    (f->literals->list[i].minus &&
		     node->a_const->location == (int32_t)f->literals->list[i].minus_at))
			f->fixed[i] = true;
}

static void fix_all(struct finding *f, PgQuery__Node *const *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fix(f, nodes[i]);
}

static enum tree_step see(const ProtobufCMessage *msg, void *arg)
{
	struct finding *f = arg;
	const void *m = msg;

	if (tree_is(msg, type_name))
		return TREE_SKIP;
	if (tree_is(msg, a__const)) {
		see_const(f, m);
	} else if (tree_is(msg, sort_by)) {
		fix(f, ((const PgQuery__SortBy *)m)->node);
	} else if (tree_is(msg, grouping_set)) {
		fix_all(f, ((const PgQuery__GroupingSet *)m)->content,
			((const PgQuery__GroupingSet *)m)->n_content);
	} else if (tree_is(msg, select_stmt)) {
		const PgQuery__SelectStmt *select = m;

		fix_all(f, select->group_clause, select->n_group_clause);
		fix_all(f, select->distinct_clause, select->n_distinct_clause);
	}
	return TREE_ON;
}

struct slot *slots_find(const PgQuery__Node *stmt, struct span text, const struct literals *literals,
			struct arena *mem)
{
	struct finding f = {.text = text, .literals = literals};

	f.slots = arena_zero(mem, literals->count * sizeof(*f.slots));
	if (f.slots == NULL)
		return NULL;
	for (unsigned i = 0; i < literals->count; i++)
		f.slots[i].at = -1;
	(void)tree_walk(&stmt->base, see, &f);
	return f.slots;
}
