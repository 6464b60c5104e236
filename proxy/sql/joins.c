/* joins.c - who is in the FROM of a SELECT, and which conditions its joins have. */
#include "proxy/sql/analysis.h"

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

	if (var->schemaname[0] == '\0' && var->catalogname[0] == '\0')
		cte = find_cte(s->ctes, span_str(var->relname));
	/* A CTE of WITH RECURSIVE that comes later, or itself where it must not. */
	if (cte != NULL && cte->outputs == NULL)
		return analysis_refuse(s->a, REASON_SHAPE);
	if (cte == NULL) {
		if (var->alias != NULL && var->alias->n_colnames > 0)
			return analysis_refuse(s->a, REASON_SHAPE);
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
		entry->derived = var->alias == NULL
					 ? cte->outputs
					 : outputs_renamed(s->a, cte->outputs, var->alias->colnames,
							   var->alias->n_colnames);
		return entry->derived != NULL;
	}
	if (var->alias == NULL)
		entry->schema = span_str(rel->schema);
	entry->read = add_read(s->a, rel);
	return entry->read != NULL;
}

const struct outputs *outputs_renamed(struct analysis *a, const struct outputs *outputs,
				      PgQuery__Node *const *names, size_t n)
{
	struct outputs *copy;

	if (n == 0)
		return outputs;
	copy = arena_zero(a->mem, sizeof(*copy));
	/* Which columns the names fall on is not known. */
	if (n > outputs->count || outputs->unordered) {
		analysis_refuse(a, REASON_SHAPE);
		return NULL;
	}
	for (size_t i = 0; i < outputs->count; i++) {
		struct column column = outputs->columns[i];

		if (i < n)
			column.name = tree_string(names[i]);
		if (copy == NULL || !outputs_add(a, copy, column))
			return NULL;
	}
	return copy;
}

