/* select.c - the clauses of a SELECT: who is in its FROM, what it puts out, and which relations that depends on. */
#include "proxy/sql/analysis.h"

#include <stdio.h>

#define VALUES_TEXT 25 /* text */

/* Looks in every condition that narrows an entry for values of its primary key. */
static bool find_keys(struct selecting *s)
{
	for (size_t i = 0; i < s->level.count; i++) {
		const struct entry *entry = &s->level.entries[i];

		if (entry->read == NULL || entry->read->nkey == 0)
			continue;
		for (const struct qual *q = s->quals; q != NULL; q = q->next) {
			struct scope scope = {.level = &s->level,
					      .from = q->seen_from,
					      .to = q->seen_to,
					      .parent = s->parent};

			if (q->node == NULL || i < q->from || i >= q->to || entry->read->choices != NULL)
				continue;
			if (!keys_find(s->a, &scope, entry, q->node))
				return false;
		}
	}
	return true;
}

/* ---- what comes out ---- */

bool outputs_add(struct analysis *a, struct outputs *outputs, struct column column)
{
	if (outputs->count == outputs->room) {
		size_t room = outputs->room == 0 ? 8 : outputs->room * 2;
		struct column *columns = arena_grow(
			a->mem, outputs->columns, outputs->count * sizeof(*columns), room * sizeof(*columns));

		if (columns == NULL)
			return false;
		outputs->columns = columns;
		outputs->room = room;
	}
	outputs->columns[outputs->count++] = column;
	return column.shown || analysis_refuse(a, REASON_TYPE);
}

static struct column entry_output(const struct entry *entry, const struct catalog_column *of)
{
	struct column column = expr_relation_column(of);

	column.read = entry->read;
	column.attnum = of->attnum;
	return column;
}

/* In `*`, a merged column comes once: from the side whose value it has, or from the left. */
static bool comes_elsewhere(const struct level *level, size_t i, struct span name)
{
	for (const struct merged *m = level->merged; m != NULL; m = m->next) {
		bool right = i >= m->middle && i < m->to, left = i >= m->from && i < m->middle;

		if (span_eq(m->name, name) && (m->stand != NO_ENTRY && m->stand >= m->middle ? left : right))
			return true;
	}
	return false;
}

static bool add_entry_outputs(struct analysis *a, const struct level *level, size_t at, bool all,
			      struct outputs *outputs)
{
	const struct entry *entry = &level->entries[at];
	size_t n = entry->rel != NULL ? entry->rel->ncolumns : entry->derived->count;

	for (size_t i = 0; i < n; i++) {
		struct column column = entry->rel != NULL ? entry_output(entry, &entry->rel->columns[i])
							  : entry->derived->columns[i];

		if (all && level->merged != NULL && comes_elsewhere(level, at, column.name))
			continue;
		if (all && level->merged != NULL)
			column.read = NULL; /* perhaps made of several */
		if (!outputs_add(a, outputs, column))
			return false;
	}
	outputs->unordered = outputs->unordered || (entry->rel == NULL && entry->derived->unordered) ||
			     (all && level->merged != NULL);
	return true;
}

/* `*`, `t.*`, `s.t.*`. */
static bool add_star(struct selecting *s, const PgQuery__ColumnRef *ref, struct outputs *outputs)
{
	struct span table =
		ref->n_fields > 1 ? tree_string(ref->fields[ref->n_fields - 2]) : span_of(NULL, 0);
	struct span schema = ref->n_fields > 2 ? tree_string(ref->fields[0]) : span_of(NULL, 0);
	unsigned hits = 0;

	for (size_t i = 0; i < s->level.count; i++) {
		const struct entry *entry = &s->level.entries[i];

		if (ref->n_fields > 1 && (!span_eq(entry->alias, table) ||
					  (ref->n_fields == 3 && !span_eq(entry->schema, schema))))
			continue;
		hits++;
		if (!add_entry_outputs(s->a, &s->level, i, ref->n_fields == 1, outputs))
			return false;
	}
	return (hits > 0 && ref->n_fields <= 3 && (ref->n_fields == 1 || hits == 1)) ||
	       analysis_refuse(s->a, REASON_SHAPE);
}

