/* Rows of tables that answers have shown are kept beside the answers, and answer statements that ask for rows by their keys
 * (docs/coherence.md, "entity rows").
 *
 * Rights: a row is kept for one role under one set of settings, with the columns that this role was shown; and the statement that it
 * answers has been answered by PostgreSQL for this role before: that is where its RowDescription comes from (a note in the cache, which
 * goes with the epoch like everything else). */
#include "proxy/session/points.h"
#include "proxy/session/serve_private.h"
#include "proxy/session/shown.h"

#include "proxy/base/check.h"
#include "proxy/cache/rows.h"
#include "proxy/sql/entities.h"

#include <stdlib.h>
#include <xxhash.h>

struct entity_deps {
	struct buf note_key; /* of a point statement */
	bool wanted[ENTITIES_MAX];
	unsigned whole[ENTITIES_MAX]; /* the place of readkey_whole in the lease */
};

void entity_drop(struct entity_deps **dp)
{
	struct entity_deps *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	buf_free(&d->note_key);
	free(d);
}

/* --- names --- */

/* Of statements that differ only in values. */
static uint64_t shape_of(const struct stmt *stmt)
{
	struct span shape = stmt_shape(stmt);

	return XXH3_64bits(shape.p, shape.n);
}

static void row_key(struct session *s, uint32_t relid, struct buf *key)
{
	serve_key_who(s, 'R', key);
	buf_add_u32(key, relid);
}

/* --- answering --- */

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

static struct span bytes_of(struct entry *e)
{
	return span_of(entry_answer(e)->bytes, entry_answer(e)->n);
}

static bool write_answer(struct making *m, struct span note)
{
	struct span rows[ENTITY_POINTS_MAX];

	for (unsigned i = 0; i < m->nrows; i++)
		rows[i] = bytes_of(m->rows[i]);
	return points_write(m->w, m->entity, note, rows, m->nrows, &m->out);
}

static struct entry *make(struct making *m)
{
	struct cache *c = m->s->served->cache;
	struct entry *note, *made = NULL;
	struct blob *blob = NULL;
	struct buf key;

	buf_init(&key, KEYS_BYTES);
	points_note_key(m->s, m->w, &key);
	note = key.failed ? NULL : cache_find(c, buf_span(&key));
	buf_free(&key);
	if (note == NULL)
		return NULL;
	buf_init(&m->out, m->s->policy->cache_max_result);
	if (find_rows(m) && write_answer(m, bytes_of(note)))
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
	struct entity_points points;
	struct entry *made = NULL;

