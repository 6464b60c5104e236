/* Rows of tables that answers have shown are kept beside the answers, and answer statements that ask for rows by their keys
 * (docs/coherence.md, "entity rows").
 *
 * Rights: a row is kept for one role under one set of settings, with the columns that this role was shown; and the statement that it
 * answers has been answered by PostgreSQL for this role before: that is where its RowDescription comes from (a note in the cache, which
 * goes with the epoch like everything else). */
#include "proxy/session/pieces.h"
#include "proxy/session/serve_private.h"

#include "proxy/base/check.h"
#include "proxy/cache/rows.h"
#include "proxy/sql/entities.h"
#include "protocol/back.h"
#include "protocol/datum.h"
#include "protocol/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#define KEEP_MAX 256u /* rows of one answer */
#define KEYS_BYTES (1u << 20)

struct entity_deps {
	struct reads *reads;	      /* counted */
	struct buf note_key;	      /* of a point statement */
	struct entity_points *points; /* owned; of a point statement whose rows are kept */
	bool wanted[ENTITIES_MAX];
	unsigned whole[ENTITIES_MAX]; /* the place of readkey_whole in the lease */
	unsigned nformats;
	uint8_t formats[]; /* of the columns of the answer */
};

void entity_drop(struct entity_deps **dp)
{
	struct entity_deps *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	reads_unref(d->reads);
	buf_free(&d->note_key);
	if (d->points != NULL)
		buf_free(&d->points->bytes);
	free(d->points);
	free(d);
}

static struct entity_points *points_new(void)
{
	struct entity_points *points = check_alloc(sizeof *points);

	buf_init(&points->bytes, KEYS_BYTES);
	points->n = 0;
	return points;
}

static void points_free(struct entity_points *points)
{
	buf_free(&points->bytes);
	free(points);
}

/* --- names --- */

/* Of statements that differ only in values. */
static uint64_t shape_of(const struct stmt *stmt)
{
	struct span shape = stmt_shape(stmt);

	return XXH3_64bits(shape.p, shape.n);
}

static void note_key(struct session *s, const struct wanted *w, struct buf *key)
{
	serve_key_who(s, 'T', key);
	buf_add_u8(key, w->simple ? 'Q' : 'E');
	key_add(key, stmt_shape(w->stmt));
	if (w->simple)
		return;
	key_add(key, span_of(w->stmt->oids, w->stmt->noids * sizeof *w->stmt->oids));
	key_add(key, span_of(w->shape, w->nshape));
	key_add(key, w->bind.result_formats);
}

static void row_key(struct session *s, uint32_t relid, struct buf *key)
{
	serve_key_who(s, 'R', key);
	buf_add_u32(key, relid);
}

static uint8_t format_of(const struct wanted *w, uint16_t at)
{
	return !w->simple && front_bind_result_format(&w->bind, at) == 1;
}

/* --- answering --- */

/* The values of one row that the answer shows, as a DataRow. False when not all are known. */
static bool write_row(struct buf *out, const struct wanted *w, const struct entity *entity, struct span bytes)
{
	struct row_value known[ROW_VALUES_MAX];
	struct row_reader reader;
	unsigned n = 0, k = 0;
	size_t mark = write_begin(out, 'D');

	(void)row_open(bytes, &reader);
	while (n < ROW_VALUES_MAX && row_next(&reader, &known[n]))
		n++;
	buf_add_u16(out, entity->ncols);
	for (unsigned i = 0; i < entity->ncols; i++) {
		struct row_value wanted = {.attnum = entity->cols[i].attnum,
					   .binary = format_of(w, entity->cols[i].at)};

		/* Mostly they are asked for in the order of the table. */
		for (unsigned tries = 0; tries <= n && (k >= n || row_compare(&known[k], &wanted) != 0);
		     tries++)
			k = k + 1 >= n ? 0 : k + 1;
		if (k >= n || row_compare(&known[k], &wanted) != 0)
			return false;
		buf_add_u32(out, known[k].null ? UINT32_MAX : (uint32_t)known[k].value.n);
		buf_add_span(out, known[k].value);
	}
	write_end(out, mark);
	return !out->failed;
}

