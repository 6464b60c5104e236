/* figure.c - how PostgreSQL calls a column of an answer that nobody named. */
#include "proxy/sql/analysis.h"

/* The name PostgreSQL gives to a column without AS; *strong_r tells a real name from a type's. FigureColname's rules. */
static struct span figure(const PgQuery__Node *node, bool *strong_r)
{
	struct span none = span_of(NULL, 0), name;

	*strong_r = true;
	if (node == NULL)
		return *strong_r = false, none;
	switch (node->node_case) {
	case PG_QUERY__NODE__NODE_COLUMN_REF:
		return tree_string(node->column_ref->fields[node->column_ref->n_fields - 1]);
	case PG_QUERY__NODE__NODE_FUNC_CALL:
		return tree_string(node->func_call->funcname[node->func_call->n_funcname - 1]);
	case PG_QUERY__NODE__NODE_A_INDIRECTION: return figure(node->a_indirection->arg, strong_r);
	case PG_QUERY__NODE__NODE_COLLATE_CLAUSE: return figure(node->collate_clause->arg, strong_r);
	case PG_QUERY__NODE__NODE_COALESCE_EXPR: return span_str("coalesce");
	case PG_QUERY__NODE__NODE_A_ARRAY_EXPR: return span_str("array");
	case PG_QUERY__NODE__NODE_GROUPING_FUNC: return span_str("grouping");
	case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
		return span_str(node->min_max_expr->op == PG_QUERY__MIN_MAX_OP__IS_LEAST ? "least"
											 : "greatest");
	case PG_QUERY__NODE__NODE_TYPE_CAST:
		name = figure(node->type_cast->arg, strong_r);
		if (*strong_r || node->type_cast->type_name->n_names == 0)
			return name;
		return tree_string(
			node->type_cast->type_name->names[node->type_cast->type_name->n_names - 1]);
	case PG_QUERY__NODE__NODE_CASE_EXPR:
		name = figure(node->case_expr->defresult, strong_r);
		return *strong_r ? name : span_str("case");
	case PG_QUERY__NODE__NODE_A_EXPR:
		if (node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF)
			return span_str("nullif");
		break;
	case PG_QUERY__NODE__NODE_SUB_LINK:
		if (node->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK)
			return span_str("exists");
		if (node->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ARRAY_SUBLINK)
			return span_str("array");
		break;
	default: break;
	}
	*strong_r = false;
	return none;
}

struct span figure_name(const PgQuery__Node *node)
{
	bool strong;

	return figure(node, &strong);
}
