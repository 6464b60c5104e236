/* verdict.h - the named reasons why a statement is not answered from the cache.
 * Source  reasons.def, one row each: log text, counter label, console and docs come from the row.
 * Shape   an enum and its table.
 * Owner   -
 * Thread  any.
 * Errors  none. */
#ifndef PROXY_SQL_VERDICT_H
#define PROXY_SQL_VERDICT_H

enum reason {
#define REASON(name, text) REASON_##name,
#include "proxy/sql/reasons.def"
#undef REASON
	NREASONS
};

/* REASON_NONE means cacheable. */
const char *reason_name(enum reason r);
const char *reason_text(enum reason r);

#endif
