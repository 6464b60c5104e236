#include "proxy/session/batch.h"

#include "proxy/sql/memo.h"

/* What a message is to its batch; those that a client may send after its login, outside COPY. */
enum place { PLACE_UNKNOWN, PLACE_INSIDE, PLACE_SYNC, PLACE_ALONE, PLACE_END };

static enum place place_of(char type)
{
	switch (type) {
	case 'P':
	case 'B':
	case 'D':
	case 'E':
	case 'C': return PLACE_INSIDE;
	case 'S': return PLACE_SYNC;
	case 'Q':
	case 'F':
	case 'X': return PLACE_ALONE;
	case 'H':
	case 'd':
	case 'c':
	case 'f':
	case 'p': return PLACE_END;
	default: return PLACE_UNKNOWN;
	}
}

static size_t add(struct batch *batch, struct span in, size_t at, size_t size)
{
	batch->op[batch->n++] = (struct op){
		.type = (char)in.p[at],
		.body = span_of(in.p + at + FRAME_HEADER, size - FRAME_HEADER),
		.end = at + size,
	};
	return at + size;
}

/* The messages of front_runs(). */
static void add_run(struct batch *batch, struct span in, size_t at)
{
	at = add(batch, in, at, FRONT_RUN_DESCRIBE);
	at = add(batch, in, at, FRONT_RUN_EXECUTE);
	add(batch, in, at, FRAME_HEADER);
	batch->whole = true;
}

enum batch_status batch_scan(struct span in, uint32_t max_body, struct batch *batch_r, const char **why_r)
{
	size_t at = 0;

	batch_r->n = 0;
	batch_r->whole = false;
	batch_r->stmt = NULL;
	for (;;) {
		struct span rest = span_skip(in, at);
		enum place place = rest.n > 0 ? place_of((char)rest.p[0]) : PLACE_INSIDE;
		struct frame f;
		size_t used;

		if (place == PLACE_UNKNOWN) {
			*why_r = "unknown message type";
			return BATCH_BAD;
		}
		switch (frame_next(rest, max_body, &f, &used, why_r)) {
		case FRAME_BAD: return BATCH_BAD;
		case FRAME_MORE: return in.n >= BATCH_BYTES ? BATCH_LARGE : BATCH_MORE;
		case FRAME_OK: break;
		}
		at = add(batch_r, in, at, used);
		switch (place) {
		case PLACE_ALONE:
			/* Behind extended messages without Sync it belongs to their batch. */
			batch_r->whole = batch_r->n == 1;
			return BATCH_OK;
		case PLACE_SYNC:
			batch_r->whole = f.body.n == 0; /* else it fails */
			return BATCH_OK;
		case PLACE_END: return BATCH_OK;
		default: break;
		}
		if (f.type == 'B' && batch_r->n + 3 <= BATCH_OPS && front_runs(span_skip(in, at))) {
			add_run(batch_r, in, at);
			return BATCH_OK;
		}
		if (batch_r->n == BATCH_OPS)
			return BATCH_LARGE;
	}
}

struct stmt *batch_stmt(struct memo *memo, const struct batch *batch, unsigned i, struct front_parse *parse_r)
{
	struct span body = batch->op[i].body, text;
	const char *why;

	if (i == 0 && batch->stmt != NULL) {
		*parse_r = batch->parse;
		return stmt_ref(batch->stmt);
	}
	switch (batch->op[i].type) {
	case 'Q': return front_query_decode(body, &text, &why) != 0 ? NULL : memo_get_query(memo, text);
	case 'P':
		if (front_parse_decode(body, parse_r, &why) != 0)
			return NULL;
		return memo_get(memo, parse_r->query, parse_r->param_oids);
	default: return NULL;
	}
}