	if (!s->policy->entity_rows || found == NULL || !found->point)
		return NULL;
	m.entity = &found->list[0];
	cache_rows_ask(s->served->cache, m.entity->relid, shape_of(w->stmt));
	buf_init(&points.bytes, KEYS_BYTES);
	m.points = &points;
	if (points_asked(w, params, nparams, &points))
		made = make(&m);
	buf_free(&points.bytes);
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

void entity_note(struct session *s, const struct wanted *w, const struct reads_param *params,
		 uint16_t nparams)
{
	const struct entities *found = reads_entities(w->reads);
	struct entity_deps *d;
	uint64_t shape;
	bool any;

	/* A note is of use to a transaction's own context too (repeat_rows.c). */
	if (found == NULL || (!s->policy->entity_rows && !(found->point && s->wishes.now.repeatable_context)))
		return;
	any = found->point;
	/* A row that is to go on by itself is of use to the statement that has brought it. */
	shape = found->point && !s->policy->refresh_in_place ? shape_of(w->stmt) : 0;
	for (unsigned i = 0; i < found->n && !any; i++)
		any = cache_rows_wanted(s->served->cache, found->list[i].relid, shape);
	if (!any)
		return;
	if (s->deps->shown == NULL)
		s->deps->shown = shown_new(w, w->reads, params, nparams);
	d = check_alloc(sizeof *d);
	buf_init(&d->note_key, KEYS_BYTES);
	if (found->point)
		points_note_key(s, w, &d->note_key);
	for (unsigned i = 0; i < found->n; i++)
		d->wanted[i] = s->policy->entity_rows &&
			       cache_rows_wanted(s->served->cache, found->list[i].relid, shape) &&
			       lease_whole(s->deps, found->list[i].relid, &d->whole[i]);
	s->deps->entity = d;
}

/* --- keeping --- */

/* Rows of one entity, gathered until there are many. */
struct keeping {
	struct session *s;
	const struct entity *entity;
	const struct snapshot *s0;
	unsigned whole;
	struct row_value *values;
	struct buf keys;
	struct {
		size_t at, n;
		uint64_t readkey;
		unsigned nvalues; /* 0: it is not there */
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
			.value = k->row[i].nvalues == 0 ? NULL : &k->values[i * k->entity->ncols],
			.nvalues = k->row[i].nvalues,
		};
	if (k->nrows > 0 && !k->keys.failed)
		k->kept += cache_put_rows(k->s->served->cache, &k->s->deps->lease, k->s0, k->whole, rows,
					  k->nrows);
	k->nrows = 0;
	buf_clear(&k->keys);
}

static void add(void *arg, const struct shown_row *row)
{
	struct keeping *k = arg;
	size_t at = k->keys.len;

	row_key(k->s, k->entity->relid, &k->keys);
	buf_add_span(&k->keys, row->key);
	k->row[k->nrows].at = at;
	k->row[k->nrows].n = k->keys.len - at;
	k->row[k->nrows].readkey = row->readkey;
	k->row[k->nrows].nvalues = row->nvalues;
	if (row->values != NULL)
		memcpy(&k->values[k->nrows * k->entity->ncols], row->values,
		       row->nvalues * sizeof *row->values);
	if (++k->nrows == CACHE_ROWS_MAX)
		flush(k);
}

static void keep_hot(struct session *s, uint32_t relid)
{
	struct buf key;

	buf_init(&key, KEYS_BYTES);
	row_key(s, relid, &key);
	if (!key.failed)
		cache_refresh(s->served->cache, s->deps->lease.epoch, relid, buf_span(&key));
	buf_free(&key);
}

static void keep_entity(struct session *s, unsigned i, struct span rows, const struct snapshot *s0)
{
	const struct shown *shown = s->deps->shown;
	struct keeping k = {.s = s,
			    .entity = &shown_entities(shown)->list[i],
			    .s0 = s0,
			    .whole = s->deps->entity->whole[i]};

	k.values = check_alloc(CACHE_ROWS_MAX * k.entity->ncols * sizeof *k.values);
	buf_init(&k.keys, 16 * KEYS_BYTES);
	if (shown_cut(shown, i, rows, add, &k))
		flush(&k);
	count_add(&s->house->host.counters, COUNTER_cache_rows, k.kept);
	if (s->policy->refresh_in_place && k.kept > 0)
		keep_hot(s, k.entity->relid);
	buf_free(&k.keys);
	free(k.values);
}

static void keep_note(struct session *s, const struct pieces *pieces)
{
	struct span key = buf_span(&s->deps->entity->note_key);
	struct cache *c = s->served->cache;
	struct entry *old = cache_find(c, key);
	struct buf note;

	if (old != NULL) {
		entry_unref(old);
		return;
	}
	buf_init(&note, KEYS_BYTES);
	points_note(pieces, &note);
	if (!note.failed)
		cache_put_note(c, s->deps->lease.epoch, key, buf_span(&note));
	buf_free(&note);
}

void entity_keep(struct session *s, struct span answer, const struct snapshot *s0)
{
	struct entity_deps *d = s->deps->entity;
	const struct entities *found;
	struct pieces pieces;

	if (d == NULL || s->deps->shown == NULL || d->note_key.failed || !pieces_cut(answer, &pieces))
		return;
	found = shown_entities(s->deps->shown);
	if (pieces.description.n > 0 && !shown_described(s->deps->shown, pieces.description, NULL))
		return;
	if (found->point)
		keep_note(s, &pieces);
	for (unsigned i = 0; i < found->n; i++)
		if (d->wanted[i])
			keep_entity(s, i, pieces.rows, s0);
}