static bool is_star(const PgQuery__Node *node)
{
	return node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && node->column_ref->n_fields > 0 &&
	       node->column_ref->fields[node->column_ref->n_fields - 1]->node_case ==
		       PG_QUERY__NODE__NODE_A_STAR;
}

static bool add_target(struct selecting *s, const struct scope *scope, const PgQuery__ResTarget *target,
		       struct outputs *outputs)
{
	struct place at = {.scope = scope, .ctes = s->ctes};
	struct column column = {.usable = true, .shown = true};
	const struct entry *entry = NULL;
	struct typed typed;

	if (target->val == NULL || target->n_indirection > 0)
		return analysis_refuse(s->a, REASON_SHAPE);
	if (is_star(target->val))
		return add_star(s, target->val->column_ref, outputs);
	if (target->val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
		/* As it is: also of a type of users, whose operators nobody asks for here. */
		if (!expr_column(s->a, scope, target->val->column_ref, &column, &entry))
			return false;
		if (entry != NULL && entry->rel != NULL)
			column = entry_output(entry, catalog_column(entry->rel, column.name));
	} else {
		if (!expr_check(s->a, at, target->val, &typed) || !expr_settle(s->a, typed))
			return false;
		column.type = typed.oid;
	}
	column.name = target->name[0] != '\0' ? span_str(target->name) : figure_name(target->val);
	return outputs_add(s->a, outputs, column);
}

/* What is compared as a whole must be of built-in types. */
static bool all_usable(struct analysis *a, const struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->count; i++)
		if (!outputs->columns[i].usable)
			return analysis_refuse(a, REASON_TYPE);
	return true;
}

/* ORDER BY and GROUP BY may mean an output by its number or name. */
static bool means_output(struct analysis *a, const PgQuery__Node *node, const struct outputs *outputs,
			 bool *bad_r)
{
	*bad_r = false;
	if (node->node_case == PG_QUERY__NODE__NODE_A_CONST &&
	    node->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
		int32_t n = node->a_const->ival->ival;

		if (n < 1 || (size_t)n > outputs->count || !outputs->columns[n - 1].usable)
			*bad_r = !analysis_refuse(a, REASON_TYPE);
		else if (outputs->unordered)
			*bad_r = !all_usable(a, outputs);
		return true;
	}
	if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1)
		return false;
	for (size_t i = 0; i < outputs->count; i++)
		if (span_eq(outputs->columns[i].name, tree_string(node->column_ref->fields[0]))) {
			if (!outputs->columns[i].usable)
				*bad_r = !analysis_refuse(a, REASON_TYPE);
			return true;
		}
	return false;
}

static bool check_sorts(struct analysis *a, struct place at, const PgQuery__SelectStmt *select,
			const struct outputs *outputs)
{
	for (size_t i = 0; i < select->n_sort_clause; i++) {
		const PgQuery__Node *node = select->sort_clause[i];
		bool bad;

		if (node->node_case != PG_QUERY__NODE__NODE_SORT_BY || node->sort_by->n_use_op > 0 ||
		    node->sort_by->node == NULL)
			return analysis_refuse(a, REASON_SHAPE);
		if (means_output(a, node->sort_by->node, outputs, &bad)) {
			if (bad)
				return false;
		} else if (!expr_alone(a, at, node->sort_by->node)) {
			return false;
		}
	}
	return true;
}

/* A name in GROUP BY is an input column first, an output second. */
static bool group_input_usable(struct analysis *a, const struct level *level, const PgQuery__Node *node)
{
	struct column column;

	return node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF ||
	       !expr_level_column(level, tree_string(node->column_ref->fields[0]), &column) ||
	       column.usable || analysis_refuse(a, REASON_TYPE);
}

static bool check_groups(struct analysis *a, struct place at, const PgQuery__SelectStmt *select,
			 const struct outputs *outputs)
{
	for (size_t i = 0; i < select->n_group_clause; i++) {
		bool bad;

		if (means_output(a, select->group_clause[i], outputs, &bad)) {
			if (bad || !group_input_usable(a, at.scope->level, select->group_clause[i]))
				return false;
		} else if (!expr_alone(a, at, select->group_clause[i])) {
			return false;
		}
	}
	return true;
}

