#include "proxy/session/batch.h"

/* Messages that a frontend may send after its login, outside COPY. */
static bool known(char type)
{
	switch (type) {
	case 'Q':
	case 'P':
	case 'B':
	case 'D':
	case 'E':
	case 'C':
	case 'S':
	case 'H':
	case 'F':
	case 'X':
	case 'd':
	case 'c':
	case 'f':
	case 'p': return true;
	default: return false;
	}
}

enum batch_status batch_scan(struct span in, uint32_t max_body, struct batch *batch_r, const char **why_r)
{
	size_t at = 0;

	batch_r->n = 0;
	batch_r->whole = false;
	batch_r->query = NULL;
	for (;;) {
		struct op *op = &batch_r->op[batch_r->n];
		struct frame f;
		size_t used;

		if (at < in.n && !known((char)in.p[at])) {
			*why_r = "unknown message type";
			return BATCH_BAD;
		}
		switch (frame_next(span_skip(in, at), max_body, &f, &used, why_r)) {
		case FRAME_BAD: return BATCH_BAD;
		case FRAME_MORE: return in.n >= BATCH_BYTES ? BATCH_LARGE : BATCH_MORE;
		case FRAME_OK: break;
		}
		at += used;
		*op = (struct op){.type = f.type, .body = f.body, .end = at};
		batch_r->n++;
		if (f.type == 'Q' || f.type == 'F' || f.type == 'X') {
			/* Behind extended messages without Sync it belongs to their batch. */
			batch_r->whole = batch_r->n == 1;
			return BATCH_OK;
		}
		if (f.type == 'S') {
			batch_r->whole = f.body.n == 0; /* else it fails */
			return BATCH_OK;
		}
		if (f.type == 'H' || strchr("dcfp", f.type) != NULL)
			return BATCH_OK;
		if (batch_r->n == BATCH_OPS)
			return BATCH_LARGE;
	}
}
