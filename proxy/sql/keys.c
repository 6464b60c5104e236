/* keys.c - which primary key values a condition fixes.
 * A key is used only where its value is certain: the type of the other side is of the column's own family (the
 * families of datum.h), and nothing rounds, pads or cuts it on the way. Everything else leaves the whole relation. */
#include "proxy/sql/analysis.h"

#include "protocol/datum.h"

#include <stdio.h>

#define KEY_SOURCES_MAX 1024 /* of one column in one condition */
#define KEY_CHOICES_MAX 256
#define KEY_VALUE_MAX 4096

static bool is_integer(uint32_t type)
{
	return type == DATUM_INT2 || type == DATUM_INT4 || type == DATUM_INT8;
}

bool keys_same_family(uint32_t a, uint32_t b)
{
	if (a == b)
		return datum_known(a);
	return (is_integer(a) && is_integer(b)) ||
	       ((a == DATUM_TEXT || a == DATUM_VARCHAR) && (b == DATUM_TEXT || b == DATUM_VARCHAR));
}

static bool is_text(uint32_t type)
{
	return type == DATUM_TEXT || type == DATUM_VARCHAR || type == DATUM_NAME;
}

/* The feed speaks the server's encoding, the client its own; only ASCII is the same in both. */
static bool same_in_every_encoding(uint32_t type, struct span value)
{
	if (!is_text(type))
		return true;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] >= 0x80)
			return false;
	return true;
}

static bool canon_const(struct analysis *a, uint32_t type, struct span text, struct key_source *source)
{
	struct buf buf;
	bool ok;

	buf_init(&buf, KEY_VALUE_MAX);
	ok = same_in_every_encoding(type, text) && datum_canon(type, false, text, &buf) == DATUM_OK;
	if (ok) {
		char *copy = arena_str(a->mem, buf_span(&buf));

		ok = copy != NULL;
		*source = (struct key_source){
			.kind = SOURCE_CONST, .type = type, .value = span_of(copy, buf.len)};
	}
	buf_free(&buf);
	return ok;
}

static bool add_source(struct analysis *a, struct key_column *column, struct key_source source)
{
	uint16_t n = column->nsources;

	if (n >= KEY_SOURCES_MAX)
		return false;
	if (n == 0 || (n & (n - 1)) == 0) { /* room is a power of two */
		struct key_source *sources = arena_grow(a->mem, column->sources, n * sizeof(*sources),
							(n == 0 ? 1 : 2 * (size_t)n) * sizeof(*sources));

		if (sources == NULL)
			return false;
		column->sources = sources;
	}
	column->sources[column->nsources++] = source;
	return true;
}

/* A constant, read as `type` where it is an untyped string; true with nothing added when it is NULL. */
static bool const_source(struct analysis *a, uint32_t type, const PgQuery__AConst *value,
			 struct key_column *column)
{
	struct key_source source;
	char number[24];
	struct span text;
	uint16_t slot = expr_slot(a, value);

	if (value->isnull)
		return true;
	if (slot != 0 && value->val_case != PG_QUERY__A__CONST__VAL_SVAL) {
		if (!is_integer(type))
			return false;
		type = DATUM_INT8;
	}
	if (slot != 0)
		return add_source(a, column,
				  (struct key_source){.kind = SOURCE_PARAM, .type = type, .param = slot});
	switch (value->val_case) {
	case PG_QUERY__A__CONST__VAL_IVAL:
		if (!is_integer(type))
			return false;
		snprintf(number, sizeof(number), "%d", value->ival->ival);
		text = span_str(number);
		type = DATUM_INT8;
		break;
	case PG_QUERY__A__CONST__VAL_FVAL: /* beyond int4; with a point or exponent it is no integer for datum.h */
		if (!is_integer(type))
			return false;
		text = span_str(value->fval->fval);
		type = DATUM_INT8;
		break;
	case PG_QUERY__A__CONST__VAL_SVAL: text = span_str(value->sval->sval); break;
	case PG_QUERY__A__CONST__VAL_BOOLVAL:
		if (type != DATUM_BOOL)
			return false;
		text = span_str(value->boolval->boolval ? "t" : "f");
		break;
	default: return false;
	}
	return canon_const(a, type, text, &source) && add_source(a, column, source);
}

