/* origins.h - the feeds and caches of all databases of the process.
 * Source  docs/coherence.md.
 * Shape   database -> origin, made when its first client comes.
 * Owner   the app.
 * Thread  any (a lock).
 * Errors  a database that cannot be cached has no origin; said once in the log. */
#ifndef PROXY_ORIGINS_H
#define PROXY_ORIGINS_H

#include "config/config.h"
#include "proxy/origin/origin.h"

struct origins;

struct origins *origins_new(void);
void origins_free(struct origins **o); /* stops the feeds */
/* NULL = this database is not cached. */
struct origin *origins_get(struct origins *o, struct config *cfg, const char *database);
/* Calls fn for each database whose sessions would begin with other settings than at the last call (ALTER ROLE or DATABASE .. SET, a
 * reload of the server's configuration). One caller. */
void origins_settings_changed(struct origins *o, void (*fn)(void *arg, const char *database), void *arg);
void origins_each(struct origins *o, void (*fn)(void *arg, const char *database, struct origin *origin),
		  void *arg);
/* Is that feed what the configuration says for the database? Any thread. */
bool origins_current(struct config *cfg, const char *database, struct origin *origin);
/* Reload: sizes of caches; feeds that are not current any more are kept aside until the end, for sessions that hold them. */
void origins_configure(struct origins *o, struct config *cfg);

#endif
