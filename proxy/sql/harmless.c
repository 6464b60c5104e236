#include "proxy/sql/harmless.h"

#include "proxy/sql/builtins.h"
#include "proxy/sql/shape.h"

struct proof {
	const struct names *names;
	const ProtobufCMessage *root;
};

/* Beyond what the cache understands. */
static bool more_known(const ProtobufCMessage *msg)
{
	return tree_is(msg, sqlvalue_function) || tree_is(msg, xml_expr) || tree_is(msg, xml_serialize) ||
	       tree_is(msg, range_function) || tree_is(msg, range_table_sample) ||
	       tree_is(msg, range_table_func) || tree_is(msg, range_table_func_col) ||
	       tree_is(msg, named_arg_expr) || tree_is(msg, row_expr) || tree_is(msg, explain_stmt) ||
	       tree_is(msg, def_elem) || tree_is(msg, set_to_default) || tree_is(msg, ctesearch_clause) ||
	       tree_is(msg, ctecycle_clause) || tree_is(msg, column_def);
}

static bool own_function(const struct proof *p, PgQuery__Node *const *parts, size_t n)
{
	struct span name = tree_catalog_name(parts, n);
	enum builtin_class class = builtin_function(name);

	return class >= BUILTIN_IMMUTABLE && class <= BUILTIN_VOLATILE &&
	       (n == 2 || !catalog_user_function(p->names->catalog, name));
}

static bool own_operator(const struct proof *p, PgQuery__Node *const *parts, size_t n)
{
	struct span name = tree_catalog_name(parts, n);

	if (n == 0)
		return true;
	if (n == 1 && name.n > 0 && name.p[0] >= 'A' && name.p[0] <= 'Z')
		return !catalog_user_operator(p->names->catalog, span_str("<=")) &&
		       !catalog_user_operator(p->names->catalog, span_str(">="));
	return builtin_operator(name) != BUILTIN_NONE &&
	       (n == 2 || !catalog_user_operator(p->names->catalog, name));
}

/* `a.f` may be a call of the function f. */
static bool own_field(const struct proof *p, const PgQuery__Node *field)
{
	struct span name = tree_string(field);
	enum builtin_class class = builtin_function(name);

	return name.n == 0 || (class <= BUILTIN_VOLATILE && !catalog_user_function(p->names->catalog, name));
}

struct cte_search {
	struct span name;
	bool found;
};

static enum tree_step match_cte(const ProtobufCMessage *msg, void *arg)
{
	struct cte_search *search = arg;

	if (!tree_is(msg, common_table_expr))
		return TREE_ON;
	search->found = span_eq(span_str(((const PgQuery__CommonTableExpr *)(const void *)msg)->ctename),
				search->name);
	return search->found ? TREE_STOP : TREE_ON;
}

/* A name of a CTE is harmless where the CTE is meant; elsewhere it is a relation, so it must not be one that could
 * do harm. */
static bool own_relation(const struct proof *p, const PgQuery__RangeVar *var)
{
	struct cte_search search = {.name = span_str(var->relname)};
	const struct catalog_relation *any = NULL;

	if (names_harmless(p->names, var))
		return true;
	if (var->schemaname[0] != '\0' || p->names->odd)
		return false;
	(void)tree_walk(p->root, match_cte, &search);
	return search.found && catalog_count_name(p->names->catalog, search.name, &any) == 0;
}

static bool own_sample(const PgQuery__RangeTableSample *sample)
{
	struct span method = tree_catalog_name(sample->method, sample->n_method);

	return span_eq(method, span_str("system")) || span_eq(method, span_str("bernoulli"));
}

/* IN (SELECT ..), CASE x WHEN and JOIN USING mean = without saying so. */
static bool hidden_equality(const ProtobufCMessage *msg)
{
	const void *m = msg;

	if (tree_is(msg, sub_link))
		return ((const PgQuery__SubLink *)m)->testexpr != NULL;
	if (tree_is(msg, case_expr))
		return ((const PgQuery__CaseExpr *)m)->arg != NULL;
	if (tree_is(msg, join_expr))
		return ((const PgQuery__JoinExpr *)m)->is_natural ||
		       ((const PgQuery__JoinExpr *)m)->n_using_clause > 0;
	return false;
}

static bool own_message(const struct proof *p, const ProtobufCMessage *msg)
{
	const void *m = msg;

	if (hidden_equality(msg) && catalog_user_operator(p->names->catalog, span_str("=")))
		return false;
	if (tree_is(msg, func_call))
		return own_function(p, ((const PgQuery__FuncCall *)m)->funcname,
				    ((const PgQuery__FuncCall *)m)->n_funcname);
	if (tree_is(msg, a__expr))
		return own_operator(p, ((const PgQuery__AExpr *)m)->name,
				    ((const PgQuery__AExpr *)m)->n_name);
	if (tree_is(msg, sub_link))
		return own_operator(p, ((const PgQuery__SubLink *)m)->oper_name,
				    ((const PgQuery__SubLink *)m)->n_oper_name);
	if (tree_is(msg, sort_by))
		return own_operator(p, ((const PgQuery__SortBy *)m)->use_op,
				    ((const PgQuery__SortBy *)m)->n_use_op);
	if (tree_is(msg, type_name))
		return builtin_type_name(tree_catalog_name(((const PgQuery__TypeName *)m)->names,
							   ((const PgQuery__TypeName *)m)->n_names)) != NULL;
	if (tree_is(msg, range_var))
		return own_relation(p, m);
	if (tree_is(msg, range_table_sample))
		return own_sample(m);
	if (tree_is(msg, column_ref)) {
		const PgQuery__ColumnRef *ref = m;

		return ref->n_fields < 2 || own_field(p, ref->fields[ref->n_fields - 1]);
	}
	if (tree_is(msg, a__indirection)) {
		const PgQuery__AIndirection *ind = m;

		for (size_t i = 0; i < ind->n_indirection; i++)
			if (!own_field(p, ind->indirection[i]))
				return false;
	}
	return shape_knows(msg) || more_known(msg);
}

static enum tree_step prove(const ProtobufCMessage *msg, void *arg)
{
	return own_message(arg, msg) ? TREE_ON : TREE_STOP;
}

bool harmless_tree(const PgQuery__Node *stmt, const struct names *names)
{
	struct proof proof = {.names = names, .root = &stmt->base};

	return tree_walk(&stmt->base, prove, &proof);
}
