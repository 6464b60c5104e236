#include "proxy/sql/shape.h"

#include "proxy/sql/builtins.h"

#include <stdlib.h>

struct query_shape *shape_new(uint8_t *packed, size_t npacked)
{
	struct query_shape *shape = malloc(sizeof(*shape));

	if (shape == NULL) {
		free(packed);
		return NULL;
	}
	*shape = (struct query_shape){.packed = packed, .npacked = npacked};
	return shape;
}

void shape_free(struct query_shape **shape)
{
	if (*shape == NULL)
		return;
	free((*shape)->packed);
	free(*shape);
	*shape = NULL;
}

bool shape_knows(const ProtobufCMessage *msg)
{
	static const ProtobufCMessageDescriptor *const known[] = {
		&pg_query__string__descriptor,
		&pg_query__column_ref__descriptor,
		&pg_query__res_target__descriptor,
		&pg_query__a__const__descriptor,
		&pg_query__a__expr__descriptor,
		&pg_query__integer__descriptor,
		&pg_query__float__descriptor,
		&pg_query__boolean__descriptor,
		&pg_query__bit_string__descriptor,
		&pg_query__param_ref__descriptor,
		&pg_query__bool_expr__descriptor,
		&pg_query__range_var__descriptor,
		&pg_query__alias__descriptor,
		&pg_query__select_stmt__descriptor,
		&pg_query__a__star__descriptor,
		&pg_query__list__descriptor,
		&pg_query__type_cast__descriptor,
		&pg_query__type_name__descriptor,
		&pg_query__func_call__descriptor,
		&pg_query__null_test__descriptor,
		&pg_query__boolean_test__descriptor,
		&pg_query__case_expr__descriptor,
		&pg_query__case_when__descriptor,
		&pg_query__coalesce_expr__descriptor,
		&pg_query__min_max_expr__descriptor,
		&pg_query__a__array_expr__descriptor,
		&pg_query__sub_link__descriptor,
		&pg_query__sort_by__descriptor,
		&pg_query__window_def__descriptor,
		&pg_query__join_expr__descriptor,
		&pg_query__range_subselect__descriptor,
		&pg_query__with_clause__descriptor,
		&pg_query__common_table_expr__descriptor,
		&pg_query__grouping_func__descriptor,
		&pg_query__grouping_set__descriptor,
		&pg_query__a__indirection__descriptor,
		&pg_query__a__indices__descriptor,
		&pg_query__collate_clause__descriptor,
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (msg->descriptor == known[i])
			return true;
	return false;
}

struct check_state {
	enum reason reason;
	bool table;
};

static enum reason check_function(const PgQuery__FuncCall *call)
{
	struct span name = tree_catalog_name(call->funcname, call->n_funcname);
	enum builtin_class class = builtin_function(name);

	/* AT TIME ZONE is fine but for one type of argument, which expr.c looks at. */
	if (class == BUILTIN_IMMUTABLE || class == BUILTIN_SETTINGS || span_eq(name, span_str("timezone")))
		return REASON_NONE;
	return REASON_FUNCTION;
}

static enum tree_step check_message(const ProtobufCMessage *msg, void *arg)
{
	struct check_state *state = arg;

	if (tree_is(msg, locking_clause))
		state->reason = REASON_ROW_LOCK;
	else if (tree_is(msg, sqlvalue_function))
		state->reason = REASON_FUNCTION;
	else if (!shape_knows(msg))
		state->reason = REASON_SHAPE;
	else if (tree_is(msg, func_call))
		state->reason = check_function((const PgQuery__FuncCall *)(const void *)msg);
	else if (tree_is(msg, range_var))
		state->table = true;
	return state->reason == REASON_NONE ? TREE_ON : TREE_STOP;
}

enum reason shape_check(const PgQuery__SelectStmt *select)
{
	struct check_state state = {.reason = REASON_NONE};

	(void)tree_walk(&select->base, check_message, &state);
	if (state.reason == REASON_NONE && !state.table)
		return REASON_NO_TABLE;
	return state.reason;
}
