/* origin.h - the side connections of one cached database: feed, control, catalog; they keep its cache coherent.
 * Source  docs/coherence.md (connections, position, catalog); libpq's replication and asynchronous interfaces.
 * Shape   one thread per cached database that runs setup, streaming and recovery as straight code around poll(2).
 * Owner   the app; origin_stop joins the thread.
 * Thread  any; origin_stop: when nobody else has it any more.
 * Errors  none after the start: trouble turns the cache off, is logged once, and is tried again with a back-off. */
#ifndef PROXY_ORIGIN_ORIGIN_H
#define PROXY_ORIGIN_ORIGIN_H

#include "proxy/base/counters.h"
#include "proxy/base/err.h"
#include "proxy/base/toplist.h"
#include "proxy/cache/cache.h"

struct origin;
struct link_identity;
struct link_target;

struct origin_settings {
	const char *database;				      /* the name clients use, for logs */
	const char *host, *port, *dbname, *user, *password;   /* all copied; host may be a socket directory */
	const char *sslmode, *sslrootcert, *sslcert, *sslkey; /* NULL = libpq's default */
	int connect_timeout_s;
	bool several; /* host is a list: the primary among them is meant */
	bool pgoutput;
	const char *publication; /* pgoutput only */
	uint64_t catalog_poll_us;
	size_t max_change_keys;
};

/* Where they lead to, for a connection of that name; borrows from `set`. */
struct link_target origin_target(const struct origin_settings *set, const char *name);

struct origin_state { /* for stats */
	const char *
		phase; /* static: "connecting", "creating slot", "loading catalog", "streaming", "waiting to retry", .. */
	char last_error[256];
	uint64_t since_us;
	uint64_t pos;
	uint32_t restarts;
	uint64_t rtt_us; /* of the workers' probes, smoothed */
	uint64_t lag_us; /* how long the stream was behind the last of them; at least, when it was given up */
};

struct origin *origin_start(const struct origin_settings *set, struct cache *cache, struct err *err);
/* Asks the thread to end, and does not wait for it: from then on nothing is cached, and its slot and its connections go. */
void origin_retire(struct origin *o);
bool origin_retired(const struct origin *o);
bool origin_ended(const struct origin *o); /* origin_stop will not wait */
void origin_stop(struct origin **o);

/* Readers wait and the log is not flushed: write a flushing message (rate-limited inside; only when `insert` > `flush`
 * or a page boundary is in the way). */
void origin_nudge(struct origin *o);
/* DDL was seen in passing (or something that may be): check the catalog's fingerprint now. */
void origin_suspect_ddl(struct origin *o);
/* A suspicion is not settled yet: nothing may be served. Any thread; seen by readers that begin after origin_suspect_ddl. */
bool origin_suspects(const struct origin *o);
/* system identifier and timeline that the stream runs on; false while off. */
bool origin_identity(struct origin *o, uint64_t *system_id_r, uint32_t *timeline_r);
void origin_state(struct origin *o, struct origin_state *state_r);
/* A worker's probe was answered after took_us; and how long its position was waited for. */
void origin_note_probe(struct origin *o, uint64_t took_us);
void origin_note_lag(struct origin *o, uint64_t behind_us);
void origin_counters(struct origin *o, int64_t sum[NCOUNTERS]);
struct cache *origin_cache(struct origin *o); /* borrowed */
/* Relations by the transactions that changed them, whatever was cached; ids are toplist_id(database, OID). */
const struct toplist *origin_changes(const struct origin *o);
/* Changes whenever the server at the other end may have become another one, or the same one in another life. What was verified
 * or asked under one generation is worthless under the next. */
uint32_t origin_generation(const struct origin *o);
/* The server of the running stream, with its numeric address; false while there is none. */
bool origin_server(struct origin *o, struct link_identity *server_r, uint32_t *generation_r);
const struct origin_settings *origin_settings(const struct origin *o);

#endif
