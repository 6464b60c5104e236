/* shape.h - may this SELECT be cached, as far as its text alone can say?
 * Source  the raw parse tree; builtins.def.
 * Shape   the tree itself, packed (about 1 kB), to be unpacked when a catalog is at hand.
 * Owner   shape_free.
 * Thread  one at a time.
 * Errors  a reason. */
#ifndef PROXY_SQL_SHAPE_H
#define PROXY_SQL_SHAPE_H

#include "proxy/sql/tree.h"
#include "proxy/sql/verdict.h"

struct query_shape {
	uint8_t *packed; /* owned */
	size_t npacked;
};

/* Takes `packed`. NULL when memory is gone (then packed is freed). */
struct query_shape *shape_new(uint8_t *packed, size_t npacked);
void shape_free(struct query_shape **shape);

enum reason shape_check(const PgQuery__SelectStmt *select);

/* Kinds of message whose meaning is known to select.c and expr.c. */
bool shape_knows(const ProtobufCMessage *msg);

#endif
