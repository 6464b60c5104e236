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
	       (n == 2 || catalog_user_function(p->names->catalog, name) != CATALOG_USERS_CODE);
}

static bool own_operator(const struct proof *p, PgQuery__Node *const *parts, size_t n)
{
	struct span name = tree_catalog_name(parts, n);

	if (n == 0)
		return true;
	if (n == 1 && name.n > 0 && name.p[0] >= 'A' && name.p[0] <= 'Z')
		return catalog_user_operator(p->names->catalog, span_str("<=")) != CATALOG_USERS_CODE &&
		       catalog_user_operator(p->names->catalog, span_str(">=")) != CATALOG_USERS_CODE;
	return builtin_operator(name) != BUILTIN_NONE &&
	       (n == 2 || catalog_user_operator(p->names->catalog, name) != CATALOG_USERS_CODE);
}

/* `a.f` may be a call of the function f. */
static bool own_field(const struct proof *p, const PgQuery__Node *field)
{
	struct span name = tree_string(field);
	enum builtin_class class = builtin_function(name);

	return name.n == 0 || (class <= BUILTIN_VOLATILE &&
			       catalog_user_function(p->names->catalog, name) != CATALOG_USERS_CODE);
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

	if (hidden_equality(msg) &&
	    catalog_user_operator(p->names->catalog, span_str("=")) == CATALOG_USERS_CODE)
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
							   ((const PgQuery__TypeName *)m)->n_names)) !=
			       NULL ||
		       names_own_type(p->names, m);
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

/* ---- texts without a type ----
 * A text, a NULL or a parameter without a type is read as the type of what it meets: in COALESCE(tags, '{a}') as that of tags. When that is
 * a type of users it may be a domain, or have one in it, and the CHECK runs. What meets what is not followed here: it is enough that there is
 * such a text, and that a column of such a type is used for more than to be shown. */

#define RISKY_MAX 16

struct risky {
	const struct catalog_relation *rel;
	struct span called;
};

struct reading {
	const struct names *names;
	const uint32_t *oids;
	uint16_t noids;
	const PgQuery__SelectStmt *shows; /* its columns are shown; NULL: there is none */
	struct risky list[RISKY_MAX];
	unsigned n;
	bool untyped;
	bool renames; /* columns have other names in it */
};

static bool add_risky(struct reading *r, const PgQuery__RangeVar *var)
{
	const struct catalog_relation *found[NAMES_PATH_MAX];
	unsigned n = names_candidates(r->names, var, found);

	for (unsigned i = 0; i < n; i++) {
		if (!catalog_has_column_of_users(found[i]))
			continue;
		if (r->n == RISKY_MAX)
			return false;
		r->list[r->n++] = (struct risky){.rel = found[i],
						 .called = span_str(var->alias != NULL ? var->alias->aliasname
										       : var->relname)};
	}
	return true;
}

static bool has_type(const struct reading *r, const PgQuery__ParamRef *ref)
{
	enum { UNKNOWN = 705 };

	return ref->number >= 1 && ref->number <= r->noids && r->oids[ref->number - 1] != 0 &&
	       r->oids[ref->number - 1] != UNKNOWN;
}

static enum tree_step look_around(const ProtobufCMessage *msg, void *arg)
{
	struct reading *r = arg;
	const void *m = msg;

	if (tree_is(msg, a__const))
		r->untyped |= ((const PgQuery__AConst *)m)->isnull ||
			      ((const PgQuery__AConst *)m)->val_case == PG_QUERY__A__CONST__VAL_SVAL;
	else if (tree_is(msg, param_ref))
		r->untyped |= !has_type(r, m);
	else if (tree_is(msg, alias))
		r->renames |= ((const PgQuery__Alias *)m)->n_colnames > 0;
	else if (tree_is(msg, range_var))
		return add_risky(r, m) ? TREE_ON : TREE_STOP;
	return TREE_ON;
}

static bool just_shown(const struct reading *r, const PgQuery__ColumnRef *ref)
{
	const PgQuery__SelectStmt *shows = r->shows;

	if (shows == NULL || shows->op != PG_QUERY__SET_OPERATION__SETOP_NONE)
		return false;
	for (size_t i = 0; i < shows->n_target_list; i++) {
		const PgQuery__Node *target = shows->target_list[i];

		if (target->node_case == PG_QUERY__NODE__NODE_RES_TARGET && target->res_target->val != NULL &&
		    target->res_target->val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF &&
		    target->res_target->val->column_ref == ref)
			return true;
	}
	return false;
}

/* A column of users, a row that has one, or a star. */
static bool risky_name(const struct reading *r, const PgQuery__ColumnRef *ref)
{
	struct span name = ref->n_fields > 0 ? tree_string(ref->fields[ref->n_fields - 1]) : span_str("");

	if (name.n == 0)
		return true;
	for (unsigned i = 0; i < r->n; i++) {
		const struct catalog_column *column = catalog_column(r->list[i].rel, name);

		if (span_eq(r->list[i].called, name) || (column != NULL && catalog_column_of_users(column)))
			return true;
	}
	return false;
}

static enum tree_step look_for_use(const ProtobufCMessage *msg, void *arg)
{
	const void *m = msg;

	return tree_is(msg, column_ref) && !just_shown(arg, m) && risky_name(arg, m) ? TREE_STOP : TREE_ON;
}

static bool own_texts(struct reading *r, const PgQuery__Node *stmt)
{
	if (stmt->node_case == PG_QUERY__NODE__NODE_EXPLAIN_STMT && stmt->explain_stmt->query != NULL)
		return own_texts(r, stmt->explain_stmt->query);
	if (stmt->node_case == PG_QUERY__NODE__NODE_SELECT_STMT)
		r->shows = stmt->select_stmt;
	if (!tree_walk(&stmt->base, look_around, r))
		return false;
	return r->n == 0 || !r->untyped || (!r->renames && tree_walk(&stmt->base, look_for_use, r));
}

bool harmless_tree(const PgQuery__Node *stmt, const struct names *names, const uint32_t *oids, uint16_t noids)
{
	struct proof proof = {.names = names, .root = &stmt->base};
	struct reading reading = {.names = names, .oids = oids, .noids = noids};

	return tree_walk(&stmt->base, prove, &proof) && own_texts(&reading, stmt);
}
