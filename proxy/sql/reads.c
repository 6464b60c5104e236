#include "proxy/sql/reads.h"

#include "proxy/base/map.h"
#include "proxy/sql/analysis.h"
#include "proxy/sql/effect.h"
#include "proxy/sql/harmless.h"
#include "proxy/sql/shape.h"
#include "protocol/datum.h"

#include <stdlib.h>

struct reads {
	unsigned refs;
	enum reason reason;
	bool harmless;
	uint16_t nparams;
	uint64_t types;		 /* reads_types() */
	const bool *clock_param; /* [nparams + 1] */
	const struct rel_read *relations;
	const struct entities *entities; /* NULL: none */
	struct buf values;		 /* of the execution in work; its memory stays for the next */
	struct arena mem;
};

#define READS_BYTES_MAX (16u << 20)
#define VALUES_MAX 512
#define VALUES_BYTES (256u * 1024u)
#define VALUES_KEPT 1024u

/* ---- resolving ---- */

/* Statements that write nothing whatever the catalog says. */
static bool harmless_command(const struct stmt_facts *stmt)
{
	if ((stmt->effects & ~(uint32_t)(EFFECT_TXN_SNAPSHOT | EFFECT_TXN_MODE)) != 0)
		return false;
	switch (stmt->command) {
	case COMMAND_BEGIN:
	case COMMAND_COMMIT:
	case COMMAND_ROLLBACK:
	case COMMAND_TXN:
	case COMMAND_SET_TXN:
	case COMMAND_SHOW: return true;
	default: return false;
	}
}

static bool harmless_facts(const struct facts *facts)
{
	if (facts->nstmts < 0)
		return false;
	for (int i = 0; i < facts->nstmts; i++)
		if (!harmless_command(&facts->stmts[i]))
			return false;
	return true;
}

static enum reason analyse_select(struct reads *r, const PgQuery__SelectStmt *select, struct analysis *a)
{
	struct outputs outputs = {0};
	bool *clock_param = arena_zero(a->mem, (a->nparams + a->nslots + 1u) * sizeof(bool));
	struct rel_read *relations = NULL;

	if (clock_param == NULL)
		return REASON_SHAPE;
	a->clock_param = clock_param;
	a->reads_end = &relations;
	if (!select_check(a, select, NULL, NULL, &outputs))
		return a->reason == REASON_NONE ? REASON_SHAPE : a->reason;
	if (!predicates_find(a))
		return REASON_SHAPE;
	if (relations == NULL)
		return REASON_NO_TABLE;
	r->relations = relations;
	r->clock_param = clock_param;
	r->entities = a->entities;
	return REASON_NONE;
}

/* What stays behind has to live in the reads object's own memory; the rest of the work's memory goes. */
static bool copy_source(struct arena *mem, struct key_source *source)
{
	if (source->kind != SOURCE_CONST)
		return true;
	source->value.p = (const uint8_t *)arena_str(mem, source->value);
	return source->value.p != NULL;
}

static bool copy_choice(struct arena *mem, struct key_choice *choice, unsigned nkey)
{
	size_t size = nkey * sizeof(*choice->columns);

	choice->columns = arena_grow(mem, choice->columns, size, size);
	if (choice->columns == NULL)
		return false;
	for (unsigned i = 0; i < nkey; i++) {
		struct key_column *column = &choice->columns[i];

		size = column->nsources * sizeof(*column->sources);
		column->sources = arena_grow(mem, column->sources, size, size);
		if (column->sources == NULL)
			return false;
		for (unsigned k = 0; k < column->nsources; k++)
			if (!copy_source(mem, &column->sources[k]))
				return false;
	}
	return true;
}

static bool copy_found(struct reads *r)
{
	const struct rel_read *from = r->relations;
	const struct rel_read **end = &r->relations;
	bool *clock_param = arena_grow(&r->mem, r->clock_param, r->nparams + 1u, r->nparams + 1u);

	r->clock_param = clock_param;
	r->relations = NULL;
	for (; from != NULL; from = from->next) {
		struct rel_read *read = arena_grow(&r->mem, from, sizeof(*read), sizeof(*read));
		struct key_choice **next = read == NULL ? NULL : &read->choices;

		if (read == NULL)
			return false;
		for (; *next != NULL; next = &(*next)->next) {
			*next = arena_grow(&r->mem, *next, sizeof(**next), sizeof(**next));
			if (*next == NULL || !copy_choice(&r->mem, *next, read->nkey))
				return false;
		}
		*end = read;
		end = (const struct rel_read **)&read->next;
	}
	if (r->entities != NULL) {
		r->entities = entities_copy(&r->mem, r->entities);
		if (r->entities == NULL)
			return false;
	}
	return clock_param != NULL;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return XXH3_64bits_withSeed(&v, sizeof(v), h);
}

