/* select.c - the clauses of a SELECT: who is in its FROM, what it puts out, and which relations that depends on. */
#include "proxy/sql/analysis.h"

struct selecting {
	struct analysis *a;
	const struct scope *parent;
	const struct cte *ctes;
	struct level level;
	struct qual *quals;
	struct outer *outers;
	bool lateral; /* a sub-select sees other entries */
};

/* ---- FROM ---- */

static struct entry *add_entry(struct selecting *s)
{
	struct level *level = &s->level;

	if (level->count == level->room) {
		size_t room = level->room == 0 ? 4 : level->room * 2;
		struct entry *entries = arena_grow(s->a->mem, level->entries, level->count * sizeof(*entries),
						   room * sizeof(*entries));

		if (entries == NULL)
			return NULL;
		level->entries = entries;
		level->room = room;
	}
	level->entries[level->count] = (struct entry){0};
	return &level->entries[level->count++];
}

static struct rel_read *add_read(struct analysis *a, const struct catalog_relation *rel)
{
	struct rel_read *read = arena_zero(a->mem, sizeof(*read));

	if (read == NULL)
		return NULL;
	read->relid = rel->oid;
	if (rel->nkey <= READS_KEY_MAX) {
		read->nkey = rel->nkey;
		for (unsigned i = 0; i < rel->nkey; i++)
			read->key[i] = rel->key[i];
	}
	*a->reads_end = read;
	a->reads_end = &read->next;
	return read;
}

static enum reason relation_reason(const struct catalog_relation *rel)
{
	if (rel->has_children)
		return REASON_INHERITANCE;
	if ((rel->kind != 'r' && rel->kind != 'p') || rel->persistence != 'p' || rel->has_rules)
		return REASON_RELATION_KIND;
	if (rel->not_fed)
		return REASON_NOT_PUBLISHED;
	return rel->row_security ? REASON_ROW_SECURITY : REASON_NONE;
}

static const struct cte *find_cte(const struct cte *cte, struct span name)
{
	while (cte != NULL && !span_eq(cte->name, name))
		cte = cte->next;
	return cte;
}

static bool from_relation(struct selecting *s, const PgQuery__RangeVar *var)
{
	const struct catalog_relation *rel = NULL;
	const struct cte *cte = NULL;
	struct entry *entry;
	enum reason reason;

	if (var->alias != NULL && var->alias->n_colnames > 0)
		return analysis_refuse(s->a, REASON_SHAPE);
	if (var->schemaname[0] == '\0' && var->catalogname[0] == '\0')
		cte = find_cte(s->ctes, span_str(var->relname));
	if (cte == NULL) {
		reason = names_relation(&s->a->names, var, &rel);
		if (reason == REASON_NONE)
			reason = relation_reason(rel);
		if (reason != REASON_NONE)
			return analysis_refuse(s->a, reason);
	}
	entry = add_entry(s);
	if (entry == NULL)
		return false;
	entry->alias = span_str(var->alias != NULL ? var->alias->aliasname : var->relname);
	entry->rel = rel;
	if (cte != NULL) {
		entry->derived = cte->outputs;
		return true;
	}
	if (var->alias == NULL)
		entry->schema = span_str(rel->schema);
	entry->read = add_read(s->a, rel);
	return entry->read != NULL;
}

