#include "proxy/sql/analysis.h"

#include <strings.h>

enum {
	BOOL = 16,
	INT8 = 20,
	INT2 = 21,
	INT4 = 23,
	TEXT = 25,
	TIMESTAMP = 1114,
	TIMESTAMPTZ = 1184,
	INTERVAL = 1186,
	NUMERIC = 1700,
	TIMETZ = 1266,
	XML = 142,
	UNKNOWN = 705
};

bool analysis_refuse(struct analysis *a, enum reason reason)
{
	if (a->reason == REASON_NONE)
		a->reason = reason;
	return false;
}

/* The input of arrays, ranges, multiranges and records takes backslashes and double quotes out of what is inside: {n\ow}. They begin with
 * one of these, behind blanks; in an old encoding the locale may count a byte above ASCII as one. */
static bool hides_words(struct span text)
{
	size_t i = 0;

	while (i < text.n &&
	       (text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r') || text.p[i] >= 0x80))
		i++;
	if (i == text.n || (text.p[i] != '{' && text.p[i] != '[' && text.p[i] != '('))
		return false;
	return memchr(text.p + i, '\\', text.n - i) != NULL || memchr(text.p + i, '"', text.n - i) != NULL;
}

/* 'now', 'today' and the like as a word of its own, in any case, anywhere: also in arrays and ranges, where one may be hidden. */
bool expr_clock_words(struct span text)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	for (size_t i = 0; i < text.n; i++) {
		size_t from = i;

		while (i < text.n && ((text.p[i] | 0x20) >= 'a' && (text.p[i] | 0x20) <= 'z'))
			i++;
		for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
			if (i - from == strlen(words[w]) &&
			    strncasecmp((const char *)text.p + from, words[w], i - from) == 0)
				return true;
	}
	return hides_words(text);
}

/* ---- types ---- */

const struct builtin_type *expr_type(const PgQuery__TypeName *type)
{
	const struct builtin_type *found = builtin_type_name(tree_catalog_name(type->names, type->n_names));

	if (found == NULL || type->setof || type->pct_type)
		return NULL;
	if (type->n_array_bounds == 0)
		return found;
	return found->array == 0 ? NULL : builtin_type_oid(found->array);
}

uint32_t expr_param_type(const struct analysis *a, uint16_t param)
{
	if (param == 0 || param > a->noids || a->oids[param - 1] == UNKNOWN)
		return 0;
	return a->oids[param - 1];
}

static enum builtin_input input_of(uint32_t oid)
{
	const struct builtin_type *type = builtin_type_oid(oid);

	return type == NULL ? INPUT_OTHER : type->input;
}

/* The other side is certainly no date or time, so an untyped string does not become one. */
static bool certainly_plain(struct typed t)
{
	return t.oid != 0 && input_of(t.oid) == INPUT_PLAIN;
}

/* Nothing around it keeps this from being read as a date. */
bool expr_settle(struct analysis *a, struct typed t)
{
	if (t.slot != 0)
		a->clock_param[t.slot] = true;
	else if (t.literal && t.clock)
		return analysis_refuse(a, REASON_FUNCTION);
	if (t.param != 0)
		a->clock_param[t.param] = true;
	return true;
}

static bool integer_type(uint32_t oid)
{
	return oid == INT2 || oid == INT4 || oid == INT8;
}

/* Types that have an operator T op T of their own, so that no operator of a user can fit better. */
static bool has_own_operators(uint32_t oid)
{
	static const uint32_t own[] = {16,  17,	  19,	20,   21,   23,	  25,	26,  700,
				       701, 1082, 1083, 1114, 1184, 1186, 1700, 2950};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i] == oid)
			return true;
	return false;
}

