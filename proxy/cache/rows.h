/* rows.h - one row of a table, as far as answers have shown it: some of its columns, or that it is not there.
 * Source  docs/coherence.md, "entity rows".
 * Shape   the bytes of an entry: a count, then for each value its column, format and bytes, by column and format. A row that is known
 *         to be missing has the count ROW_ABSENT.
 * Owner   the entry; values point into it.
 * Thread  pure; any.
 * Errors  row_next: false at the end. */
#ifndef PROXY_CACHE_ROWS_H
#define PROXY_CACHE_ROWS_H

#include "protocol/buf.h"

#define ROW_VALUES_MAX 1024u
#define ROW_ABSENT UINT16_MAX

struct row_value {
	int16_t attnum;
	bool binary, null;
	struct span value;
};

struct row_reader {
	struct span rest;
	unsigned left;
};

/* False: the row is known to be missing. */
bool row_open(struct span bytes, struct row_reader *r);
bool row_next(struct row_reader *r, struct row_value *value_r);

/* <0, 0, >0: the order of values in a row. */
int row_compare(const struct row_value *a, const struct row_value *b);

/* `values` in order, each once, together with what `old` has besides (empty: nothing). False when that is nothing new. Values that both
 * have are taken from `values`. */
bool row_write(struct buf *out, const struct row_value *values, unsigned n, struct span old);
void row_write_absent(struct buf *out);

#endif
