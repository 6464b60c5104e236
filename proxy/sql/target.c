#include "proxy/sql/target.h"

#include "proxy/sql/analysis.h"
#include "proxy/sql/parse.h"
#include "protocol/datum.h"

#include <stdio.h>
#include <stdlib.h>

#define TARGET_BYTES_MAX (4u << 20)

struct part {
	struct rel_read read;
	struct reads *reads; /* owned */
	const struct catalog_relation *rel;
	const char *schema, *name; /* as the text has them */
	const char *column[READS_KEY_MAX];
	uint32_t type[READS_KEY_MAX];
	bool removes;
	struct part *next;
};

/* An UPDATE or DELETE without a part. */
struct missing {
	uint32_t relid; /* 0 = not known */
	struct missing *next;
};

struct target {
	struct part *parts, **end;
	struct missing *missing;
	uint32_t only;
	struct arena mem;
};

/* ---- one statement ---- */

struct writing {
	const PgQuery__RangeVar *relation;
	const PgQuery__Node *where;
	PgQuery__Node *const *set; /* of UPDATE */
	size_t nset;
	bool removes;
	bool narrows; /* is it an UPDATE or DELETE? */
};

static bool writing_of(const PgQuery__Node *stmt, struct writing *w)
{
	*w = (struct writing){0};
	switch (stmt->node_case) {
	case PG_QUERY__NODE__NODE_INSERT_STMT: w->relation = stmt->insert_stmt->relation; break;
	case PG_QUERY__NODE__NODE_UPDATE_STMT:
		w->relation = stmt->update_stmt->relation;
		w->where = stmt->update_stmt->where_clause;
		w->set = stmt->update_stmt->target_list;
		w->nset = stmt->update_stmt->n_target_list;
		w->narrows = true;
		break;
	case PG_QUERY__NODE__NODE_DELETE_STMT:
		w->relation = stmt->delete_stmt->relation;
		w->where = stmt->delete_stmt->where_clause;
		w->narrows = w->removes = true;
		break;
	default: return false;
	}
	return w->relation != NULL;
}

static bool is_key(const struct catalog_relation *rel, struct span name)
{
	const struct catalog_column *column = catalog_column(rel, name);

	for (unsigned i = 0; column != NULL && i < rel->nkey; i++)
		if (rel->key[i] == column->attnum)
			return true;
	return false;
}

static bool sets_key(const struct writing *w, const struct catalog_relation *rel)
{
	for (size_t i = 0; i < w->nset; i++)
		if (w->set[i]->node_case == PG_QUERY__NODE__NODE_RES_TARGET &&
		    is_key(rel, span_str(w->set[i]->res_target->name)))
			return true;
	return false;
}

static bool copy_names(struct target *t, struct part *part, const PgQuery__RangeVar *var)
{
	const struct catalog_relation *rel = part->rel;

	part->schema = arena_str(&t->mem, span_str(var->schemaname));
	part->name = arena_str(&t->mem, span_str(var->relname));
	for (unsigned i = 0; i < rel->nkey; i++) {
		const struct catalog_column *column = catalog_column_at(rel, rel->key[i]);

		if (column == NULL)
			return false;
		part->column[i] = arena_str(&t->mem, span_str(column->name));
		part->type[i] = column->type_oid;
	}
	return !t->mem.failed;
}

/* The rows that the condition names, as a part of its own. */
static bool add_part(struct target *t, struct analysis *a, const struct writing *w,
		     const struct catalog_relation *rel)
{
	struct part *part = arena_zero(&t->mem, sizeof(*part));
	const PgQuery__RangeVar *var = w->relation;
	struct entry entry = {.rel = rel};
	struct level level = {.entries = &entry, .count = 1, .room = 1};
	const struct scope scope = {.level = &level, .to = 1};

	if (part == NULL || rel->nkey == 0 || rel->nkey > READS_KEY_MAX || w->where == NULL)
		return false;
	part->rel = rel;
	part->removes = w->removes || sets_key(w, rel);
	part->read = (struct rel_read){.relid = rel->oid, .nkey = rel->nkey};
	memcpy(part->read.key, rel->key, rel->nkey * sizeof(*rel->key));
	entry.read = &part->read;
	entry.alias = span_str(var->alias != NULL ? var->alias->aliasname : var->relname);
	if (var->alias == NULL)
		entry.schema = span_str(rel->schema);
	if (!keys_find(a, &scope, &entry, w->where) || part->read.choices == NULL ||
	    !copy_names(t, part, var))
		return false;
	part->reads = reads_of_rows(&part->read, (uint16_t)(a->nparams + a->nslots));
	if (part->reads == NULL)
		return false;
	*t->end = part;
	t->end = &part->next;
	return true;
}