static bool check_distinct(struct analysis *a, struct place at, const PgQuery__SelectStmt *select,
			   const struct outputs *outputs)
{
	if (select->n_distinct_clause == 0)
		return true;
	if (!all_usable(a, outputs))
		return false;
	for (size_t i = 0; i < select->n_distinct_clause; i++) { /* DISTINCT alone has one empty node */
		const PgQuery__Node *node = select->distinct_clause[i];
		bool bad;

		if (node->node_case == PG_QUERY__NODE__NODE__NOT_SET || means_output(a, node, outputs, &bad))
			continue;
		if (!expr_alone(a, at, node))
			return false;
	}
	return true;
}

/* ---- the whole ---- */

static bool check_set_operation(struct analysis *a, const PgQuery__SelectStmt *select,
				const struct scope *parent, const struct cte *ctes, struct cte *itself,
				struct outputs *outputs_r);

/* UNION in WITH RECURSIVE: its left side does not know the name yet, its right side reads what came so far. */
static bool check_recursive(struct analysis *a, const PgQuery__SelectStmt *select, const struct scope *parent,
			    const struct cte *ctes, struct cte *itself, struct outputs *outputs_r)
{
	bool ok;

	if (select->n_locking_clause > 0 || select->with_clause != NULL)
		return analysis_refuse(a, REASON_SHAPE);
	a->depth++;
	ok = check_set_operation(a, select, parent, ctes, itself, outputs_r);
	a->depth--;
	return ok;
}

