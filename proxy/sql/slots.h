/* slots.h - which literals of a text are values that its parse tree only carries, as it carries parameters.
 * Source  the raw parse tree: a constant knows where its token stands.
 * Shape   one slot per literal, in order. `lifted`: the analysis asks for its value only when the statement is executed, so
 *         another text may have another one there. Not lifted, and so part of the statement's shape, is what the grammar or
 *         the analysis looks into: ORDER BY 1, float(24), varchar(10).
 * Owner   the arena.
 * Thread  pure.
 * Errors  slots_find: NULL when memory is gone. */
#ifndef PROXY_SQL_SLOTS_H
#define PROXY_SQL_SLOTS_H

#include "proxy/sql/literals.h"
#include "proxy/sql/tree.h"

struct slot {
	int32_t at; /* where the tree says that the constant is */
	bool lifted;
	bool negative; /* the tree's constant has the sign before it */
};

struct slot *slots_find(const PgQuery__Node *stmt, struct span text, const struct literals *literals,
			struct arena *mem);

#endif
