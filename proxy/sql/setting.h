/* setting.h - which settings a SET, RESET or set_config() changes, by the names the server uses.
 * Source  PostgreSQL manual, "SET", "RESET", "SET TRANSACTION"; the grammar's own names (TIME ZONE = timezone ..).
 * Shape   a list that grows in the statement's arena; names in lower case.
 * Owner   the arena.
 * Thread  one at a time.
 * Errors  `failed` when memory is gone. A list beyond its bound is cut, and the statement is tainted. */
#ifndef PROXY_SQL_SETTING_H
#define PROXY_SQL_SETTING_H

#include "proxy/sql/facts.h"
#include "proxy/sql/tree.h"

struct settings {
	struct arena *mem; /* borrowed */
	struct setting_change *list;
	uint16_t count;
	uint16_t room;
	bool failed;
};

void setting_begin(struct settings *s, struct arena *mem);
/* Returns the effects of changing that setting; `value` may be NULL. */
uint32_t setting_add(struct settings *s, enum setting_action action, const char *name,
		     const PgQuery__Node *value);
/* SET, RESET and their kin: fills in command and effects as well. */
void setting_stmt(struct settings *s, const PgQuery__VariableSetStmt *stmt, struct stmt_facts *out);
/* The effects of a transaction's modes. */
uint32_t setting_txn_modes(PgQuery__Node *const *options, size_t n);

#endif
