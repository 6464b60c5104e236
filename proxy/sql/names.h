/* names.h - which relation a name in a FROM means, under a search_path.
 * Source  PostgreSQL manual, "The Schema Search Path"; namespace.c's order: CTEs (select.c), pg_temp, pg_catalog, the path.
 * Shape   the path cut into schema names, then lookups in the catalog.
 * Owner   the arena; catalog borrowed.
 * Thread  one at a time.
 * Errors  a reason; names_open -1 when memory is gone or the path does not parse. */
#ifndef PROXY_SQL_NAMES_H
#define PROXY_SQL_NAMES_H

#include "proxy/sql/reads.h"
#include "proxy/sql/tree.h"

#define NAMES_PATH_MAX 32

struct names {
	const struct catalog *catalog;
	struct span path[NAMES_PATH_MAX];
	unsigned npath;
	bool odd; /* the path names pg_catalog, pg_temp or information_schema, or is not understood */
};

int names_open(struct names *names, const struct catalog *catalog, const struct reads_session *session,
	       struct arena *mem);

/* The one relation meant, whatever its kind. */
enum reason names_relation(const struct names *names, const PgQuery__RangeVar *var,
			   const struct catalog_relation **rel_r);

/* The tables and the like that it may mean, without PostgreSQL's own; rels_r has room for NAMES_PATH_MAX. */
unsigned names_candidates(const struct names *names, const PgQuery__RangeVar *var,
			  const struct catalog_relation **rels_r);

/* Reading it runs no code of users: a table, or what PostgreSQL itself brought. */
bool names_harmless(const struct names *names, const PgQuery__RangeVar *var);

/* It is a type of users, in whatever schema, and every one of that name has `own_code` (catalog.h); or an array of it. */
bool names_own_type(const struct names *names, const PgQuery__TypeName *type);

#endif