static bool is_one_of(struct span name, const char *list)
{
	for (const char *p = list; *p != '\0';) {
		size_t n = strcspn(p, " ");

		if (n == name.n && memcmp(p, name.p, n) == 0)
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

/* PostgreSQL looks for the exact pair of types first, in pg_catalog first; an untyped side counts as the other. */
static bool exact_pair(struct span name, struct typed left, struct typed right)
{
	uint32_t l = left.oid, r = right.oid;

	if (l == 0 && (left.literal || left.param != 0))
		l = r;
	if (r == 0 && (right.literal || right.param != 0))
		r = l;
	if (l == 0 || !has_own_operators(l) || !(l == r || (integer_type(l) && integer_type(r))))
		return false;
	if (is_one_of(name, "= <> != < > <= >="))
		return true;
	if (l == TEXT)
		return is_one_of(name, "~~ !~~ ~~* !~~* ||");
	return integer_type(l) && is_one_of(name, "+ - * / %");
}

bool expr_operator(struct analysis *a, struct span name, struct typed left, struct typed right)
{
	enum builtin_class class = builtin_operator(name);

	if (class != BUILTIN_IMMUTABLE && class != BUILTIN_SETTINGS)
		return analysis_refuse(a, REASON_FUNCTION);
	if (exact_pair(name, left, right))
		return true;
	/* What = is read as decides on which rows an answer depends. */
	if (catalog_user_operator(a->catalog, name) == CATALOG_USERS_CODE ||
	    (catalog_users_equal(a->catalog) && is_one_of(name, "=")))
		return analysis_refuse(a, REASON_FUNCTION);
	return true;
}

/* ---- columns ---- */

struct column expr_relation_column(const struct catalog_column *column)
{
	enum builtin_input input = column->builtin_type ? input_of(column->type_oid) : INPUT_OTHER;

	return (struct column){.name = span_str(column->name),
			       .type = column->type_oid,
			       .usable = input != INPUT_OTHER || column->own_code,
			       .shown = !column->builtin_type || input != INPUT_OTHER ||
					column->type_oid == TIMETZ || column->type_oid == XML};
}

static bool entry_column(const struct entry *entry, struct span name, struct column *column_r, unsigned *hits)
{
	if (entry->rel != NULL) {
		const struct catalog_column *column = catalog_column(entry->rel, name);

		if (column == NULL)
			return false;
		*column_r = expr_relation_column(column);
		(*hits)++;
		return true;
	}
	for (size_t i = 0; i < entry->derived->count; i++)
		if (span_eq(entry->derived->columns[i].name, name)) {
			*column_r = entry->derived->columns[i];
			(*hits)++;
		}
	return *hits > 0;
}

bool expr_level_column(const struct level *level, struct span name, struct column *column_r)
{
	unsigned hits = 0;

	for (size_t i = 0; i < level->count && hits == 0; i++)
		(void)entry_column(&level->entries[i], name, column_r, &hits);
	return hits > 0;
}

/* The join that merges columns of that name, outermost of those in sight. */
static const struct merged *find_merged(const struct scope *scope, struct span name)
{
	for (const struct merged *m = scope->level->merged; m != NULL; m = m->next)
		if (span_eq(m->name, name) && m->from >= scope->from && m->to <= scope->to)
			return m;
	return NULL;
}

/* A bare column name: the innermost scope that has it. */
bool expr_bare_column(struct analysis *a, const struct scope *scope, struct span name,
		      struct column *column_r, const struct entry **entry_r)
{
	for (; scope != NULL; scope = scope->parent) {
		const struct merged *merged;
		unsigned hits = 0;

		for (size_t i = scope->from; i < scope->to; i++) {
			unsigned before = hits;

			(void)entry_column(&scope->level->entries[i], name, column_r, &hits);
			if (hits > before)
				*entry_r = &scope->level->entries[i];
		}
		if (hits == 0)
			continue;
		merged = find_merged(scope, name);
		if (merged == NULL)
			return hits == 1 || analysis_refuse(a, REASON_SHAPE);
		*entry_r = NULL;
		column_r->read = NULL;
		if (merged->stand != NO_ENTRY) {
			*entry_r = &scope->level->entries[merged->stand];
			(void)entry_column(*entry_r, name, column_r, &hits);
		}
		return true;
	}
	return analysis_refuse(a, REASON_SHAPE); /* a system column, a whole row, or a mistake */
}

static bool entry_named(const struct entry *entry, struct span schema, struct span table)
{
	return span_eq(entry->alias, table) && (schema.n == 0 || span_eq(entry->schema, schema));
}

static bool table_column(struct analysis *a, const struct scope *scope, struct span schema, struct span table,
			 struct span name, struct column *column_r, const struct entry **entry_r)
{
	for (; scope != NULL; scope = scope->parent) {
		const struct entry *found = NULL;
		unsigned hits = 0;

		for (size_t i = scope->from; i < scope->to; i++)
			if (entry_named(&scope->level->entries[i], schema, table)) {
				if (found != NULL)
					return analysis_refuse(a, REASON_SHAPE);
				found = &scope->level->entries[i];
			}
		if (found == NULL)
			continue;
		/* No such column: perhaps a system column, or a function called as one. */
		if (!entry_column(found, name, column_r, &hits) || hits != 1)
			return analysis_refuse(a, REASON_SHAPE);
		*entry_r = found;
		return true;
	}
	return analysis_refuse(a, REASON_SHAPE);
}

bool expr_column(struct analysis *a, const struct scope *scope, const PgQuery__ColumnRef *ref,
		 struct column *column_r, const struct entry **entry_r)
{
	struct span part[3] = {{0}};

	if (ref->n_fields < 1 || ref->n_fields > 3)
		return analysis_refuse(a, REASON_SHAPE);
	for (size_t i = 0; i < ref->n_fields; i++)
		if ((part[i] = tree_string(ref->fields[i])).n == 0)
			return analysis_refuse(a, REASON_SHAPE);
	if (ref->n_fields == 1)
		return expr_bare_column(a, scope, part[0], column_r, entry_r);
	if (ref->n_fields == 2)
		return table_column(a, scope, span_of(NULL, 0), part[0], part[1], column_r, entry_r);
	return table_column(a, scope, part[0], part[1], part[2], column_r, entry_r);
}

/* ---- expressions ---- */

static bool check_column(struct analysis *a, struct place at, const PgQuery__ColumnRef *ref,
			 struct typed *typed_r)
{
	const struct entry *entry;
	struct column column = {0};

	if (!expr_column(a, at.scope, ref, &column, &entry))
		return false;
	if (!column.usable)
		return analysis_refuse(a, REASON_TYPE);
	*typed_r = (struct typed){.oid = column.type};
	return true;
}

uint16_t expr_slot(const struct analysis *a, const PgQuery__AConst *value)
{
	for (unsigned i = 0; i < a->nslots; i++)
		if (a->slots[i].lifted && a->slots[i].at == value->location)
			return (uint16_t)(a->nparams + i + 1);
	return 0;
}

static bool check_const(const struct analysis *a, const PgQuery__AConst *value, struct typed *typed_r)
{
	*typed_r = (struct typed){0};
	switch (value->val_case) {
	case PG_QUERY__A__CONST__VAL_IVAL: typed_r->oid = INT4; break;
	case PG_QUERY__A__CONST__VAL_BOOLVAL: typed_r->oid = BOOL; break;
	case PG_QUERY__A__CONST__VAL_SVAL:
		typed_r->literal = true;
		typed_r->slot = expr_slot(a, value);
		typed_r->clock = typed_r->slot == 0 && expr_clock_words(span_str(value->sval->sval));
		break;
	default: typed_r->literal = value->isnull; break;
	}
	return true;
}

static bool check_param(struct analysis *a, const PgQuery__ParamRef *ref, struct typed *typed_r)
{
	uint32_t oid;

	if (ref->number < 1 || ref->number > a->nparams)
		return analysis_refuse(a, REASON_PARAMETER);
	oid = expr_param_type(a, (uint16_t)ref->number);
	if (oid != 0 && input_of(oid) == INPUT_OTHER && !catalog_own_code(a->catalog, oid))
		return analysis_refuse(a, REASON_TYPE);
	/* A declared date parameter in text form may still say 'now'. */
	if (oid != 0 && input_of(oid) == INPUT_CLOCK)
		a->clock_param[ref->number] = true;
	*typed_r = (struct typed){.oid = oid, .param = oid == 0 ? (uint16_t)ref->number : 0};
	return true;
}

static bool check_cast(struct analysis *a, struct place at, const PgQuery__TypeCast *cast,
		       struct typed *typed_r)
{
	const struct builtin_type *type = expr_type(cast->type_name);
	struct typed from;

	if (!expr_check(a, at, cast->arg, &from))
		return false;
	if (type == NULL && names_own_type(&a->names, cast->type_name)) {
		*typed_r = (struct typed){0};
		return true;
	}
	if (type == NULL || type->input == INPUT_OTHER)
		return analysis_refuse(a, REASON_TYPE);
	if (type->input == INPUT_CLOCK) {
		if (from.literal || from.param != 0) {
			if (!expr_settle(a, from))
				return false;
		} else if (from.oid == 0 || (from.oid != INTERVAL && input_of(from.oid) != INPUT_CLOCK)) {
			/* A text that becomes a date may say 'now' in any row. */
			return analysis_refuse(a, REASON_FUNCTION);
		}
	}
	*typed_r = (struct typed){.oid = type->oid};
	return true;
}

static bool sorts(struct analysis *a, struct place at, PgQuery__Node *const *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (nodes[i]->node_case != PG_QUERY__NODE__NODE_SORT_BY || nodes[i]->sort_by->n_use_op > 0)
			return analysis_refuse(a, REASON_SHAPE);
		if (!expr_alone(a, at, nodes[i]->sort_by->node))
			return false;
	}
	return true;
}

bool expr_window(struct analysis *a, struct place at, const PgQuery__WindowDef *window)
{
	a->has_windows = true;
	return expr_list(a, at, window->partition_clause, window->n_partition_clause) &&
	       sorts(a, at, window->order_clause, window->n_order_clause) &&
	       expr_alone(a, at, window->start_offset) && expr_alone(a, at, window->end_offset);
}

/* Checks the arguments, each once, and tells the type of the last. */
static bool check_arguments(struct analysis *a, struct place at, const PgQuery__FuncCall *call,
			    struct typed *last_r)
{
	*last_r = (struct typed){0};
	for (size_t i = 0; i < call->n_args; i++)
		if (!expr_check(a, at, call->args[i], last_r) || !expr_settle(a, *last_r))
			return false;
	return true;
}

static uint32_t result_type(struct span name)
{
	if (is_one_of(name, "count row_number rank dense_rank"))
		return INT8;
	if (is_one_of(
		    name,
		    "lower upper initcap btrim ltrim rtrim md5 concat concat_ws replace substr substring left "
		    "right to_char string_agg format"))
		return TEXT;
	return is_one_of(name, "length char_length octet_length ntile") ? INT4 : 0;
}

static bool check_function(struct analysis *a, struct place at, const PgQuery__FuncCall *call,
			   struct typed *typed_r)
{
	struct span name = tree_catalog_name(call->funcname, call->n_funcname);
	enum builtin_class class = builtin_function(name);
	enum catalog_users users;
	struct typed last;

	if (!check_arguments(a, at, call, &last))
		return false;
	/* AT TIME ZONE on a time of day takes today's offset; on timestamps it is a function of its arguments. */
	if (span_eq(name, span_str("timezone")) && call->n_args == 2 &&
	    (last.oid == TIMESTAMP || last.oid == TIMESTAMPTZ))
		class = BUILTIN_SETTINGS;
	if (class != BUILTIN_IMMUTABLE && class != BUILTIN_SETTINGS)
		return analysis_refuse(a, REASON_FUNCTION);
	users = call->n_funcname == 1 ? catalog_user_function(a->catalog, name) : CATALOG_NONE;
	if (users == CATALOG_USERS_CODE)
		return analysis_refuse(a, REASON_FUNCTION);
	*typed_r = (struct typed){.oid = name.n > 0 && users == CATALOG_NONE ? result_type(name) : 0};
	return sorts(a, at, call->agg_order, call->n_agg_order) && expr_alone(a, at, call->agg_filter) &&
	       (call->over == NULL || expr_window(a, at, call->over));
}

/* Two sides of an operator: each tells what an untyped other side will be. */
static bool pair(struct analysis *a, struct span name, struct typed left, struct typed right)
{
	if (!expr_operator(a, name, left, right))
		return false;
	if (!certainly_plain(right) && !expr_settle(a, left))
		return false;
	return certainly_plain(left) || expr_settle(a, right);
}

/* An array on the right of = ANY: a literal or parameter is an array of the left side's type. */
static bool array_pair(struct analysis *a, struct place at, struct span name, struct typed left,
		       const PgQuery__Node *node)
{
	const struct builtin_type *type;
	struct typed right;

	if (!expr_check(a, at, node, &right))
		return false;
	type = right.oid == 0 ? NULL : builtin_type_oid(right.oid);
	if (type != NULL)
		right.oid = type->element;
	return pair(a, name, left, right);
}

/* Every item on the right against the left; `also` is a second operator, for BETWEEN. */
static bool list_pairs(struct analysis *a, struct place at, struct span name, struct span also,
		       struct typed left, const PgQuery__Node *node)
{
	if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_LIST)
		return analysis_refuse(a, REASON_SHAPE);
	for (size_t i = 0; i < node->list->n_items; i++) {
		struct typed right;

		if (!expr_check(a, at, node->list->items[i], &right) || !pair(a, name, left, right) ||
		    (also.n > 0 && !pair(a, also, left, right)))
			return false;
	}
	return true;
}