static void add_missing(struct target *t, uint32_t relid)
{
	struct missing *missing = arena_zero(&t->mem, sizeof(*missing));

	if (missing == NULL)
		return;
	missing->relid = relid;
	missing->next = t->missing;
	t->missing = missing;
}

/* ---- is it the only thing that is written? ---- */

struct search {
	const struct names *names;
	const ProtobufCMessage *root;
	bool found;
};

/* What is written to such a column runs a domain's CHECK, and a text beside one may. */
static bool has_column_of_users(const struct names *names, const PgQuery__RangeVar *var)
{
	const struct catalog_relation *found[NAMES_PATH_MAX];
	unsigned n = names_candidates(names, var, found);

	for (unsigned i = 0; i < n; i++)
		if (catalog_has_column_of_users(found[i]))
			return true;
	return false;
}

static enum tree_step see_writing(const ProtobufCMessage *msg, void *arg)
{
	struct search *search = arg;

	search->found = msg != search->root && (tree_is(msg, insert_stmt) || tree_is(msg, update_stmt) ||
						tree_is(msg, delete_stmt) || tree_is(msg, merge_stmt));
	if (tree_is(msg, range_var))
		search->found = has_column_of_users(search->names, (const void *)msg);
	return search->found ? TREE_STOP : TREE_ON;
}

static bool writes_alone(const struct names *names, const PgQuery__Node *stmt,
			 const struct catalog_relation *rel)
{
	struct search search = {.names = names, .root = tree_inner(stmt)};

	(void)tree_walk(&stmt->base, see_writing, &search);
	return !search.found && rel->kind == 'r' && !rel->has_rules && !rel->has_children &&
	       rel->nancestors == 0 && !rel->writes_elsewhere;
}

/* ---- the text ---- */

static void see_statement(struct target *t, struct analysis *a, const PgQuery__Node *stmt, bool single,
			  uint32_t effects)
{
	const struct catalog_relation *rel = NULL;
	struct writing w;

	if (!writing_of(stmt, &w))
		return;
	if (names_relation(&a->names, w.relation, &rel) != REASON_NONE || a->names.odd)
		rel = NULL;
	if (rel != NULL && single && (effects & ~(uint32_t)EFFECT_WRITES) == 0 &&
	    writes_alone(&a->names, stmt, rel) && catalog_own_input(a->catalog, a->oids, a->noids))
		t->only = rel->oid;
	if (w.narrows && (rel == NULL || catalog_users_equal(a->catalog) || !add_part(t, a, &w, rel)))
		add_missing(t, rel == NULL ? 0 : rel->oid);
}

static void see_text(struct target *t, const PgQuery__ParseResult *root, const struct facts *facts,
		     struct analysis *a)
{
	for (size_t i = 0; i < root->n_stmts; i++)
		if (root->stmts[i]->stmt != NULL)
			see_statement(t, a, root->stmts[i]->stmt, root->n_stmts == 1, facts->effects);
}

static bool writes(const struct facts *facts)
{
	for (int i = 0; i < facts->nstmts; i++)
		if (facts->stmts[i].command == COMMAND_DML)
			return true;
	return false;
}

struct target *target_resolve(struct span text, const struct facts *facts, const struct catalog *catalog,
			      const struct reads_session *session, const uint32_t *oids, uint16_t noids)
{
	struct target *t = calloc(1, sizeof(*t));
	struct analysis a = {.catalog = catalog, .oids = oids, .noids = noids};
	struct tree *tree = NULL;
	uint8_t *packed = NULL;
	size_t npacked = 0;

	if (t == NULL)
		return NULL;
	t->end = &t->parts;
	arena_init(&t->mem, 512, TARGET_BYTES_MAX);
	if (catalog == NULL || !writes(facts) || parse_nesting(text) > PARSE_NESTING_HERE ||
	    parse_text(text, &packed, &npacked) != 0)
		return t;
	tree = tree_unpack(span_of(packed, npacked));
	free(packed);
	a.mem = &t->mem;
	a.nparams = facts->nparams;
	a.slots = facts->slots;
	a.nslots = facts->nslots;
	a.params_again = facts->params_again;
	if (tree != NULL && names_open(&a.names, catalog, session, &t->mem) == 0)
		see_text(t, tree->root, facts, &a);
	tree_free(&tree);
	if (t->mem.failed)
		add_missing(t, 0);
	return t;
}

