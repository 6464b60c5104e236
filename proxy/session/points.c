#include "proxy/session/points.h"

#include "proxy/cache/rows.h"
#include "proxy/session/shown.h"
#include "protocol/write.h"

#include <stdio.h>

void points_note_key(struct session *s, const struct wanted *w, struct buf *key)
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

void points_note(const struct pieces *pieces, struct buf *note)
{
	uint32_t head = (uint32_t)pieces->head.n;

	buf_add(note, &head, sizeof head);
	buf_add_span(note, pieces->head);
	buf_add_span(note, pieces->tail);
}

bool points_asked(const struct wanted *w, const struct reads_param *params, uint16_t nparams,
		  struct entity_points *points_r)
{
	const struct entities *found = reads_entities(w->reads);

	return found != NULL && found->point && reads_points(w->reads, params, nparams, points_r) &&
	       points_r->n > 0 && points_r->all && (!found->sorted || points_r->n == 1);
}

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
					   .binary = shown_format(w, entity->cols[i].at)};

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

bool points_write(const struct wanted *w, const struct entity *entity, struct span note,
		  const struct span *rows, unsigned n, struct buf *out)
{
	struct row_reader reader;
	unsigned there = 0;
	uint32_t head;
	char tag[32];

	memcpy(&head, note.p, sizeof head);
	note = span_skip(note, sizeof head);
	buf_add(out, note.p, head);
	for (unsigned i = 0; i < n; i++) {
		if (!row_open(rows[i], &reader))
			continue; /* it is not there */
		if (!write_row(out, w, entity, rows[i]))
			return false;
		there++;
	}
	snprintf(tag, sizeof tag, "SELECT %u", there);
	write_complete(out, tag);
	buf_add_span(out, span_skip(note, head));
	return !out->failed;
}
