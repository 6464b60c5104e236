/* reads.h - the read set of a SELECT: which rows of which tables its answer depends on.
 * Source  the parse tree (facts.h), the catalog, and the rules of docs/coherence.md.
 * Shape   resolve once per (text, catalog, search_path, parameter types); then `reads_keys` per execution.
 * Owner   counted, immutable.
 * Thread  one at a time per object.
 * Errors  not cacheable is not an error: `reason` says why. When in doubt the answer is a reason or a whole relation. */
#ifndef PROXY_SQL_READS_H
#define PROXY_SQL_READS_H

#include "proxy/sql/catalog.h"
#include "proxy/sql/facts.h"
#include "proxy/sql/verdict.h"

struct reads;

/* What of the session decides how names resolve. */
struct reads_session {
	struct span search_path; /* the setting's text, e.g. "$user", public */
	struct span role;	 /* effective role, for "$user" */
};

/* `oids`: declared parameter types of Parse (0 = unspecified); noids may be below facts->nparams.
 * Holds a reference to nothing but copies what it needs. NULL only when memory is gone. */
struct reads *reads_resolve(const struct facts *facts, const struct catalog *catalog,
			    const struct reads_session *session, const uint32_t *oids, uint16_t noids);
struct reads *reads_ref(struct reads *r);
void reads_unref(struct reads *r);

enum reason reads_reason(const struct reads *r);
/* Proven free of writes, locks and side effects under that catalog (true also for many SELECTs that are not cacheable, and
 * for SHOW, BEGIN, COMMIT ..); what is not proven is a write. */
bool reads_harmless(const struct reads *r);

/* The i-th relation of it, as people are told. */
struct reads_part {
	uint32_t relid;
	uint16_t ncolumns; /* rows are told by the values of these; 0 = all rows */
	int16_t column[8]; /* attnums */
};
bool reads_part(const struct reads *r, unsigned i, struct reads_part *part_r);

/* Memory that the object owns. */
size_t reads_bytes(const struct reads *r);

/* One parameter of an execution. */
struct reads_param {
	bool null;
	bool binary;
	struct span value;
};

/* One thing that the answer depends on: a hash of (relation), or of (relation, key columns, key values). Feed and
 * readers compute it by the same functions below. */
uint64_t readkey_any(uint32_t relid);	/* any change at all of the relation */
uint64_t readkey_whole(uint32_t relid); /* changes that cannot be told by key: TRUNCATE, bulk, DDL */
/* Columns in rising attnum order; values in datum_canon's form. */
uint64_t readkey_row(uint32_t relid, uint16_t ncols, const int16_t *attnums, const struct span *values);

/* Fills keys_r[0..max) with what this execution depends on and relids_r with the relations; the numbers go to *nkeys_r and *nrels_r.
 * Every relation contributes either its readkey_any, or its readkey_whole plus row keys. Returns 0, or a reason why this execution
 * cannot be cached (REASON_PARAMETER ..). More keys than max: falls back to readkey_any. */
enum reason reads_keys(const struct reads *r, const struct reads_param *params, uint16_t nparams,
		       uint64_t *keys_r, unsigned max, unsigned *nkeys_r, uint32_t *relids_r,
		       unsigned maxrels, unsigned *nrels_r);

#endif
