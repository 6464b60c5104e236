/* console_private.h - a client of the console, for console.c (who is there), wire.c (messages) and prepared.c (names).
 * Source  see console.h.
 * Shape   one command at a time: while `running`, or while rows are being sent, no message is looked at.
 * Owner   the console.
 * Thread  its loop.
 * Errors  - */
#ifndef PROXY_ADMIN_CONSOLE_PRIVATE_H
#define PROXY_ADMIN_CONSOLE_PRIVATE_H

#include "proxy/admin/console.h"
#include "proxy/admin/run.h"
#include "proxy/base/map.h"

#define CLIENTS_MAX 100
#define NAMED_MAX 1024		   /* prepared statements and portals of one client */
#define NAMED_BYTES (1024u * 1024) /* .. and their names and texts */
#define TEXT_MAX (128u * 1024)

struct console {
	struct console_parts parts;
	struct ring clients;
	unsigned nclients;
	uint64_t commands;
	struct averages *averages;
	struct timer turn; /* stats_period */
	bool closing;
};

/* A prepared statement, or a portal. */
struct named {
	char *text; /* owned; "" is a statement without a command */
	struct formats formats;
	struct run *run; /* owned; of a portal that has run: its rows may be left */
	bool portal;
	size_t bytes; /* of name and text */
	UT_hash_handle hh;
	char key[]; /* 's' or 'p', then the name */
};

/* What follows the command under way. */
enum after {
	AFTER_QUERY,   /* the next command of the simple query, or ReadyForQuery */
	AFTER_EXECUTE, /* the next message */
};

struct client {
	struct ring node;
	struct console *console;
	struct conn *conn; /* owned */
	char *database, *user;
	uint64_t id;
	uint32_t version, number; /* protocol; cancel key's */
	bool admin;
	char transaction; /* I T E */
	bool skipping;	  /* to the next Sync */
	bool in_step;	  /* client_step is on the stack */
	bool closed;

	struct run *run; /* under way, or sending its rows; owned here or by `portal` */
	bool running;	 /* it has not ended yet */
	enum after after;
	struct named *portal; /* of an Execute */
	uint32_t max_rows;
	char *query; /* owned: the simple query's text */
	size_t nquery, query_at;

	struct named *table; /* owned rows */
	unsigned nnamed;
	size_t named_bytes;
};

/* console.c */
void client_close(struct client *c, const char *why);
struct log_who client_who(const struct client *c);

/* wire.c */
void client_welcome(struct client *c);
void client_step(struct client *c);
void client_fatal(struct client *c, const char *sqlstate, const char *message);
void client_free_query(struct client *c);

/* named.c */
struct named *named_find(struct client *c, bool portal, struct span name);
/* A new one; the unnamed one is replaced. NULL = too many. */
struct named *named_add(struct client *c, bool portal, struct span name, struct span text);
void named_remove(struct client *c, bool portal, struct span name);
/* Sync outside of a transaction ends the portals; a simple query the unnamed ones. */
void named_clear_portals(struct client *c);
void named_clear(struct client *c);

#endif
