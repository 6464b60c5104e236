/* setup.h - what pgweir needs on a server, as SQL: to be printed, or run.
 * Source  docs/setup.sql, embedded at build time; docs/coherence.md for the rest.
 * Shape   a wish becomes steps: the role, then for each database its event trigger and, if wished, the publication.
 * Owner   the wish's strings are borrowed.
 * Thread  the caller's; setup_apply blocks.
 * Errors  setup_apply: the first step that fails and is not optional, in *err. */
#ifndef PROXY_ORIGIN_SETUP_H
#define PROXY_ORIGIN_SETUP_H

#include "proxy/base/err.h"

#include <stdbool.h>
#include <stdio.h>

extern const char setup_sql[]; /* docs/setup.sql */

/* Is this the source of the event trigger's function in docs/setup.sql? */
bool setup_trigger_is(const char *source);

struct setup_wish {
	const char *role;
	const char *password;	 /* given to a role that is made; NULL = none is known. Never printed. */
	bool trigger;		 /* the event trigger */
	const char *publication; /* NULL = none: only feed_plugin = pgoutput needs it */
};

/* Static text why that wish cannot be written as SQL; NULL = it can. */
const char *setup_refuses(const struct setup_wish *wish);

void setup_print_role(FILE *f, const struct setup_wish *wish);
void setup_print_database(FILE *f, const struct setup_wish *wish, const char *database);

/* Runs the same on the server of `admin`, a URL or connection string of somebody with the rights; its database does not matter.
 * fn is told of each step: `trouble` is NULL when it is done, else why an optional one is left out. */
int setup_apply(const struct setup_wish *wish, const char *admin, const char *const *databases,
		unsigned ndatabases, void (*fn)(void *arg, const char *step, const char *trouble), void *arg,
		struct err *err);

#endif
