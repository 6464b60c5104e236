#include "proxy/session/context_rows.h"

#include "proxy/base/check.h"
#include "proxy/base/map.h"

#include <stdlib.h>

#define KEY_BYTES (1u << 20)
#define ROW_BYTES (64u << 20)

/* What one answer has shown. */
struct seen {
	struct seen *next;
	uint64_t after_us;
	size_t n;
	uint8_t bytes[];
};

struct row {
	UT_hash_handle hh; /* key: bytes */
	uint32_t relid;
	bool changed;
	struct seen *seen; /* owned; the first one first */
	size_t cost;
	uint8_t key[];
};

struct context_rows {
	struct row *rows;
	size_t bytes;
	uint64_t epoch; /* of all of them */
	unsigned changed;
	unsigned nwhos;
	struct who {
		uint8_t *bytes; /* owned */
		size_t n;
	} who[CONTEXT_WHOS];
};

struct context_rows *context_rows_new(void)
{
	return check_alloc(sizeof(struct context_rows));
}

static void drop(struct context_rows *rows, struct row *row)
{
	struct seen *seen, *next;

	HASH_DEL(rows->rows, row);
	rows->bytes -= row->cost;
	for (seen = row->seen; seen != NULL; seen = next) {
		next = seen->next;
		free(seen);
	}
	free(row);
}

void context_rows_wrote(struct context_rows *rows, uint32_t relid)
{
	struct row *row, *next;

	HASH_ITER (hh, rows->rows, row, next)
		if (relid == 0 || row->relid == relid)
			drop(rows, row);
}

void context_rows_free(struct context_rows **rows_p)
{
	struct context_rows *rows = *rows_p;

	*rows_p = NULL;
	if (rows == NULL)
		return;
	context_rows_wrote(rows, 0);
	for (unsigned i = 0; i < rows->nwhos; i++)
		free(rows->who[i].bytes);
	free(rows);
}

uint32_t context_rows_who(struct context_rows *rows, struct span who, size_t max)
{
	struct who *new;

	for (unsigned i = 0; i < rows->nwhos; i++)
		if (span_eq(span_of(rows->who[i].bytes, rows->who[i].n), who))
			return i + 1;
	if (rows->nwhos == CONTEXT_WHOS || who.n == 0 || rows->bytes + who.n > max)
		return 0;
	new = &rows->who[rows->nwhos++];
	new->bytes = check_alloc(who.n);
	memcpy(new->bytes, who.p, who.n);
	new->n = who.n;
	rows->bytes += who.n;
	return rows->nwhos;
}

static void write_key(struct buf *key, const struct context_row *row)
{
	buf_init(key, KEY_BYTES);
	buf_add_u32(key, row->who);
	buf_add_u32(key, row->relid);
	buf_add_span(key, row->key);
}

static struct row *find(struct context_rows *rows, const struct buf *key)
{
	struct row *row = NULL;

	if (!key->failed)
		HASH_FIND(hh, rows->rows, key->p, key->len, row);
	return row;
}

static struct span bytes_of(const struct seen *seen)
{
	return span_of(seen->bytes, seen->n);
}

/* --- comparing what two answers show --- */

struct comparison {
	bool differs; /* in a column that both show, or only one says that it is there */
	bool covered; /* all that is new is in the old one, whatever it is */
};

static bool same_value(const struct row_value *a, const struct row_value *b)
{
	return a->null == b->null && (a->null || span_eq(a->value, b->value));
}

static struct comparison compare(struct span old, const struct context_row *row)
{
	struct comparison result = {.covered = true};
	struct row_reader reader;
	struct row_value other;
	bool there = row_open(old, &reader), more;

	if (!there || row->values == NULL)
		return (struct comparison){.differs = there != (row->values != NULL), .covered = !there};
	more = row_next(&reader, &other);
	for (unsigned i = 0; i < row->nvalues; i++) {
		while (more && row_compare(&other, &row->values[i]) < 0)
			more = row_next(&reader, &other);
		if (!more || row_compare(&other, &row->values[i]) != 0)
			result.covered = false;
		else if (!same_value(&other, &row->values[i]))
			result.differs = true;
	}
	return result;
}

/* --- keeping --- */

static struct seen *seen_new(const struct context_row *row)
{
	struct seen *seen = NULL;
	struct buf bytes;

