/* sample.h - a catalog to analyse statements against, and a short way to write expectations.
 * Source  the tables of docs and of the statements that ORMs send.
 * Shape   see sample.c for the tables.
 * Owner   the caller frees with catalog_unref / reads_unref.
 * Thread  tests.
 * Errors  aborts. */
#ifndef TESTS_UNIT_SQL_SAMPLE_H
#define TESTS_UNIT_SQL_SAMPLE_H

#include "proxy/sql/catalog.h"
#include "proxy/sql/reads.h"

struct catalog *sample_catalog(void);

/* facts + resolution under search_path `"$user", public` as role app. */
struct reads *sample_reads(const struct catalog *c, const char *text, const uint32_t *oids, uint16_t noids);
struct reads *sample_reads_path(const struct catalog *c, const char *text, const char *path);

/* What an execution depends on, written as "mk_user(1) mk_user(2) mk_post*": rows by key values, or all of a
 * relation. A relation with rows stands for its readkey_whole as well; "mk_user()" is readkey_whole alone. */
bool sample_depends(const struct catalog *c, const struct reads *r, const struct reads_param *params,
		    uint16_t nparams, const char *expected);

/* The same when the feed applies every signature. "mk_post[8=4&9=x]" is a predicate by column numbers with readkey_gone, and with
 * a + behind it one whose rows the answer shows (~: one more value of it). */
bool sample_depends_precisely(const struct catalog *c, const struct reads *r, const char *expected);

/* reads_keys without signatures. */
enum reason sample_keys(const struct reads *r, const struct reads_param *params, uint16_t nparams,
			uint64_t *keys_r, unsigned max, unsigned *nkeys_r, uint32_t *relids_r,
			unsigned maxrels, unsigned *nrels_r);

/* Every signature is. */
bool sample_applied(void *arg, uint32_t relid, uint16_t ncols, const int16_t *attnums);

#endif
