/* tuple.h - a changed row as either decoder shows it, read column by column.
 * Source  protocol/decoding.h (test_decoding), protocol/pgoutput.h.
 * Shape   tuple_next() hands out name, state and text of one column after the other, in the table's order. A column that does not
 *         come is unknown: pgoutput leaves generated ones out, and an old key has no others.
 * Owner   spans into the record, its scratch and the columns that pgoutput announced.
 * Thread  the stream's.
 * Errors  -1 and *why_r: not understood; the stream must start anew. */
#ifndef PROXY_ORIGIN_TUPLE_H
#define PROXY_ORIGIN_TUPLE_H

#include "protocol/decoding.h"

struct tuple {
	struct span bytes;		 /* p == NULL = not shown */
	const struct decoding *decoding; /* test_decoding's record; NULL = pgoutput's */
	struct span columns;		 /* pgoutput: as its last relation message had them */
	bool key_only;			 /* pgoutput: only columns of the identity carry something */
};

struct tuple_at { /* begins zeroed */
	size_t value, column;
};

/* 1 = one found, 0 = end, -1 = bad. */
int tuple_next(const struct tuple *t, struct tuple_at *at, struct decoding_column *column_r,
	       const char **why_r);

/* INSERT: the new one. UPDATE: the new one, and the old one's key if it has changed (or all of it: identity FULL).
 * DELETE: the old one's key, or all of it. */
struct row {
	enum decoding_kind kind;
	struct tuple new_tuple, old_key;
};

#endif
