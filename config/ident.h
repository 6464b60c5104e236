/* ident.h - maps from system or certificate names to database users.
 * Source  PostgreSQL manual, "User Name Maps" (pg_ident.conf), with PgBouncer's auth_ident_file in mind.
 * Shape   lines "map system-name database-user"; a system name that starts with / is a regular expression
 *         whose \1 may be used in the database user; the database user all (unquoted) means every user.
 * Owner   whoever loaded it, ident_free; immutable.
 * Thread  any after it was made.
 * Errors  -1 and "file:line: reason". */
#ifndef CONFIG_IDENT_H
#define CONFIG_IDENT_H

#include "proxy/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ident;

int ident_load(const char *path, struct ident **ident_r, struct err *err);
int ident_parse(const char *text, size_t n, const char *name, struct ident **ident_r, struct err *err);
void ident_free(struct ident **ident); /* NULL in it is allowed */

/* May system_name log in as user under the map? Without a map ("" or NULL) both names must be equal. */
bool ident_allows(const struct ident *ident, const char *map, const char *system_name, const char *user);

#endif