static bool from_subselect(struct selecting *s, const PgQuery__RangeSubselect *sub, size_t left_from)
{
	struct outputs *outputs = arena_zero(s->a->mem, sizeof(*outputs));
	struct scope left = {
		.level = &s->level, .from = left_from, .to = s->level.count, .parent = s->parent};
	struct entry *entry;

	if (sub->alias == NULL || sub->alias->n_colnames > 0 || sub->subquery == NULL ||
	    sub->subquery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
		return analysis_refuse(s->a, REASON_SHAPE);
	if (outputs == NULL || !select_check(s->a, sub->subquery->select_stmt,
					     sub->lateral ? &left : s->parent, s->ctes, outputs))
		return false;
	entry = add_entry(s);
	if (entry == NULL)
		return false;
	s->lateral = s->lateral || sub->lateral;
	entry->alias = span_str(sub->alias->aliasname);
	entry->derived = outputs;
	return true;
}

static bool add_qual(struct selecting *s, struct qual qual)
{
	struct qual *copy = arena_get(s->a->mem, sizeof(*copy));

	if (copy == NULL)
		return false;
	*copy = qual;
	copy->next = s->quals;
	s->quals = copy;
	return true;
}

/* A column of JOIN .. USING must be one of built-in type on both sides; it then has a meaning without a table. */
static bool join_using(struct selecting *s, const PgQuery__JoinExpr *join, size_t from, size_t middle)
{
	for (size_t i = 0; i < join->n_using_clause; i++) {
		struct span name = tree_string(join->using_clause[i]);
		struct scope left = {.level = &s->level, .from = from, .to = middle};
		struct scope right = {.level = &s->level, .from = middle, .to = s->level.count};
		PgQuery__Node *parts[1] = {join->using_clause[i]};
		PgQuery__ColumnRef ref = PG_QUERY__COLUMN_REF__INIT;
		struct merged *merged = arena_get(s->a->mem, sizeof(*merged));
		const struct entry *entry;
		struct column l, r;

		ref.n_fields = 1;
		ref.fields = parts;
		if (merged == NULL || !expr_column(s->a, &left, &ref, &l, &entry) ||
		    !expr_column(s->a, &right, &ref, &r, &entry))
			return false;
		if (!l.usable || !r.usable)
			return analysis_refuse(s->a, REASON_TYPE);
		if (!expr_operator(s->a, span_str("="), (struct typed){.oid = l.type},
				   (struct typed){.oid = r.type}))
			return false;
		*merged = (struct merged){.name = name, .next = s->level.merged};
		s->level.merged = merged;
	}
	return true;
}

static bool add_outer(struct selecting *s, size_t from, size_t to, const PgQuery__Node *on)
{
	struct outer *outer = arena_get(s->a->mem, sizeof(*outer));

	if (outer == NULL)
		return false;
	*outer = (struct outer){.from = from, .to = to, .on = on, .next = s->outers};
	s->outers = outer;
	return true;
}

static bool from_item(struct selecting *s, const PgQuery__Node *node);

static bool from_join(struct selecting *s, const PgQuery__JoinExpr *join)
{
	size_t from = s->level.count, middle;
	struct qual qual = {.node = join->quals, .is_join = true};
	struct scope scope = {.level = &s->level, .from = from, .parent = s->parent};

	if (join->alias != NULL || join->join_using_alias != NULL || join->is_natural)
		return analysis_refuse(s->a, REASON_SHAPE);
	if (!from_item(s, join->larg))
		return false;
	middle = s->level.count;
	if (!from_item(s, join->rarg) || !join_using(s, join, from, middle))
		return false;
	if ((join->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER &&
	     join->jointype != PG_QUERY__JOIN_TYPE__JOIN_RIGHT &&
	     !add_outer(s, middle, s->level.count, join->quals)) ||
	    (join->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER &&
	     join->jointype != PG_QUERY__JOIN_TYPE__JOIN_LEFT && !add_outer(s, from, middle, join->quals)))
		return false;
	if (join->quals == NULL)
		return true;
	scope.to = qual.seen_to = s->level.count;
	qual.seen_from = from;
	if (!expr_alone(s->a, (struct place){.scope = &scope, .ctes = s->ctes}, join->quals))
		return false;
	/* The condition of an outer join says nothing about the rows of the side that is kept whole. */
	switch (join->jointype) {
	case PG_QUERY__JOIN_TYPE__JOIN_INNER:
		qual.from = from;
		qual.to = s->level.count;
		break;
	case PG_QUERY__JOIN_TYPE__JOIN_LEFT:
		qual.from = middle;
		qual.to = s->level.count;
		break;
	case PG_QUERY__JOIN_TYPE__JOIN_RIGHT:
		qual.from = from;
		qual.to = middle;
		break;
	case PG_QUERY__JOIN_TYPE__JOIN_FULL: break;
	default: return analysis_refuse(s->a, REASON_SHAPE);
	}
	return add_qual(s, qual);
}

static bool from_item(struct selecting *s, const PgQuery__Node *node)
{
	if (node == NULL)
		return analysis_refuse(s->a, REASON_SHAPE);
	switch (node->node_case) {
	case PG_QUERY__NODE__NODE_RANGE_VAR: return from_relation(s, node->range_var);
	case PG_QUERY__NODE__NODE_RANGE_SUBSELECT: return from_subselect(s, node->range_subselect, 0);
	case PG_QUERY__NODE__NODE_JOIN_EXPR: return from_join(s, node->join_expr);
	default: return analysis_refuse(s->a, REASON_SHAPE);
	}
}

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

			if (i < q->from || i >= q->to || entry->read->choices != NULL)
				continue;
			if (!keys_find(s->a, &scope, entry, q->node))
				return false;
		}
	}
	return predicates_find(s->a, &s->level, s->parent, s->quals);
}

/* ---- what comes out ---- */

static bool add_output(struct analysis *a, struct outputs *outputs, struct column column)
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

