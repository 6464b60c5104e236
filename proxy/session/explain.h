/* explain.h - what would become of a statement: EXPLAIN CACHE FOR database 'sql'.
 * Source  the same analysis that serves sessions (sql/reads.h); nothing is run.
 * Shape   one call of line() per fact, in a fixed order: verdict, reason, promise, then for each relation: relation, rows, falls to.
 * Owner   the texts are good during the call.
 * Thread  the worker's of that house.
 * Errors  are verdicts. */
#ifndef PROXY_SESSION_EXPLAIN_H
#define PROXY_SESSION_EXPLAIN_H

#include "proxy/session/house.h"

typedef void explain_line(void *arg, const char *item, const char *value);

/* Under that catalog and policy, whatever the feed's state. */
void explain_statement(struct memo *memo, const struct catalog *catalog, const struct policy *policy,
		       const char *user, struct span sql, explain_line *line, void *arg);
/* For a session of `user` with the default search_path; what its own settings and transaction forbid is not known here. */
void explain_cache(struct house *h, const char *database, const char *user, struct span sql,
		   explain_line *line, void *arg);

#endif