static bool add_cte(struct analysis *a, const PgQuery__CommonTableExpr *expr, bool recursive,
		    const struct scope *parent, const struct cte *ctes, struct cte *cte)
{
	struct outputs *outputs = arena_zero(a->mem, sizeof(*outputs));
	const PgQuery__SelectStmt *select;

	if (expr->ctequery == NULL || expr->ctequery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
		return analysis_refuse(a, REASON_SHAPE);
	select = expr->ctequery->select_stmt;
	if (outputs == NULL)
		return false;
	if (recursive && select->op == PG_QUERY__SET_OPERATION__SETOP_UNION) {
		cte->renames = expr->aliascolnames;
		cte->nrenames = expr->n_aliascolnames;
		if (!check_recursive(a, select, parent, ctes, cte, outputs))
			return false;
	} else if (!select_check(a, select, parent, ctes, outputs)) {
		return false;
	}
	cte->outputs = outputs_renamed(a, outputs, expr->aliascolnames, expr->n_aliascolnames);
	return cte->outputs != NULL;
}

/* With RECURSIVE every name of the clause hides tables from all of its parts, also from those before it. */
static bool add_ctes(struct analysis *a, const PgQuery__WithClause *with, const struct scope *parent,
		     const struct cte **ctes)
{
	struct cte *added = arena_zero(a->mem, with->n_ctes * sizeof(*added));
	const struct cte *before = *ctes;

	if (added == NULL)
		return false;
	for (size_t i = 0; i < with->n_ctes; i++) {
		if (with->ctes[i]->node_case != PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR)
			return analysis_refuse(a, REASON_SHAPE);
		added[i].name = span_str(with->ctes[i]->common_table_expr->ctename);
		added[i].next = i == 0 ? before : &added[i - 1];
	}
	for (size_t i = 0; i < with->n_ctes; i++) {
		const struct cte *seen = with->recursive ? &added[with->n_ctes - 1] : added[i].next;

		if (!add_cte(a, with->ctes[i]->common_table_expr, with->recursive, parent, seen, &added[i]))
			return false;
	}
	if (with->n_ctes > 0)
		*ctes = &added[with->n_ctes - 1];
	return true;
}

static bool check_limits(struct analysis *a, struct place at, const PgQuery__SelectStmt *select)
{
	return expr_alone(a, at, select->limit_count) && expr_alone(a, at, select->limit_offset);
}

static bool check_set_operation(struct analysis *a, const PgQuery__SelectStmt *select,
				const struct scope *parent, const struct cte *ctes, struct cte *itself,
				struct outputs *outputs_r)
{
	struct level level = {0};
	struct scope scope = {.level = &level, .parent = parent};
	struct place at = {.scope = &scope, .ctes = ctes};
	struct outputs right = {0};

	if (select->larg == NULL || select->rarg == NULL || select->n_target_list > 0)
		return analysis_refuse(a, REASON_SHAPE);
	if (!select_check(a, select->larg, parent, ctes, outputs_r))
		return false;
	for (size_t i = 0; i < outputs_r->count; i++)
		outputs_r->columns[i].read = NULL; /* or of the other side */
	if (itself != NULL) {
		itself->outputs = outputs_renamed(a, outputs_r, itself->renames, itself->nrenames);
		if (itself->outputs == NULL)
			return false;
	}
	if (!select_check(a, select->rarg, parent, ctes, &right))
		return false;
	if (right.count != outputs_r->count)
		return analysis_refuse(a, REASON_SHAPE);
	if (!all_usable(a, outputs_r) || !all_usable(a, &right))
		return false;
	for (size_t i = 0; i < right.count; i++)
		if (right.columns[i].type != outputs_r->columns[i].type || right.unordered ||
		    outputs_r->unordered)
			outputs_r->columns[i].type = 0;
	return check_sorts(a, at, select, outputs_r) && check_limits(a, at, select);
}

/* The column of a VALUES list: its type is known when all of its values have the same; strings alone are text. */
static void value_type(struct column *column, bool first, struct typed typed)
{
	uint32_t type = typed.oid != 0 ? typed.oid : typed.literal ? VALUES_TEXT : 0;

	if (first)
		column->type = type;
	else if (column->type != type)
		column->type = 0;
}

static bool check_values(struct analysis *a, const PgQuery__SelectStmt *select, const struct scope *parent,
			 const struct cte *ctes, struct outputs *outputs_r)
{
	struct level level = {0};
	struct scope scope = {.level = &level, .parent = parent};
	struct place at = {.scope = &scope, .ctes = ctes};
	char name[32];

	for (size_t i = 0; i < select->n_values_lists; i++) {
		const PgQuery__Node *row = select->values_lists[i];

		if (row->node_case != PG_QUERY__NODE__NODE_LIST ||
		    (i > 0 && row->list->n_items != outputs_r->count))
			return analysis_refuse(a, REASON_SHAPE);
		for (size_t k = 0; k < row->list->n_items; k++) {
			struct column column = {.usable = true, .shown = true};
			struct typed typed;

			if (!expr_check(a, at, row->list->items[k], &typed) || !expr_settle(a, typed))
				return false;
			snprintf(name, sizeof(name), "column%zu", k + 1);
			column.name = span_of(arena_str(a->mem, span_str(name)), strlen(name));
			if (i == 0 && (column.name.p == NULL || !outputs_add(a, outputs_r, column)))
				return false;
			value_type(&outputs_r->columns[k], i == 0, typed);
		}
	}
	return check_sorts(a, at, select, outputs_r) && check_limits(a, at, select);
}

static bool check_windows(struct analysis *a, struct place at, const PgQuery__SelectStmt *select)
{
	for (size_t i = 0; i < select->n_window_clause; i++) {
		if (select->window_clause[i]->node_case != PG_QUERY__NODE__NODE_WINDOW_DEF)
			return analysis_refuse(a, REASON_SHAPE);
		if (!expr_window(a, at, select->window_clause[i]->window_def))
			return false;
	}
	return true;
}

/* Does every row of the answer come from one combination of rows, and of the outermost SELECT's own tables? */
static bool shows_rows(const struct selecting *s, const PgQuery__SelectStmt *select)
{
	return s->a->depth == 1 && !s->a->has_windows && select->n_group_clause == 0 &&
	       select->having_clause == NULL && select->n_distinct_clause == 0 &&
	       select->n_window_clause == 0 && select->limit_offset == NULL && s->level.merged == NULL;
}

static enum tree_step stop_at_call(const ProtobufCMessage *msg, void *arg)
{
	(void)arg;
	return tree_is(msg, func_call) ? TREE_STOP : TREE_ON;
}

static bool has_call(PgQuery__Node *const *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!tree_walk(&nodes[i]->base, stop_at_call, NULL))
			return true;
	return false;
}

