/* app.h - the process: configuration, workers, entrance, caches, signals, stats.
 * Source  none.
 * Shape   one object, made by main, run until a signal ends it.
 * Owner   main.
 * Thread  the main thread.
 * Errors  app_new: NULL with the reason; app_run: the exit status. */
#ifndef PROXY_APP_H
#define PROXY_APP_H

#include "config/config.h"

struct app;

/* Takes a reference to cfg. Listens, but serves nobody before app_run. `verbose`: log at level debug, whatever cfg and those
 * after it say. */
struct app *app_new(struct config *cfg, bool verbose, struct err *err);
int app_run(struct app *app);
void app_free(struct app **app);

#endif
