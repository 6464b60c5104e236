/* report.h - what the stats show, as a table of functions that the app fills.
 * Source  none.
 * Shape   the source copies plain values into the caller's structs; a function that is NULL leaves its part out.
 * Owner   the app.
 * Thread  called from the loop that serves the stats; the source takes what locks it needs.
 * Errors  none. */
#ifndef PROXY_ADMIN_REPORT_H
#define PROXY_ADMIN_REPORT_H

#include "proxy/backend/tally.h"
#include "proxy/base/counters.h"
#include "proxy/base/toplist.h"
#include "proxy/sql/verdict.h"

#include <stdbool.h>
#include <stdint.h>

#define REPORT_NAME 64u	     /* names are cut at PostgreSQL's length */
#define REPORT_POOLS 256u    /* most that are read; more are only counted */
#define REPORT_DATABASES 32u /* most with numbers of their own; the last row takes the rest */
#define REPORT_PINS 10
#define REPORT_CACHES 256u

/* Rows of one (database, user), say one of each worker, are added up. */
struct report_pool {
	char database[REPORT_NAME];
	char user[REPORT_NAME];
	const char *mode;    /* static */
	unsigned active;     /* backends that run something or are held in a transaction */
	unsigned idle;	     /* backends that are free */
	unsigned login;	     /* backends that connect or log in */
	unsigned pinned;     /* of the active ones: kept beyond their transaction */
	unsigned waiting;    /* clients that wait for a backend */
	unsigned size;	     /* most backends allowed */
	uint64_t maxwait_us; /* of the client that waits longest */
	bool paused;
	uint64_t v[NTALLIES];
};

struct report_cache {
	char database[REPORT_NAME];
	const char *state;	/* static: phase of the feed */
	const char *off_reason; /* static; "" or NULL while on */
	bool on;
	uint64_t pos; /* LSN up to which all invalidations are applied */
	uint64_t bytes;
	uint64_t entries;
	uint64_t epoch;
	uint64_t lag_us;		/* how long the feed was behind the last probe */
	uint64_t rtt_us;		/* of the probe, smoothed */
	uint64_t since_us;		/* so long in `state` */
	uint64_t restarts;		/* of the feed */
	uint64_t transactions, changes; /* received from the feed */
	uint64_t evictions, invalidations, resets, refreshes;
	char last_error[256];
};

/* The sum of all pools of a database. */
struct report_database {
	char database[REPORT_NAME]; /* "" = all that have no row of their own */
	struct tally_sum tally;
};

struct report_clients {
	unsigned total;
	unsigned active;
	unsigned idle;
	unsigned waiting;
	unsigned pinned;
	unsigned login;
	unsigned pins[REPORT_PINS]; /* by reason */
};

/* HIST(member of struct tally_sum, help): durations with buckets. */
#define REPORT_HISTS(HIST)                                                              \
	HIST(query, "Time from a client's statement to the end of its answer.")         \
	HIST(wait, "Time that a transaction waited for a backend.")                     \
	HIST(fresh, "Time that a read waited for the proof that the cache is current.") \
	HIST(connect, "Time to connect and log in to a server.")

#define REPORT_TOPS 1000u /* rows that are read of a top list */

enum report_top { REPORT_STATEMENTS, REPORT_RELATIONS };

struct report_source {
	void *arg;
	void (*counters)(void *arg, int64_t sum[NCOUNTERS]); /* adds to zeroed `sum` */
	/* Fills at most `max` rows; returns how many there are. */
	unsigned (*pools)(void *arg, struct report_pool *out, unsigned max);
	unsigned (*caches)(void *arg, struct report_cache *out, unsigned max);
	/* At most `max` rows, the last one for all that did not fit; returns how many. */
	unsigned (*databases)(void *arg, struct report_database *out, unsigned max);
	void (*clients)(void *arg, struct report_clients *out);
	/* Adds to `rows` (n used of max), the same thing in one row; returns how many there are then. Not sorted. */
	unsigned (*tops)(void *arg, enum report_top which, struct toplist_row *rows, unsigned max);
	bool (*ready)(void *arg); /* can lend a backend */
	/* Name of a pin; NULL beyond the last one. */
	const char *(*pin_name)(unsigned pin);
};

#endif
