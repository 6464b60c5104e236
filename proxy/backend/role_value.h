/* role_value.h - a role as images hold it: "number name", or "none".
 * Source  PostgreSQL keeps the role of a session by its number (OID). By its name alone two server connections could seem equal of which one
 *         has a role that was dropped, or renamed, before another got that name.
 * Shape   the SQL that asks for `role` and `session_authorization` in that form, and that puts them back by the number. None of it needs
 *         a right on a catalog.
 * Owner   the caller.
 * Thread  any.
 * Errors  none. A number that is nobody's becomes a name that PostgreSQL refuses ("unknown (OID=..)"). */
#ifndef PROXY_BACKEND_ROLE_VALUE_H
#define PROXY_BACKEND_ROLE_VALUE_H

#include "protocol/span.h"

#include <string.h>
#include <strings.h>

/* A role of which only the name is known, as the startup packet gives it: 0 is nobody's number. */
#define ROLE_BY_NAME "0 "
/* One whose name is nobody's any more, and whose number cannot be asked: nobody's either, so that no other server connection takes it. */
#define ROLE_GONE "4294967295 "

#define ROLE_NUMBERED(who) \
	"pg_catalog.concat(pg_catalog.quote_ident(" who ")::pg_catalog.regrole::pg_catalog.oid, ' ', " who ")"
/* current_user fails when the role is gone, so it is asked only where its name still stands for somebody. */
#define ROLE_SQL                                                                                          \
	"CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.=) 'none' THEN 'none' "         \
	"WHEN pg_catalog.to_regrole(pg_catalog.quote_ident(pg_catalog.current_setting('role'))) IS NULL " \
	"THEN pg_catalog.concat('" ROLE_GONE                                                              \
	"', pg_catalog.current_setting('role')) ELSE " ROLE_NUMBERED("current_user") " END"
#define AUTHORIZATION_SQL ROLE_NUMBERED("session_user")
#define ROLE_OF_SQL(setting)                                                                   \
	"CASE WHEN pg_catalog.lower(" setting ") OPERATOR(pg_catalog.=) 'role' THEN " ROLE_SQL \
	" ELSE " AUTHORIZATION_SQL " END"
/* Of such a value, the name that set_config takes. */
#define ROLE_NAME_SQL(value)                                                                               \
	"CASE WHEN " value " OPERATOR(pg_catalog.=) 'none' THEN " value " "                                \
	"WHEN pg_catalog.starts_with(" value ", '" ROLE_BY_NAME "') THEN pg_catalog.substr(" value ", 3) " \
	"ELSE pg_catalog.pg_get_userbyid(pg_catalog.split_part(" value                                     \
	", ' ', 1)::pg_catalog.oid)::pg_catalog.text END"

static inline bool role_setting(const char *name)
{
	return strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0;
}

/* The name in it. */
static inline const char *role_value_name(const char *value)
{
	const char *space = strchr(value, ' ');

	return space != NULL ? space + 1 : value;
}

/* The same number, or both none; those of which only the name is known are never known to be the same. */
static inline bool role_value_same(struct span a, const char *b)
{
	size_t n = strcspn(b, " ");

	return a.n >= n && memcmp(a.p, b, n) == 0 && (a.n == n || a.p[n] == ' ') &&
	       strncmp(b, ROLE_BY_NAME, 2) != 0;
}

#endif
