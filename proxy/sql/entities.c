/* entities.c - the rows behind the columns of an answer.
 *
 * In the outermost SELECT without grouping every row of the answer comes from one combination of rows, so what stands in a plain column
 * of a table is what the row has whose key stands beside it. DISTINCT, ORDER BY, LIMIT, OFFSET and window functions only choose among such
 * rows; an outer join shows NULLs, the key among them. Columns of sub-selects are left alone: theirs may come from a set operation. */
#include "proxy/sql/entities.h"

#include "proxy/sql/analysis.h"
#include "protocol/datum.h"

struct collecting {
	struct analysis *a;
	const struct outputs *outputs;
	struct entities *found;
};

static bool key_column_usable(const struct catalog_column *column)
{
	return column != NULL && column->builtin_type && column->plain_equality &&
	       datum_known(column->type_oid);
}

static size_t output_of(const struct outputs *outputs, const struct rel_read *read, int16_t attnum)
{
	size_t k = 0;

	while (k < outputs->count &&
	       !(outputs->columns[k].read == read && outputs->columns[k].attnum == attnum))
		k++;
	return k;
}

/* False when the key cannot be told by its bytes. */
static bool note_key(const struct collecting *c, const struct entry *from, struct entity *entity_r)
{
	const struct catalog_relation *rel = from->rel;

	if (rel->nkey == 0 || rel->nkey > READS_KEY_MAX)
		return false;
	entity_r->relid = rel->oid;
	entity_r->nkey = rel->nkey;
	entity_r->keyed = true;
	for (unsigned i = 0; i < rel->nkey; i++) {
		const struct catalog_column *column = catalog_column_at(rel, rel->key[i]);
		size_t at = output_of(c->outputs, from->read, rel->key[i]);

		if (!key_column_usable(column))
			return false;
		entity_r->key[i] = rel->key[i];
		entity_r->type[i] = column->type_oid;
		entity_r->keyed = entity_r->keyed && at < c->outputs->count;
		entity_r->key_at[i] = (uint16_t)at;
	}
	return true;
}

static bool note_columns(const struct collecting *c, const struct rel_read *read, struct entity *entity_r)
{
	struct entity_column *cols = arena_zero(c->a->mem, (c->outputs->count + 1) * sizeof(*cols));

	if (cols == NULL || c->outputs->count > UINT16_MAX)
		return false;
	for (size_t k = 0; k < c->outputs->count; k++) {
		const struct column *column = &c->outputs->columns[k];

		if (column->read == read && column->attnum > 0)
			cols[entity_r->ncols++] =
				(struct entity_column){.at = (uint16_t)k, .attnum = column->attnum};
	}
	entity_r->cols = cols;
	return entity_r->ncols > 0;
}

/* ---- points ---- */

static bool is_column(const PgQuery__Node *node)
{
	return node != NULL && node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF;
}

static enum tree_step stop_at_more(const ProtobufCMessage *msg, void *arg)
{
	(void)arg;
	return tree_is(msg, column_ref) || tree_is(msg, sub_link) || tree_is(msg, func_call) ? TREE_STOP
											     : TREE_ON;
}

/* Constants, parameters, casts and lists of these. */
static bool is_value(const PgQuery__Node *node)
{
	return node != NULL && tree_walk(&node->base, stop_at_more, NULL);
}

/* How many conditions stand side by side; 0 when one of them is of another kind than a column and its values: between two columns,
 * values that were carried over fix more than they say (a IN (1, 2) AND a = b). */
static unsigned conjuncts(const PgQuery__Node *node)
{
	unsigned sum = 0;

	if (node == NULL)
		return 0;
	if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR)
		return (is_column(node->a_expr->lexpr) && is_value(node->a_expr->rexpr)) ||
		       (is_value(node->a_expr->lexpr) && is_column(node->a_expr->rexpr));
	if (node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR ||
	    node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR)
		return 0;
	for (size_t i = 0; i < node->bool_expr->n_args; i++) {
		unsigned n = conjuncts(node->bool_expr->args[i]);

		if (n == 0)
			return 0;
		sum += n;
	}
	return sum;
}

