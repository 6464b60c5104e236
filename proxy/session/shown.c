#include "proxy/session/shown.h"

#include "proxy/base/check.h"
#include "proxy/session/pieces.h"
#include "protocol/back.h"
#include "protocol/datum.h"

#include <stdlib.h>

uint8_t shown_format(const struct wanted *w, uint16_t at)
{
	return !w->simple && front_bind_result_format(&w->bind, at) == 1;
}

const struct entities *shown_entities(const struct shown *shown)
{
	return reads_entities(shown->reads);
}

static unsigned columns_of(const struct entities *found)
{
	unsigned n = 0;

	for (unsigned i = 0; i < found->n; i++)
		if (found->list[i].cols[found->list[i].ncols - 1].at >= n)
			n = found->list[i].cols[found->list[i].ncols - 1].at + 1u;
	return n;
}

struct shown *shown_new(const struct wanted *w, struct reads *reads, const struct reads_param *params,
			uint16_t nparams)
{
	const struct entities *found = reads_entities(reads);
	struct shown *shown;
	unsigned n;

	if (found == NULL)
		return NULL;
	n = columns_of(found);
	shown = check_alloc(sizeof *shown + n);
	*shown = (struct shown){.reads = reads_ref(reads), .nformats = n};
	for (unsigned i = 0; i < n; i++)
		shown->formats[i] = shown_format(w, (uint16_t)i);
	if (found->point) {
		shown->points = check_alloc(sizeof *shown->points);
		buf_init(&shown->points->bytes, KEYS_BYTES);
		if (!reads_points(reads, params, nparams, shown->points))
			shown->points->n = 0;
	}
	return shown;
}

void shown_free(struct shown **shown_p)
{
	struct shown *shown = *shown_p;

	*shown_p = NULL;
	if (shown == NULL)
		return;
	reads_unref(shown->reads);
	if (shown->points != NULL)
		buf_free(&shown->points->bytes);
	free(shown->points);
	free(shown);
}

/* --- is it what the analysis says? --- */

static bool type_is(const struct catalog *catalog, const struct back_column *column)
{
	const struct catalog_relation *rel = catalog_find_oid(catalog, column->table_oid);
	const struct catalog_column *known =
		rel == NULL ? NULL : catalog_column_at(rel, (int16_t)column->attnum);

	return known != NULL && known->type_oid == column->type_oid;
}

static bool column_is(const struct entity *entity, int at, const struct back_column *column,
		      const struct catalog *catalog)
{
	for (unsigned c = 0; c < entity->ncols; c++)
		if (entity->cols[c].at == at && (column->table_oid != entity->relid ||
						 (int16_t)column->attnum != entity->cols[c].attnum ||
						 (catalog != NULL && !type_is(catalog, column))))
			return false;
	return true;
}

bool shown_described(const struct shown *shown, struct span description, const struct catalog *catalog)
{
	const struct entities *found = shown_entities(shown);
	struct back_column column;
	size_t at = 2;
	int n = back_count(description);

	for (int k = 0; k < n; k++) {
		if (back_column_next(description, &at, &column) != 0)
			return false;
		for (unsigned i = 0; i < found->n; i++)
			if (!column_is(&found->list[i], k, &column, catalog))
				return false;
	}
	return n >= 0 && (unsigned)n >= shown->nformats;
}

/* --- cutting --- */

struct cutting {
	const struct shown *shown;
	const struct entity *entity;
	uint16_t *order; /* columns in the order of their values */
	unsigned ncols;	 /* of these: each value once */
	struct row_value *values;
	struct buf key;
	bool seen[ENTITY_POINTS_MAX];
	void (*row)(void *arg, const struct shown_row *row);
	void *arg;
};

static int compare_columns(const struct cutting *c, unsigned a, unsigned b)
{
	const struct entity_column *cols = c->entity->cols;
	const uint8_t *formats = c->shown->formats;
	struct row_value left = {.attnum = cols[a].attnum, .binary = formats[cols[a].at]};
	struct row_value right = {.attnum = cols[b].attnum, .binary = formats[cols[b].at]};

	return row_compare(&left, &right);
}

/* By insertion; they mostly are in order. */
static void sort_columns(struct cutting *c)
{
	for (unsigned i = 0; i < c->entity->ncols; i++) {
		unsigned at = c->ncols;
		int order = -1;

		while (at > 0 && (order = compare_columns(c, i, c->order[at - 1])) < 0)
			at--;
		if (at > 0 && order == 0)
			continue;
		memmove(&c->order[at + 1], &c->order[at], (c->ncols - at) * sizeof c->order[0]);
		c->order[at] = (uint16_t)i;
		c->ncols++;
	}
}

