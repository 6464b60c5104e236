/* site.h - a server, a cache and the origin between them, and questions about what a statement invalidates.
 * Source  proxy/origin/origin.h, proxy/cache/cache.h.
 * Shape   a lease on a key is taken, a statement runs, the position catches up: is the lease still alive?
 * Owner   the caller; site_stop.
 * Thread  one.
 * Errors  the test is aborted. */
#ifndef TESTS_UNIT_ORIGIN_SITE_H
#define TESTS_UNIT_ORIGIN_SITE_H

#include "proxy/origin/origin.h"
#include "tests/unit/origin/cluster.h"

struct site {
	struct cluster cluster;
	PGconn *db; /* app, as superuser */
	struct cache *cache;
	struct origin *origin;
	bool pgoutput; /* set before site_watch: the feed reads the publication `pgweir` */
};

/* The server only: set the database up, then site_watch. */
void site_start(struct site *s, const char *settings);
/* Starts the origin; catalog_poll_ms 0 = never polls. Waits until the cache is on. */
void site_watch(struct site *s, unsigned catalog_poll_ms);
void site_origin(struct site *s, unsigned catalog_poll_ms); /* does not wait */
void site_stop(struct site *s);
/* Publishes all tables that have a primary key which shows, and installs docs/setup.sql. */
void site_publish(struct site *s);

/* Until everything that was written is applied. */
void site_catch_up(struct site *s);
bool site_reaches(struct site *s, unsigned seconds);

uint32_t site_relid(struct site *s, const char *name);
/* Row key of the relation's primary key; values as text, by attnum. */
uint64_t site_row(struct site *s, const char *name, const char *value, const char *second);
uint64_t site_any(struct site *s, const char *name);
uint64_t site_whole(struct site *s, const char *name);
uint64_t site_gone(struct site *s, const char *name);

/* Does the statement (or several) invalidate what depends on `key` of `relation`? */
bool kills(struct site *s, const char *relation, uint64_t key, const char *statement);

#endif
