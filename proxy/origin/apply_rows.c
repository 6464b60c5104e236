/* The new version of a row, as entity rows hold it (cache/rows.h), from the record of an UPDATE.
 *
 * Only what PostgreSQL would send to a client byte by byte: the stream has the text of each value, so a column counts if its type has one
 * text whatever the settings are, and in binary if that follows from the text. Bytes are those of the server's encoding, without
 * conversion, as for all sessions that the cache serves. A column that does not count is left out, and then no row that has it is
 * renewed. */
#include "proxy/cache/rows.h"
#include "proxy/origin/apply_private.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"

#include <stdio.h>
#include <stdlib.h>

#define TYPE_JSON 114u
#define TYPE_NUMERIC 1700u
#define TYPE_JSONB 3802u
#define SMALL 16 /* bytes: the longest form that is not in the record itself */

struct version {
	struct row_value values[ROW_VALUES_MAX];
	uint8_t small[ROW_VALUES_MAX][SMALL];
	unsigned n;
	bool fits;
};

static void add(struct version *v, int16_t attnum, bool binary, struct span value)
{
	if (v->n == ROW_VALUES_MAX)
		v->fits = false;
	else
		v->values[v->n++] = (struct row_value){.attnum = attnum, .binary = binary, .value = value};
}

static void add_null(struct version *v, int16_t attnum, bool binary)
{
	add(v, attnum, binary, span_of(NULL, 0));
	if (v->fits)
		v->values[v->n - 1].null = true;
}

static void add_small(struct version *v, int16_t attnum, bool binary, const void *bytes, size_t n)
{
	uint8_t *to = v->small[v->n == ROW_VALUES_MAX ? 0 : v->n];

	memcpy(to, bytes, n);
	add(v, attnum, binary, span_of(to, n));
}

static void add_int(struct version *v, int16_t attnum, unsigned width, struct span text)
{
	char digits[24];
	uint8_t bytes[8];
	uint64_t bits;

	if (text.n >= sizeof(digits))
		return;
	snprintf(digits, sizeof(digits), "%.*s", (int)text.n, (const char *)text.p);
	bits = (uint64_t)strtoll(digits, NULL, 10);
	for (unsigned i = 0; i < width; i++)
		bytes[i] = (uint8_t)(bits >> 8 * (width - 1 - i));
	add(v, attnum, false, text);
	add_small(v, attnum, true, bytes, width);
}

/* canon: datum_canon's form, which is what stands in the record for all but bool and uuid. */
static void add_value(struct version *v, int16_t attnum, uint32_t type, struct span text, struct span canon)
{
	switch (type) {
	case DATUM_INT2: add_int(v, attnum, 2, text); break;
	case DATUM_INT4: add_int(v, attnum, 4, text); break;
	case DATUM_INT8: add_int(v, attnum, 8, text); break;
	case DATUM_BOOL: /* test_decoding writes the word */
		add_small(v, attnum, false, canon.p, 1);
		add_small(v, attnum, true, canon.p[0] == 't' ? "\1" : "\0", 1);
		break;
	case DATUM_UUID:
		add(v, attnum, false, text);
		add_small(v, attnum, true, canon.p, canon.n);
		break;
	case DATUM_TEXT:
	case DATUM_VARCHAR:
	case TYPE_JSON:
		add(v, attnum, false, text);
		add(v, attnum, true, text);
		break;
	case DATUM_OID:
	case TYPE_NUMERIC:
	case TYPE_JSONB: add(v, attnum, false, text); break;
	default: break;
	}
}

static void add_column(struct apply *a, struct version *v, const struct catalog_column *known,
		       const struct decoding_column *column)
{
	if (known->generated == 'v')
		return;
	if (column->state == DECODING_NULL) {
		add_null(v, known->attnum, false);
		add_null(v, known->attnum, true);
		return;
	}
	if (column->state != DECODING_TEXT || !known->builtin_type)
		return;
	buf_clear(&a->values);
	if (datum_canon(known->type_oid, false, column->value, &a->values) != DATUM_BAD)
		add_value(v, known->attnum, known->type_oid, column->value, buf_span(&a->values));
}

