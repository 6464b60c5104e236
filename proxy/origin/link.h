/* link.h - libpq connections to the primary, with waits that end when told so.
 * Source  libpq manual: PQconnectStartParams, asynchronous command processing.
 * Shape   non-blocking connections; a caller that may wait does so in poll(2) over the socket and its wake-up fd.
 * Owner   the caller; PQfinish ends a connection.
 * Thread  one at a time per connection.
 * Errors  0 / -1 with the reason in one line. A stopped wait is an error, too: the caller knows that it was told to stop. */
#ifndef PROXY_ORIGIN_LINK_H
#define PROXY_ORIGIN_LINK_H

#include "proxy/base/err.h"
#include "protocol/span.h"

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LINK_ADDRESS 64u

struct link_target { /* all borrowed; NULL or "" = libpq's default */
	const char *host, *port, *dbname, *user, *password;
	const char *sslmode, *sslrootcert, *sslcert, *sslkey;
	const char *address; /* numeric address of `host`, so that no name has to be looked up */
	const char *attrs;   /* target_session_attrs, of several hosts */
	const char *name;    /* application_name */
	int connect_timeout_s;
	bool replication;
	bool utf8; /* names and values in UTF-8, not in the database's encoding */
};

/* Starts to connect; go on with PQconnectPoll. Never contacts a name server when `address` is given. */
PGconn *link_start(const struct link_target *target, struct err *err);

/* What a wait listens to besides the connection. */
struct link_wait {
	int wake_fd;		 /* eventfd, drained here; -1 = none */
	const atomic_bool *stop; /* NULL = cannot be stopped */
	uint64_t until_us;	 /* clock_us(); 0 = for ever */
};

/* Waits for `events` of poll(2) on the connection: 0, or -1 stopped, timed out. */
int link_poll(PGconn *conn, short events, const struct link_wait *wait, struct err *err);
/* Sleeps until told to wake, at most for_us. */
void link_sleep(int wake_fd, uint64_t for_us);
int link_open(const struct link_target *target, const struct link_wait *wait, PGconn **conn_r,
	      struct err *err);
/* One statement, simple protocol (all that a replication connection knows). On success *result_r is a result without error. */
int link_query(PGconn *conn, const char *sql, const struct link_wait *wait, PGresult **result_r,
	       struct err *err);
/* The same for what was just sent by one of libpq's own functions. */
int link_collect(PGconn *conn, const struct link_wait *wait, PGresult **result_r, struct err *err);
int link_prepare(PGconn *conn, const char *name, const char *sql, const struct link_wait *wait,
		 struct err *err);

/* The connection's last error as one line; always -1. */
int link_failed(PGconn *conn, const char *what, struct err *err);
/* The same for a result, with its SQLSTATE. */
int link_refused(const PGresult *result, const char *what, struct err *err);
/* A field as bytes; empty when it is NULL. */
struct span link_field(const PGresult *result, int row, int column);

/* Which server is at the other end, and in which life. Two connections with an equal identity see one log. */
struct link_identity {
	uint64_t system_id;
	uint32_t timeline;
	uint32_t wal_block;
	uint32_t wal_segment;
	bool recovery;
	bool logical;		    /* wal_level */
	char started[40];	    /* postmaster's start */
	char host[256], port[8];    /* the one of several that answered */
	char address[LINK_ADDRESS]; /* PQhostaddr: "" for a socket directory */
};

extern const char link_identity_sql[];
int link_identity_read(PGconn *conn, const PGresult *result, struct link_identity *id_r, struct err *err);
int link_identify(PGconn *conn, const struct link_wait *wait, struct link_identity *id_r, struct err *err);
bool link_identity_same(const struct link_identity *a, const struct link_identity *b);

#endif
