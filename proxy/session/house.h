/* house.h - what sessions share inside one worker.
 * Source  none.
 * Shape   filled by the app; one per worker.
 * Owner   the app.
 * Thread  the worker's; `cancels` and `pools` have locks of their own.
 * Errors  none. */
#ifndef PROXY_SESSION_HOUSE_H
#define PROXY_SESSION_HOUSE_H

#include "config/config.h"
#include "proxy/backend/pool.h"
#include "proxy/base/toplist.h"
#include "proxy/origin/fresh.h"
#include "proxy/sql/memo.h"
#include "proxy/sql/verdict.h"

struct cancels;
struct console_guest; /* console.h */
struct census;
struct image_ids;
struct notify;

/* A database with a cache, as one worker sees it. */
struct served {
	struct served *next;
	unsigned refs;	       /* the sessions that hold it, and the house as long as it is not dead */
	char *database;	       /* owned */
	uint64_t group;	       /* its toplist_group */
	struct cache *cache;   /* borrowed from origin */
	struct origin *origin; /* from origin_of; NULL = not cached */
	bool dead; /* the configuration says another feed, or none: sessions that still hold this are not served */
	struct fresh *fresh; /* owned by the worker */
	uint64_t idle_us;    /* clock_us() since when no session of this worker has held it */
	/* The catalog of `epoch`, refreshed by served_catalog. */
	uint64_t epoch;
	struct catalog *catalog; /* counted */
};

#define KIN_PLACES 8

/* Where processes that serve the same port tell each other of cancel requests (proxy/kin.h). */
struct kin {
	char dir[64]; /* "" = nowhere */
	int place;    /* ours */
};

/* The connection that hears the notifications of a database. */
struct hearing {
	struct hearing *next;
	char *database;	       /* owned */
	struct notify *notify; /* owned */
};

struct house {
	struct host host;
	struct config *config;	     /* counted; swapped by reload */
	struct tls *client_tls;	     /* counted; NULL = disabled */
	struct tls *server_tls;	     /* counted; NULL = disabled */
	struct pools *pools;	     /* borrowed */
	struct cancels *cancels;     /* borrowed */
	struct census *census;	     /* borrowed */
	struct image_ids *image_ids; /* borrowed */
	struct memo *memo;	     /* owned */
	struct toplist *statements;  /* owned: by shape of the text */
	struct toplist *relations;   /* owned */
	struct buf scratch;	     /* owned; literals of the statement in work */
	struct ring sessions;	     /* all of this worker */
	struct ring peer_cancels;    /* all that are under way */
	struct kin kin;
	unsigned nkin_cancels; /* of peer_cancels */
	_Atomic unsigned nsessions;
	atomic_uint *nclients;	  /* of all workers */
	struct served *served;	  /* made on demand */
	struct hearing *hearings; /* made on demand */
	_Atomic uint64_t pass[NREASONS];
	bool suspended;		/* SUSPEND: nothing new is taken from clients */
	bool draining;		/* SIGTERM: close sessions that do nothing */
	uint64_t drain_busy_us; /* from then on also busy ones, at the end of their transactions */
	/* The origin of a database, started when there is none; NULL = not cached. */
	struct origin *(*origin_of)(void *app, const char *database);
	/* Is that feed what the configuration says for the database? */
	bool (*origin_current)(void *app, struct config *cfg, const char *database, struct origin *origin);
	/* Gives back what origin_of has given. */
	void (*origin_put)(void *app, struct origin *origin);
	/* Leaves that database of the server to which `where` leads, unless clients of ours are in it. true = nothing of ours is in it; else ask
	 * again. */
	bool (*vacate)(void *app, const struct pool_target *where, const char *dbname);
	/* Takes over a client who wants the console, from this worker's thread. */
	void (*console)(void *app, struct console_guest *guest);
	void *app;
};

/* NULL when the database has no cache. Borrowed until the loop goes on. */
struct served *house_served(struct house *h, const char *database);
/* The same for a session, which gives it back. */
struct served *house_take_served(struct house *h, const char *database);
void house_leave_served(struct house *h, struct served **sv); /* *sv may be NULL, and is then */
/* Borrowed until the next call; NULL while the cache is off. *epoch_r goes with it. */
const struct catalog *served_catalog(struct served *sv, uint64_t *epoch_r);
/* Databases that the * entry has made, and that no session has used for autodb_idle_timeout, are let go. Once a second. */
void house_let_go(struct house *h);
/* At the end. Sessions may give theirs back later. */
void house_free_served(struct house *h);
/* Reload: databases without a cache are asked for again, and those whose feed is not current any more get a new one; sessions change to
 * it between two transactions (renew.c). */
void house_renew_served(struct house *h);

static inline void house_pass(struct house *h, enum reason r)
{
	atomic_store_explicit(&h->pass[r], atomic_load_explicit(&h->pass[r], memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

#endif