static bool add_entry_outputs(struct analysis *a, const struct entry *entry, struct outputs *outputs)
{
	if (entry->rel != NULL) {
		for (unsigned i = 0; i < entry->rel->ncolumns; i++)
			if (!add_output(a, outputs, entry_output(entry, &entry->rel->columns[i])))
				return false;
		return true;
	}
	for (size_t i = 0; i < entry->derived->count; i++)
		if (!add_output(a, outputs, entry->derived->columns[i]))
			return false;
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
		if (!add_entry_outputs(s->a, entry, outputs))
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
	return add_output(s->a, outputs, column);
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

static bool add_ctes(struct analysis *a, const PgQuery__WithClause *with, const struct scope *parent,
		     const struct cte **ctes)
{
	if (with->recursive)
		return analysis_refuse(a, REASON_SHAPE);
	for (size_t i = 0; i < with->n_ctes; i++) {
		const PgQuery__CommonTableExpr *expr;
		struct outputs *outputs = arena_zero(a->mem, sizeof(*outputs));
		struct cte *cte = arena_get(a->mem, sizeof(*cte));

		if (with->ctes[i]->node_case != PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR)
			return analysis_refuse(a, REASON_SHAPE);
		expr = with->ctes[i]->common_table_expr;
		if (expr->n_aliascolnames > 0 || expr->ctequery == NULL ||
		    expr->ctequery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
			return analysis_refuse(a, REASON_SHAPE);
		if (cte == NULL || outputs == NULL ||
		    !select_check(a, expr->ctequery->select_stmt, parent, *ctes, outputs))
			return false;
		*cte = (struct cte){.name = span_str(expr->ctename), .outputs = outputs, .next = *ctes};
		*ctes = cte;
	}
	return true;
}

static bool check_limits(struct analysis *a, struct place at, const PgQuery__SelectStmt *select)
{
	return expr_alone(a, at, select->limit_count) && expr_alone(a, at, select->limit_offset);
}

static bool check_set_operation(struct analysis *a, const PgQuery__SelectStmt *select,
				const struct scope *parent, const struct cte *ctes, struct outputs *outputs_r)
{
	struct level level = {0};
	struct scope scope = {.level = &level, .parent = parent};
	struct place at = {.scope = &scope, .ctes = ctes};
	struct outputs right = {0};

	if (select->larg == NULL || select->rarg == NULL || select->n_target_list > 0)
		return analysis_refuse(a, REASON_SHAPE);
	if (!select_check(a, select->larg, parent, ctes, outputs_r) ||
	    !select_check(a, select->rarg, parent, ctes, &right))
		return false;
	if (right.count != outputs_r->count)
		return analysis_refuse(a, REASON_SHAPE);
	if (!all_usable(a, outputs_r) || !all_usable(a, &right))
		return false;
	for (size_t i = 0; i < right.count; i++)
		if (right.columns[i].type != outputs_r->columns[i].type)
			outputs_r->columns[i].type = 0;
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
	if (select->where_clause != NULL &&
	    !add_qual(s, (struct qual){.node = select->where_clause, .to = scope.to, .seen_to = scope.to}))
		return false;
	for (size_t i = 0; i < select->n_target_list; i++)
		if (select->target_list[i]->node_case != PG_QUERY__NODE__NODE_RES_TARGET ||
		    !add_target(s, &scope, select->target_list[i]->res_target, outputs_r))
			return analysis_refuse(a, REASON_SHAPE);
	if (!check_groups(a, at, select, outputs_r) || !expr_alone(a, at, select->having_clause) ||
	    !check_windows(a, at, select) || !check_distinct(a, at, select, outputs_r) ||
	    !check_sorts(a, at, select, outputs_r) || !check_limits(a, at, select) || !find_keys(s))
		return false;
	if (shows_rows(s, select))
		predicates_shown(&s->level, s->quals, s->outers, may_cut(s, select), outputs_r);
	return true;
}

bool select_check(struct analysis *a, const PgQuery__SelectStmt *select, const struct scope *parent,
		  const struct cte *ctes, struct outputs *outputs_r)
{
	struct selecting s = {.a = a, .parent = parent};
	bool ok;

	if (select->into_clause != NULL || select->n_locking_clause > 0 || select->n_values_lists > 0)
		return analysis_refuse(a, select->n_locking_clause > 0 ? REASON_ROW_LOCK : REASON_SHAPE);
	a->depth++;
	ok = select->with_clause == NULL || add_ctes(a, select->with_clause, parent, &ctes);
	s.ctes = ctes;
	if (ok && select->op != PG_QUERY__SET_OPERATION__SETOP_NONE)
		ok = check_set_operation(a, select, parent, ctes, outputs_r);
	else if (ok)
		ok = check_plain(&s, select, outputs_r);
	a->depth--;
	return ok;
}
