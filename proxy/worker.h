/* worker.h - a thread that serves clients.
 * Source  none.
 * Shape   a loop, its house of sessions, and mail from the main thread.
 * Owner   the app.
 * Thread  worker_new/start/join: main; worker_client, worker_reload, ..: any (mail); the getters as said.
 * Errors  worker_new: NULL. */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "proxy/session/session.h"

struct worker;

struct worker *worker_new(const struct house *model, unsigned index, struct err *err);
struct host *worker_host(struct worker *w);
struct house *worker_house(struct worker *w);
int worker_start(struct worker *w, struct err *err);
/* Stops the loop, joins the thread, closes what is left. */
void worker_stop(struct worker *w);
void worker_free(struct worker **w);

/* Hands over an accepted client. */
void worker_client(struct worker *w, int fd, enum session_door door);
void worker_reload(struct worker *w, struct config *cfg, struct tls *client_tls, struct tls *server_tls);
/* Sessions end when they have been idle for a moment; patience_us later all end with their transactions. */
void worker_drain(struct worker *w, uint64_t patience_us);
void worker_close_all(struct worker *w, const char *why); /* `why` is static */

/* Has it gone round since this was asked last? One caller. */
bool worker_alive(struct worker *w);
/* Sessions now; any thread. */
unsigned worker_sessions(const struct worker *w);
/* Refreshed by the worker every 100 ms; any thread. */
struct session_counts worker_counts(struct worker *w);

#endif