void target_free(struct target **tp)
{
	struct target *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	for (struct part *part = t->parts; part != NULL; part = part->next)
		reads_unref(part->reads);
	arena_free(&t->mem);
	free(t);
}

size_t target_bytes(const struct target *t)
{
	return t == NULL ? 0 : sizeof(*t) + t->mem.bytes;
}

uint32_t target_only(const struct target *t)
{
	return t->only;
}

bool target_missing(const struct target *t, unsigned i, uint32_t *relid_r)
{
	const struct missing *missing = t->missing;

	while (missing != NULL && i-- > 0)
		missing = missing->next;
	if (missing != NULL)
		*relid_r = missing->relid;
	return missing != NULL;
}

static const struct part *part_at(const struct target *t, unsigned i)
{
	const struct part *part = t->parts;

	while (part != NULL && i-- > 0)
		part = part->next;
	return part;
}

bool target_part(const struct target *t, unsigned i, struct target_part *part_r)
{
	const struct part *part = part_at(t, i);

	if (part == NULL)
		return false;
	*part_r = (struct target_part){
		.relid = part->read.relid, .removes = part->removes, .reads = part->reads};
	return true;
}

/* ---- as SQL ---- */

struct writing_sql {
	struct buf *sql;
	struct target_value *values;
	unsigned first, n;
};

static void add_text(struct buf *sql, const char *text)
{
	buf_add_span(sql, span_str(text));
}

static void add_identifier(struct buf *sql, const char *name)
{
	buf_add_u8(sql, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"')
			buf_add_u8(sql, '"');
		buf_add_u8(sql, (uint8_t)*name);
	}
	buf_add_u8(sql, '"');
}

/* Canonical bytes (datum.h) as a value: those of uuid and bytea are the binary form. */
static struct target_value value_of(const struct key_source *source, uint32_t column_type)
{
	struct target_value value = {.type = source->type};

	if (source->kind != SOURCE_CONST) {
		value.param = source->param;
		return value;
	}
	value.bytes = source->value;
	value.type = column_type;
	value.binary = column_type == DATUM_UUID || column_type == DATUM_BYTEA;
	if (column_type == DATUM_INT2 || column_type == DATUM_INT4)
		value.type = DATUM_INT8; /* it may be beyond the column's own */
	return value;
}

static bool add_column(struct writing_sql *w, const struct part *part, unsigned k,
		       const struct key_column *column)
{
	char number[24];

	add_text(w->sql, "(");
	if (column->nsources == 0)
		add_text(w->sql, "false"); /* = NULL */
	for (unsigned i = 0; i < column->nsources; i++) {
		const struct key_source *source = &column->sources[i];

		if (w->n == TARGET_VALUES_MAX)
			return false;
		add_text(w->sql, i > 0 ? " OR r." : "r.");
		add_identifier(w->sql, part->column[k]);
		add_text(w->sql, source->kind == SOURCE_ARRAY ? " OPERATOR(pg_catalog.=) ANY ("
							      : " OPERATOR(pg_catalog.=) (");
		snprintf(number, sizeof(number), "$%u)", w->first + w->n);
		add_text(w->sql, number);
		w->values[w->n++] = value_of(source, part->type[k]);
	}
	add_text(w->sql, ")");
	return true;
}

bool target_from(const struct target *t, unsigned i, unsigned first, struct buf *sql,
		 struct target_value *values_r, unsigned *nvalues_r)
{
	const struct part *part = part_at(t, i);
	struct writing_sql w = {.sql = sql, .values = values_r, .first = first};

	if (part == NULL)
		return false;
	if (part->schema[0] != '\0') {
		add_identifier(sql, part->schema);
		add_text(sql, ".");
	}
	add_identifier(sql, part->name);
	add_text(sql, " AS r WHERE ");
	for (const struct key_choice *choice = part->read.choices; choice != NULL; choice = choice->next) {
		add_text(sql, choice == part->read.choices ? "(" : " OR (");
		for (unsigned k = 0; k < part->read.nkey; k++) {
			if (k > 0)
				add_text(sql, " AND ");
			if (!add_column(&w, part, k, &choice->columns[k]))
				return false;
		}
		add_text(sql, ")");
	}
	*nvalues_r = w.n;
	return !sql->failed;
}
