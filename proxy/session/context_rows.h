/* context_rows.h - rows of tables that one transaction has been shown, as it was shown them first (repeatable_context).
 * Source  docs/coherence.md, "One transaction's own view".
 * Shape   for whom and under which settings, relation, primary key -> what answers have shown of that row, in the order in which they did.
 *         Columns that two answers brought are never put together: the row may have changed between them, so the two together may
 *         never have been a row.
 * Owner   the transaction's context.
 * Thread  its worker's.
 * Errors  what does not fit is not kept. */
#ifndef PROXY_SESSION_CONTEXT_ROWS_H
#define PROXY_SESSION_CONTEXT_ROWS_H

#include "proxy/cache/rows.h"

#define CONTEXT_WHOS 16u

struct context_rows;

struct context_rows *context_rows_new(void);
void context_rows_free(struct context_rows **rows);

/* The part of the key that stands for whom and which settings; 0 = not known, and there are too many of them or it does not fit. */
uint32_t context_rows_who(struct context_rows *rows, struct span who, size_t max);

struct context_row {
	uint32_t who, relid;
	struct span key; /* primary key, as entity_point has it */
	uint64_t epoch;	 /* of the cache, that the columns were told by */
	/* Certain from the proof on that was asked for after that (clock_us): until then the columns may have been told by a catalog
	 * that has passed. 0 = certain. */
	uint64_t after_us;
	const struct row_value *values; /* in the order of row_compare; kept: NULL = it is not there */
	unsigned nvalues;
};
/* Notes what an answer shows of a row, if that has columns that no earlier answer has shown together. One that differs from an earlier
 * answer counts as changed, once for each row. false = it does not fit into `max` bytes. */
bool context_rows_keep(struct context_rows *rows, const struct context_row *row, size_t max);

/* What the first answer has shown that showed all of these columns, or that it is not there: the bytes of a row (rows.h), borrowed.
 * Empty when there is none. *after_us_r goes with it. */
struct span context_rows_find(struct context_rows *rows, const struct context_row *wanted,
			      uint64_t *after_us_r);

/* The transaction writes: to that table only, or (0) nobody knows where. */
void context_rows_wrote(struct context_rows *rows, uint32_t relid);

unsigned context_rows_changed(const struct context_rows *rows); /* rows that an answer showed differently */
size_t context_rows_bytes(const struct context_rows *rows);

#endif
