/* repeatable_context: rows that a transaction was shown answer its other statements that ask for them by key, in the version that it was
 * shown (context_rows.h).
 *
 * That the columns of an answer are those that the analysis says has to be certain at once, without the proof that the cache waits for: a hit
 * has had its proof; in an answer of PostgreSQL its own RowDescription says so; and where none was asked for, the rows answer nothing before
 * a proof has come. Rights: for one role under one set of settings, with the columns that this transaction was shown. */
#include "proxy/session/points.h"
#include "proxy/session/shown.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"

#include <stdlib.h>

/* Is there a proof that was asked for after that? Asks for one, if not. */
static bool proven(struct session *s, uint64_t after_us)
{
	return fresh_within(s->served->fresh, after_us, UINT64_MAX);
}

/* --- keeping --- */

struct keeping {
	struct context_rows *rows;
	struct context_row row; /* what is the same in all of them */
	size_t max;
	bool kept;
};

static uint32_t who(struct session *s, size_t max)
{
	struct buf key;
	uint32_t number = 0;

	buf_init(&key, KEYS_BYTES);
	serve_key_who(s, 'R', &key);
	if (!key.failed)
		number = context_rows_who(context_rows(s->context), buf_span(&key), max);
	buf_free(&key);
	return number;
}

static void add(void *arg, const struct shown_row *shown)
{
	struct keeping *k = arg;
	struct context_row row = k->row;

	row.key = shown->key;
	row.values = shown->values;
	row.nvalues = shown->nvalues;
	k->kept = context_rows_keep(k->rows, &row, k->max) && k->kept;
}

static bool keep(struct session *s, const struct shown *shown, struct span rows, uint64_t after_us)
{
	const struct entities *found = shown_entities(shown);
	struct keeping k = {.rows = context_rows(s->context),
			    .row = {.epoch = s->dep_epoch, .after_us = after_us},
			    .max = context_rows_room(s->context, s->policy->repeatable_context_size),
			    .kept = true};

	k.row.who = who(s, k.max);
	for (unsigned i = 0; i < found->n; i++) {
		k.row.relid = found->list[i].relid;
		if (context_written(s->context, &k.row.relid, 1))
			continue;
		if (!shown_cut(shown, i, rows, add, &k))
			context_rows_wrote(k.rows, 0); /* something is wrong: none of it is believed */
	}
	return k.kept;
}

void repeat_rows_note(struct session *s, const struct wanted *w, const struct reads_param *params,
		      uint16_t nparams)
{
	if (repeat_goes_on(s) && s->deps->shown == NULL)
		s->deps->shown = shown_new(w, w->reads, params, nparams);
}

bool repeat_rows_fill(struct session *s, const struct blob *blob)
{
	const struct shown *shown = s->deps->shown;
	const struct catalog *catalog;
	struct pieces pieces;
	uint64_t epoch, after_us = 0;

	if (shown == NULL || !pieces_cut(span_of(blob->bytes, blob->n), &pieces))
		return true;
	catalog = served_catalog(s->served, &epoch);
	if (catalog == NULL || epoch != s->dep_epoch)
		return true;
	if (pieces.description.n > 0 && !shown_described(shown, pieces.description, NULL))
		return true;
	if (pieces.description.n == 0 || !shown_described(shown, pieces.description, catalog)) {
		after_us = clock_us();
		(void)proven(s, after_us); /* asks for it */
	}
	return keep(s, shown, pieces.rows, after_us);
}

static struct reads *reads_of(struct session *s, const struct wanted *w)
{
	const struct catalog *catalog;
	struct reads_session rs;
	uint64_t epoch;

	catalog = served_catalog(s->served, &epoch);
	return catalog != NULL && epoch == s->dep_epoch && key_reads(s, &rs)
		       ? memo_reads(w->stmt, catalog, &rs)
		       : NULL;
}