/* As many conditions as columns of the key, and all of these are fixed: then each fixes one, and nothing else is asked. */
static bool only_key(const struct rel_read *read, const PgQuery__Node *where)
{
	return read->choices != NULL && !read->predicate && read->choices->next == NULL &&
	       conjuncts(where) == read->nkey;
}

static bool is_integer(uint32_t type)
{
	return type == DATUM_INT2 || type == DATUM_INT4 || type == DATUM_INT8;
}

static bool note_limit(const struct analysis *a, const PgQuery__Node *node, struct entities *found)
{
	uint16_t param = 0;

	if (node == NULL)
		return true;
	if (node->node_case == PG_QUERY__NODE__NODE_A_CONST && !node->a_const->isnull &&
	    node->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
		param = expr_slot(a, node->a_const);
		found->limit_kind = param != 0 ? LIMIT_PARAM : LIMIT_CONST;
		if (param == 0 && node->a_const->ival->ival < 0)
			return false;
		found->limit = (uint32_t)node->a_const->ival->ival;
	} else if (node->node_case == PG_QUERY__NODE__NODE_PARAM_REF && node->param_ref->number >= 1 &&
		   node->param_ref->number <= a->nparams) {
		param = (uint16_t)node->param_ref->number;
		found->limit_kind = LIMIT_PARAM;
	} else {
		return false;
	}
	found->limit_param = param;
	found->limit_type = param != 0 && param <= a->nparams ? expr_param_type(a, param) : 0;
	if (found->limit_type == 0)
		found->limit_type = DATUM_INT8;
	return is_integer(found->limit_type);
}

