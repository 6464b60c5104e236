/* roster.h - one row per connection, as operators see it; the servers' rows.
 * Source  PgBouncer's SHOW SERVERS, SHOW CLIENTS.
 * Shape   plain copies, so that they can leave the worker; names are cut at PostgreSQL's length.
 * Owner   the caller's list.
 * Thread  roster_servers: the host's worker.
 * Errors  rows that there is no memory for are left out and `cut` says so. */
#ifndef PROXY_BACKEND_ROSTER_H
#define PROXY_BACKEND_ROSTER_H

#include "proxy/backend/backend.h"

#define ROSTER_NAME 64
#define ROSTER_ADDR 64

struct socket_row {
	bool server;
	char user[ROSTER_NAME], database[ROSTER_NAME];
	const char *replication; /* static: none, logical, physical */
	const char *state;	 /* static: active, idle, waiting, login, new, being_canceled */
	char addr[ROSTER_ADDR], local_addr[ROSTER_ADDR];
	int port, local_port;
	uint64_t age_us;   /* of the connection */
	uint64_t asked_us; /* ago: its latest request; UINT64_MAX = none yet */
	uint64_t wait_us;  /* so long has it been waiting for a backend */
	bool close_needed;
	uint64_t id, link; /* link: id of the other side, 0 = none */
	uint32_t remote_pid;
	char tls[ROSTER_NAME];
	char application_name[ROSTER_NAME];
	unsigned prepared;
	bool canceling;	       /* servers only: a cancel request to it is on its way */
	size_t unread, unsent; /* bytes */
	/* Clients only. */
	unsigned pins;	    /* bits of enum pin */
	const char *doing;  /* static: the state's name */
	char transaction;   /* I T E, as the client was told */
	uint64_t pinned_us; /* in this state since */
	bool cached;	    /* its database has a cache */
};

struct socket_rows {
	struct socket_row *rows; /* owned */
	size_t n, room, max;
	bool cut; /* there were more than `max`, or no memory */
};

void socket_rows_free(struct socket_rows *list);
/* A zeroed row at the end, or NULL. */
struct socket_row *socket_rows_add(struct socket_rows *list);
/* Addresses, TLS and buffers of a connection into the row; `deep` = also what costs system calls. */
void socket_row_conn(struct socket_row *row, const struct conn *c, bool deep);
/* All backends of this worker. */
void roster_servers(struct host *host, bool deep, struct socket_rows *list);

#endif