static int read_version(struct apply *a, const struct catalog_relation *rel, const struct tuple *tuple,
			struct version *v, const char **why_r)
{
	struct decoding_column column;
	struct tuple_at at = {0};
	int16_t last = 0;
	int found;

	v->n = 0;
	v->fits = true;
	while ((found = tuple_next(tuple, &at, &column, why_r)) == 1) {
		const struct catalog_column *known = catalog_column(rel, column.name);

		if (known == NULL || known->attnum <= last) {
			v->fits = false; /* another table than the catalog's */
			continue;
		}
		last = known->attnum;
		add_column(a, v, known, &column);
	}
	return found;
}

static const struct row_value *value_of(const struct version *v, int16_t attnum)
{
	for (unsigned i = 0; i < v->n; i++)
		if (v->values[i].attnum == attnum && !v->values[i].binary)
			return v->values[i].null ? NULL : &v->values[i];
	return NULL;
}

/* As entity_point has it. */
static bool key_of(const struct catalog_relation *rel, const struct version *v, struct buf *key,
		   uint64_t *readkey_r)
{
	struct span values[READS_KEY_MAX];
	size_t at[READS_KEY_MAX + 1];

	buf_clear(key);
	if (rel->nkey == 0 || rel->nkey > READS_KEY_MAX || !v->fits)
		return false;
	for (unsigned i = 0; i < rel->nkey; i++) {
		const struct row_value *value = value_of(v, rel->key[i]);
		const struct catalog_column *column = catalog_column_at(rel, rel->key[i]);
		uint32_t n = 0;

		buf_add(key, &n, sizeof(n));
		at[i] = key->len;
		if (value == NULL || column == NULL ||
		    datum_canon(column->type_oid, false, value->value, key) != DATUM_OK || key->failed)
			return false;
		n = (uint32_t)(key->len - at[i]);
		memcpy(key->p + at[i] - sizeof(n), &n, sizeof(n));
	}
	at[rel->nkey] = key->len + sizeof(uint32_t);
	for (unsigned i = 0; i < rel->nkey; i++)
		values[i] = span_of(key->p + at[i], at[i + 1] - sizeof(uint32_t) - at[i]);
	*readkey_r = readkey_row(rel->oid, rel->nkey, rel->key, values);
	return true;
}

/* The same row as before: under the default identity an old key is shown when it has changed, under FULL always. */
static int same_row(struct apply *a, const struct catalog_relation *rel, const struct row *row,
		    struct version *v, struct buf *key, uint64_t readkey, const char **why_r)
{
	uint64_t before;

	if (row->old_key.bytes.p == NULL)
		return 1;
	if (read_version(a, rel, &row->old_key, v, why_r) < 0)
		return -1;
	return key_of(rel, v, key, &before) && before == readkey;
}

int apply_new_version(struct apply *a, const struct catalog_relation *rel, const struct row *row,
		      const char **why_r)
{
	struct version v;
	struct buf key, other, values;
	uint64_t readkey;
	int rc = 0;

	if (a->change.rows_off || rel->kind != 'r' || rel->nancestors > 0 || row->new_tuple.bytes.p == NULL)
		return 0;
	buf_init(&key, CHANGE_ROWS_BYTES);
	buf_init(&other, CHANGE_ROWS_BYTES);
	buf_init(&values, CHANGE_ROWS_BYTES);
	rc = read_version(a, rel, &row->new_tuple, &v, why_r);
	if (rc == 0 && key_of(rel, &v, &key, &readkey)) {
		(void)row_write(&values, v.values, v.n, span_of(NULL, 0));
		rc = same_row(a, rel, row, &v, &other, readkey, why_r);
		if (rc == 1 && !values.failed)
			change_row_add(&a->change, rel->oid, readkey, buf_span(&key), buf_span(&values));
	}
	buf_free(&key);
	buf_free(&other);
	buf_free(&values);
	return rc < 0 ? -1 : 0;
}
