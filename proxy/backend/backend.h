/* backend.h - one connection to PostgreSQL that runs clients' statements.
 * Source  PostgreSQL manual, "Message Flow"; docs/isolation.md.
 * Shape   connects, logs in, is lent to one session at a time, is settled (cancelled, rolled back, reset) and lent
 *         again. Knows neither cache nor SQL.
 * Owner   its pool; lives in one worker at a time.
 * Thread  its worker's.
 * Errors  a backend that fails tells its user (user_ops->on_closed) or its pool, then frees itself after the round. */
#ifndef PROXY_BACKEND_BACKEND_H
#define PROXY_BACKEND_BACKEND_H

#include "proxy/auth/login.h"
#include "proxy/backend/expect.h"
#include "proxy/backend/host.h"
#include "proxy/backend/prepared.h"
#include "proxy/backend/settings.h"
#include "proxy/net/conn.h"
#include "proxy/net/resolve.h"

enum backend_state {
#define S(id, what) BACKEND_##id,
#include "proxy/backend/states.def"
#undef S
};

/* The question of setup.c that is in work. */
enum setup {
	SETUP_DEFAULTS, /* of its login */
	SETUP_CODE,	/* what code the database has */
	SETUP_CONNECT,	/* connect_query */
	SETUP_BASE,	/* what that has set */
};

struct pool;
struct pool_target;

/* Who has it on loan. Called from the loop only. */
struct backend_user_ops {
	void (*on_input)(void *user);
	void (*on_output)(void *user);			      /* may be written to again */
	void (*on_closed)(void *user, const struct err *err); /* the backend is gone; forget it */
};

/* Statements of our own that a backend may hold. */
enum sys_stmt {
	SYS_BEGIN,
	SYS_COMMIT,
	SYS_SET,
	SYS_SET_LOCAL,
	SYS_SET_ROLE,
	SYS_PUT_BACK,
	SYS_PUT_BACK_UNLISTED,
	SYS_PUT_BACK_ROLE,
	SYS_SERVER_ENCODING,
	SYS_GET,
	SYS_GET_WAS_RESET,
	SYS_GET_CUSTOM,
	SYS_GET_ROLE,
	SYS_SNAPSHOT,
	SYS_RESET_ALL,
	SYS_DISCARD_SEQUENCES,
	NSYS_STMTS
};

/* What every pass touches comes first and lies together: it is few lines of the processor's cache then. */
struct backend {
	struct pool *pool; /* borrowed; outlives its backends */
	struct host *host; /* the worker it lives in */
	enum backend_state state;
	uint32_t
		stream_left; /* bytes of a long message that are still to come, its header already consumed */
	struct conn *conn;   /* owned */
	const struct backend_user_ops *ops; /* while lent */
	void *user;
	struct ring node;    /* in the pool's idle list, or alone */
	uint32_t generation; /* of its pool when it connected; one of an older is not lent */
	char status;	     /* of the last ReadyForQuery: I T E */
	bool ignoring;	     /* the server skips everything until Sync */
	bool reset_all; /* may have custom settings that nobody knows of: RESET ALL before the next session */
	bool temp_used; /* temporary objects were: nothing can change temp_buffers any more */
	bool dirty;	/* has state that only DISCARD ALL removes */
	bool broken;	/* close it instead of reusing it */
	bool copying_in;	 /* the server waits for CopyData */
	unsigned loans;		 /* so far */
	unsigned end_rounds;	 /* that free_later has waited for output to be flushed */
	struct later free_later; /* to the pool at the end of the round, never from inside a callback */
	uint64_t id;
	uint64_t born_us, idle_us; /* since when */
	uint64_t lent_us;	   /* the latest loan; 0 = none yet */
	uint64_t idle_limit_us;	   /* idle_session_timeout there: then the server ends it; 0 = never */
	const char *end_why;	   /* static; of an idle one that is being closed */
	uint64_t silent_us;	   /* since when the server waits for us, when nobody has it */
	struct expects expects;
	struct settings params; /* reported by ParameterStatus */
	struct settings
		image; /* what sessions, and connect_query, have set on it, differing from the defaults */
	struct settings
		customs; /* custom settings that are known to it, values unused: nothing can make them unknown again */
	struct prepared prepared;
	uint64_t unnamed;	/* id of the statement in the unnamed slot, 0 = none */
	uint64_t unnamed_batch; /* when that was sent (expect.h) */
	uint64_t
		seq_owner; /* session whose currval() and lastval() it holds; 0 = nobody's, UINT64_MAX = several */
	uint64_t seq_batch;		/* of the last DISCARD SEQUENCES (expect.h) */
	uint32_t sys_prepared;		/* bit per enum sys_stmt */
	uint32_t sys_doubtful;		/* the same: may still be there, or not */
	uint64_t sys_batch[NSYS_STMTS]; /* of their Parses (expect.h) */
	struct server_cancel *cancel;	/* owned: a cancel request on its way to the server */
	uint32_t pid;
	unsigned settle_cancels; /* how often its query has been cancelled again */
	struct timer timer;	 /* connect timeout, settle timeout */

