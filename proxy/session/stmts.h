/* stmts.h - the prepared statements a client has made by protocol.
 * Source  PostgreSQL manual, "Extended Query": names live as long as the session, the unnamed one until the next Parse or
 *         simple query. An error makes the server skip everything up to the next Sync.
 * Shape   name -> counted struct stmt, as it will be when everything sent succeeds; and a log of the changes that the server has not
 *         answered yet, in their order, each of which may turn out to have been skipped.
 * Owner   the session.
 * Thread  its worker's.
 * Errors  -1 or 0 above STMTS_BYTES. */
#ifndef PROXY_SESSION_STMTS_H
#define PROXY_SESSION_STMTS_H

#include "proxy/session/meaning.h"
#include "proxy/sql/memo.h"

#define STMTS_BYTES (64u * 1024u * 1024u) /* names and texts of one client */

struct client_stmt;
struct stmt_change;

/* What backends call a client's statement. */
struct parsed {
	uint64_t number;       /* as the client parsed it (stmt_number); 0 = not known yet */
	struct meaning *under; /* counted: the settings of its Parse; NULL = not known */
	uint64_t types;	       /* reads_types() of then; 0 = not known, or all parameters are declared */
	/* .. and for clients whose settings are these now, under which its literals would mean something else; 0 = not asked yet */
	uint64_t used, used_number;
};

static inline uint64_t parsed_number(const struct parsed *p)
{
	return p->used_number != 0 ? p->used_number : p->number;
}

struct stmts {
	struct client_stmt *table;	   /* owned */
	struct client_stmt *unnamed;	   /* owned; NULL = never used */
	struct client_stmt *latest;	   /* of the table: the one found last, NULL = none */
	struct stmt_change *log, *log_end; /* owned: oldest first */
	size_t bytes;
	uint64_t serial;   /* of changes and names: never used twice */
	unsigned literals; /* names with stmts_literal */
};

struct stmt *stmts_find(const struct stmts *t, struct span name); /* borrowed; "" = the unnamed one */
/* Does any of its names stand for the statement of that number? */
bool stmts_has_number(const struct stmts *t, uint64_t number);
struct parsed *stmts_parsed(const struct stmts *t, struct span name); /* borrowed; NULL = no such name */
/* It was parsed under these settings, of which a reference is taken. */
void stmts_parsed_under(struct stmts *t, struct parsed *p, struct meaning *under);

/* --- at once: nothing of the client is on its way to the server --- */

/* Is there room? */
bool stmts_fit(const struct stmts *t, struct span name, const struct stmt *stmt);
/* Takes a reference of its own. 0, or -1: too many bytes. The name must not be in use (but ""). */
int stmts_add(struct stmts *t, struct span name, struct stmt *stmt);
bool stmts_remove(struct stmts *t, struct span name);
unsigned stmts_count(const struct stmts *t); /* named ones */
void stmts_set_unnamed(struct stmts *t, struct stmt *stmt);
void stmts_clear(struct stmts *t);

/* --- in a pipeline --- */

/* The name stands for `stmt`, parsed under these settings (NULL = not known), from here on. The change's key; 0 = too many bytes.
 * Changes are answered in the order in which they were made, by one of the two below. */
uint64_t stmts_change(struct stmts *t, struct span name, struct stmt *stmt, uint64_t number,
		      struct meaning *under, uint64_t batch);
/* .. for nothing. 0 = it stood for nothing before. */
uint64_t stmts_change_away(struct stmts *t, struct span name, uint64_t batch);
/* Changes nothing, but remembers the name for the answer. */
uint64_t stmts_mention(struct stmts *t, struct span name, uint64_t batch);
void stmts_done(struct stmts *t, uint64_t key);
/* Skipped by the server: the name stands for what it stood for before. `failed`: it was tried, after which the unnamed one is gone. */
void stmts_undone(struct stmts *t, uint64_t key, bool failed);
/* Is there a change of that name that is not answered? *batch_r of the newest. */
bool stmts_open(const struct stmts *t, struct span name, uint64_t *batch_r);
/* The server has none of the named ones any more (DEALLOCATE ALL) but those that are still to be answered. */
void stmts_forget_all(struct stmts *t);

/* The server has the statement of that number no more. */
void stmts_forget_number(struct stmts *t, uint64_t number);

/* The name of a change that is not answered yet. */
struct span stmts_change_name(const struct stmts *t, uint64_t key);
/* A number for the name as long as it is known, 0 = not known; and back: a walk over all. */
uint64_t stmts_id(const struct stmts *t, struct span name);
struct span stmts_id_name(const struct stmts *t, uint64_t id);

/* Does the backend on loan hold it under the client's own name (for SQL's EXECUTE and DEALLOCATE)? */
bool stmts_is_literal(const struct stmts *t, struct span name);
/* It is about to: a change without another effect; undone with the change. 0 = no such name. */
uint64_t stmts_literal(struct stmts *t, struct span name, uint64_t batch);
/* At once, for a change of the name that was just made. */
void stmts_mark_literal(struct stmts *t, struct span name);
void stmts_no_literals(struct stmts *t);

#endif
