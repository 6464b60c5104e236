#include "proxy/origin/apply_private.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"

#define APPLY_RECORD_MAX ((size_t)1 << 30) /* PostgreSQL's own bound of one field, and of one message */
#define APPLY_KEY_COLUMNS 32		   /* INDEX_MAX_KEYS */

void apply_init(struct apply *a, size_t max_change_keys)
{
	*a = (struct apply){0};
	change_init(&a->change, max_change_keys);
	buf_init(&a->scratch, APPLY_RECORD_MAX);
	buf_init(&a->values, APPLY_RECORD_MAX);
}

void apply_free(struct apply *a)
{
	change_free(&a->change);
	buf_free(&a->scratch);
	buf_free(&a->values);
	relations_clear(&a->relations);
}

void apply_reset(struct apply *a)
{
	a->open = false;
	relations_clear(&a->relations);
}

void apply_begin(struct apply *a, uint32_t xid)
{
	if (a->signatures != NULL)
		signatures_begin(a->signatures);
	change_begin(&a->change, xid);
	a->open = true;
	a->nrows = a->nnudges = 0;
	a->ddl = a->unknown = false;
}

/* The relation and all above it: a query that names the parent reads the child's rows. */
void apply_touch(struct apply *a, const struct catalog_relation *rel, bool whole)
{
	change_relation(&a->change, rel->oid, whole);
	for (uint16_t i = 0; i < rel->nancestors; i++)
		change_relation(&a->change, rel->ancestors[i], true);
}

const struct catalog_relation *apply_known(struct apply *a, const struct catalog_relation *rel)
{
	if (rel == NULL) {
		a->unknown = true;
		a->change.everything = true;
	}
	return rel;
}

static const struct catalog_relation *find(struct apply *a, struct span schema, struct span table)
{
	return apply_known(a, catalog_find(a->catalog, schema, table));
}

/* --- the columns that keys are made of --- */

enum cell_state { CELL_ABSENT, CELL_NULL, CELL_UNKNOWN, CELL_VALUE };

struct cell {
	int16_t attnum;
	enum cell_state state;
	size_t at, n; /* in `values`, which may move while it grows */
};

#define CELLS_MAX (APPLY_KEY_COLUMNS + SIGNATURES_EACH * SIGNATURE_COLUMNS)

struct cells {
	struct cell list[CELLS_MAX];
	unsigned n;
};

static struct cell *cell_of(struct cells *cells, int16_t attnum)
{
	for (unsigned i = 0; i < cells->n; i++)
		if (cells->list[i].attnum == attnum)
			return &cells->list[i];
	return NULL;
}

static void want_cells(struct cells *cells, const int16_t *attnums, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (cell_of(cells, attnums[i]) == NULL && cells->n < CELLS_MAX)
			cells->list[cells->n++] = (struct cell){.attnum = attnums[i]};
}

/* known: NULL = the catalog has no such column. */
static void read_cell(struct apply *a, const struct catalog_column *known,
		      const struct decoding_column *column, struct cells *cells)
{
	struct cell *cell = known == NULL ? NULL : cell_of(cells, known->attnum);
	size_t at = a->values.len;

	if (known == NULL)
		a->unknown = true; /* the table has changed since the catalog was read */
	if (cell == NULL)
		return;
	cell->state = column->state == DECODING_NULL && known->generated != 'v' ? CELL_NULL : CELL_UNKNOWN;
	if (column->state != DECODING_TEXT || !known->plain_equality ||
	    datum_canon(known->type_oid, false, column->value, &a->values) != DATUM_OK || a->values.failed)
		return;
	*cell = (struct cell){.attnum = cell->attnum, .state = CELL_VALUE, .at = at, .n = a->values.len - at};
}

/* To the end, even when all is known: a tuple that cannot be read is an error. */
static int read_cells(struct apply *a, const struct catalog_relation *rel, const struct row *row,
		      const struct tuple *tuple, struct cells *cells, const char **why_r)
{
	struct decoding_column column;
	unsigned ncolumns = 0;
	struct tuple_at at = {0};
	int found;

	buf_clear(&a->values);
	for (unsigned i = 0; i < cells->n; i++)
		cells->list[i].state = CELL_ABSENT;
	while ((found = tuple_next(tuple, &at, &column, why_r)) == 1) {
		const struct catalog_column *known = catalog_column(rel, column.name);

		read_cell(a, known, &column, cells);
		ncolumns += known == NULL || known->generated == 0;
	}
	/* A new tuple shows every column that the table has, so another number tells of DDL in the same transaction. Generated ones may be left
	 * out: by pgoutput, if its publication does not say otherwise. */
	if (tuple == &row->new_tuple && ncolumns != (unsigned)rel->ncolumns - rel->ngenerated)
		a->unknown = true;
	return found;
}

enum key_status { KEY_CERTAIN, KEY_UNCERTAIN, KEY_NO_MATCH };

