/* expect.h - the replies that a backend still owes, in the order in which they will come.
 * Source  PostgreSQL manual, "Message Flow", "Extended Query", "Pipelining".
 * Shape   a ring of items, one per message sent that has a reply; hidden ones are ours, the others the
 *         client's; local ones are replies that we make ourselves when their turn comes.
 * Owner   the backend.
 * Thread  the backend's worker.
 * Errors  expect_push returns -1 above EXPECT_MAX. */
#ifndef PROXY_BACKEND_EXPECT_H
#define PROXY_BACKEND_EXPECT_H

#include "proxy/base/check.h"

#include <stdbool.h>
#include <stdint.h>

#define EXPECT_MAX 65536u /* messages of one client in a pipeline without reading the replies */

enum expect_kind {
	EXPECT_PARSE,
	EXPECT_BIND,
	EXPECT_DESCRIBE,
	EXPECT_EXECUTE,
	EXPECT_CLOSE,
	EXPECT_SYNC,
	EXPECT_QUERY,
	EXPECT_FUNCTION,
	EXPECT_LOCAL, /* `local` holds the type of an empty-bodied message, '1' or '3'; 0 = CopyDone went out here, no reply */
};

/* What a hidden item is for. */
enum expect_why {
	WHY_CLIENT,    /* not hidden */
	WHY_IMAGE,     /* making the settings equal; a failure must not let the client's statement run */
	WHY_TRY,       /* .. with one that may be refused; index: its place in session.tried */
	WHY_BEGIN,     /* a deferred BEGIN; the same */
	WHY_PARSE,     /* parsing again what the client parsed elsewhere */
	WHY_UNDER,     /* the settings under which it did, and back */
	WHY_LEARN,     /* asking what the transaction has set */
	WHY_SNAPSHOT,  /* the snapshot in front of a fill */
	WHY_INSPECT,   /* asking for settings after the client changed them */
	WHY_PROBE,     /* asking what a tainted transaction left behind */
	WHY_INVENTORY, /* asking for the names of prepared statements behind that */
	WHY_SETTLE,    /* ROLLBACK, DISCARD ALL and the like */
	WHY_SEQUENCE,  /* DISCARD SEQUENCES in front of who must not see another client's */
	WHY_REPLAY,    /* what is left of a batch that is run again */
	WHY_REPLAY_ON, /* what prepares that */
	WHY_RESET,     /* puts the startup packet's value behind a RESET */
	WHY_ABORT,     /* fails, so that the transaction has */
	WHY_EVICT,     /* closing a prepared statement to make room */
	WHY_PART,      /* a Sync where the client has sent a Flush, or is silent */
	WHY_READ, /* the snapshot in front of a read whose rows may be written later; index: its place (marks.h) */
	WHY_CHECK, /* what looks at the rows in front of a write, or refuses it (check.h) */
	WHY_LISTEN, /* channels put onto the backend, asked for, or taken off it; what the listening connection sends */
	WHY_COPY, /* finds out which Syncs a COPY that has failed has ignored */
};

struct expect {
	uint8_t kind;
	uint8_t why;
	char local;
	bool again; /* PARSE, BIND: of a name in use, with a wrong number of values; tried under another name of ours in order to fail */
	bool refused;	/* PARSE: of a text that fails, for a statement that the client may not have */
	bool unsettles; /* may take prepared statements away, or make some by SQL (session.unsettling) */
	bool doubtful;	/* SYNC: a server in COPY FROM ignores it, but not behind a COPY that has failed */
	uint32_t
		index; /* INSPECT: which setting; PARSE, CLOSE: 1 + enum sys_stmt of our own statements; the client's BIND: 1 = to the
			 * unnamed portal; a doubtful SYNC: how many there are */
	uint64_t
		stmt; /* PARSE, CLOSE, BIND, DESCRIBE: id of the named statement, 0 = the unnamed one, or not ours */
	uint64_t change;  /* key of the session's change that this answers (stmts.h), 0 = none */
	uint64_t name_id; /* BIND, DESCRIBE: of the client's name for `stmt` (stmts_id) */
};

struct expects {
	struct expect *at; /* owned */
	uint32_t cap, head, n;
	uint32_t syncs;	  /* SYNC, QUERY and FUNCTION among them: how many ReadyForQuery are to come */
	uint32_t visible; /* not hidden */
	/* What ends with a ReadyForQuery, ever: an item belongs to the batch `batches_sent` of its time; the answers of those below
	 * `batches_done` have come. */
	uint64_t batches_sent, batches_done;
};

void expects_free(struct expects *q);
/* From now on it is hidden. */
void expect_hide(struct expects *q, uint32_t i, enum expect_why why);
/* The head is a COPY FROM that begins to read: the SYNCs behind it that went out before its CopyDone are doubtful from now on. Returns how
 * many; *done_r: the CopyDone is out. */
uint32_t expect_doubt_syncs(struct expects *q, bool *done_r);
/* The head's COPY has succeeded: what was doubtful was ignored. */
void expect_copy_done(struct expects *q);
/* What is doubtful at the head was ignored. */
void expect_drop_doubtful(struct expects *q);
/* Pops local items at the head without answering them: there is no client any more. */
void expect_skip_local(struct expects *q);

/* Is that batch behind a Sync, and not answered? */
static inline bool expect_in_flight(const struct expects *q, uint64_t batch)
{
	return batch < q->batches_sent && batch >= q->batches_done;
}

static inline bool expect_ends_with_ready(const struct expect *e)
{
	return e->kind == EXPECT_SYNC || e->kind == EXPECT_QUERY || e->kind == EXPECT_FUNCTION;
}

/* --- for each message that passes: inlined --- */

int expect_grow(struct expects *q);

static inline void expect_count(struct expects *q, const struct expect *e, int by)
{
	if (expect_ends_with_ready(e)) {
		q->syncs += (uint32_t)by;
		q->batches_sent += by > 0;
		q->batches_done += by < 0;
	}
	if (e->why == WHY_CLIENT)
		q->visible += (uint32_t)by;
}

static inline int expect_push(struct expects *q, const struct expect *item)
{
	if (q->n == q->cap && expect_grow(q) != 0)
		return -1;
	q->at[(q->head + q->n) & (q->cap - 1)] = *item;
	q->n++;
	expect_count(q, item, 1);
	return 0;
}

static inline struct expect *expect_at(const struct expects *q, uint32_t i)
{
	check(i < q->n);
	return &q->at[(q->head + i) & (q->cap - 1)];
}

/* NULL when empty. */
static inline struct expect *expect_head(const struct expects *q)
{
	return q->n == 0 ? NULL : &q->at[q->head & (q->cap - 1)];
}

static inline void expect_pop(struct expects *q)
{
	check(q->n > 0);
	expect_count(q, &q->at[q->head & (q->cap - 1)], -1);
	q->head = (q->head + 1) & (q->cap - 1);
	q->n--;
}

#endif
