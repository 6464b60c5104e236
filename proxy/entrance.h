/* entrance.h - where clients come in: the listening sockets, and the workers who take from them.
 * Source  docs/operation.md, "A new process takes over".
 * Shape   all sockets of the configuration, or those that a service manager passes. A few workers watch each of them (ENTRANCE_TAKERS)
 *         and hand over to the one with the fewest clients.
 * Owner   the app; the workers are borrowed.
 * Thread  the main thread.
 * Errors  entrance_new: NULL with the reason. */
#ifndef PROXY_ENTRANCE_H
#define PROXY_ENTRANCE_H

#include "config/config.h"
#include "proxy/worker.h"

struct entrance;

/* Every one who watches is woken for a client that one of them gets; one alone would leave clients waiting while it is busy. */
#define ENTRANCE_TAKERS 2

/* Listens; the workers, not started yet, take clients from when they run. */
struct entrance *entrance_new(const struct config *cfg, struct worker *const *workers, unsigned nworkers,
			      struct err *err);
/* A reload: of those who connect from now on. */
void entrance_tune(struct entrance *e, const struct config *cfg);
/* Nobody new gets in line; who is in line is still let in. */
void entrance_leave(struct entrance *e);
/* A moment later, until it is true: the workers take nobody any more, who is still in line is let in, and *e is NULL. */
bool entrance_close(struct entrance **e);
/* At once. The workers do not run any more. */
void entrance_free(struct entrance **e);

#endif