/* `wanted`: what an untyped parameter becomes here; `family`: what it must compare like. */
/* The type of a parameter that was declared without one is that of its first use: known for sure only when it has no other. */
static uint32_t param_type(const struct analysis *a, const PgQuery__ParamRef *ref, uint32_t wanted)
{
	uint32_t declared = expr_param_type(a, (uint16_t)ref->number);

	if (declared != 0)
		return declared;
	return ref->number < 64 && (a->params_again >> ref->number & 1) == 0 ? wanted : 0;
}

static bool param_source(struct analysis *a, uint32_t wanted, uint32_t family, const PgQuery__ParamRef *ref,
			 struct key_column *column)
{
	uint32_t declared;

	if (ref->number < 1 || ref->number > a->nparams)
		return false;
	declared = param_type(a, ref, wanted);
	if (declared == 0 || !keys_same_family(declared, family))
		return false;
	return add_source(
		a, column,
		(struct key_source){.kind = SOURCE_PARAM, .type = declared, .param = (uint16_t)ref->number});
}

/* One value: constant, parameter, or a cast of one within the family. */
static bool value_source(struct analysis *a, uint32_t type, const PgQuery__Node *node,
			 struct key_column *column)
{
	const struct builtin_type *cast;

	if (node == NULL)
		return false;
	switch (node->node_case) {
	case PG_QUERY__NODE__NODE_A_CONST: return const_source(a, type, node->a_const, column);
	case PG_QUERY__NODE__NODE_PARAM_REF: return param_source(a, type, type, node->param_ref, column);
	case PG_QUERY__NODE__NODE_TYPE_CAST: break;
	default: return false;
	}
	cast = expr_type(node->type_cast->type_name);
	/* A length cuts or pads. */
	if (cast == NULL || node->type_cast->type_name->n_typmods > 0 || !keys_same_family(cast->oid, type))
		return false;
	node = node->type_cast->arg;
	if (node != NULL && node->node_case == PG_QUERY__NODE__NODE_A_CONST)
		return const_source(a, cast->oid, node->a_const, column);
	if (node != NULL && node->node_case == PG_QUERY__NODE__NODE_PARAM_REF)
		return param_source(a, cast->oid, cast->oid, node->param_ref, column);
	return false;
}

static bool value_sources(struct analysis *a, uint32_t type, PgQuery__Node *const *nodes, size_t n,
			  struct key_column *column)
{
	for (size_t i = 0; i < n; i++)
		if (!value_source(a, type, nodes[i], column))
			return false;
	return true;
}

bool keys_null_may_be_text(uint32_t type)
{
	return is_text(type) || type == DATUM_BYTEA;
}

/* The elements of '{1,2}'. */
static bool array_literal(struct analysis *a, uint32_t array_type, struct span text,
			  struct key_column *column)
{
	struct datum_array array;
	enum datum_next next;
	struct buf buf;

	if (!same_in_every_encoding(DATUM_TEXT, text) ||
	    datum_array_open(array_type, false, text, &array) != DATUM_OK)
		return false;
	buf_init(&buf, 2 * KEY_VALUE_MAX);
	while ((next = datum_array_next(&array, &buf)) == DATUM_ELEMENT ||
	       (next == DATUM_NULL && !keys_null_may_be_text(array.element_oid))) {
		if (next == DATUM_ELEMENT) {
			char *copy = arena_str(a->mem, buf_span(&buf));
			struct key_source source = {.kind = SOURCE_CONST,
						    .type = array.element_oid,
						    .value = span_of(copy, buf.len)};

			if (copy == NULL || !add_source(a, column, source))
				break;
		}
		buf_clear(&buf);
	}
	buf_free(&buf);
	return next == DATUM_END;
}