struct making {
	struct session *s;
	const struct wanted *w;
	const struct entity *entity;
	const struct entity_points *points;
	struct entry *rows[ENTITY_POINTS_MAX]; /* counted */
	unsigned nrows;			       /* of these */
	struct buf out;
};

/* All rows, or one that is not known ends it. */
static bool find_rows(struct making *m)
{
	struct cache *c = m->s->served->cache;
	struct buf key;
	size_t who;
	bool ok = true;

	buf_init(&key, KEYS_BYTES);
	row_key(m->s, m->entity->relid, &key);
	who = key.len;
	while (ok && m->nrows < m->points->n) {
		const struct entity_point *point = &m->points->list[m->nrows];

		key.len = who;
		buf_add(&key, m->points->bytes.p + point->at, point->n);
		m->rows[m->nrows] = key.failed ? NULL : cache_find(c, buf_span(&key));
		ok = m->rows[m->nrows] != NULL;
		m->nrows += ok;
	}
	buf_free(&key);
	return ok;
}

static bool write_rows(struct making *m, unsigned *n_r)
{
	struct row_reader reader;

	*n_r = 0;
	for (unsigned i = 0; i < m->nrows; i++) {
		const struct blob *blob = entry_answer(m->rows[i]);
		struct span bytes = span_of(blob->bytes, blob->n);

		if (!row_open(bytes, &reader))
			continue; /* it is not there */
		if (!write_row(&m->out, m->w, m->entity, bytes))
			return false;
		(*n_r)++;
	}
	return true;
}

/* What stands around the rows of this statement's answers: a length, the head, the tail. */
static bool write_answer(struct making *m, struct span note)
{
	uint32_t head;
	char tag[32];
	unsigned n;

	memcpy(&head, note.p, sizeof head);
	note = span_skip(note, sizeof head);
	buf_add(&m->out, note.p, head);
	if (!write_rows(m, &n))
		return false;
	snprintf(tag, sizeof tag, "SELECT %u", n);
	write_complete(&m->out, tag);
	buf_add_span(&m->out, span_skip(note, head));
	return !m->out.failed;
}

static struct entry *make(struct making *m)
{
	struct cache *c = m->s->served->cache;
	struct entry *note, *made = NULL;
	struct blob *blob = NULL;
	struct buf key;

	buf_init(&key, KEYS_BYTES);
	note_key(m->s, m->w, &key);
	note = key.failed ? NULL : cache_find(c, buf_span(&key));
	buf_free(&key);
	if (note == NULL)
		return NULL;
	buf_init(&m->out, m->s->policy.cache_max_result);
	if (find_rows(m) && write_answer(m, span_of(entry_answer(note)->bytes, entry_answer(note)->n)))
		blob = blob_new(buf_span(&m->out));
	if (blob != NULL && cache_put_made(c, key_span(m->s), blob, m->rows, m->nrows) == 1)
		made = cache_find(c, key_span(m->s));
	blob_unref(blob);
	for (unsigned i = 0; i < m->nrows; i++)
		entry_unref(m->rows[i]);
	buf_free(&m->out);
	entry_unref(note);
	return made;
}

struct entry *entity_answer(struct session *s, const struct wanted *w, const struct reads_param *params,
			    uint16_t nparams)
{
	const struct entities *found = reads_entities(w->reads);
	struct making m = {.s = s, .w = w};
	struct entity_points *points;
	struct entry *made = NULL;

	if (!s->policy.entity_rows || found == NULL || !found->point || w->max_rows != 0)
		return NULL;
	m.entity = &found->list[0];
	cache_rows_ask(s->served->cache, m.entity->relid, shape_of(w->stmt));
	points = points_new();
	m.points = points;
	if (reads_points(w->reads, params, nparams, points) && points->n > 0 && points->all &&
	    (!found->sorted || points->n == 1))
		made = make(&m);
	points_free(points);
	return made;
}

