/* link.h - a connection that comes back, and speaks simple, extended and prepared.
 * Source  libpq.
 * Shape   statements take up to four integers ($1..$4) and return rows of integers.
 * Owner   its thread; `busy_us` and `ok_us` are read by the watchdog.
 * Thread  one, but for those two.
 * Errors  false: the statement failed or the connection is gone; the reason is counted, and the next call connects again. */
#ifndef TESTS_TRUTH_LINK_H
#define TESTS_TRUTH_LINK_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum protocol { PROTOCOL_SIMPLE, PROTOCOL_EXTENDED, PROTOCOL_PREPARED, PROTOCOL_BINARY, NPROTOCOLS };

extern const char *const protocol_names[NPROTOCOLS];

#define LINK_ARGS 4u
#define LINK_PREPARED 96u

struct target {
	const char *name;
	const char *conninfo;
	bool direct; /* PostgreSQL itself */
};

struct link {
	const struct target *target;
	const char *setup;		     /* run after each connect, or NULL */
	PGconn *conn;			     /* owned; NULL = to be connected */
	const char *prepared[LINK_PREPARED]; /* statement texts, by pointer */
	unsigned nprepared;
	bool two_phase; /* every other commit is made in two steps */
	unsigned ncommits;
	_Atomic uint64_t busy_us; /* since when a call has been under way; 0 = none */
	_Atomic uint64_t ok_us;	  /* when one last succeeded */
	_Atomic uint64_t errors;
};

uint64_t link_now_us(void);
/* Runs one statement; the result is the caller's to PQclear, NULL after a failure. */
PGresult *link_run(struct link *l, enum protocol protocol, const char *sql, const int64_t *args,
		   unsigned nargs);
/* The same for statements whose rows do not matter. */
bool link_do(struct link *l, enum protocol protocol, const char *sql, const int64_t *args, unsigned nargs);
bool link_begin(struct link *l);
/* Ends what link_begin began; half the time, where the link is told so, by PREPARE TRANSACTION and COMMIT PREPARED. */
bool link_commit(struct link *l);
int64_t link_value(const PGresult *result, int row, int column);
void link_close(struct link *l);
/* The port by which others know it, 0 = none. For the report about one that hangs: its thread does nothing else then. */
unsigned link_port(const struct link *l);
/* Text of the last error of any link, for the report. */
const char *link_last_error(void);

#endif
