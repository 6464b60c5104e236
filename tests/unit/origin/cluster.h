/* cluster.h - a private PostgreSQL for one test.
 * Source  initdb and postgres of PostgreSQL 15; run as the user postgres when the test runs as root.
 * Shape   its own directory under /tmp, a socket there, no network; it dies with the test's process.
 * Owner   the caller; cluster_stop removes everything.
 * Thread  one.
 * Errors  the test is aborted: without a server there is nothing to test. */
#ifndef TESTS_UNIT_ORIGIN_CLUSTER_H
#define TESTS_UNIT_ORIGIN_CLUSTER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cluster {
	char dir[64]; /* data in dir/data, socket in dir */
	pid_t pid;    /* postmaster */
};

/* `settings`: lines for postgresql.conf, or NULL. Has the database `app` and the role `feed` (REPLICATION). */
void cluster_start(struct cluster *c, const char *settings);
void cluster_stop(struct cluster *c);
/* kill -9 of the postmaster, and up again. */
void cluster_crash(struct cluster *c);

PGconn *cluster_connect(const struct cluster *c, const char *dbname, const char *user);
/* Statements that must succeed; several may stand in one string. */
void sql(PGconn *conn, const char *text, ...) __attribute__((format(printf, 2, 3)));
/* The first field of the first row, in a static buffer; "" = NULL or no row. */
const char *sql_text(PGconn *conn, const char *text, ...) __attribute__((format(printf, 2, 3)));

/* Tests never sleep for a fixed time: they ask again until the deadline. */
void pause_ms(unsigned ms);
uint64_t deadline_in(unsigned seconds);
bool expired(uint64_t deadline);
#define UNTIL(cond, seconds)                            \
	do {                                            \
		uint64_t until_ = deadline_in(seconds); \
		while (!(cond) && !expired(until_))     \
			pause_ms(1);                    \
		REQUIRE(cond);                          \
	} while (0)

#endif
