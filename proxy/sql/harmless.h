/* harmless.h - the proof that a SELECT writes nothing, locks nothing and runs no code of users.
 * Source  the raw parse tree, builtins.def, and the catalog for names that users gave.
 * Shape   every node of the tree must be known, and every name in it must be PostgreSQL's own or a table; and nothing may be read as a
 *         type of users, which what stands beside it decides.
 * Owner   -
 * Thread  one at a time.
 * Errors  false: not proven. */
#ifndef PROXY_SQL_HARMLESS_H
#define PROXY_SQL_HARMLESS_H

#include "proxy/sql/names.h"

/* `oids`: as for reads_resolve. */
bool harmless_tree(const PgQuery__Node *stmt, const struct names *names, const uint32_t *oids,
		   uint16_t noids);

#endif