/* Behind the joins, may something but WHERE drop rows? */
static bool may_cut(const struct selecting *s, const PgQuery__SelectStmt *select)
{
	return select->limit_count != NULL || s->lateral ||
	       has_call(select->target_list, select->n_target_list) ||
	       has_call(select->sort_clause, select->n_sort_clause);
}

static bool add_where(struct selecting *s, const PgQuery__Node *node)
{
	struct qual *qual = arena_zero(s->a->mem, sizeof(*qual));

	if (qual == NULL)
		return false;
	qual->node = node;
	qual->to = qual->seen_to = s->level.count;
	qual->next = s->quals;
	s->quals = qual;
	return true;
}

static bool check_plain(struct selecting *s, const PgQuery__SelectStmt *select, struct outputs *outputs_r)
{
	struct analysis *a = s->a;
	struct scope scope = {.level = &s->level, .parent = s->parent};
	struct place at = {.scope = &scope, .ctes = s->ctes};

	for (size_t i = 0; i < select->n_from_clause; i++)
		if (!from_item(s, select->from_clause[i]))
			return false;
	scope.to = s->level.count;
	if (!expr_alone(a, at, select->where_clause))
		return false;
	if (select->where_clause != NULL && !add_where(s, select->where_clause))
		return false;
	for (size_t i = 0; i < select->n_target_list; i++)
		if (select->target_list[i]->node_case != PG_QUERY__NODE__NODE_RES_TARGET ||
		    !add_target(s, &scope, select->target_list[i]->res_target, outputs_r))
			return analysis_refuse(a, REASON_SHAPE);
	if (!check_groups(a, at, select, outputs_r) || !expr_alone(a, at, select->having_clause) ||
	    !check_windows(a, at, select) || !check_distinct(a, at, select, outputs_r) ||
	    !check_sorts(a, at, select, outputs_r) || !check_limits(a, at, select) || !find_keys(s))
		return false;
	s->shows = shows_rows(s, select);
	s->cut = may_cut(s, select);
	s->outputs = outputs_r;
	s->next = a->selects;
	a->selects = s;
	return entities_find(a, &s->level, select, outputs_r);
}

/* What stays when all of the statement is understood (predicates_find) is in the arena: also the scopes around. */
static struct selecting *open_select(struct analysis *a, const struct scope *parent)
{
	struct selecting *s = arena_zero(a->mem, sizeof(*s));
	struct scope *kept = NULL;

	if (s != NULL && parent != NULL) {
		kept = arena_grow(a->mem, parent, sizeof(*parent), sizeof(*parent));
		if (kept == NULL)
			return NULL;
	}
	if (s != NULL)
		*s = (struct selecting){.a = a, .parent = kept};
	return s;
}

bool select_check(struct analysis *a, const PgQuery__SelectStmt *select, const struct scope *parent,
		  const struct cte *ctes, struct outputs *outputs_r)
{
	struct selecting *s;
	bool ok;

	if (select->into_clause != NULL || select->n_locking_clause > 0)
		return analysis_refuse(a, select->n_locking_clause > 0 ? REASON_ROW_LOCK : REASON_SHAPE);
	s = open_select(a, parent);
	if (s == NULL)
		return false;
	a->depth++;
	ok = select->with_clause == NULL || add_ctes(a, select->with_clause, s->parent, &ctes);
	s->ctes = ctes;
	if (ok && select->op != PG_QUERY__SET_OPERATION__SETOP_NONE)
		ok = check_set_operation(a, select, s->parent, ctes, NULL, outputs_r);
	else if (ok && select->n_values_lists > 0)
		ok = check_values(a, select, s->parent, ctes, outputs_r);
	else if (ok)
		ok = check_plain(s, select, outputs_r);
	a->depth--;
	return ok;
}
