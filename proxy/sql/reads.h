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
/* A number of the tables and their columns by which the types of parameters are found out; never 0 for REASON_NONE. */
uint64_t reads_types(const struct reads *r);

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

#define READS_KEY_MAX 8	    /* primary key columns; more = the whole relation */
#define SIGNATURE_COLUMNS 4 /* columns of a predicate */
#define READS_RULES_MAX 4

/* One thing that the answer depends on: a hash of (relation), or of (relation, key columns, key values). Feed and
 * readers compute it by the same functions below. */
uint64_t readkey_any(uint32_t relid);	/* any change at all of the relation */
uint64_t readkey_whole(uint32_t relid); /* changes that cannot be told by key: TRUNCATE, bulk, DDL */
uint64_t readkey_gone(uint32_t relid);	/* an UPDATE or DELETE of a row whose old values are not known */
/* Columns in rising attnum order; values in datum_canon's form. */
uint64_t readkey_row(uint32_t relid, uint16_t ncols, const int16_t *attnums, const struct span *values);

/* The rows of a relation that the answer shows, by the primary key: the answer depends on each of them (readkey_row). */
struct reads_rule {
	uint32_t relid;
	uint16_t ncols;
	uint16_t at[READS_KEY_MAX];	/* columns of the answer, from 0 */
	int16_t attnums[READS_KEY_MAX]; /* rising */
	uint32_t types[READS_KEY_MAX];
};

/* What one execution depends on: every relation contributes either its readkey_any, or its readkey_whole plus row keys, or its
 * readkey_whole plus keys of a predicate, and then its readkey_gone or a rule. */
struct reads_set {
	uint64_t *keys; /* the caller's */
	unsigned max, nkeys;
	uint32_t *relids; /* the caller's */
	unsigned maxrels, nrels;
	struct reads_rule rule[READS_RULES_MAX];
	uint64_t otherwise[READS_RULES_MAX]; /* the keys to use when a rule cannot be followed */
	unsigned nrules;
};

/* Predicates count only while the feed raises the keys of their columns. */
struct reads_signatures {
	bool (*applied)(void *arg, uint32_t relid, uint16_t ncols, const int16_t *attnums);
	void *arg;
};

/* Fills *set. Returns 0, or a reason why this execution cannot be cached (REASON_PARAMETER ..). More keys than max, or a signature that
 * is not applied (`signatures` NULL: none is): falls back to readkey_any. */
enum reason reads_keys(const struct reads *r, const struct reads_param *params, uint16_t nparams,
		       const struct reads_signatures *signatures, struct reads_set *set);

/* The rows of the i-th relation that one execution names by primary key (readkey_row), or READS_ANY: it may read any of them. */
enum reads_rows { READS_END, READS_SOME, READS_ANY };
enum reads_rows reads_rows(const struct reads *r, unsigned i, const struct reads_param *params,
			   uint16_t nparams, uint32_t *relid_r, uint64_t *keys_r, unsigned max,
			   unsigned *n_r);

#endif