/* The key as reads_points has it. False: a NULL, or not certain. */
static bool key_of_row(struct cutting *c, const struct piece_field *fields, uint64_t *readkey_r)
{
	const struct entity *entity = c->entity;
	struct span values[READS_KEY_MAX];
	size_t at[READS_KEY_MAX];
	struct buf *key = &c->key;

	buf_clear(key);
	for (unsigned i = 0; i < entity->nkey; i++) {
		uint16_t column = entity->key_at[i];
		uint32_t n = 0;
		size_t mark = key->len;

		buf_add(key, &n, sizeof n);
		at[i] = key->len;
		if (fields[column].null || datum_canon(entity->type[i], c->shown->formats[column] != 0,
						       fields[column].value, key) != DATUM_OK)
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

static struct span point_key(const struct entity_points *points, unsigned i)
{
	return span_of(points->bytes.p + points->list[i].at, points->list[i].n);
}

/* Which of the rows that were asked for; points->n = none. */
static unsigned point_of(const struct entity_points *points, struct span key)
{
	unsigned i = 0;

	while (i < points->n && !span_eq(point_key(points, i), key))
		i++;
	return i;
}

enum known { KNOWN, UNKNOWN, WRONG };

/* Which row it is. UNKNOWN: none that can be told. */
static enum known tell(struct cutting *c, const struct piece_field *fields, bool first, struct shown_row *row)
{
	const struct entity_points *points = c->shown->points;
	unsigned i = 0;

	if (c->entity->keyed) {
		if (!key_of_row(c, fields, &row->readkey))
			return UNKNOWN;
		row->key = buf_span(&c->key);
		if (points == NULL)
			return KNOWN;
		i = point_of(points, row->key);
		if (i == points->n)
			return WRONG;
	} else {
		if (points == NULL || points->n != 1 || !first)
			return WRONG;
		row->key = point_key(points, 0);
		row->readkey = points->list[0].readkey;
	}
	c->seen[i] = true;
	return KNOWN;
}

static void take_values(struct cutting *c, const struct piece_field *fields)
{
	for (unsigned i = 0; i < c->ncols; i++) {
		const struct entity_column *column = &c->entity->cols[c->order[i]];

		c->values[i] = (struct row_value){.attnum = column->attnum,
						  .binary = c->shown->formats[column->at] != 0,
						  .null = fields[column->at].null,
						  .value = fields[column->at].value};
	}
}

/* Rows that were asked for by key and are not in the answer. */
static void tell_absent(const struct cutting *c)
{
	const struct entity_points *points = c->shown->points;

	for (unsigned i = 0; i < points->n; i++)
		if (!c->seen[i])
			c->row(c->arg, &(struct shown_row){.key = point_key(points, i),
							   .readkey = points->list[i].readkey});
}

static bool cut(struct cutting *c, struct span rows)
{
	struct piece_field fields[PIECES_COLUMNS];
	unsigned n;

	for (unsigned count = 0; count < SHOWN_ROWS_MAX && pieces_row(&rows, fields, &n); count++) {
		struct shown_row row = {.values = c->values, .nvalues = c->ncols};
		enum known known = n < c->shown->nformats ? WRONG : tell(c, fields, count == 0, &row);

		if (known == WRONG)
			return false;
		if (known == UNKNOWN)
			continue;
		take_values(c, fields);
		c->row(c->arg, &row);
	}
	if (c->shown->points != NULL && c->shown->points->n > 0 && c->shown->points->all && rows.n == 0)
		tell_absent(c);
	return true;
}

bool shown_cut(const struct shown *shown, unsigned i, struct span rows,
	       void (*row)(void *arg, const struct shown_row *row), void *arg)
{
	struct cutting c = {
		.shown = shown, .entity = &shown_entities(shown)->list[i], .row = row, .arg = arg};
	bool right;

	c.order = check_alloc(c.entity->ncols * sizeof *c.order);
	c.values = check_alloc(c.entity->ncols * sizeof *c.values);
	buf_init(&c.key, KEYS_BYTES);
	sort_columns(&c);
	right = cut(&c, rows);
	buf_free(&c.key);
	free(c.values);
	free(c.order);
	return right;
}
