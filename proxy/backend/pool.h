/* pool.h - the backends of one (database, user), shared by all workers.
 * Source  PgBouncer's pool_size, reserve_pool, server_lifetime, server_idle_timeout, server_login_retry.
 * Shape   one lock, held shortly; waiting sessions in one queue over all workers, served in order; an idle
 *         backend moves to the worker of the first in the queue.
 * Owner   struct pools; a pool lives until the process ends.
 * Thread  any, unless said otherwise.
 * Errors  in lend->fn. */
#ifndef PROXY_BACKEND_POOL_H
#define PROXY_BACKEND_POOL_H

#include "config/config.h"
#include "proxy/backend/backend.h"
#include "proxy/backend/tally.h"

#include <pthread.h>

/* Where a pool's backends connect to, and as whom. Counted, immutable; replaced at reload. */
struct pool_target {
	atomic_uint refs;
	struct config *config; /* counted; the strings below point into it or are owned by the pool */
	const struct config_database *db;
	char *dbname;	       /* owned */
	char *user;	       /* owned: the server's user */
	struct secret *secret; /* counted; NULL = look in secrets */
	struct tls *tls;       /* counted; NULL = disabled */
	struct policy policy;
	atomic_uint server_at; /* the one of its hosts that did last */
	char *replication;     /* owned; value of the startup parameter, "" = an ordinary connection */
};

/* What a client is told at its login, learned from the first backend. Counted, immutable. */
struct pool_defaults {
	atomic_uint refs;
	struct settings params;	  /* reported */
	struct settings defaults; /* search_path, default_transaction_isolation, .. */
	struct settings base;	  /* what connect_query has set */
	char code[33];		  /* the backend's */
};

/* A session's wish for a backend. */
struct lend {
	struct ring node;
	struct host *host;
	/* Runs in the session's worker, from the loop. backend NULL = refused, *err says why. Also runs after lend_cancel,
	 * when that returned false: then the backend (if any) has to be given back. */
	void (*fn)(struct lend *lend, struct backend *backend, const struct err *err);
	uint64_t since_us;
	enum { LEND_NONE, LEND_QUEUED, LEND_ASSIGNED } state;
	bool strict;		 /* of `fits` */
	bool reserve;		 /* has waited long enough for the reserve pool */
	struct backend *backend; /* while assigned */
	struct err *err;	 /* owned, while refused */
	struct mail mail;
	/* NULL = any does. Those that fit come first; `strict`: the others only if there is no room for a new one. */
	bool (*fits)(const struct lend *lend, const struct backend *b);
	/* Id of the backend that it would like best, 0 = any. Kept by the caller, to whom it says more: only there are its latest values of
	 * sequences (session/sequence.c). */
	uint64_t prefer;
};

struct pools; /* all pools of the process */

struct pools *pools_new(struct host **hosts, unsigned nhosts);
void pools_free(struct pools **p);
/* The pool of (database, user), made when there is none; walsenders (`replication` not "") have pools of their own. `database` is the client's name for it. tls: settings for servers,
 * NULL = none. */
struct pool *pools_get(struct pools *p, struct config *cfg, struct tls *tls, const char *database,
		       const char *user, const char *replication, struct err *err);
/* Beside that pool one for the connections that hear notifications, at most one in each worker (notify.h). */
struct pool *pools_get_listening(struct pools *p, struct config *cfg, struct tls *tls, const char *database,
				 const char *user, struct err *err);
/* New settings for all pools (reload); backends whose target changed are closed when they are free. */
void pools_configure(struct pools *p, struct config *cfg, struct tls *tls);
/* Once a second in each worker: closes what is too old or idle too long, opens what is missing. */
void pools_tick(struct pools *p, struct host *host);
/* Closes this worker's idle backends (shutdown). */
void pools_close_idle(struct pools *p, struct host *host);
/* Shutdown: from now on no backend is opened. */
void pools_close(struct pools *p);
/* The backends of a database (NULL = of all) go when they are free, and what logins have taught is learned again. */
void pools_reconnect(struct pools *p, const char *database);
/* The same for those that hear notifications as well. Without a client none is opened again. */
void pools_leave(struct pools *p, const char *database);
/* The clients' names for that database of the server to which `where` leads, of all that have a pool; more than once for several users.
 * Borrowed for ever. Not to be called from `fn`: anything of struct pools. */
