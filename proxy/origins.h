/* origins.h - the feeds and caches of all databases of the process.
 * Source  docs/coherence.md.
 * Shape   database -> origin, made when its first client comes, by the configuration that was set last. One that a reload has made
 *         wrong is retired: its feed ends at once, the rest when nobody holds it any more.
 * Owner   the app.
 * Thread  any (a lock); origins_configure, origins_settings_changed, origins_sweep: the main thread.
 * Errors  a database that cannot be cached has no origin; said once in the log. */
#ifndef PROXY_ORIGINS_H
#define PROXY_ORIGINS_H

#include "config/config.h"
#include "proxy/origin/origin.h"

struct origins;

struct origins *origins_new(struct config *cfg);
void origins_free(struct origins **o); /* stops the feeds */
/* NULL = this database is not cached. Given back with origins_put. */
struct origin *origins_get(struct origins *o, const char *database);
void origins_put(struct origins *o, struct origin *origin);
/* Calls fn for each database whose sessions would begin with other settings than at the last call (ALTER ROLE or DATABASE .. SET, a
 * reload of the server's configuration). */
void origins_settings_changed(struct origins *o, void (*fn)(void *arg, const char *database), void *arg);
/* Those that are not retired. */
void origins_each(struct origins *o, void (*fn)(void *arg, const char *database, struct origin *origin),
		  void *arg);
/* Of all there have been; added. */
void origins_counters(struct origins *o, int64_t sum[NCOUNTERS]);
/* Is that feed what the configuration says for the database? */
bool origins_current(struct config *cfg, const char *database, struct origin *origin);
/* Reload: sizes of caches; feeds that are not current any more are retired. */
void origins_configure(struct origins *o, struct config *cfg);
/* The feed of that database ends, until the next client comes. Any thread. */
void origins_leave(struct origins *o, const char *database);
/* Nothing of such a feed is left, in no worker either. Any thread. */
bool origins_left(struct origins *o, const char *database);
/* Retires what is held by nobody, and frees what has ended. To be called now and then. */
void origins_sweep(struct origins *o);

#endif