/* Columns as they are: nothing that could fail or look at anything else. */
static bool plain_sorts(const PgQuery__SelectStmt *select)
{
	for (size_t i = 0; i < select->n_sort_clause; i++) {
		const PgQuery__Node *node = select->sort_clause[i];

		if (node->node_case != PG_QUERY__NODE__NODE_SORT_BY || node->sort_by->node == NULL ||
		    node->sort_by->node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
			return false;
	}
	return true;
}

static bool is_point(const struct collecting *c, const struct level *level, const PgQuery__SelectStmt *select,
		     const struct entity *entity)
{
	c->found->sorted = select->n_sort_clause > 0;
	return level->count == 1 && level->entries[0].rel != NULL && select->with_clause == NULL &&
	       select->n_distinct_clause == 0 && select->n_window_clause == 0 && !c->a->has_windows &&
	       select->limit_offset == NULL &&
	       select->limit_option != PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_WITH_TIES &&
	       entity->ncols == c->outputs->count && only_key(level->entries[0].read, select->where_clause) &&
	       plain_sorts(select) && note_limit(c->a, select->limit_count, c->found);
}

/* ---- the whole ---- */

static bool memory_gone(struct analysis *a)
{
	return a->mem->failed;
}

bool entities_find(struct analysis *a, const struct level *level, const PgQuery__SelectStmt *select,
		   const struct outputs *outputs)
{
	struct collecting c = {.a = a, .outputs = outputs};

	if (a->depth != 1 || select->n_group_clause > 0 || select->having_clause != NULL ||
	    level->merged != NULL || outputs->unordered)
		return true;
	c.found = arena_zero(a->mem, sizeof(*c.found));
	if (c.found == NULL)
		return false;
	for (size_t i = 0; i < level->count && c.found->n < ENTITIES_MAX; i++) {
		const struct entry *from = &level->entries[i];
		struct entity entity = {0};

		if (from->rel == NULL || !note_key(&c, from, &entity) ||
		    !note_columns(&c, from->read, &entity))
			continue;
		c.found->point = is_point(&c, level, select, &entity);
		if (entity.keyed || c.found->point)
			c.found->list[c.found->n++] = entity;
	}
	if (c.found->n > 0)
		a->entities = c.found;
	return !memory_gone(a);
}

const struct entities *entities_copy(struct arena *mem, const struct entities *from)
{
	struct entities *copy = arena_grow(mem, from, sizeof(*copy), sizeof(*copy));

	for (unsigned i = 0; copy != NULL && i < copy->n; i++) {
		size_t size = copy->list[i].ncols * sizeof(*copy->list[i].cols);

		copy->list[i].cols = arena_grow(mem, copy->list[i].cols, size, size);
		if (copy->list[i].cols == NULL)
			return NULL;
	}
	return copy;
}

/* ---- one execution ---- */

static int compare_numbers(struct span a, struct span b)
{
	bool minus_a = a.n > 0 && a.p[0] == '-', minus_b = b.n > 0 && b.p[0] == '-';
	int order;

	if (minus_a != minus_b)
		return minus_a ? -1 : 1;
	order = a.n != b.n ? (a.n < b.n ? -1 : 1) : memcmp(a.p, b.p, a.n);
	return minus_a ? -order : order;
}

static int compare_bytes(struct span a, struct span b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order != 0 ? order : a.n < b.n ? -1 : a.n > b.n;
}

static struct span next_part(struct span *rest)
{
	uint32_t n;
	struct span part;

	memcpy(&n, rest->p, sizeof(n));
	part = span_of(rest->p + sizeof(n), n);
	*rest = span_skip(*rest, sizeof(n) + n);
	return part;
}

/* As an index has them, as far as that is known: texts have an order of their own there. */
static int compare_points(const struct entity *entity, const struct entity_points *points,
			  const struct entity_point *a, const struct entity_point *b)
{
	struct span left = span_of(points->bytes.p + a->at, a->n);
	struct span right = span_of(points->bytes.p + b->at, b->n);
	int order = 0;

	for (unsigned i = 0; i < entity->nkey && order == 0; i++) {
		struct span l = next_part(&left), r = next_part(&right);

		order = is_integer(entity->type[i]) || entity->type[i] == DATUM_OID ? compare_numbers(l, r)
										    : compare_bytes(l, r);
	}
	return order;
}

bool entities_add_point(const struct entity *entity, struct entity_points *points, uint64_t readkey,
			const struct span *values)
{
	struct entity_point point = {.at = (uint32_t)points->bytes.len, .readkey = readkey};
	unsigned from = 0, to = points->n;

	for (unsigned i = 0; i < entity->nkey; i++) {
		uint32_t n = (uint32_t)values[i].n;

		buf_add(&points->bytes, &n, sizeof(n));
		buf_add_span(&points->bytes, values[i]);
	}
	point.n = (uint32_t)points->bytes.len - point.at;
	if (points->bytes.failed)
		return false;
	while (from < to) {
		unsigned middle = (from + to) / 2;
		int order = compare_points(entity, points, &point, &points->list[middle]);

		if (order == 0) {
			points->bytes.len = point.at; /* asked for twice */
			return true;
		}
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	if (points->n == ENTITY_POINTS_MAX)
		return false;
	memmove(&points->list[from + 1], &points->list[from], (points->n - from) * sizeof(points->list[0]));
	points->list[from] = point;
	points->n++;
	return true;
}

bool entities_limit(const struct entities *entities, const struct reads_param *params, bool *all_r,
		    unsigned n)
{
	uint64_t limit = entities->limit;
	struct buf value;
	bool ok = true;

	*all_r = true;
	if (entities->limit_kind == LIMIT_NONE)
		return true;
	if (entities->limit_kind == LIMIT_PARAM) {
		const struct reads_param *param = &params[entities->limit_param - 1];

		buf_init(&value, 64);
		ok = !param->null &&
		     datum_canon(entities->limit_type, param->binary, param->value, &value) == DATUM_OK &&
		     value.len < 10 && value.p[0] != '-';
		limit = 0;
		for (size_t i = 0; ok && i < value.len; i++)
			limit = limit * 10 + (value.p[i] - '0');
		buf_free(&value);
	}
	*all_r = limit >= n;
	return ok;
}