/* --- what a fill will keep --- */

/* Its readkey_whole is in the lease, from before the statement leaves. */
static bool lease_whole(struct deps *d, uint32_t relid, unsigned *at_r)
{
	uint64_t whole = readkey_whole(relid);
	unsigned nkeys = d->nkeys - d->nrules;

	for (*at_r = 0; *at_r < nkeys; ++*at_r)
		if (d->keys[*at_r] == whole)
			return true;
	if (nkeys >= LEASE_KEYS)
		return false;
	memmove(&d->keys[nkeys + 1], &d->keys[nkeys], d->nrules * sizeof d->keys[0]);
	d->keys[nkeys] = whole;
	d->nkeys++;
	return true;
}

static unsigned columns_of(const struct entities *found)
{
	unsigned n = 0;

	for (unsigned i = 0; i < found->n; i++)
		if (found->list[i].cols[found->list[i].ncols - 1].at >= n)
			n = found->list[i].cols[found->list[i].ncols - 1].at + 1u;
	return n;
}

void entity_note(struct session *s, const struct wanted *w, const struct reads_param *params,
		 uint16_t nparams)
{
	const struct entities *found = reads_entities(w->reads);
	struct entity_deps *d;
	uint64_t shape;
	unsigned n;
	bool any;

	entity_drop(&s->deps->entity);
	if (!s->policy.entity_rows || found == NULL)
		return;
	any = found->point;
	shape = found->point ? shape_of(w->stmt) : 0;
	for (unsigned i = 0; i < found->n && !any; i++)
		any = cache_rows_wanted(s->served->cache, found->list[i].relid, shape);
	if (!any)
		return;
	n = columns_of(found);
	d = check_alloc(sizeof *d + n);
	*d = (struct entity_deps){.reads = reads_ref(w->reads), .nformats = n};
	buf_init(&d->note_key, KEYS_BYTES);
	for (unsigned i = 0; i < n; i++)
		d->formats[i] = format_of(w, (uint16_t)i);
	if (found->point)
		note_key(s, w, &d->note_key);
	for (unsigned i = 0; i < found->n; i++)
		d->wanted[i] = cache_rows_wanted(s->served->cache, found->list[i].relid, shape) &&
			       lease_whole(s->deps, found->list[i].relid, &d->whole[i]);
	if (found->point && d->wanted[0]) {
		d->points = points_new();
		if (!reads_points(w->reads, params, nparams, d->points))
			d->points->n = 0;
	}
	s->deps->entity = d;
}

/* --- keeping --- */

/* Rows of one entity, gathered until there are many. */
struct keeping {
	struct session *s;
	const struct entity *entity;
	const struct snapshot *s0;
	unsigned whole;
	uint16_t *order; /* columns in the order of their values */
	unsigned ncols;	 /* of these: each value once */
	struct row_value *values;
	struct buf keys;
	size_t who; /* bytes that all keys begin with */
	struct {
		size_t at, n;
		uint64_t readkey;
		bool absent;
	} row[CACHE_ROWS_MAX];
	unsigned nrows;
	unsigned kept;
};

static void flush(struct keeping *k)
{
	struct cache_row rows[CACHE_ROWS_MAX];

	for (unsigned i = 0; i < k->nrows; i++)
		rows[i] = (struct cache_row){
			.key = span_of(k->keys.p + k->row[i].at, k->row[i].n),
			.readkey = k->row[i].readkey,
			.value = k->row[i].absent ? NULL : &k->values[i * k->ncols],
			.nvalues = k->ncols,
		};
	if (k->nrows > 0 && !k->keys.failed)
		k->kept += cache_put_rows(k->s->served->cache, &k->s->deps->lease, k->s0, k->whole, rows,
					  k->nrows);
	k->nrows = 0;
	buf_clear(&k->keys);
}