static uint64_t types_of(const struct rel_read *read, const struct catalog *catalog)
{
	uint64_t h = 0;

	for (; read != NULL; read = read->next) {
		const struct catalog_relation *rel = catalog_find_oid(catalog, read->relid);

		h = mix(h, read->relid);
		for (uint16_t i = 0; rel != NULL && i < rel->ncolumns; i++)
			h = mix(mix(h, (uint64_t)rel->columns[i].attnum), rel->columns[i].type_oid);
	}
	return h | 1;
}

static void resolve_body(struct reads *r, const struct facts *facts, const struct catalog *catalog,
			 const struct reads_session *session, const uint32_t *oids, uint16_t noids)
{
	struct tree *tree = tree_unpack(span_of(facts->body->packed, facts->body->npacked));
	struct arena work;
	struct analysis a = {.mem = &work, .catalog = catalog, .oids = oids, .noids = noids};
	const PgQuery__Node *stmt;

	arena_init(&work, 4096, READS_BYTES_MAX);
	a.nparams = facts->nparams;
	a.slots = facts->slots;
	a.nslots = facts->nslots;
	a.params_again = facts->params_again;
	r->reason = REASON_SHAPE;
	if (tree == NULL || tree->root->n_stmts != 1 || names_open(&a.names, catalog, session, &work) != 0)
		goto out;
	stmt = tree->root->stmts[0]->stmt;
	r->reason = (enum reason)facts->reason;
	/* With pg_catalog behind other schemas, any name may be a user's. */
	if (facts->shape != NULL && a.names.odd)
		r->reason = REASON_RELATION_AMBIGUOUS;
	/* A cast that is implicit, or that a type has by default, does not show in the text. */
	if (facts->shape != NULL && catalog_users_casts(catalog))
		r->reason = REASON_CAST;
	if (a.names.odd || catalog_users_casts(catalog))
		goto out;
	r->harmless = harmless_tree(stmt, &a.names, oids, noids);
	if (facts->shape == NULL)
		goto out;
	r->reason = analyse_select(r, stmt->select_stmt, &a);
	if (r->reason == REASON_NONE) {
		r->harmless = true;
		r->types = types_of(r->relations, catalog);
		if (!copy_found(r)) {
			r->relations = NULL;
			r->entities = NULL;
			r->reason = REASON_SHAPE;
		}
	}
out:
	arena_free(&work);
	tree_free(&tree);
}

struct reads *reads_resolve(const struct facts *facts, const struct catalog *catalog,
			    const struct reads_session *session, const uint32_t *oids, uint16_t noids)
{
	struct reads *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->refs = 1;
	r->nparams = (uint16_t)(facts->nparams + facts->nslots);
	r->reason = (enum reason)facts->reason;
	arena_init(&r->mem, 256, READS_BYTES_MAX);
	buf_init(&r->values, VALUES_BYTES);
	/* The values of parameters are read when they are bound, whatever the text does with them. */
	if (!catalog_own_input(catalog, oids, noids))
		r->reason = r->reason == REASON_NONE ? REASON_TYPE : r->reason;
	else if (harmless_facts(facts))
		r->harmless = true;
	else if (catalog == NULL)
		r->reason = r->reason == REASON_NONE ? REASON_OFF : r->reason;
	else if (facts->body != NULL)
		resolve_body(r, facts, catalog, session, oids, noids);
	return r;
}

struct reads *reads_of_rows(const struct rel_read *read, uint16_t nparams)
{
	struct reads *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->refs = 1;
	r->nparams = nparams;
	r->reason = REASON_NONE;
	r->relations = read;
	arena_init(&r->mem, 64, READS_BYTES_MAX);
	buf_init(&r->values, VALUES_BYTES);
	r->clock_param = arena_zero(&r->mem, (nparams + 1u) * sizeof(bool));
	if (r->clock_param != NULL)
		return r;
	reads_unref(r);
	return NULL;
}