static bool from_subselect(struct selecting *s, const PgQuery__RangeSubselect *sub, size_t left_from)
{
	struct outputs *outputs = arena_zero(s->a->mem, sizeof(*outputs));
	struct scope left = {
		.level = &s->level, .from = left_from, .to = s->level.count, .parent = s->parent};
	struct entry *entry;

	if (sub->alias == NULL || sub->subquery == NULL ||
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
	entry->derived = outputs_renamed(s->a, outputs, sub->alias->colnames, sub->alias->n_colnames);
	return entry->derived != NULL;
}

static struct qual *add_qual(struct selecting *s, struct qual qual)
{
	struct qual *copy = arena_get(s->a->mem, sizeof(*copy));

	if (copy == NULL)
		return NULL;
	*copy = qual;
	copy->next = s->quals;
	s->quals = copy;
	return copy;
}

struct joining {
	struct selecting *s;
	size_t from, middle;
	PgQuery__JoinType type;
	const struct qual *qual;
};

static size_t place_of(const struct level *level, const struct entry *entry)
{
	return entry == NULL ? NO_ENTRY : (size_t)(entry - level->entries);
}

/* A column of JOIN .. USING must be one of built-in type on both sides. The outer side's value is that of the merged one. */
static bool merge(const struct joining *j, struct span name)
{
	struct selecting *s = j->s;
	struct scope left = {.level = &s->level, .from = j->from, .to = j->middle};
	struct scope right = {.level = &s->level, .from = j->middle, .to = s->level.count};
	struct merged *merged = arena_get(s->a->mem, sizeof(*merged));
	const struct entry *mine = NULL, *other = NULL;
	struct column l, r;

	if (merged == NULL || !expr_bare_column(s->a, &left, name, &l, &mine) ||
	    !expr_bare_column(s->a, &right, name, &r, &other))
		return false;
	if (!l.usable || !r.usable)
		return analysis_refuse(s->a, REASON_TYPE);
	if (!expr_operator(s->a, span_str("="), (struct typed){.oid = l.type}, (struct typed){.oid = r.type}))
		return false;
	*merged = (struct merged){.name = name,
				  .from = j->from,
				  .middle = j->middle,
				  .to = s->level.count,
				  .left = place_of(&s->level, mine),
				  .right = place_of(&s->level, other),
				  .stand = NO_ENTRY,
				  .qual = j->qual,
				  .next = s->level.merged};
	/* Of two types of one family the merged column compares like either of them; else as some third. */
	if (!keys_same_family(l.type, r.type))
		merged->left = merged->right = NO_ENTRY;
	if (j->type == PG_QUERY__JOIN_TYPE__JOIN_INNER || j->type == PG_QUERY__JOIN_TYPE__JOIN_LEFT)
		merged->stand = merged->left;
	else if (j->type == PG_QUERY__JOIN_TYPE__JOIN_RIGHT)
		merged->stand = merged->right;
	s->level.merged = merged;
	return true;
}

/* The i-th column of an entry; false behind the last. */
static bool entry_name(const struct entry *entry, size_t i, struct span *name_r)
{
	if (i >= (entry->rel != NULL ? entry->rel->ncolumns : entry->derived->count))
		return false;
	*name_r =
		entry->rel != NULL ? span_str(entry->rel->columns[i].name) : entry->derived->columns[i].name;
	return true;
}

static bool is_merged(const struct joining *j, struct span name)
{
	for (const struct merged *m = j->s->level.merged; m != NULL; m = m->next)
		if (m->qual == j->qual && span_eq(m->name, name))
			return true;
	return false;
}

/* What NATURAL JOIN merges: the names on both sides. */
static bool merge_common(const struct joining *j)
{
	struct level *level = &j->s->level;
	struct level right = {.entries = level->entries + j->middle, .count = level->count - j->middle};

	for (size_t i = j->from; i < level->count; i++) {
		struct column column;
		struct span name;

		for (size_t k = 0; entry_name(&level->entries[i], k, &name); k++) {
			if (name.n == 0)
				return analysis_refuse(j->s->a, REASON_SHAPE);
			if (i < j->middle && !is_merged(j, name) &&
			    expr_level_column(&right, name, &column) && !merge(j, name))
				return false;
		}
	}
	return true;
}

static bool merge_columns(const struct joining *j, const PgQuery__JoinExpr *join)
{
	if (join->is_natural)
		return merge_common(j);
	for (size_t i = 0; i < join->n_using_clause; i++)
		if (!merge(j, tree_string(join->using_clause[i])))
			return false;
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

/* Which side a join's condition narrows: that of an outer join says nothing about the rows of the side that is kept whole. */
static bool narrowed(struct selecting *s, PgQuery__JoinType type, size_t from, size_t middle,
		     struct qual *qual)
{
	qual->seen_from = from;
	qual->seen_to = s->level.count;
	switch (type) {
	case PG_QUERY__JOIN_TYPE__JOIN_INNER:
		qual->from = from;
		qual->to = s->level.count;
		return true;
	case PG_QUERY__JOIN_TYPE__JOIN_LEFT:
		qual->from = middle;
		qual->to = s->level.count;
		return true;
	case PG_QUERY__JOIN_TYPE__JOIN_RIGHT:
		qual->from = from;
		qual->to = middle;
		return true;
	case PG_QUERY__JOIN_TYPE__JOIN_FULL: return true;
	default: return analysis_refuse(s->a, REASON_SHAPE);
	}
}

static bool from_join(struct selecting *s, const PgQuery__JoinExpr *join)
{
	size_t from = s->level.count, middle;
	struct qual qual = {.node = join->quals, .is_join = true}, *kept;
	struct scope scope = {.level = &s->level, .from = from, .parent = s->parent};

	if (join->alias != NULL || join->join_using_alias != NULL)
		return analysis_refuse(s->a, REASON_SHAPE);
	if (!from_item(s, join->larg))
		return false;
	middle = s->level.count;
	if (!from_item(s, join->rarg) || !narrowed(s, join->jointype, from, middle, &qual))
		return false;
	if ((join->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER &&
	     join->jointype != PG_QUERY__JOIN_TYPE__JOIN_RIGHT &&
	     !add_outer(s, middle, s->level.count, join->quals)) ||
	    (join->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER &&
	     join->jointype != PG_QUERY__JOIN_TYPE__JOIN_LEFT && !add_outer(s, from, middle, join->quals)))
		return false;
	scope.to = s->level.count;
	if (!expr_alone(s->a, (struct place){.scope = &scope, .ctes = s->ctes}, join->quals))
		return false;
	kept = add_qual(s, qual);
	return kept != NULL &&
	       merge_columns(
		       &(struct joining){
			       .s = s, .from = from, .middle = middle, .type = join->jointype, .qual = kept},
		       join);
}

bool from_item(struct selecting *s, const PgQuery__Node *node)
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