void pools_names(struct pools *p, const struct pool_target *where, const char *dbname,
		 void (*fn)(void *arg, const char *database), void *arg);
/* DDL may have brought code into the database that other statements run unseen (hooks.h). Until there was none for a moment and
 * backends that log in after it have said what there is, pool_suspect is true. */
void pools_suspect(struct pools *p, const char *database);
bool pool_suspect(const struct pool *p, const struct backend *b);
/* A transaction of a client that may have changed the schema has ended. Any thread. How often so: pool_schema. */
void pools_schema_changed(struct pools *p, const char *database);
uint64_t pool_schema(const struct pool *p);

const char *pool_database(const struct pool *p);
bool pool_listening(const struct pool *p); /* made by pools_get_listening */
/* Would it now connect to another database than `b` is connected to? */
bool pool_moved(struct pool *p, const struct backend *b);
const char *pool_user(const struct pool *p);
/* Counted; NULL until a backend has logged in. */
struct pool_defaults *pool_defaults(struct pool *p);
/* Those of one backend. */
struct pool_defaults *pool_defaults_new(const struct backend *b);
void pool_defaults_unref(struct pool_defaults *d);
struct policy pool_policy(struct pool *p);
struct pool_target *pool_target(struct pool *p); /* counted */

/* A backend of the caller's worker at once, or NULL: then `lend` is queued and its fn will run. */
struct backend *pool_lend(struct pool *p, struct host *host, struct lend *lend);
/* true = it is out of the queue and fn will not run. false = fn is on its way. */
bool pool_lend_cancel(struct pool *p, struct lend *lend);

/* A session keeps its backend beyond a transaction. false = `max` sessions do already (0 = no bound). */
bool pool_pin(struct pool *p, unsigned max);
void pool_unpin(struct pool *p);
/* Some session of it has read currval() or lastval(). */
void pool_ask_sequences(struct pool *p);
bool pool_asks_sequences(struct pool *p);
/* Some backend of it has an idle_session_timeout. */
void pool_has_limit(struct pool *p);
/* Some backend of it knows a custom setting. */
void pool_has_custom(struct pool *p);
bool pool_customs(struct pool *p);
/* Why the last login failed; false = none has failed since one succeeded. */
bool pool_login_error(struct pool *p, struct err *err_r);
/* Paused by an operator: nothing is lent until it is resumed. */
bool pool_paused(const struct pool *p);
/* Raised by what makes older backends unfit: new settings, another server. */
uint32_t pool_generation(const struct pool *p);

struct pool_counts {
	unsigned size, total, connecting, idle, lent, waiting, pinned;
	uint64_t oldest_wait_us; /* age of the first in the queue */
};
void pool_count(struct pool *p, struct pool_counts *c);
/* The block that this worker counts into; lives as long as the pool. */
struct tally *pool_tally(struct pool *p, const struct host *host);
/* Adds those of all workers to `sum`. */
void pool_tally_sum(struct pool *p, struct tally_sum *sum);
/* Calls fn for every pool. */
void pools_each(struct pools *p, void (*fn)(void *arg, struct pool *pool), void *arg);

/* A learned login image: the reported and canonical values that a set of startup parameters leads to. */
struct pool_welcome {
	atomic_uint refs;
	char *key; /* owned: the startup parameters, name NUL value NUL .. */
	size_t nkey;
	struct settings params; /* reported */
	struct settings image;	/* canonical */
	struct pool_welcome *next;
};
struct pool_welcome *pool_welcome_find(struct pool *p, struct span key); /* counted or NULL */
void pool_welcome_add(struct pool *p, struct span key, const struct settings *params,
		      const struct settings *image);
void pool_welcome_unref(struct pool_welcome *w);

/* --- called by backend.c, in the backend's worker --- */
void pool_backend_ready(struct pool *p, struct backend *b); /* logged in */
void pool_backend_free(struct pool *p, struct backend *b);  /* settled: to the next in the queue, or idle */
void pool_backend_gone(struct pool *p, struct backend *b, bool login_failed, const struct err *err);

/* An idle backend has failed: out of the idle list. false = it is promised to a session already. */
bool pool_backend_not_idle(struct pool *p, struct backend *b);

struct pool_target *target_ref(struct pool_target *t);
void target_unref(struct pool_target *t);

#endif