/* An array parameter; `wanted` is the array type that an untyped one becomes. */
static bool array_param(struct analysis *a, uint32_t wanted, uint32_t element, const PgQuery__ParamRef *ref,
			struct key_column *column)
{
	uint32_t declared;

	if (ref->number < 1 || ref->number > a->nparams)
		return false;
	declared = param_type(a, ref, wanted);
	if (declared == 0 || !keys_same_family(datum_element_type(declared), element))
		return false;
	return add_source(
		a, column,
		(struct key_source){.kind = SOURCE_ARRAY, .type = declared, .param = (uint16_t)ref->number});
}

/* The right side of = ANY. */
static bool array_sources(struct analysis *a, uint32_t type, const PgQuery__Node *node,
			  struct key_column *column)
{
	const struct builtin_type *own = builtin_type_oid(type), *cast;
	uint32_t array_type = own == NULL ? 0 : own->array, element = type;

	if (node != NULL && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
		cast = expr_type(node->type_cast->type_name);
		if (cast == NULL || cast->element == 0 || node->type_cast->type_name->n_typmods > 0 ||
		    !keys_same_family(cast->element, type))
			return false;
		array_type = cast->oid;
		element = cast->element;
		node = node->type_cast->arg;
	}
	if (node == NULL)
		return false;
	switch (node->node_case) {
	case PG_QUERY__NODE__NODE_PARAM_REF:
		return array_param(a, array_type, element, node->param_ref, column);
	case PG_QUERY__NODE__NODE_A_ARRAY_EXPR:
		return value_sources(a, element, node->a_array_expr->elements, node->a_array_expr->n_elements,
				     column);
	case PG_QUERY__NODE__NODE_A_CONST:
		if (node->a_const->isnull)
			return true;
		if (node->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL || array_type == 0)
			return false;
		if (expr_slot(a, node->a_const) != 0)
			return add_source(a, column,
					  (struct key_source){.kind = SOURCE_ARRAY,
							      .type = array_type,
							      .param = expr_slot(a, node->a_const)});
		return array_literal(a, array_type, span_str(node->a_const->sval->sval), column);
	default: return false;
	}
}

/* Which primary key column of `entry` this is: its place in the key, or -1. */
static int key_place(struct analysis *a, const struct scope *scope, const struct entry *entry,
		     const PgQuery__Node *node, uint32_t *type_r)
{
	enum reason before = a->reason;
	const struct entry *found = NULL;
	const struct catalog_column *column;
	struct column meaning;

	if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
		return -1;
	if (!expr_column(a, scope, node->column_ref, &meaning, &found)) {
		a->reason = before; /* cannot be: it was checked */
		return -1;
	}
	if (found != entry)
		return -1;
	column = catalog_column(entry->rel, meaning.name);
	if (column == NULL || !column->builtin_type || !column->plain_equality ||
	    !datum_known(column->type_oid))
		return -1;
	*type_r = column->type_oid;
	for (int i = 0; i < entry->read->nkey; i++)
		if (entry->read->key[i] == column->attnum)
			return i;
	return -1;
}

bool keys_values(struct analysis *a, uint32_t type, PgQuery__AExprKind kind, const PgQuery__Node *node,
		 struct key_column *values_r)
{
	*values_r = (struct key_column){.fixed = true};
	switch (kind) {
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
		/* Under transform_null_equals x = NULL is x IS NULL. */
		return !(node != NULL && node->node_case == PG_QUERY__NODE__NODE_A_CONST &&
			 node->a_const->isnull) &&
		       value_source(a, type, node, values_r);
	case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY: return array_sources(a, type, node, values_r);
	case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
		return node != NULL && node->node_case == PG_QUERY__NODE__NODE_LIST &&
		       value_sources(a, type, node->list->items, node->list->n_items, values_r);
	default: return false;
	}
}