uint64_t reads_types(const struct reads *r)
{
	return r->types;
}

struct reads *reads_ref(struct reads *r)
{
	r->refs++;
	return r;
}

void reads_unref(struct reads *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	buf_free(&r->values);
	arena_free(&r->mem);
	free(r);
}

enum reason reads_reason(const struct reads *r)
{
	return r->reason;
}

bool reads_harmless(const struct reads *r)
{
	return r->harmless;
}

bool reads_part(const struct reads *r, unsigned i, struct reads_part *part_r)
{
	const struct rel_read *read = r->relations;

	while (read != NULL && i-- > 0)
		read = read->next;
	if (read == NULL)
		return false;
	*part_r = (struct reads_part){.relid = read->relid};
	if (read->choices == NULL)
		return true;
	part_r->ncolumns = read->nkey;
	for (unsigned k = 0; k < read->nkey; k++)
		part_r->column[k] = read->key[k];
	return true;
}

size_t reads_bytes(const struct reads *r)
{
	return sizeof(*r) + r->mem.bytes;
}

/* ---- executing ---- */

/* Key values of one execution: bytes in `buf`, places in the arrays. */

struct values {
	struct buf *buf;
	uint32_t at[VALUES_MAX];
	uint32_t length[VALUES_MAX];
	unsigned count;
};

enum found { FOUND, FOUND_UNCERTAIN };

static bool ascii_or_not_text(uint32_t type, struct span value)
{
	if (type != DATUM_TEXT && type != DATUM_VARCHAR && type != DATUM_NAME)
		return true;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] >= 0x80)
			return false;
	return true;
}

static enum found note_value(struct values *v, size_t from)
{
	if (v->count == VALUES_MAX || v->buf->failed)
		return FOUND_UNCERTAIN;
	v->at[v->count] = (uint32_t)from;
	v->length[v->count] = (uint32_t)(v->buf->len - from);
	v->count++;
	return FOUND;
}

/* A binary integer whose parameter type was left open comes in the width the server chose. */
static uint32_t width_type(uint32_t type, const struct reads_param *param)
{
	if (!param->binary || (type != DATUM_INT2 && type != DATUM_INT4 && type != DATUM_INT8))
		return type;
	return param->value.n == 2 ? DATUM_INT2 : param->value.n == 4 ? DATUM_INT4 : DATUM_INT8;
}

static enum found array_values(struct values *v, uint32_t array_type, const struct reads_param *param)
{
	struct datum_array array;
	enum datum_next next;

	if (!ascii_or_not_text(datum_element_type(array_type), param->value) && !param->binary)
		return FOUND_UNCERTAIN;
	if (datum_array_open(array_type, param->binary, param->value, &array) != DATUM_OK)
		return FOUND_UNCERTAIN;
	for (;;) {
		size_t from = v->buf->len;

		next = datum_array_next(&array, v->buf);
		if (next == DATUM_END)
			return FOUND;
		if (next == DATUM_NULL && (param->binary || !keys_null_may_be_text(array.element_oid)))
			continue;
		if (next != DATUM_ELEMENT ||
		    !ascii_or_not_text(array.element_oid, span_of(v->buf->p + from, v->buf->len - from)) ||
		    note_value(v, from) != FOUND)
			return FOUND_UNCERTAIN;
	}
}

static enum found source_values(struct values *v, const struct key_source *source,
				const struct reads_param *params)
{
	const struct reads_param *param;
	size_t from = v->buf->len;

	if (source->kind == SOURCE_CONST) {
		buf_add_span(v->buf, source->value);
		return note_value(v, from);
	}
	param = &params[source->param - 1];
	if (param->null)
		return FOUND;
	if (source->kind == SOURCE_ARRAY)
		return array_values(v, source->type, param);
	if (!ascii_or_not_text(source->type, param->value) ||
	    datum_canon(width_type(source->type, param), param->binary, param->value, v->buf) != DATUM_OK)
		return FOUND_UNCERTAIN;
	return note_value(v, from);
}

