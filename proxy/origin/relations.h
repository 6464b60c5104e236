/* relations.h - the tables that pgoutput has announced on this stream, with the columns of its rows.
 * Source  pgoutput's relation messages: sent before the first row of a table, and again after it has changed.
 * Shape   OID -> columns as they stood in the message; the newest counts.
 * Owner   the stream's apply; a new stream starts empty.
 * Thread  the stream's.
 * Errors  -1 when memory is gone or there are too many. */
#ifndef PROXY_ORIGIN_RELATIONS_H
#define PROXY_ORIGIN_RELATIONS_H

#include "protocol/span.h"

#define RELATIONS_MAX 262144u

struct relations_item;

struct relations {
	struct relations_item *items; /* owned */
	unsigned n;
};

/* Copies `columns`. */
int relations_put(struct relations *r, uint32_t oid, struct span columns);
/* p == NULL = not announced; good until the next put of that OID. */
struct span relations_columns(const struct relations *r, uint32_t oid);
void relations_clear(struct relations *r);

#endif
