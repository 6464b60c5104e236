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
	change_begin(&a->change, xid);
	a->open = true;
	a->nrows = a->nnudges = 0;
	a->ddl = a->unknown = false;
}

/* The relation and all above it: a query that names the parent reads the child's rows. The key of a child says nothing
 * about how the parent's readers hashed theirs, so ancestors are touched as a whole. */
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

static int key_index(const struct catalog_relation *rel, int16_t attnum)
{
	for (int i = 0; i < rel->nkey; i++) {
		if (rel->key[i] == attnum)
			return i;
	}
	return -1;
}

enum key_status { KEY_CERTAIN, KEY_UNCERTAIN, KEY_BAD };

struct key_part {
	size_t at, n; /* in `values`, which may move while it grows */
	bool there;
};

static enum key_status read_part(struct apply *a, const struct catalog_relation *rel,
				 const struct decoding_column *column, struct key_part *parts)
{
	const struct catalog_column *known = catalog_column(rel, column->name);
	int i = known != NULL ? key_index(rel, known->attnum) : -1;
	size_t at = a->values.len;

	if (known == NULL)
		a->unknown = true; /* the table has changed since the catalog was read */
	if (i < 0)
		return KEY_CERTAIN; /* not of the key */
	if (column->state != DECODING_TEXT || !known->plain_equality ||
	    datum_canon(known->type_oid, false, column->value, &a->values) != DATUM_OK || a->values.failed)
		return KEY_UNCERTAIN;
	parts[i] = (struct key_part){.at = at, .n = a->values.len - at, .there = true};
	return KEY_CERTAIN;
}

/* The hash of the primary key in one of the record's tuples. */
static enum key_status read_key(struct apply *a, const struct catalog_relation *rel, const struct row *row,
				const struct tuple *tuple, uint64_t *key_r, const char **why_r)
{
	struct key_part parts[APPLY_KEY_COLUMNS] = {{0}};
	struct span values[APPLY_KEY_COLUMNS];
	struct decoding_column column;
	enum key_status status = KEY_CERTAIN;
	unsigned ncolumns = 0;
	struct tuple_at at = {0};
	int found;

	if (rel->ncolumns == 0 || rel->nkey > APPLY_KEY_COLUMNS)
		return KEY_UNCERTAIN;
	buf_clear(&a->values);
	/* To the end, even when the key is complete: a tuple that cannot be read is an error. */
	while ((found = tuple_next(tuple, &at, &column, why_r)) == 1) {
		enum key_status one = read_part(a, rel, &column, parts);

		status = status == KEY_CERTAIN ? one : status;
		ncolumns++;
	}
	if (found < 0)
		return KEY_BAD;
	/* A new tuple shows every column that the table has, so another number tells of DDL in the same transaction. */
	if (tuple == &row->new_tuple &&
	    ncolumns != (unsigned)rel->ncolumns - (row->without_generated ? rel->ngenerated : 0))
		a->unknown = true;
	if (rel->nkey == 0 || a->unknown)
		return KEY_UNCERTAIN;
	for (int i = 0; i < rel->nkey && status == KEY_CERTAIN; i++) {
		if (!parts[i].there)
			return KEY_UNCERTAIN;
		values[i] = span_of(a->values.p + parts[i].at, parts[i].n);
	}
	if (status == KEY_CERTAIN)
		*key_r = readkey_row(rel->oid, rel->nkey, rel->key, values);
	return status;
}

/* Which rows does the record touch, by key? 0 = none that are certain. */
static int row_keys(struct apply *a, const struct catalog_relation *rel, const struct row *row,
		    uint64_t keys_r[2], unsigned *n_r, const char **why_r)
{
	const struct tuple *const tuples[2] = {&row->new_tuple, &row->old_key};
	bool old_shown = rel->replica_identity == 'd' || rel->replica_identity == 'f';
	unsigned n = 0;

	bool certain = true;

	*n_r = 0;
	for (int i = 0; i < 2; i++) {
		if (tuples[i]->bytes.p == NULL)
			continue;
		switch (read_key(a, rel, row, tuples[i], &keys_r[n], why_r)) {
		case KEY_CERTAIN: n++; break;
		case KEY_UNCERTAIN: certain = false; break;
		case KEY_BAD: return -1;
		}
	}
	if (row->kind == DECODING_DELETE)
		certain &= old_shown && row->old_key.bytes.p != NULL;
	else
		certain &= row->new_tuple.bytes.p != NULL;
	/* An UPDATE that shows no old key has kept it only if the identity would have shown it. */
	if (row->kind == DECODING_UPDATE)
		certain &= old_shown;
	*n_r = certain ? n : 0;
	return 0;
}

int apply_row(struct apply *a, const struct catalog_relation *rel, const struct row *row, const char **why_r)
{
	uint64_t keys[2];
	unsigned n;

	a->nrows++;
	a->change.nchanges++;
	if (rel == NULL)
		return 0;
	if (row_keys(a, rel, row, keys, &n, why_r) != 0)
		return -1;
	apply_touch(a, rel, n == 0);
	for (unsigned i = 0; i < n; i++)
		change_key(&a->change, rel->oid, keys[i]);
	return 0;
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