bool repeat_rows_hit(struct session *s, const struct blob *blob, const struct wanted *w)
{
	struct reads_param params[SERVE_PARAMS_MAX + LITERALS_MAX];
	struct reads *reads = reads_of(s, w);
	struct shown *shown = NULL;
	struct pieces pieces;
	bool kept = true;
	int n;

	if (reads == NULL || reads_entities(reads) == NULL ||
	    !pieces_cut(span_of(blob->bytes, blob->n), &pieces))
		return true;
	n = serve_params(s, w->stmt, w->simple ? NULL : &w->bind, params);
	if (n >= 0)
		shown = shown_new(w, reads, params, (uint16_t)n);
	if (shown != NULL && (pieces.description.n == 0 || shown_described(shown, pieces.description, NULL)))
		kept = keep(s, shown, pieces.rows, 0);
	shown_free(&shown);
	return kept;
}

/* --- answering --- */

/* The columns that it asks for, as context_rows_find wants them: by insertion, they mostly are in order. Owned by the caller. */
static struct row_value *columns(const struct wanted *w, const struct entity *entity)
{
	struct row_value *list = check_alloc(entity->ncols * sizeof *list);

	for (unsigned i = 0; i < entity->ncols; i++) {
		struct row_value column = {.attnum = entity->cols[i].attnum,
					   .binary = shown_format(w, entity->cols[i].at)};
		unsigned at = i;

		for (; at > 0 && row_compare(&column, &list[at - 1]) < 0; at--)
			list[at] = list[at - 1];
		list[at] = column;
	}
	return list;
}

/* Of all rows that it asks for what the transaction was shown; or one is not known, or not certain yet. */
static bool find_rows(struct session *s, const struct wanted *w, const struct entity_points *points,
		      struct span *rows_r)
{
	const struct entity *entity = &reads_entities(w->reads)->list[0];
	struct row_value *values = columns(w, entity);
	struct context_row wanted = {.who = who(s, 0),
				     .relid = entity->relid,
				     .epoch = s->dep_epoch,
				     .values = values,
				     .nvalues = entity->ncols};
	uint64_t after_us = 0;
	bool ok = true;

	for (unsigned i = 0; i < points->n && ok; i++) {
		wanted.key = span_of(points->bytes.p + points->list[i].at, points->list[i].n);
		rows_r[i] = context_rows_find(context_rows(s->context), &wanted, &after_us);
		ok = rows_r[i].n > 0 && (after_us == 0 || proven(s, after_us));
	}
	free(values);
	return ok;
}

/* What stands around the rows; counted. Of the epoch that w was understood in. */
static struct entry *find_note(struct session *s, const struct wanted *w)
{
	struct entry *note = NULL;
	struct buf key;

	buf_init(&key, KEYS_BYTES);
	points_note_key(s, w, &key);
	if (!key.failed)
		note = cache_find(s->served->cache, buf_span(&key));
	buf_free(&key);
	if (note != NULL && cache_epoch(s->served->cache) != s->dep_epoch) {
		entry_unref(note);
		note = NULL;
	}
	return note;
}

static struct blob *make(struct session *s, const struct wanted *w, const struct entity_points *points)
{
	struct span rows[ENTITY_POINTS_MAX];
	struct blob *blob = NULL;
	struct entry *note;
	struct buf out;

	if (!find_rows(s, w, points, rows) || (note = find_note(s, w)) == NULL)
		return NULL;
	buf_init(&out, s->policy->cache_max_result);
	if (points_write(w, &reads_entities(w->reads)->list[0],
			 span_of(entry_answer(note)->bytes, entry_answer(note)->n), rows, points->n, &out))
		blob = blob_new(buf_span(&out));
	buf_free(&out);
	entry_unref(note);
	return blob;
}

struct blob *repeat_rows_answer(struct session *s, const struct wanted *w)
{
	struct reads_param params[SERVE_PARAMS_MAX + LITERALS_MAX];
	const struct entities *found = reads_entities(w->reads);
	struct entity_points points;
	struct blob *blob = NULL;
	int n;

	if (context_ended(s->context) || found == NULL || !found->point ||
	    context_rows_bytes(context_rows(s->context)) == 0)
		return NULL;
	n = serve_params(s, w->stmt, w->simple ? NULL : &w->bind, params);
	if (n < 0)
		return NULL;
	buf_init(&points.bytes, KEYS_BYTES);
	if (points_asked(w, params, (uint16_t)n, &points))
		blob = make(s, w, &points);
	buf_free(&points.bytes);
	if (blob != NULL)
		repeat_keep_made(s, blob);
	return blob;
}
