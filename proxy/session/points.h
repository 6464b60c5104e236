/* points.h - statements that ask for rows by their keys, and answers that are put together for them.
 * Source  docs/coherence.md, "entity rows"; PostgreSQL manual, "Message Formats".
 * Shape   a note per kind of such statement says what stands around the rows of its answers: the length of the head, head, tail. Between
 *         them the rows, each as rows.h has it, in the order of their keys.
 * Owner   the caller's.
 * Thread  its worker's.
 * Errors  false: not for us, or a column is not known. */
#ifndef PROXY_SESSION_POINTS_H
#define PROXY_SESSION_POINTS_H

#include "proxy/session/pieces.h"
#include "proxy/session/serve_private.h"
#include "proxy/sql/entities.h"

/* The name of its note: of statements that differ only in values, for one role under one set of settings. */
void points_note_key(struct session *s, const struct wanted *w, struct buf *key);
void points_note(const struct pieces *pieces, struct buf *note);

/* The rows that this execution asks for, if its answer is these rows and nothing else: at least one. */
bool points_asked(const struct wanted *w, const struct reads_param *params, uint16_t nparams,
		  struct entity_points *points_r);

/* The answer made of these rows. False: a column is not known. */
bool points_write(const struct wanted *w, const struct entity *entity, struct span note,
		  const struct span *rows, unsigned n, struct buf *out);

#endif