struct keys {
	uint64_t *list;
	unsigned count;
	unsigned max;
};

static bool add_key(struct keys *keys, uint64_t key)
{
	for (unsigned i = 0; i < keys->count && keys->count <= 64; i++)
		if (keys->list[i] == key)
			return true;
	if (keys->count == keys->max)
		return false;
	keys->list[keys->count++] = key;
	return true;
}

/* Calls `fn` for every combination of the columns' values; starts[i]..starts[i + 1] are column i's. */
typedef bool (*row_fn)(void *arg, const struct rel_read *read, const struct span *row);

static bool each_row(const struct rel_read *read, const struct values *v, const unsigned *starts, row_fn fn,
		     void *arg)
{
	struct span row[READS_KEY_MAX];
	unsigned pick[READS_KEY_MAX];

	for (unsigned i = 0; i < read->nkey; i++) {
		if (starts[i] == starts[i + 1])
			return true; /* NULL: no row */
		pick[i] = starts[i];
	}
	for (;;) {
		unsigned i;

		for (i = 0; i < read->nkey; i++)
			row[i] = v->length[pick[i]] == 0
					 ? span_of("", 0) /* the buffer may be none yet */
					 : span_of(v->buf->p + v->at[pick[i]], v->length[pick[i]]);
		if (!fn(arg, read, row))
			return false;
		for (i = 0; i < read->nkey && ++pick[i] == starts[i + 1]; i++)
			pick[i] = starts[i];
		if (i == read->nkey)
			return true;
	}
}

static bool add_row_key(void *arg, const struct rel_read *read, const struct span *row)
{
	return add_key(arg, readkey_row(read->relid, read->nkey, read->key, row));
}

static bool each_chosen(const struct rel_read *read, const struct key_choice *choice,
			const struct reads_param *params, struct values *v, row_fn fn, void *arg)
{
	unsigned starts[READS_KEY_MAX + 1];

	v->count = 0;
	buf_clear(v->buf);
	for (unsigned i = 0; i < read->nkey; i++) {
		starts[i] = v->count;
		for (unsigned k = 0; k < choice->columns[i].nsources; k++)
			if (source_values(v, &choice->columns[i].sources[k], params) != FOUND)
				return false;
	}
	starts[read->nkey] = v->count;
	return each_row(read, v, starts, fn, arg);
}

/* Row keys of one relation; false when they are not certain or too many. */
static bool add_row_keys(struct keys *keys, const struct rel_read *read, const struct reads_param *params,
			 struct values *v)
{
	if (!add_key(keys, readkey_whole(read->relid)))
		return false;
	for (const struct key_choice *choice = read->choices; choice != NULL; choice = choice->next)
		if (!each_chosen(read, choice, params, v, add_row_key, keys))
			return false;
	return true;
}

static enum reason check_params(const struct reads *r, const struct reads_param *params, uint16_t nparams)
{
	if (nparams < r->nparams)
		return REASON_PARAMETER;
	for (unsigned i = 1; i <= r->nparams; i++)
		if (r->clock_param[i] && !params[i - 1].null && /* text may come in binary format too */
		    expr_clock_words(params[i - 1].value))
			return REASON_PARAMETER;
	return REASON_NONE;
}

static bool add_relid(uint32_t *relids, unsigned *count, unsigned max, uint32_t relid)
{
	for (unsigned i = 0; i < *count; i++)
		if (relids[i] == relid)
			return true;
	if (*count == max)
		return false;
	relids[(*count)++] = relid;
	return true;
}

/* The keys of what conditions fix, and what else may take rows away from there. */
static bool add_predicate(struct keys *keys, const struct rel_read *read, const struct reads_param *params,
			  struct values *v, struct reads_set *set)
{
	struct reads_rule *rule = &set->rule[set->nrules];

	if (!add_row_keys(keys, read, params, v))
		return false;
	if (read->nshown == 0 || set->nrules == READS_RULES_MAX)
		return add_key(keys, readkey_gone(read->relid));
	*rule = (struct reads_rule){.relid = read->relid, .ncols = read->nshown};
	memcpy(rule->at, read->shown_at, sizeof(rule->at));
	memcpy(rule->attnums, read->shown_key, sizeof(rule->attnums));
	memcpy(rule->types, read->shown_type, sizeof(rule->types));
	set->otherwise[set->nrules++] = readkey_gone(read->relid);
	return true;
}

