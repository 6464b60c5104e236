/* worker.h - a thread that serves clients.
 * Source  none.
 * Shape   a loop, its house of sessions, mail from the main thread; a taker also watches the listening sockets.
 * Owner   the app.
 * Thread  worker_new/open/start/stop: main; worker_client, worker_shut, worker_reload, ..: any (mail); the getters as said.
 * Errors  worker_new: NULL; worker_open, worker_start: -1 with the reason. */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "proxy/net/acceptor.h"
#include "proxy/session/session.h"

#define WORKER_LISTENERS 16

struct worker;

struct worker *worker_new(const struct house *model, unsigned index, struct err *err);
struct host *worker_host(struct worker *w);
struct house *worker_house(struct worker *w);
int worker_start(struct worker *w, struct err *err);
/* Stops the loop, joins the thread, closes what is left. */
void worker_stop(struct worker *w);
void worker_free(struct worker **w);

/* Before worker_start: clients are taken from the listener, at most WORKER_LISTENERS of them. Who comes in stays with this worker unless
 * one of the crew has fewer. The listener must live until the worker is shut or stopped. */
int worker_open(struct worker *w, struct listener *li, struct worker *const *crew, unsigned ncrew,
		struct err *err);
/* Takes nobody any more from listeners. */
void worker_shut(struct worker *w);
bool worker_is_shut(const struct worker *w); /* any thread */
/* Hands over an accepted client. */
void worker_client(struct worker *w, int fd, enum session_door door);
void worker_reload(struct worker *w, struct config *cfg, struct tls *client_tls, struct tls *server_tls);
/* Sessions end when they have been idle for a moment; patience_us later all end with their transactions. */
void worker_drain(struct worker *w, uint64_t patience_us);

/* What is not used by a client goes: feeds that were retired, connections that nobody listens on, backends of an older generation. */
void worker_tidy(struct worker *w);

/* Has it gone round since this was asked last? One caller. */
bool worker_alive(struct worker *w);
/* Sessions now, those on their way to it among them; any thread. */
unsigned worker_sessions(const struct worker *w);
/* The one with the fewest; any thread. */
struct worker *worker_emptiest(struct worker *const *crew, unsigned n);
/* Refreshed by the worker every 100 ms; any thread. */
struct session_counts worker_counts(struct worker *w);

#endif
