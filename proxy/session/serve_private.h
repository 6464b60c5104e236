/* serve_private.h - what serve.c, wanted.c, fill.c and entity.c share: the statement that the cache is asked for.
 * Source  docs/coherence.md.
 * Shape   one request, understood; its texts are those of the input.
 * Owner   serve.c, for as long as it decides.
 * Thread  the session's worker.
 * Errors  - */
#ifndef PROXY_SESSION_SERVE_PRIVATE_H
#define PROXY_SESSION_SERVE_PRIVATE_H

#include "proxy/session/session_private.h"

#include "protocol/front.h"

/* The one statement that a batch runs. */
struct wanted {
	struct stmt *stmt;	/* counted */
	struct span parse_name; /* of the Parse in the batch */
	bool parsed;		/* the batch has a Parse of it */
	struct parsed *from;	/* .. or it was parsed before: borrowed from the session's */
	bool simple;
	struct front_bind bind; /* extended only */
	uint8_t shape[BATCH_OPS];
	unsigned nshape;
	struct reads *reads; /* borrowed until the next look at the memo */
};

/* wanted.c. What the batch asks for; but for REASON_NONE it is not one read. wanted_free in any case. */
enum reason wanted_read(struct session *s, const struct batch *batch, struct wanted *w);
void wanted_free(struct wanted *w);

/* fill.c. The read set (s->deps), or what of it is about the rows of the answer, is not needed any more. */
void fill_drop_deps(struct session *s);
void fill_drop_rows(struct deps *d);

/* For whom and under which settings: the beginning of every key, then what kind of key it is. */
void serve_key_who(struct session *s, char kind, struct buf *key);

#define KEYS_BYTES (1u << 20) /* longest key of rows, and all values that one statement names them by */

/* entity.c. A statement that asks for rows by key and was not found: an answer made of rows that other statements have brought, now in the
 * cache under s->key; counted, or NULL. */
struct entry *entity_answer(struct session *s, const struct wanted *w, const struct reads_param *params,
			    uint16_t nparams);
/* Before the lease of a fill: which rows of its answer are to be kept (s->deps). */
void entity_note(struct session *s, const struct wanted *w, const struct reads_param *params,
		 uint16_t nparams);
/* The answer was stored. */
void entity_keep(struct session *s, struct span answer, const struct snapshot *s0);
void entity_drop(struct entity_deps **d);

#endif