/* NULL equals nothing, so a row that has one there is in no predicate. */
static enum key_status make_key(struct apply *a, const struct catalog_relation *rel, struct cells *cells,
				const int16_t *attnums, uint16_t n, uint64_t *key_r)
{
	struct span values[APPLY_KEY_COLUMNS];
	enum key_status status = KEY_CERTAIN;

	if (n == 0 || n > APPLY_KEY_COLUMNS)
		return KEY_UNCERTAIN;
	for (unsigned i = 0; i < n; i++) {
		const struct cell *cell = cell_of(cells, attnums[i]);

		if (cell != NULL && cell->state == CELL_NULL)
			return KEY_NO_MATCH;
		if (cell == NULL || cell->state != CELL_VALUE)
			status = KEY_UNCERTAIN;
		else
			values[i] = span_of(a->values.p + cell->at, cell->n);
	}
	if (status == KEY_CERTAIN)
		*key_r = readkey_row(rel->oid, n, attnums, values);
	return status;
}

/* --- rows --- */

#define ROW_KEYS_MAX (2 * (1 + SIGNATURES_EACH))

struct row_keys {
	uint64_t key[ROW_KEYS_MAX];
	unsigned n;
	bool certain;
};

static void add_signatures(struct apply *a, const struct catalog_relation *rel, struct cells *cells,
			   const struct signature *sigs, unsigned nsigs, struct row_keys *keys)
{
	for (unsigned i = 0; i < nsigs; i++) {
		switch (make_key(a, rel, cells, sigs[i].attnums, sigs[i].ncols, &keys->key[keys->n])) {
		case KEY_CERTAIN: keys->n++; break;
		case KEY_UNCERTAIN: keys->certain = false; break;
		case KEY_NO_MATCH: break;
		}
	}
}

/* test_decoding leaves the NULLs of an old row out. */
static void absent_is_null(struct cells *cells)
{
	for (unsigned i = 0; i < cells->n; i++)
		if (cells->list[i].state == CELL_ABSENT)
			cells->list[i].state = CELL_NULL;
}

/* The primary key counts in the new and in the old row, predicates where the whole row is shown. */
static int add_tuple(struct apply *a, const struct catalog_relation *rel, const struct row *row, bool old,
		     bool whole_row, struct row_keys *keys, const char **why_r)
{
	const struct tuple *tuple = old ? &row->old_key : &row->new_tuple;
	const struct signature *sigs = NULL;
	struct cells cells = {.n = 0};
	unsigned nsigs = 0;

	if (whole_row && a->signatures != NULL)
		sigs = signatures_of(a->signatures, rel->oid, &nsigs);
	if (rel->nkey <= APPLY_KEY_COLUMNS)
		want_cells(&cells, rel->key, rel->nkey);
	for (unsigned i = 0; i < nsigs; i++)
		want_cells(&cells, sigs[i].attnums, sigs[i].ncols);
	if (read_cells(a, rel, row, tuple, &cells, why_r) < 0)
		return -1;
	if (rel->nkey > 0) {
		if (make_key(a, rel, &cells, rel->key, rel->nkey, &keys->key[keys->n]) == KEY_CERTAIN)
			keys->n++;
		else
			keys->certain = false;
	}
	if (old)
		absent_is_null(&cells);
	add_signatures(a, rel, &cells, sigs, nsigs, keys);
	return 0;
}

/* Are the primary keys of all rows that the record touches in it? A table without key has no entries that ask. `identity` is that of
 * the table that has the row. */
static bool keys_shown(const struct catalog_relation *rel, const struct row *row, char identity)
{
	bool old_shown = identity == 'd' || identity == 'f';

	if (rel->nkey == 0)
		return row->kind == DECODING_DELETE || row->new_tuple.bytes.p != NULL;
	if (row->kind == DECODING_DELETE)
		return old_shown && row->old_key.bytes.p != NULL;
	/* An UPDATE that shows no old key has kept it only if the identity would have shown it. */
	return row->new_tuple.bytes.p != NULL && (row->kind != DECODING_UPDATE || old_shown);
}

static int row_keys(struct apply *a, const struct catalog_relation *rel, const struct row *row, char identity,
		    bool old_row, struct row_keys *keys, const char **why_r)
{
	keys->n = 0;
	keys->certain = rel->ncolumns > 0 && keys_shown(rel, row, identity);
	if (rel->ncolumns == 0)
		return 0;
	if (row->new_tuple.bytes.p != NULL && add_tuple(a, rel, row, false, true, keys, why_r) != 0)
		return -1;
	if (row->old_key.bytes.p != NULL && add_tuple(a, rel, row, true, old_row, keys, why_r) != 0)
		return -1;
	return 0;
}

/* What readers of `rel` depend on: the table that has the row, or a partitioned table above it, whose columns have the same names but
 * other numbers. */
static int touch_row(struct apply *a, const struct catalog_relation *rel, const struct row *row,
		     char identity, bool old_row, const char **why_r)
{
	struct row_keys keys;

	if (row_keys(a, rel, row, identity, old_row, &keys, why_r) != 0)
		return -1;
	change_relation(&a->change, rel->oid, !keys.certain || a->unknown);
	if (row->kind != DECODING_INSERT && !old_row)
		change_gone(&a->change, rel->oid);
	for (unsigned i = 0; i < keys.n; i++) {
		change_key(&a->change, rel->oid, keys.key[i]);
		change_row_end(&a->change, rel->oid, keys.key[i]);
	}
	return 0;
}