static bool add_precise(struct keys *keys, const struct rel_read *read, const struct reads_param *params,
			const struct reads_signatures *signatures, struct values *v, struct reads_set *set)
{
	if (read->choices == NULL)
		return false;
	if (!read->predicate)
		return add_row_keys(keys, read, params, v);
	return signatures != NULL &&
	       signatures->applied(signatures->arg, read->relid, read->nkey, read->key) &&
	       add_predicate(keys, read, params, v, set);
}

enum reason reads_keys(const struct reads *r, const struct reads_param *params, uint16_t nparams,
		       const struct reads_signatures *signatures, struct reads_set *set)
{
	struct keys keys = {.list = set->keys, .max = set->max};
	struct values values;
	enum reason reason = r->reason;

	set->nkeys = set->nrels = set->nrules = 0;
	if (reason == REASON_NONE)
		reason = check_params(r, params, nparams);
	if (reason != REASON_NONE)
		return reason;
	values.count = 0;
	values.buf =
		&((struct reads *)r)->values; /* used by one execution at a time, and by nobody in between */
	buf_clear(values.buf);
	for (const struct rel_read *read = r->relations; read != NULL && reason == REASON_NONE;
	     read = read->next) {
		unsigned before = keys.count;

		if (!add_relid(set->relids, &set->nrels, set->maxrels, read->relid))
			reason = REASON_TOO_LARGE;
		else if (!add_precise(&keys, read, params, signatures, &values, set)) {
			keys.count = before;
			if (!add_key(&keys, readkey_any(read->relid)))
				reason = REASON_TOO_LARGE;
		}
	}
	if (values.buf->cap > VALUES_KEPT)
		buf_free(values.buf);
	set->nkeys = keys.count;
	return reason;
}

enum reads_rows reads_rows(const struct reads *r, unsigned i, const struct reads_param *params,
			   uint16_t nparams, uint32_t *relid_r, uint64_t *keys_r, unsigned max, unsigned *n_r)
{
	struct keys keys = {.list = keys_r, .max = max};
	const struct rel_read *read = r->relations;
	struct values values;
	bool certain = true;

	while (read != NULL && i-- > 0)
		read = read->next;
	*n_r = 0;
	if (read == NULL)
		return READS_END;
	*relid_r = read->relid;
	if (read->choices == NULL || read->predicate || nparams < r->nparams)
		return READS_ANY;
	values.buf = &((struct reads *)r)->values; /* as in reads_keys */
	for (const struct key_choice *choice = read->choices; choice != NULL && certain;
	     choice = choice->next)
		certain = each_chosen(read, choice, params, &values, add_row_key, &keys);
	if (values.buf->cap > VALUES_KEPT)
		buf_free(values.buf);
	*n_r = certain ? keys.count : 0;
	return certain ? READS_SOME : READS_ANY;
}

/* ---- points ---- */

const struct entities *reads_entities(const struct reads *r)
{
	return r->entities;
}

struct pointing {
	const struct entity *entity;
	struct entity_points *points;
};

static bool add_point(void *arg, const struct rel_read *read, const struct span *row)
{
	struct pointing *p = arg;

	return entities_add_point(p->entity, p->points, readkey_row(read->relid, read->nkey, read->key, row),
				  row);
}

bool reads_points(const struct reads *r, const struct reads_param *params, uint16_t nparams,
		  struct entity_points *points_r)
{
	const struct entities *entities = r->entities;
	struct pointing pointing = {.points = points_r};
	struct values values = {.buf = &((struct reads *)r)->values}; /* as in reads_keys */
	bool ok;

	points_r->n = 0;
	buf_clear(&points_r->bytes);
	if (entities == NULL || !entities->point || r->reason != REASON_NONE ||
	    check_params(r, params, nparams) != REASON_NONE)
		return false;
	pointing.entity = &entities->list[0];
	ok = each_chosen(r->relations, r->relations->choices, params, &values, add_point, &pointing) &&
	     entities_limit(entities, params, &points_r->all, points_r->n);
	if (values.buf->cap > VALUES_KEPT)
		buf_free(values.buf);
	return ok;
}