static void add(struct keeping *k, struct span key, uint64_t readkey, bool absent)
{
	size_t at = k->keys.len;

	row_key(k->s, k->entity->relid, &k->keys);
	buf_add_span(&k->keys, key);
	k->row[k->nrows].at = at;
	k->row[k->nrows].n = k->keys.len - at;
	k->row[k->nrows].readkey = readkey;
	k->row[k->nrows].absent = absent;
	if (++k->nrows == CACHE_ROWS_MAX)
		flush(k);
}

static int compare_columns(const struct keeping *k, const uint8_t *formats, unsigned a, unsigned b)
{
	const struct entity_column *cols = k->entity->cols;
	struct row_value left = {.attnum = cols[a].attnum, .binary = formats[cols[a].at]};
	struct row_value right = {.attnum = cols[b].attnum, .binary = formats[cols[b].at]};

	return row_compare(&left, &right);
}

/* By insertion; they mostly are in order. */
static void sort_columns(struct keeping *k, const uint8_t *formats)
{
	k->ncols = 0;
	for (unsigned i = 0; i < k->entity->ncols; i++) {
		unsigned at = k->ncols;
		int order = -1;

		while (at > 0 && (order = compare_columns(k, formats, i, k->order[at - 1])) < 0)
			at--;
		if (at > 0 && order == 0)
			continue;
		memmove(&k->order[at + 1], &k->order[at], (k->ncols - at) * sizeof k->order[0]);
		k->order[at] = (uint16_t)i;
		k->ncols++;
	}
}

/* The key as reads_points has it. False: a NULL, or not certain. */
static bool key_of_row(const struct entity *entity, const uint8_t *formats, const struct piece_field *fields,
		       struct buf *key, uint64_t *readkey_r)
{
	struct span values[READS_KEY_MAX];
	size_t at[READS_KEY_MAX];

	buf_clear(key);
	for (unsigned i = 0; i < entity->nkey; i++) {
		uint16_t column = entity->key_at[i];
		uint32_t n = 0;
		size_t mark = key->len;

		buf_add(key, &n, sizeof n);
		at[i] = key->len;
		if (fields[column].null ||
		    datum_canon(entity->type[i], formats[column] != 0, fields[column].value, key) != DATUM_OK)
			return false;
		n = (uint32_t)(key->len - at[i]);
		values[i].n = n;
		memcpy(key->p + mark, &n, sizeof n);
	}
	for (unsigned i = 0; i < entity->nkey; i++)
		values[i].p = key->p + at[i];
	*readkey_r = readkey_row(entity->relid, entity->nkey, entity->key, values);
	return !key->failed;
}

static const struct entity_point *point_of(const struct entity_points *points, struct span key)
{
	for (unsigned i = 0; points != NULL && i < points->n; i++)
		if (span_eq(span_of(points->bytes.p + points->list[i].at, points->list[i].n), key))
			return &points->list[i];
	return NULL;
}

/* Rows that were asked for by key and are not in the answer. */
static void add_absent(struct keeping *k, const struct entity_points *points, const bool *seen)
{
	for (unsigned i = 0; i < points->n; i++)
		if (!seen[i])
			add(k, span_of(points->bytes.p + points->list[i].at, points->list[i].n),
			    points->list[i].readkey, true);
}

