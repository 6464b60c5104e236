/* gates.h - databases that an operator has paused or disabled.
 * Source  PgBouncer's PAUSE, RESUME, KILL, DISABLE and ENABLE.
 * Shape   paused: no backend is lent, those that come back are closed, sessions wait. Disabled: no client may log in. Both hold
 *         for databases that have no pool yet, and until the operator says otherwise.
 * Owner   struct pools.
 * Thread  any.
 * Errors  false = it is so already. */
#ifndef PROXY_BACKEND_GATES_H
#define PROXY_BACKEND_GATES_H

#include "proxy/backend/pool.h"

/* database NULL = all of them, which is a state of its own: resuming one database does not end it. */
bool pools_pause(struct pools *p, const char *database);
bool pools_resume(struct pools *p, const char *database);
/* Is that database paused, by itself or with all? NULL = are all? */
bool pools_paused(struct pools *p, const char *database);
/* How many databases are paused one by one. */
unsigned pools_paused_count(struct pools *p);
/* SUSPEND is the workers' business; here is only whether it holds. */
bool pools_suspend(struct pools *p, bool on);
bool pools_suspended(struct pools *p);
void pools_disable(struct pools *p, const char *database, bool disabled);
bool pools_disabled(struct pools *p, const char *database);
/* Backends of a database (NULL = of all) that are there or on their way; those that hear notifications only if `listening`. */
unsigned pools_backends(struct pools *p, const char *database, bool listening);

#endif
