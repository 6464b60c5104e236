#include "proxy/session/pieces.h"

#include "protocol/back.h"
#include "protocol/frame.h"

static bool next(struct span *rest, struct frame *frame_r, size_t *used_r)
{
	const char *why;

	return rest->n > 0 && frame_next(*rest, UINT32_MAX / 2, frame_r, used_r, &why) == FRAME_OK;
}

/* Frames of the types in `types`, as many as there are. */
static struct span take(struct span *rest, const char *types, struct span *description_r)
{
	struct span from = *rest;
	struct frame frame;
	size_t used;

	while (next(rest, &frame, &used) && frame.type != '\0' && strchr(types, frame.type) != NULL) {
		if (frame.type == 'T')
			*description_r = frame.body;
		*rest = span_skip(*rest, used);
	}
	return span_of(from.p, from.n - rest->n);
}

bool pieces_cut(struct span answer, struct pieces *pieces_r)
{
	struct frame frame;
	size_t used;

	pieces_r->description = span_of(NULL, 0);
	pieces_r->head = take(&answer, "12tT", &pieces_r->description);
	pieces_r->rows = take(&answer, "D", NULL);
	if (!next(&answer, &frame, &used) || frame.type != 'C')
		return false;
	answer = span_skip(answer, used);
	pieces_r->tail = take(&answer, "3", NULL);
	return answer.n == 0;
}

bool pieces_row(struct span *rows, struct piece_field *fields_r, unsigned *n_r)
{
	struct frame frame;
	size_t used, at = 2;
	int n;

	if (!next(rows, &frame, &used))
		return false;
	n = back_count(frame.body);
	if (n < 0 || n > (int)PIECES_COLUMNS)
		return false;
	for (int i = 0; i < n; i++) {
		int found = back_value_next(frame.body, &at, &fields_r[i].value);

		if (found < 0)
			return false;
		fields_r[i].null = found == 1;
	}
	*rows = span_skip(*rows, used);
	*n_r = (unsigned)n;
	return true;
}