/* False when the answer is not what the analysis says. */
static bool keep_rows(struct keeping *k, const struct entity_deps *d, struct span rows, struct buf *key)
{
	struct piece_field fields[PIECES_COLUMNS];
	bool seen[ENTITY_POINTS_MAX] = {false};
	unsigned n, count = 0;

	for (; count < KEEP_MAX && pieces_row(&rows, fields, &n); count++) {
		const struct entity_point *point = NULL;
		struct span bytes;
		uint64_t readkey;

		if (n < d->nformats)
			return false;
		if (k->entity->keyed) {
			if (!key_of_row(k->entity, d->formats, fields, key, &readkey))
				continue;
			bytes = buf_span(key);
			point = point_of(d->points, bytes);
			if (d->points != NULL && point == NULL)
				return false;
		} else {
			if (d->points == NULL || d->points->n != 1 || count > 0)
				return false;
			point = &d->points->list[0];
			bytes = span_of(d->points->bytes.p + point->at, point->n);
			readkey = point->readkey;
		}
		if (point != NULL)
			seen[point - d->points->list] = true;
		for (unsigned i = 0; i < k->ncols; i++) {
			const struct entity_column *column = &k->entity->cols[k->order[i]];

			k->values[k->nrows * k->ncols + i] =
				(struct row_value){.attnum = column->attnum,
						   .binary = d->formats[column->at] != 0,
						   .null = fields[column->at].null,
						   .value = fields[column->at].value};
		}
		add(k, bytes, readkey, false);
	}
	if (d->points != NULL && d->points->n > 0 && d->points->all && rows.n == 0)
		add_absent(k, d->points, seen);
	flush(k);
	return true;
}

/* PostgreSQL says of each column which one it is; it must be the one that the analysis says. */
static bool described(const struct entities *found, struct span description)
{
	struct back_column column;
	size_t at = 2;
	int n = back_count(description);

	for (int k = 0; k < n; k++) {
		if (back_column_next(description, &at, &column) != 0)
			return false;
		for (unsigned i = 0; i < found->n; i++)
			for (unsigned c = 0; c < found->list[i].ncols; c++)
				if (found->list[i].cols[c].at == k &&
				    (column.table_oid != found->list[i].relid ||
				     (int16_t)column.attnum != found->list[i].cols[c].attnum))
					return false;
	}
	return n >= 0 && (unsigned)n >= columns_of(found);
}

static void keep_entity(struct session *s, unsigned i, struct span rows, const struct snapshot *s0)
{
	const struct entity_deps *d = s->deps->entity;
	struct keeping k = {
		.s = s, .entity = &reads_entities(d->reads)->list[i], .s0 = s0, .whole = d->whole[i]};
	struct buf key;

	k.order = check_alloc(k.entity->ncols * sizeof *k.order);
	k.values = check_alloc(CACHE_ROWS_MAX * k.entity->ncols * sizeof *k.values);
	buf_init(&k.keys, 16 * KEYS_BYTES);
	buf_init(&key, KEYS_BYTES);
	sort_columns(&k, d->formats);
	(void)keep_rows(&k, d, rows, &key);
	count_add(&s->house->host.counters, COUNTER_cache_rows, k.kept);
	buf_free(&key);
	buf_free(&k.keys);
	free(k.values);
	free(k.order);
}

static void keep_note(struct session *s, const struct pieces *pieces)
{
	struct span key = buf_span(&s->deps->entity->note_key);
	struct cache *c = s->served->cache;
	struct entry *old = cache_find(c, key);
	uint32_t head = (uint32_t)pieces->head.n;
	struct buf note;

	if (old != NULL) {
		entry_unref(old);
		return;
	}
	buf_init(&note, KEYS_BYTES);
	buf_add(&note, &head, sizeof head);
	buf_add_span(&note, pieces->head);
	buf_add_span(&note, pieces->tail);
	if (!note.failed)
		cache_put_note(c, s->deps->lease.epoch, key, buf_span(&note));
	buf_free(&note);
}

void entity_keep(struct session *s, struct span answer, const struct snapshot *s0)
{
	struct entity_deps *d = s->deps->entity;
	const struct entities *found;
	struct pieces pieces;

	if (d == NULL || d->note_key.failed || !pieces_cut(answer, &pieces))
		return;
	found = reads_entities(d->reads);
	if (pieces.description.n > 0 && !described(found, pieces.description))
		return;
	if (found->point)
		keep_note(s, &pieces);
	for (unsigned i = 0; i < found->n; i++)
		if (d->wanted[i])
			keep_entity(s, i, pieces.rows, s0);
}
