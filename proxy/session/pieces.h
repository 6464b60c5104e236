/* pieces.h - an answer, cut into what stands before its rows, the rows, and what stands behind.
 * Source  PostgreSQL manual, "Message Flow": simple and extended query.
 * Shape   head: ParseComplete, BindComplete, ParameterDescription, RowDescription, as far as they were asked for. Then DataRows, then a
 *         CommandComplete, which is in none of the pieces, and CloseComplete.
 * Owner   the caller's bytes.
 * Thread  pure.
 * Errors  false: it is something else. */
#ifndef PROXY_SESSION_PIECES_H
#define PROXY_SESSION_PIECES_H

#include "protocol/span.h"

#define PIECES_COLUMNS 1700u /* of an answer: MaxTupleAttributeNumber is 1664 */

struct pieces {
	struct span head, rows, tail;
	struct span description; /* body of the RowDescription; empty when there is none */
};

bool pieces_cut(struct span answer, struct pieces *pieces_r);

struct piece_field {
	bool null;
	struct span value;
};

/* The next of `rows`: its fields, at most PIECES_COLUMNS. False at the end, or when it is broken. */
bool pieces_row(struct span *rows, struct piece_field *fields_r, unsigned *n_r);

#endif