	struct settings own_params; /* params when nobody had used it yet */
	struct settings defaults;   /* unreported ones asked at login: search_path, .. */
	struct settings base;	    /* what connect_query has set: every session begins with it */
	char code[33];		    /* hooks.h: which code the database has; "" = not known */
	enum setup setup;
	struct ring all;  /* in host->backends */
	struct mail mail; /* for moving between workers */
	struct host *move_to;

	struct pool_target *target;  /* counted: where it connected to */
	struct login *login;	     /* owned, during login */
	struct resolve_req *resolve; /* owned, while resolving */
	unsigned addr_at;
	unsigned server_at, servers_tried; /* of the hosts of its database */
	struct resolve_answer addrs;
	unsigned nsecret;
	uint8_t secret[256];
	struct err last_error;
};

/* backend.unnamed: some statement, nobody knows which. */
#define UNNAMED_UNKNOWN UINT64_MAX

/* Bytes of a message that is held whole; longer ones stream, or get room for once. */
#define BACKEND_INPUT_MAX (256u * 1024u)

/* Starts to connect; pool_backend_ready or pool_backend_failed follows. */
struct backend *backend_new(struct pool *pool, struct pool_target *target, struct host *host);
/* Shutdown: all of this worker, whatever they do. */
void backend_close_all(struct host *host);
/* Closes at once, without telling anybody; freed after the round. */
void backend_close(struct backend *b, const char *why);

/* Begin and end of a loan; between them input goes to the user. */
void backend_lent(struct backend *b, const struct backend_user_ops *ops, void *user);
/* Gives it back whatever its state: syncs, rolls back and resets as needed, then pool_backend_free. What still runs is
 * cancelled, or, without `cancel`, waited for (the client said goodbye behind it). */
void backend_give_back(struct backend *b, bool cancel);

/* Asks the server to cancel what runs now. The backend is not lent to anybody else before the request has
 * been dealt with. */
void backend_cancel(struct backend *b);

/* Appends bind+execute (and parse, the first time) of one of our statements, hidden. No Sync. */
int backend_sys(struct backend *b, enum sys_stmt id, const struct span *values, uint16_t n,
		enum expect_why why, uint32_t index);
/* The same through a portal of its own: the unnamed one may be the client's. */
int backend_sys_apart(struct backend *b, enum sys_stmt id, const struct span *values, uint16_t n,
		      enum expect_why why, uint32_t index);
/* It is there, should it ever be needed by name. */
int backend_sys_hold(struct backend *b, enum sys_stmt id, enum expect_why why);
const char *backend_sys_name(enum sys_stmt id);
/* What was just sent leaves that statement in the unnamed slot. */
void backend_unnamed(struct backend *b, uint64_t id);
/* Closes, hidden, all of our statements that it holds. */
void backend_sys_close(struct backend *b);
/* They may be gone by now: each is closed and made again before it is used. */
void backend_sys_doubt(struct backend *b);
/* How many of them are there, if nothing was taken away; and: nothing was. */
unsigned backend_sys_count(const struct backend *b);
void backend_sys_certain(struct backend *b);
int backend_sync(struct backend *b, enum expect_why why);
/* Appends a simple query, hidden. */
int backend_query(struct backend *b, const char *text, enum expect_why why);

/* b->image has changed. */
void backend_note_limits(struct backend *b);
/* Is the server about to end it because nobody has used it for so long? */
bool backend_overslept(const struct backend *b, uint64_t now);

/* Takes a ParameterStatus into b->params. */
int backend_note_param(struct backend *b, struct span body);
/* The major version of PostgreSQL, 15; 0 = it has not said it. What is older than HOOKS_VERSION_MIN is refused at the login. */
int backend_version(const struct backend *b);
/* Does what follows an Execute without a Sync, also a simple query, run in an implicit block that only a Sync ends? (PostgreSQL 18) */
bool backend_pipelines_are_blocks(const struct backend *b);

/* What a message of the server means for the queue of replies. */
enum reply_step {
	REPLY_ASYNC, /* Notice, ParameterStatus, Notification: belongs to no request */
	REPLY_PART,  /* more of the head's reply is to come */
	REPLY_LAST,  /* ends the head's reply; call backend_reply_done when handled */
	REPLY_ERROR, /* ErrorResponse of the head; backend_reply_done skips what the server skips */
	REPLY_BAD,   /* breaks the protocol */
};
enum reply_step backend_reply(struct backend *b, char type);
/* Pops what `step` of message `type` ended. dropped(arg, item) is called for each request that the server skips. */
void backend_reply_done(struct backend *b, char type, enum reply_step step,
			void (*dropped)(void *arg, const struct expect *item), void *arg);
/* The same for REPLY_LAST, with a head. */
static inline void backend_answered(struct backend *b)
{
	struct expect *head = expect_head(&b->expects);

	if (head->kind == EXPECT_PARSE && head->stmt != 0)
		prepared_confirmed(&b->prepared, head->stmt);
	else if (head->kind == EXPECT_CLOSE && head->why == WHY_EVICT)
		prepared_forget(&b->prepared, head->stmt);
	expect_pop(&b->expects);
}

#endif