static uint32_t operator_type(const struct analysis *a, struct span name, struct typed left,
			      struct typed right)
{
	if (catalog_user_operator(a->catalog, name) != CATALOG_NONE && !exact_pair(name, left, right))
		return 0;
	if (is_one_of(name, "= <> != < > <= >= ~~ !~~ ~~* !~~* ~ ~* !~ !~* @> <@ ? ?| ?& &&"))
		return BOOL;
	if (is_one_of(name, "->> #>>"))
		return TEXT;
	if (is_one_of(name, "-> #>"))
		return left.oid;
	if (is_one_of(name, "+ - * / %") && left.oid == right.oid &&
	    (integer_type(left.oid) || left.oid == NUMERIC))
		return left.oid;
	return 0;
}

static bool check_operator(struct analysis *a, struct place at, const PgQuery__AExpr *expr,
			   struct typed *typed_r)
{
	struct span name = tree_catalog_name(expr->name, expr->n_name);
	struct typed left = {0}, right = {0};

	if (expr->lexpr != NULL && !expr_check(a, at, expr->lexpr, &left))
		return false;
	*typed_r = (struct typed){.oid = BOOL};
	switch (expr->kind) {
	case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
		return list_pairs(a, at, name, span_of(NULL, 0), left, expr->rexpr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
	case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
		return list_pairs(a, at, span_str("<="), span_str(">="), left, expr->rexpr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY:
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL: return array_pair(a, at, name, left, expr->rexpr);
	case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF: typed_r->oid = 0; break;
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
	case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
	case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
	case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
	case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE: break;
	default: return analysis_refuse(a, REASON_SHAPE);
	}
	if (!expr_check(a, at, expr->rexpr, &right) || !pair(a, name, left, right))
		return false;
	if (expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP)
		typed_r->oid = operator_type(a, name, left, right);
	return true;
}

static bool check_case(struct analysis *a, struct place at, const PgQuery__CaseExpr *expr)
{
	struct typed arg = {0};

	if (expr->arg != NULL && !expr_check(a, at, expr->arg, &arg))
		return false;
	for (size_t i = 0; i < expr->n_args; i++) {
		const PgQuery__CaseWhen *when;
		struct typed value;

		if (expr->args[i]->node_case != PG_QUERY__NODE__NODE_CASE_WHEN)
			return analysis_refuse(a, REASON_SHAPE);
		when = expr->args[i]->case_when;
		if (!expr_check(a, at, when->expr, &value))
			return false;
		if (expr->arg != NULL ? !pair(a, span_str("="), arg, value) : !expr_settle(a, value))
			return false;
		if (!expr_alone(a, at, when->result))
			return false;
	}
	return expr_alone(a, at, expr->defresult);
}

static bool check_sublink(struct analysis *a, struct place at, const PgQuery__SubLink *link,
			  struct typed *typed_r)
{
	struct outputs outputs = {0};
	struct typed left;

	*typed_r = (struct typed){.oid = BOOL};
	if (link->subselect == NULL || link->subselect->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
		return analysis_refuse(a, REASON_SHAPE);
	if (!select_check(a, link->subselect->select_stmt, at.scope, at.ctes, &outputs))
		return false;
	if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK)
		return true;
	if (outputs.count != 1 || !outputs.columns[0].usable)
		return analysis_refuse(a, outputs.count == 1 ? REASON_TYPE : REASON_SHAPE);
	switch (link->sub_link_type) {
	case PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK:
	case PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK:
		return expr_check(a, at, link->testexpr, &left) &&
		       pair(a,
			    link->n_oper_name == 0 ? span_str("=")
						   : tree_catalog_name(link->oper_name, link->n_oper_name),
			    left, (struct typed){.oid = outputs.columns[0].type});
	case PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK: typed_r->oid = outputs.columns[0].type; return true;
	case PG_QUERY__SUB_LINK_TYPE__ARRAY_SUBLINK: typed_r->oid = 0; return true;
	default: return analysis_refuse(a, REASON_SHAPE);
	}
}

static bool check_subscripts(struct analysis *a, struct place at, const PgQuery__AIndirection *ind)
{
	for (size_t i = 0; i < ind->n_indirection; i++) {
		const PgQuery__Node *step = ind->indirection[i];

		if (step->node_case != PG_QUERY__NODE__NODE_A_INDICES)
			return analysis_refuse(a, REASON_SHAPE); /* a field of a composite, or a function */
		if (!expr_alone(a, at, step->a_indices->lidx) || !expr_alone(a, at, step->a_indices->uidx))
			return false;
	}
	return expr_alone(a, at, ind->arg);
}

bool expr_check(struct analysis *a, struct place at, const PgQuery__Node *node, struct typed *typed_r)
{
	*typed_r = (struct typed){0};
	if (node == NULL || node->node_case == PG_QUERY__NODE__NODE__NOT_SET)
		return true;
	switch (node->node_case) {
	case PG_QUERY__NODE__NODE_COLUMN_REF: return check_column(a, at, node->column_ref, typed_r);
	case PG_QUERY__NODE__NODE_A_CONST: return check_const(a, node->a_const, typed_r);
	case PG_QUERY__NODE__NODE_PARAM_REF: return check_param(a, node->param_ref, typed_r);
	case PG_QUERY__NODE__NODE_TYPE_CAST: return check_cast(a, at, node->type_cast, typed_r);
	case PG_QUERY__NODE__NODE_FUNC_CALL: return check_function(a, at, node->func_call, typed_r);
	case PG_QUERY__NODE__NODE_A_EXPR: return check_operator(a, at, node->a_expr, typed_r);
	case PG_QUERY__NODE__NODE_SUB_LINK: return check_sublink(a, at, node->sub_link, typed_r);
	case PG_QUERY__NODE__NODE_BOOL_EXPR:
		typed_r->oid = BOOL;
		return expr_list(a, at, node->bool_expr->args, node->bool_expr->n_args);
	case PG_QUERY__NODE__NODE_NULL_TEST:
		typed_r->oid = BOOL;
		return expr_alone(a, at, node->null_test->arg);
	case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
		typed_r->oid = BOOL;
		return expr_alone(a, at, node->boolean_test->arg);
	case PG_QUERY__NODE__NODE_CASE_EXPR: return check_case(a, at, node->case_expr);
	case PG_QUERY__NODE__NODE_COALESCE_EXPR:
		return expr_list(a, at, node->coalesce_expr->args, node->coalesce_expr->n_args);
	case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
		return expr_list(a, at, node->min_max_expr->args, node->min_max_expr->n_args);
	case PG_QUERY__NODE__NODE_A_ARRAY_EXPR:
		return expr_list(a, at, node->a_array_expr->elements, node->a_array_expr->n_elements);
	case PG_QUERY__NODE__NODE_A_INDIRECTION: return check_subscripts(a, at, node->a_indirection);
	case PG_QUERY__NODE__NODE_COLLATE_CLAUSE:
		return expr_check(a, at, node->collate_clause->arg, typed_r);
	case PG_QUERY__NODE__NODE_GROUPING_FUNC:
		typed_r->oid = INT4;
		return expr_list(a, at, node->grouping_func->args, node->grouping_func->n_args);
	case PG_QUERY__NODE__NODE_GROUPING_SET:
		return expr_list(a, at, node->grouping_set->content, node->grouping_set->n_content);
	default: return analysis_refuse(a, REASON_SHAPE);
	}
}

bool expr_alone(struct analysis *a, struct place at, const PgQuery__Node *node)
{
	struct typed typed;

	return expr_check(a, at, node, &typed) && expr_settle(a, typed);
}

bool expr_list(struct analysis *a, struct place at, PgQuery__Node *const *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!expr_alone(a, at, nodes[i]))
			return false;
	return true;
}
