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

#endif
