/* stmts.h - the prepared statements a client has made by protocol.
 * Source  PostgreSQL manual, "Extended Query": names live as long as the session, the unnamed one until the next Parse or
 *         simple query.
 * Shape   name -> counted struct stmt.
 * Owner   the session.
 * Thread  its worker's.
 * Errors  -1 above STMTS_BYTES. */
#ifndef PROXY_SESSION_STMTS_H
#define PROXY_SESSION_STMTS_H

#include "proxy/sql/memo.h"

#define STMTS_BYTES (64u * 1024u * 1024u) /* names and texts of one client */

struct client_stmt;

struct stmts {
	struct client_stmt *table;   /* owned */
	struct client_stmt *closing; /* owned: Close forwarded, not yet answered */
	size_t bytes;
	uint64_t serial;
	struct stmt *unnamed; /* counted, NULL = none */
	uint64_t unnamed_number;
};

struct stmt *stmts_find(const struct stmts *t, struct span name); /* borrowed; "" = the unnamed one */
/* Takes a reference of its own. 0, or -1: too many bytes. The name must not be in use (but ""). */
int stmts_add(struct stmts *t, struct span name, struct stmt *stmt);
/* The number under which backends hold the statement of that name as the client parsed it (stmt_number), 0 = not known yet; NULL =
 * no such name. */
uint64_t *stmts_number(struct stmts *t, struct span name);
bool stmts_remove(struct stmts *t, struct span name);
/* A Close in a pipeline: the name is free at once, but comes back should the server skip the Close. The number for the other
 * two; 0 = there was no such statement. */
uint64_t stmts_close_begin(struct stmts *t, struct span name);
void stmts_close_end(struct stmts *t, uint64_t key);
void stmts_close_undo(struct stmts *t, uint64_t key);
void stmts_clear(struct stmts *t);
/* A number for a name that was just added, 0 for the unnamed one; later names have higher numbers. */
uint64_t stmts_key(const struct stmts *t, struct span name);
/* A Parse failed after all. */
void stmts_remove_key(struct stmts *t, uint64_t key);
/* All names added up to and with `key` (DISCARD ALL with more Parses behind it in the pipeline). */
void stmts_clear_until(struct stmts *t, uint64_t key);
void stmts_set_unnamed(struct stmts *t, struct stmt *stmt);

#endif