/* An old key is shown, or known to be kept, by the columns of the leaf's. */
static bool key_within(const struct catalog_relation *above, const struct catalog_relation *leaf)
{
	for (unsigned i = 0; i < above->nkey; i++) {
		const struct catalog_column *wanted = catalog_column_at(above, above->key[i]), *mine;
		bool found = false;

		for (unsigned k = 0; k < leaf->nkey && wanted != NULL && !found; k++) {
			mine = catalog_column_at(leaf, leaf->key[k]);
			found = mine != NULL && strcmp(mine->name, wanted->name) == 0;
		}
		if (!found)
			return false;
	}
	return true;
}

/* Partitioned tables are told by rows like their partitions; parents of plain inheritance as a whole. */
static int touch_ancestors(struct apply *a, const struct catalog_relation *rel, const struct row *row,
			   bool old_row, const char **why_r)
{
	for (uint16_t i = 0; i < rel->nancestors; i++) {
		const struct catalog_relation *above = catalog_find_oid(a->catalog, rel->ancestors[i]);

		if (above == NULL || above->kind != 'p' || !key_within(above, rel))
			change_relation(&a->change, rel->ancestors[i], true);
		else if (touch_row(a, above, row, rel->replica_identity, old_row, why_r) != 0)
			return -1;
	}
	return 0;
}

int apply_row(struct apply *a, const struct catalog_relation *rel, const struct row *row, const char **why_r)
{
	bool old_row;

	a->nrows++;
	a->change.nchanges++;
	if (rel == NULL)
		return 0;
	/* The old values of all columns, not only of the key. */
	old_row = rel->replica_identity == 'f' && row->old_key.bytes.p != NULL && !row->old_key.key_only;
	if (touch_row(a, rel, row, rel->replica_identity, old_row, why_r) != 0)
		return -1;
	if (row->kind == DECODING_UPDATE && a->cache != NULL && cache_refresh_wanted(a->cache, rel->oid) &&
	    apply_new_version(a, rel, row, why_r) != 0)
		return -1;
	return touch_ancestors(a, rel, row, old_row, why_r);
}

static int decoding_row(struct apply *a, const struct decoding *d, const char **why_r)
{
	const struct row row = {.kind = d->kind,
				.new_tuple = {.bytes = d->new_tuple, .decoding = d},
				.old_key = {.bytes = d->old_key, .decoding = d}};

	return apply_row(a, find(a, d->schema, d->table), &row, why_r);
}

static int truncate_all(struct apply *a, const struct decoding *d, const char **why_r)
{
	const struct catalog_relation *rel;
	struct span schema, table;
	size_t at = 0;
	int found;

	a->nrows++;
	a->change.nchanges++;
	while ((found = decoding_table_next(d, &at, &schema, &table, why_r)) == 1) {
		rel = find(a, schema, table);
		if (rel != NULL)
			apply_touch(a, rel, true);
	}
	return found;
}

/* Messages of others mean nothing to us; a transaction with nothing else still counts as empty. */
enum apply_event apply_message(struct apply *a, struct span prefix, struct span content, bool transactional)
{
	if (!span_eq(prefix, span_str("pgweir")))
		return APPLY_NONE;
	if (content.n == 0) {
		a->nnudges += transactional;
		return APPLY_NONE;
	}
	if (content.n < 3 || memcmp(content.p, "ddl", 3) != 0)
		return APPLY_NONE;
	if (!transactional)
		return APPLY_SUSPECT;
	a->ddl = true;
	return APPLY_NONE;
}

int apply_bad(struct err *err, const char *why)
{
	return err_set(err, "record of the stream not understood: %s", why);
}

int apply_decoding(struct apply *a, struct span record, enum apply_event *event_r, struct err *err)
{
	enum apply_event event = APPLY_NONE;
	const char *why = "out of order";
	struct decoding d;
	int rc = 0;

	if (decoding_parse(record, &a->scratch, &d, &why) != 0)
		return apply_bad(err, why);
	if (d.kind == DECODING_BEGIN ? a->open
				     : !a->open && !(d.kind == DECODING_MESSAGE && !d.transactional))
		return apply_bad(err, "out of order");
	switch (d.kind) {
	case DECODING_BEGIN: apply_begin(a, d.xid); break;
	case DECODING_INSERT:
	case DECODING_UPDATE:
	case DECODING_DELETE: rc = decoding_row(a, &d, &why); break;
	case DECODING_TRUNCATE: rc = truncate_all(a, &d, &why); break;
	case DECODING_MESSAGE: event = apply_message(a, d.prefix, d.content, d.transactional); break;
	case DECODING_COMMIT:
		if (d.xid != a->change.xid)
			return apply_bad(err, "the end of another transaction");
		a->open = false;
		event = APPLY_COMMIT;
		break;
	}
	if (rc != 0)
		return apply_bad(err, why);
	*event_r = event;
	return 0;
}
