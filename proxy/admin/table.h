/* table.h - the result of a console command: columns, rows, and their form on the wire.
 * Source  PostgreSQL manual, "Message Formats": RowDescription, DataRow; the binary forms of int4, int8, text and numeric.
 * Shape   cells are text until they are written; columns are static arrays that end with a NULL name.
 * Owner   table_free.
 * Thread  one at a time.
 * Errors  out of memory or above TABLE_BYTES_MAX: `failed`. */
#ifndef PROXY_ADMIN_TABLE_H
#define PROXY_ADMIN_TABLE_H

#include "protocol/buf.h"

#define TABLE_COLUMNS 48
#define TABLE_BYTES_MAX (256u * 1024 * 1024)

enum column_type { COLUMN_TEXT, COLUMN_INT4, COLUMN_INT8, COLUMN_NUMERIC };

struct column {
	const char *name;
	enum column_type type;
};

struct table {
	const struct column *columns; /* static */
	unsigned ncolumns;
	unsigned ncells; /* of the row that is being added */
	uint64_t nrows;
	struct buf cells; /* length (uint32, UINT32_MAX = NULL) and bytes of each */
	size_t at;	  /* where table_write goes on */
	bool failed;
};

void table_init(struct table *t, const struct column *columns);
void table_free(struct table *t);
/* Cells in the order of the columns; after the last one of a row the next row begins. */
void table_text(struct table *t, const char *value); /* NULL = SQL NULL */
void table_int(struct table *t, int64_t value);
void table_unsigned(struct table *t, uint64_t value);
void table_null(struct table *t);
void table_printf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
unsigned column_count(const struct column *columns);

/* Which form the client wants of each column: none = all text, one = all the same, else one for each. */
struct formats {
	uint16_t n;
	uint16_t code[TABLE_COLUMNS];
};
void table_describe(struct buf *out, const struct column *columns, const struct formats *formats);
/* At most `max` rows (0 = all that are left) from where the last call ended. Returns true when none is left. */
bool table_write(struct table *t, struct buf *out, const struct formats *formats, uint32_t max);

#endif
