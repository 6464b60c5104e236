/* effect.h - what a statement does besides answering: settings, locks, writes, state of the session.
 * Source  the raw parse tree; PostgreSQL manual, "SQL Commands"; builtins.def for what functions do.
 * Shape   one statement -> struct stmt_facts. Effects are looked for in every node of the tree.
 * Owner   strings and arrays live in `mem`.
 * Thread  one at a time.
 * Errors  -1 when memory is gone. What is not known is taken for a write. */
#ifndef PROXY_SQL_EFFECT_H
#define PROXY_SQL_EFFECT_H

#include "proxy/sql/facts.h"
#include "proxy/sql/tree.h"

/* All that a text which was not analysed may do. */
#define EFFECTS_UNKNOWN                                                                               \
	(EFFECT_TAINT | EFFECT_WRITES | EFFECT_LOCKS | EFFECT_FUNCTIONS | EFFECT_TYPES | EFFECT_DDL | \
	 EFFECT_SEQUENCE | EFFECT_SEQUENCE_READ | EFFECT_ADVISORY)

int effect_of(const PgQuery__Node *stmt, struct arena *mem, struct stmt_facts *facts_r);

#endif
