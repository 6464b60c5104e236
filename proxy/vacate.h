/* vacate.h - leaving a database that a client of ours wants to drop, rename or copy.
 * Source  docs/isolation.md, "DROP DATABASE"; PostgreSQL's dbcommands.c.
 * Shape   the feed is retired, idle backends and probes go, in all workers; asked again until nothing is left. The next client of the
 *         database begins with a new feed.
 * Owner   everything is borrowed.
 * Thread  any.
 * Errors  none: what does not go in time is in PostgreSQL's way, which says so. */
#ifndef PROXY_VACATE_H
#define PROXY_VACATE_H

#include "proxy/origins.h"
#include "proxy/worker.h"

struct vacate {
	struct pools *pools;
	struct origins *origins;
	struct census *census;
	struct worker *const *workers;
	unsigned nworkers;
};

/* The database of the server to which `where` leads. true = nothing of ours is in it; else it was told to go, unless a client is in it. */
bool vacate_server(const struct vacate *v, const struct pool_target *where, const char *dbname);
/* By the clients' name for it, whoever is in it (KILL). */
void vacate_database(const struct vacate *v, const char *database);

#endif