	buf_init(&bytes, ROW_BYTES);
	if (row->values == NULL)
		row_write_absent(&bytes);
	else if (row->nvalues <= ROW_VALUES_MAX)
		(void)row_write(&bytes, row->values, row->nvalues, span_of(NULL, 0));
	if (!bytes.failed && bytes.len > 0) {
		seen = check_alloc(sizeof(*seen) + bytes.len);
		seen->after_us = row->after_us;
		seen->n = bytes.len;
		memcpy(seen->bytes, bytes.p, bytes.len);
	}
	buf_free(&bytes);
	return seen;
}

static size_t cost_of(const struct context_row *row)
{
	size_t n = sizeof(struct seen) + sizeof(uint16_t);

	for (unsigned i = 0; i < row->nvalues; i++)
		n += 8 + (row->values[i].null ? 0 : row->values[i].value.n);
	return n;
}

/* The end of the list, or NULL when nothing is to be added to it. */
static struct seen **look(struct context_rows *rows, struct row *row, const struct context_row *new)
{
	struct seen **end = &row->seen;
	bool covered = false;

	for (; *end != NULL; end = &(*end)->next) {
		struct comparison c = compare(bytes_of(*end), new);

		covered = covered || c.covered;
		if (c.differs && !row->changed) {
			row->changed = true;
			rows->changed++;
		}
	}
	return covered ? NULL : end;
}

static struct row *row_new(struct context_rows *rows, const struct context_row *from, const struct buf *key)
{
	struct row *row = check_alloc(sizeof(*row) + key->len);

	row->relid = from->relid;
	row->cost = sizeof(*row) + key->len;
	memcpy(row->key, key->p, key->len);
	HASH_ADD_KEYPTR(hh, rows->rows, row->key, key->len, row);
	rows->bytes += row->cost;
	return row;
}

static bool keep(struct context_rows *rows, const struct context_row *new, const struct buf *key, size_t max)
{
	struct row *row = find(rows, key);
	size_t cost = cost_of(new), sum = rows->bytes + cost;
	struct seen **end = NULL, *seen;

	if (row == NULL)
		sum += sizeof(*row) + key->len;
	else if ((end = look(rows, row, new)) == NULL)
		return true;
	seen = key->failed || sum > max ? NULL : seen_new(new);
	if (seen == NULL)
		return false;
	if (row == NULL) {
		row = row_new(rows, new, key);
		end = &row->seen;
	}
	*end = seen;
	row->cost += cost;
	rows->bytes += cost;
	return true;
}

bool context_rows_keep(struct context_rows *rows, const struct context_row *row, size_t max)
{
	struct buf key;
	bool kept;

	if (row->who == 0)
		return false;
	if (rows->epoch != row->epoch)
		context_rows_wrote(rows, 0);
	rows->epoch = row->epoch;
	write_key(&key, row);
	kept = keep(rows, row, &key, max);
	buf_free(&key);
	return kept;
}

/* --- finding --- */

static bool shows_all(struct span bytes, const struct context_row *wanted)
{
	struct row_reader reader;
	struct row_value value;
	bool more;

	if (!row_open(bytes, &reader))
		return true; /* it is not there: that says all */
	more = row_next(&reader, &value);
	for (unsigned i = 0; i < wanted->nvalues; i++) {
		while (more && row_compare(&value, &wanted->values[i]) < 0)
			more = row_next(&reader, &value);
		if (!more || row_compare(&value, &wanted->values[i]) != 0)
			return false;
	}
	return true;
}

struct span context_rows_find(struct context_rows *rows, const struct context_row *wanted,
			      uint64_t *after_us_r)
{
	struct span bytes = span_of(NULL, 0);
	const struct row *row;
	struct buf key;

	if (wanted->who == 0)
		return bytes;
	if (rows->epoch != wanted->epoch)
		context_rows_wrote(rows, 0);
	write_key(&key, wanted);
	row = find(rows, &key);
	for (const struct seen *seen = row == NULL ? NULL : row->seen; seen != NULL && bytes.n == 0;
	     seen = seen->next)
		if (shows_all(bytes_of(seen), wanted)) {
			*after_us_r = seen->after_us;
			bytes = bytes_of(seen);
		}
	buf_free(&key);
	return bytes;
}

unsigned context_rows_changed(const struct context_rows *rows)
{
	return rows->changed;
}

size_t context_rows_bytes(const struct context_rows *rows)
{
	return rows->bytes;
}
