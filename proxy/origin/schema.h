/* schema.h - what the database's catalogs say, read into an immutable struct catalog.
 * Source  pg_class, pg_attribute, pg_index, pg_inherits, pg_proc, pg_operator, ..; all readable by any role.
 * Shape   two texts to send, and readers for their results. The fingerprint is one short line that changes whenever something
 *         changes that an answer may depend on; temporary objects, secondary indexes and storage leave it alone.
 * Owner   the catalog is the caller's reference.
 * Thread  pure; any.
 * Errors  0 / -1 with the reason. */
#ifndef PROXY_ORIGIN_SCHEMA_H
#define PROXY_ORIGIN_SCHEMA_H

#include "proxy/base/err.h"
#include "proxy/origin/ending.h"
#include "proxy/origin/published.h"
#include "proxy/sql/catalog.h"
#include "protocol/snapshot.h"

#include <libpq-fe.h>

/* check: one row (snapshot, ending.h's list, fingerprint), the last of that snapshot, the list read after it; to be prepared. load: BEGIN, SCHEMA_PARTS results of rows,
 * COMMIT; one simple query, one snapshot. */
struct schema_sql {
	const char *check, *load;
};
extern const struct schema_sql schema_sql,
	schema_sql_published; /* the second for pgoutput: with its publications */

enum schema_part {
	SCHEMA_STATE, /* as `check` */
	SCHEMA_RELATIONS,
	SCHEMA_COLUMNS,
	SCHEMA_KEYS,
	SCHEMA_ANCESTORS,
	SCHEMA_FUNCTIONS,
	SCHEMA_OPERATORS,
	SCHEMA_TYPES,
	SCHEMA_DDL,	  /* does the event trigger tell of all DDL? And what code is there (hooks.h)? */
	SCHEMA_PUBLISHED, /* (publication, relation, token), see published.c; empty without pgoutput */
	SCHEMA_PARTS,
};

/* The snapshot is the caller's to free, *ending_r holds what ends in it; *fingerprint_r is borrowed from the result. */
int schema_state(const PGresult *state, struct snapshot *snapshot_r, struct ending *ending_r,
		 const char **fingerprint_r, struct err *err);
/* parts[SCHEMA_PARTS]. Returns a frozen catalog with one reference, or NULL. */
struct catalog *schema_build(PGresult *const *parts, const struct published *published, struct err *err);

#endif