/* Takes what one conjunct says about one key column, if it says less than is known. */
static void take(struct analysis *a, const struct scope *scope, const struct entry *entry,
		 const PgQuery__AExpr *expr, struct key_column *columns)
{
	struct span name = tree_catalog_name(expr->name, expr->n_name);
	const PgQuery__Node *value = expr->rexpr;
	struct key_column found;
	uint32_t type = 0;
	int place = key_place(a, scope, entry, expr->lexpr, &type);

	if (!span_eq(name, span_str("=")))
		return;
	if (place < 0 && expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP) {
		place = key_place(a, scope, entry, expr->rexpr, &type);
		value = expr->lexpr;
	}
	if (place < 0)
		return;
	if (keys_values(a, type, expr->kind, value, &found) &&
	    (!columns[place].fixed || found.nsources < columns[place].nsources))
		columns[place] = found;
}

static void take_all(struct analysis *a, const struct scope *scope, const struct entry *entry,
		     const PgQuery__Node *qual, struct key_column *columns)
{
	if (qual == NULL)
		return;
	if (qual->node_case == PG_QUERY__NODE__NODE_A_EXPR)
		take(a, scope, entry, qual->a_expr, columns);
	else if (qual->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
		 qual->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR)
		for (size_t i = 0; i < qual->bool_expr->n_args; i++)
			take_all(a, scope, entry, qual->bool_expr->args[i], columns);
}

struct finding {
	struct analysis *a;
	const struct scope *scope;
	const struct entry *entry;
	struct key_choice *choices;
	unsigned count;
};

static bool add_choice(struct finding *f, const struct key_column *columns)
{
	unsigned nkey = f->entry->read->nkey;
	struct key_choice *choice = arena_get(f->a->mem, sizeof(*choice));

	if (choice == NULL || ++f->count > KEY_CHOICES_MAX)
		return false;
	choice->columns = arena_grow(f->a->mem, columns, nkey * sizeof(*columns), nkey * sizeof(*columns));
	choice->next = f->choices;
	f->choices = choice;
	return choice->columns != NULL;
}

static bool find(struct finding *f, const PgQuery__Node *qual, const struct key_column *known);

/* An OR narrows only if each of its arms does, with what is known beside it. */
static bool find_in_or(struct finding *f, const PgQuery__Node *qual, const struct key_column *known)
{
	struct key_choice *before = f->choices;
	unsigned count = f->count;

	if (qual->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR)
		return false;
	if (qual->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
		for (size_t i = 0; i < qual->bool_expr->n_args; i++)
			if (find_in_or(f, qual->bool_expr->args[i], known))
				return true;
		return false;
	}
	if (qual->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR)
		return false;
	for (size_t i = 0; i < qual->bool_expr->n_args; i++)
		if (!find(f, qual->bool_expr->args[i], known)) {
			f->choices = before;
			f->count = count;
			return false;
		}
	return true;
}

static bool find(struct finding *f, const PgQuery__Node *qual, const struct key_column *known)
{
	struct key_column columns[READS_KEY_MAX];
	unsigned fixed = 0;

	memcpy(columns, known, sizeof(columns));
	take_all(f->a, f->scope, f->entry, qual, columns);
	for (unsigned i = 0; i < f->entry->read->nkey; i++)
		fixed += columns[i].fixed;
	if (fixed == f->entry->read->nkey)
		return add_choice(f, columns);
	return find_in_or(f, qual, columns);
}

bool keys_find(struct analysis *a, const struct scope *scope, const struct entry *entry,
	       const PgQuery__Node *qual)
{
	struct key_column known[READS_KEY_MAX] = {{0}};
	struct finding f = {.a = a, .scope = scope, .entry = entry};

	if (find(&f, qual, known))
		entry->read->choices = f.choices;
	return !a->mem->failed;
}
