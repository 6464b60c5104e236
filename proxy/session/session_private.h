/* session_private.h - the inside of a session, for the files of this folder.
 * Source  see session.h.
 * Shape   one struct; every file of the folder has one part of its behaviour.
 * Owner   session.c makes and frees it.
 * Thread  its worker's.
 * Errors  - */
#ifndef PROXY_SESSION_SESSION_PRIVATE_H
#define PROXY_SESSION_SESSION_PRIVATE_H

#include "proxy/auth/gate.h"
#include "proxy/backend/custom_names.h"
#include "proxy/base/log.h"
#include "proxy/session/batch.h"
#include "proxy/session/cancel.h"
#include "proxy/session/check.h"
#include "proxy/session/context.h"
#include "proxy/session/rows.h"
#include "proxy/session/session.h"
#include "proxy/session/stmts.h"
#include "proxy/session/wishes.h"

enum session_state {
#define S(id, step, limit, what) SESSION_##id,
#include "proxy/session/states.def"
#undef S
	NSESSION_STATES
};

enum step { STEP_AGAIN, STEP_WAIT };

/* Where the client's transaction is. */
enum txn {
	TXN_NONE,    /* none is open */
	TXN_VIRTUAL, /* BEGIN was answered, no backend knows of it yet */
	TXN_REAL,    /* open on the backend */
};

/* What is known of the Syncs of a client that copies in (copy.c). */
enum copy_syncs {
	COPY_CERTAIN, /* nothing is in doubt */
	COPY_SENT,    /* one went out behind what may be a COPY FROM: until that is known nothing follows */
	COPY_SYNCED, /* some went out that the server ignores, should the COPY not fail; until it ends only CopyData follows */
	COPY_FAILED, /* it has failed, and how many it has ignored is to be asked */
	COPY_ASKED,  /* .. and is asked */
};

/* What has succeeded that may have been a RESET. */
enum reset_done {
	RESET_NONE,
	RESET_PERHAPS, /* a SET, perhaps to DEFAULT */
	RESET_DONE,    /* of some setting, or of all */
	RESET_OF_ALL,  /* DISCARD ALL */
};

/* Why a session keeps its backend after a transaction; bits of session.pins. */
enum pin {
#define PIN(id, name) PIN_##id,
#include "proxy/session/pins.def"
#undef PIN
	NPINS
};

/* What was decided about the statement in work. */
enum outcome { OUTCOME_OWN, OUTCOME_HIT, OUTCOME_MISS, OUTCOME_PASS };

struct entity_deps;
struct shown;
struct wanted;

/* What an answer on its way into the cache depends on. */
struct deps {
	uint64_t keys[LEASE_KEYS + LEASE_OTHERWISE];
	unsigned nkeys;	 /* with the notherwise ones */
	unsigned nrules; /* that many of the keys are replaced by rows of the answer */
	struct rows_rule rules[READS_RULES_MAX];
	struct shown *shown;	    /* owned; which rows the answer will show; NULL = nobody keeps them */
	struct entity_deps *entity; /* owned; NULL = the cache keeps no rows of the answer (entity.c) */
	struct lease lease;
	struct snapshot s0; /* fill.have_s0 */
	struct buf answer;
};

/* An answer on its way into the cache. */
struct fill {
	bool on;
	bool spoiled; /* something came that must not be stored */
	bool leading; /* flight_done has to be called */
	bool alone;   /* for the transaction's own context, not for the cache */
	bool have_s0;
	uint64_t statement; /* its number in the top list */
};

struct listening;
struct peer_cancel;

/* What only the login needs. */
struct arrival {
	struct session *session;
	struct buf welcome_key;	       /* startup parameters, name NUL value NUL .. */
	bool wished[NWISHES];	       /* by the startup packet .. */
	struct wish_values wish_start; /* .. and its values */
	struct settings refused; /* values unused: what the server does not take, but can go on without */
	char *bad_wish;		 /* owned: what the startup packet may not ask for */
	char *notice;		 /* owned: of a name in it that was too long */
	bool direct;		 /* TLS began without a request for it */
	struct later handing;	 /* to the console, when the login's messages are out */
	unsigned handing_rounds;
};

struct session {
	struct ring node; /* in house->sessions */
	struct house *house;
	struct conn *client; /* owned */
	enum session_state state : 8;
	enum session_door door : 8;
	enum outcome outcome : 8;
	enum reason outcome_reason : 8; /* of OUTCOME_PASS */
	unsigned unsettling;		/* statements on their way that may make or take names by SQL */
	uint64_t since_us;		/* in this state */
	uint64_t statement_us;		/* when the statement in work arrived; 0 = none */
	uint64_t xact_us;		/* when the first statement of the transaction arrived; 0 = none */
	uint64_t request_us;		/* when the latest statement arrived */
	uint64_t waited_us, proof_us;	/* for a backend, for the proof */
	struct stmt *latest;		/* counted: its text, when log_min_duration_statement asks for it */
	char *peer;			/* owned: address of the client */
	uint64_t born_us;
	uint64_t received, sent; /* bytes of the client that are counted already */
	struct tally *tally;	 /* borrowed from the pool; NULL until it is known */
	uint64_t id;

	/* --- who it is --- */
	char *database, *user; /* owned */
	char *replication;     /* owned; NULL = an ordinary session, else a walsender's */
	uint32_t version;      /* protocol 3.0 or 3.2 */
	uint32_t number;       /* cancel key's, 0 = none */
	bool counted;	       /* in house->nclients */
	bool console;	       /* of the console's databases */
	bool own;	       /* on a unix socket, the same system user as ours */
	bool running;	       /* session_run is on the stack */
	bool welcome_learning; /* the backend on loan is being asked what its startup parameters mean */
	struct peer_cancel *peer_cancel; /* borrowed: what CANCEL waits for */
	struct config *config;		 /* counted: of its login, or of a reload since (renew.c) */
	struct pool_target *target;	 /* counted: of its login; NULL until it has a pool */
	const struct policy *policy;	 /* borrowed from it */
	struct pool *pool;		 /* borrowed */
	struct served *served;		 /* counted; NULL = not cached */
	struct gate *gate;		 /* owned, during login */
	struct arrival *arrival;	 /* owned, during login */

	/* --- session image --- */
	struct settings startup; /* canonical values of the startup parameters: what RESET goes back to */
	struct settings image;	 /* what it has set, startup parameters included */
	struct settings params;	 /* what the client was told by ParameterStatus */
	struct settings tried;	 /* what is being put onto the backend that it may refuse (tries.c) */
	uint64_t link_batch;	 /* the batch that begins behind the commands of `linking` (expect.h) */
	uint64_t image_id;	 /* number of the settings that literals are parsed under (image_ids.h) */
	struct meaning *meaning; /* counted: the same (under.c); NULL = to be made */
	struct meaning *
		txn_meaning; /* counted: while a transaction may have changed them; NULL = nobody has asked */
	struct meaning *learning; /* counted: those that the backend is being asked for, in their order */
	struct settings changed; /* what this transaction may have set of them, also locally; values unused */
	struct pool_defaults *defaults; /* counted: of its login */
	uint32_t idle_limit_ms,
		idle_txn_limit_ms; /* idle_session_timeout and its like in a transaction; 0 = none */
	bool linked;		   /* the backend on loan has had the session's settings since it was lent */
	bool unanswered;  /* one of the questions in `asked` has met a timeout: they are asked again */
	uint8_t attempts; /* to do so, or to put the settings onto a backend */
	bool linking;	  /* the commands that make the backend's settings equal are not answered yet .. */
	bool held;  /* .. and nothing of the client goes out before; else not what is behind its first Sync */
	bool picky; /* some backends cannot have its image (tries_fit) */
	bool binds_change; /* a statement that changes settings, or ends the transaction, was bound since the last Sync */
	bool hooks; /* statements of this database may run code that changes the session unseen (hooks.h) */
	bool schema_changed; /* DDL in this transaction, or text that may be */
	bool code_changed;   /* the same without a feed that tells of it: the pools look anew */
	bool logins_changed; /* who logs in next may be another one, or begin with other settings */
	bool certain;	     /* our analysis reads texts as the server does (facts_certain) */
	bool certain_plain;  /* .. those without a backslash */
	bool same_encoding;  /* client_encoding = server_encoding */
	bool read_committed; /* default_transaction_isolation */
	struct stmts stmts;
	struct stmt *parsing;	 /* counted: of the last named Parse that was forwarded */
	uint64_t parsing_number; /* its number on the backend */
	bool begin_extended; /* the client has sent its BEGIN by the extended protocol, and no query since */
	bool begin_portal;   /* the unnamed portal is still that of the deferred BEGIN, or another of ours */
	bool query_failed;   /* a simple query has, in this transaction block */
	bool bound;	     /* a Bind was sent since the last Sync */
	bool bound_unnamed;  /* .. to the unnamed portal */
	bool ran;	     /* a Bind or an Execute was sent since the last Sync */
	bool binds_unsettle; /* one of them was bound since the last Sync */
	bool flushed;	     /* a Flush was sent for what is held back */
	uint8_t resetting;   /* RESETs that were bound, and have not run */
	bool restore_due; /* one has been sent: nothing follows before the startup packet's values are there again */
	bool forgets;		   /* what takes away all prepared statements was bound since the last Sync */
	struct stmt *deallocating; /* counted: the newest of them */
	int deallocating_at;	   /* the next of its statements that may be a DEALLOCATE */
	unsigned pins;
	uint16_t
		lasting_pins; /* LOAD was seen, or code that keeps something in the server process: nothing can take that back */
	bool pin_counted;  /* in its pool */
	bool over_pinned;  /* max_pinned is reached: it has to go */
	bool settings_pin; /* it has more settings than an image holds: only its backend has them all */
	struct listening
		*listen; /* owned: channels and notifications (listen.h); NULL until its first LISTEN */

	struct wishes wishes; /* pgweir's own settings */
	bool seq_asks;	      /* it has read currval() or lastval() */
	bool seq_used_now;    /* this transaction may have advanced a sequence */
	bool queried; /* something of this transaction was answered here for which PostgreSQL takes a snapshot; stands here so that the session is no larger */
	unsigned seq_uses;	    /* transactions that may have, up to a few */
	enum reset_done reset_done; /* since the last ReadyForQuery */

	/* --- transaction --- */
	enum txn txn;
	uint64_t txn_since_us; /* when it was opened */
	uint64_t served_us;    /* when a backend's ReadyForQuery was delivered */
	struct stmt *begin;    /* counted: text of the deferred BEGIN */
	bool owed_ready; /* its last messages have no ReadyForQuery, but are answered: PostgreSQL does not call that idle */
	char status;	  /* what the client was told last: I T E */
	bool clean;	  /* everything in this transaction so far is proven harmless */
	bool above_rc;	  /* this transaction's isolation is above READ COMMITTED, or not known */
	uint32_t effects; /* of all statements since the last transaction end */
	struct settings
		defined; /* custom settings that it has made known, and that are empty; values unused */
	struct settings unknowns;   /* custom settings that it has asked for without having set them */
	struct settings touched;    /* names that may have changed, values unused */
	struct settings inspecting; /* names that the backend is being asked for */
	struct settings probed;	    /* settings that the probe has shown so far */
	bool probing;		    /* the probe's answer is still to come */
	bool probe_tainted;	    /* .. and is about code that was not seen */
	unsigned probed_pins, probed_statements;
	uint32_t asked; /* questions to the backend that are not answered yet */

	/* --- backend --- */
	struct backend *backend; /* on loan, NULL = none */
	struct lend lend;
	bool wait_notified; /* query_wait_notify: said for this wait */
	bool lending;	    /* lend.fn is still to come */
	bool unsynced;	    /* messages of the extended protocol were forwarded since the last Sync */
	enum copy_syncs copy;
	bool copies;	      /* what may be a COPY FROM is on its way */
	bool copy_open;	      /* the server has begun with one, and has not told its end */
	uint32_t client_left; /* bytes of a long message that are still to be forwarded */
	bool client_skip;     /* .. to be thrown away instead */
	bool left_unread;     /* .. and is of a text that nobody has analysed */
	bool parting; /* a Sync of ours stands for the client's Flush; until its answer nothing is forwarded */
	bool skipping;	   /* an error came, and the Sync that ends it is still to come from the client */
	bool cancel_waits; /* a cancel request, until the server runs something of the client's */
	bool quiet_waits;  /* for a cancel request that is still on its way to the server */
	bool server_gone;  /* the server's own FATAL has been passed on */
	bool goodbye;	   /* the client has sent Terminate: what is under way is not cancelled */

	/* --- cache --- */
	struct fresh_wait fresh_wait;
	struct flight_wait flight_wait;
	/* The search path, the role, what is the same in the keys of all its statements, then the rest of the one in work (key.c). */
	struct buf key;
	uint32_t key_path_n, key_role_n, key_prefix_n;
	bool flight_waiting;
	bool followed;	   /* the statement in work has waited for another client's fill */
	bool dep_rels_cut; /* there are more than fit */
	bool fill_wanted;  /* the statement in work is to be filled */
	bool pass_only;	   /* the statement in work was decided to go to PostgreSQL */
	bool unproven;	   /* the proof for it came too late */
	bool replaying;	   /* nothing of the answer of what replay.c has kept was delivered */
	/* Waits for its proof: what was found, and for which statement; both counted. */
	struct entry *proof_entry;
	struct stmt *proof_stmt;
	uint32_t dep_rels[16]; /* that the statement in work reads */
	unsigned ndep_rels;
	unsigned context_changed; /* of this transaction, or the last one */
	struct deps *deps;	  /* owned; from a miss to the end of its fill */
	uint64_t dep_epoch;
	uint64_t block_epoch; /* the cache's, before its transaction began on the backend */
	uint64_t
		floor_us; /* clock_us() of the last answer that came from PostgreSQL: no hit may be older (bounded) */
	struct context *context;   /* owned; of this transaction, once it is wanted */
	struct checking *checking; /* owned; what this transaction has read (check.h), once it is wanted */
	struct fill fill;

	/* --- a batch that may have to run again (replay.c) --- */
	struct replay *replay; /* owned; NULL until there was one */
};

/* session.c */
void session_free_after_mail(struct session *s); /* closed, but a loan or a flight was still on its way */
bool session_lent_too_late(
	struct session *s,
	struct backend *b); /* is it closed? Then the loan (NULL = it failed) is dealt with */
void session_run(struct session *s);
void session_arrived(struct session *s); /* what only the login needed goes */
void session_close(struct session *s, const char *why) __attribute__((cold));
void session_enter(struct session *s, enum session_state state);
/* FATAL error to the client, then close. */
void session_fatal(struct session *s, const char *sqlstate, const char *message, const char *hint)
	__attribute__((cold));
struct log_who session_who(const struct session *s);
void session_vanish_backend(struct session *s); /* gives a backend back whatever its state */

/* account.c: counters and durations */
void account_begin(struct session *s);		/* a statement has arrived */
void account_answered(struct session *s);	/* its answer is on its way */
void account_xact(struct session *s);		/* a transaction has ended */
void account_answered_alone(struct session *s); /* both: the statement was a transaction of its own */
void account_ready(struct session *s, uint64_t now,
		   bool xact); /* the first, or both, for one who has read the clock */
void account_text(struct session *s, struct stmt *stmt); /* the statement in work is that one */
void account_outcome(struct session *s, enum outcome outcome);
void account_traffic(struct session *s); /* bytes since the last time */
void account_pass(struct session *s, enum reason reason);

/* console.c */
void console_begin(struct session *s); /* does it want the console? */
void console_handing(struct later *later);
void console_hand_over(struct session *s);

/* slow_log.c */
void slow_log(struct session *s, uint64_t took_us);

/* startup.c */
enum step step_hello(struct session *s);
enum step step_auth(struct session *s);
enum step step_gate(struct session *s);
enum step step_welcome(struct session *s);
void startup_tls_done(struct session *s);
/* The backend lent in WELCOME has answered everything. */
void welcome_learned(struct session *s);
void startup_deliver_cancel(struct session *s);
/* `cancel_waits`: may it go now? */
void startup_cancel_again(struct session *s);
/* Another backend has to tell. false = that was tried often enough. */
bool welcome_again(struct session *s);

/* ready.c: a statement arrives while no reply is outstanding */
enum step step_ready(struct session *s);
void ready_lent(struct session *s);   /* a backend is there for the batch in the input */
void ready_linked(struct session *s); /* .. and has its settings: `held` ends */
/* The settings could not be put there for a timeout: the backend goes, and the request in the input gets another one. */
void ready_again(struct session *s);
#define READY_ATTEMPTS 10

/* serve.c: the cache's part */
enum serve { SERVE_PASS, SERVE_WAIT, SERVE_DONE, SERVE_FILL };
enum serve serve_decide(struct session *s, const struct batch *batch);
void serve_fresh(struct fresh_wait *w, enum fresh_result result);
void serve_flight(struct mail *mail, void *ctx);
void serve_leave(struct session *s);	   /* stops waiting */
void serve_key_changes(struct session *s); /* what goes on under its old key ends */
/* The parameters of an execution (`bind` NULL = a simple query), with the literals of the text, which live in the house's scratch; how
 * many, or -1. */
#define SERVE_PARAMS_MAX 256
int serve_params(struct session *s, const struct stmt *stmt, const struct front_bind *bind,
		 struct reads_param params[SERVE_PARAMS_MAX + LITERALS_MAX]);

/* limits.c */
/* It is busy, but its own backend hears so little of it that the server might take it for idle. */
bool limits_backend_dozes(const struct session *s);

/* key.c: the key of an answer in the cache */
/* What the session contributes has changed. The settings that belong to the key are added between these two. */
struct buf *key_settings_begin(struct session *s, struct span path, struct span role);
void key_settings_end(struct session *s);
/* As given to the latest of them: how names are resolved, and for whom. false = there can be no key. */
bool key_reads(const struct session *s, struct reads_session *rs_r);
/* The statement's part is added to what this returns; NULL when there can be no key. */
struct buf *key_statement(struct session *s);
void key_add(struct buf *b, struct span v);
struct span key_span(const struct session *s); /* of the statement in work */
void fill_begin(
	struct session *s); /* the backend is there, its image equal: register and ask for the snapshot */
void fill_tee(struct session *s, struct span bytes);
void fill_end(struct session *s); /* ReadyForQuery of the filled statement */
void fill_drop(struct session *s);

/* repeat.c: answers that a transaction is given again */
struct context *repeat_context(struct session *s); /* of this transaction; NULL = not wanted */
bool repeat_goes_on(const struct session *s);	   /* although it may have written */
void repeat_keep_hit(struct session *s, struct entry *e, const struct wanted *w);
void repeat_keep_made(struct session *s, struct blob *blob); /* by repeat_rows_answer */
void repeat_keep_fill(struct session *s, struct blob *blob, bool stored);
/* A statement that is not proven harmless is sent; NULL = not known. */
void repeat_wrote(struct session *s, struct stmt *stmt, uint32_t effects);
unsigned repeat_changed(struct session *s);
void repeat_end(struct session *s);

/* repeat_rows.c: rows that it was shown answer other statements that ask for them by key */
/* Counted; NULL = not all is known. */
struct blob *repeat_rows_answer(struct session *s, const struct wanted *w);
/* Before a fill leaves: its rows will be kept. */
void repeat_rows_note(struct session *s, const struct wanted *w, const struct reads_param *params,
		      uint16_t nparams);
/* Keeps the rows of an answer. false = not all fit. */
bool repeat_rows_hit(struct session *s, const struct blob *blob, const struct wanted *w);
bool repeat_rows_fill(struct session *s, const struct blob *blob);

/* local.c: what is answered without a backend and without the cache */
bool local_answer(struct session *s, struct batch *batch);
void local_ready(struct session *s);
int stmts_add_settled(struct session *s, struct span name, struct stmt *stmt);
bool touches_our_names(const struct facts *f);
#define OUR_NAMES_ERROR "prepared statements named pgweir_* belong to the proxy"
void local_error(struct session *s, const char *sqlstate, const char *message);

/* own.c: settings of our own */
/* A startup parameter; what is wrong with it is kept in s->bad_wish. -1: no memory. */
int own_startup(struct session *s, const char *name, struct span value);
bool own_text(const struct facts *f); /* sets or shows one */
bool own_answer(struct session *s, struct batch *batch);
/* A text for the server that raises the error. */
void own_raise_text(struct buf *b, const char *sqlstate, const char *message, const char *hint);
enum own {
	OWN_NOT,       /* forward it */
	OWN_WAIT,      /* until nothing is outstanding: it is answered here then */
	OWN_MISPLACED, /* in the middle of a pipeline */
};
enum own own_forwarded(struct session *s, const struct facts *f);

/* forward.c: client -> backend */
/* Forwards messages of the input as long as there are any and both sides can take them. false = the session was closed. */
bool forward_input(struct session *s);
enum step step_busy(struct session *s);
/* All that the client has sent since its last Sync is answered and it is silent: if that leaves nothing on the server that a Sync
 * would end, the backend gets one, so that it need not be kept until the client's. */
void forward_part(struct session *s);

/* A reply of ours in its place in the order. */
int expect_local(struct session *s, char type, uint64_t change);
void forward_synced(struct session *s); /* a Sync of the client counts */

/* copy.c: Syncs of a client that copies in */
void copy_note(struct session *s, const struct stmt *stmt); /* about to be run; NULL = not known */
int copy_sync(struct session *s);			    /* one goes out. -1: too many messages */
void copy_begins(struct session *s);			    /* CopyInResponse has come */
void copy_ends(struct session *s);			    /* .. and CommandComplete */
void copy_failed(struct session *s);			    /* .. or an error */
bool copy_holds(struct session *s); /* is it to be known first what has become of those that are out? */
void copy_asked(struct session *s); /* the answer to a Sync of ours */

/* hold.c: which statements the backend holds for the client's names */
enum hold { HOLD_DONE, HOLD_WAIT, HOLD_TOO_MUCH };
/* Is it known what the name stands for, and that the backend holds it? If not: hold_wait, and come back with more answers. */
bool hold_certain(struct session *s, struct span name);
bool hold_sql_certain(struct session *s, const struct facts *f);
/* Is it the unnamed one, and has this batch parsed it itself, so that there is nothing to ask and nothing to make? */
bool hold_just_parsed(const struct session *s, struct span name);
void hold_wait(struct session *s);
struct span hold_server_name(struct session *s, struct span name, char out[PREPARED_NAME_MAX],
			     struct expect *e);
/* Does the backend hold what the name stands for? */
bool hold_held(struct session *s, struct span name);
/* `message`: the client's, which the server may get as it is; empty = it may not. */
enum hold hold_parse(struct session *s, struct span name, struct stmt *stmt, struct span message);
/* In the place of a Parse one that fails, with 54000 for the client. -1: too many messages. */
int hold_refuse(struct session *s);
int hold_close(struct session *s, struct span name);
/* A text in the client's encoding for sure? If not, PostgreSQL has to look at it (22021). */
bool hold_name_sound(const struct session *s, struct span name);
/* SQL that names prepared statements, or may. */
bool hold_unsettles(const struct facts *f);
void hold_for_sql(struct session *s, const struct facts *f);
void hold_deallocated(struct session *s);
bool hold_sql_names(const struct session *s);
/* A statement goes to the backend. Where it looks at pg_prepared_statements other clients' statements go from it; true = so have ours to,
 * with backend_sys_close(), when all that stands in front of it has been sent. */
bool view_hide_others(struct session *s, const struct stmt *stmt);
#define HOLD_NO_SUCH "pgweir_sys_none"		     /* a name that no backend has */
#define HOLD_REFUSED "pgweir refuses this statement" /* no SQL */

/* under.c: the settings under which statements are parsed */
struct meaning *under_settled(
	struct session *s); /* borrowed: what the session has, but for its transaction */
/* Borrowed: what that text is parsed under now. */
struct meaning *under_now(struct session *s, const struct stmt *stmt);
/* The number of a statement that is parsed now, for all who parse it under the same settings and schema. */
uint64_t under_number_now(const struct session *s, const struct meaning *m, struct stmt *stmt);
/* It has just got its number for a Parse that happens now. */
void under_note_types(struct session *s, struct parsed *p, struct stmt *stmt);
/* Are its parameters of the types that these reads take them for? When nobody knows, it is made again the next time it goes to a backend. */
bool under_types_hold(struct session *s, struct parsed *p, struct stmt *stmt, const struct reads *reads);
void under_refresh(struct session *s);		      /* the image has changed */
void under_note(struct session *s, const char *name); /* this transaction may change it */
void under_moves(struct session *s);		      /* .. from here on, or back */
void under_synced(struct session *s);
bool under_bound(struct session *s, const struct facts *f); /* its Execute may do that */
/* Behind a first Parse: what its settings are is asked, should it not be known. */
void under_learn(struct session *s, struct meaning *m, const struct stmt *stmt);
/* Is it known what is set now, for a statement that was parsed before? If not: hold_wait. */
bool under_known(struct session *s, const struct parsed *p, const struct stmt *stmt);
void under_row(struct session *s, uint32_t index, const struct span *value);
void under_answered(struct session *s, bool skipped);
/* Are the settings of now others than those that it has to be parsed under? */
bool under_others(struct session *s, const struct parsed *p, const struct stmt *stmt);
/* Its number for the settings of now. */
uint64_t under_number(struct session *s, struct parsed *p, struct stmt *stmt);
bool under_same(struct session *s, struct parsed *p,
		struct stmt *stmt); /* would it mean the same, parsed now? */
/* Sends the Parse under its settings (`p` NULL: those of now); *e is expected for it, NULL: by the caller. */
void under_parse(struct session *s, struct span name, const struct parsed *p, struct stmt *stmt,
		 const struct expect *e);
void under_end(struct session *s); /* of the transaction */
void under_free(struct session *s);

/* standin.c: about a statement that the backend does not hold. true = STANDIN_NAME is asked instead. */
/* A Bind, `body`, that has a wrong number of values. */
bool standin_bind(struct session *s, struct span name, const struct stmt *stmt, struct span body,
		  struct expect *e_r);
bool standin_describe(struct session *s, struct span name, const struct stmt *stmt);
#define STANDIN_NAME "pgweir_sys_standin"

/* inventory.c: what the backend holds prepared, behind a probe */
bool inventory_right(struct session *s); /* is our record what the probe has counted? */
int inventory_take(struct session *s);	 /* asks */
void inventory_row(struct session *s, struct span name);
void inventory_done(struct session *s);

/* rename.c: an error that has one of our names in it goes to the client with its own, that of hold_refuse as ours. true = done. */
bool rename_error(struct session *s, const struct expect *head, struct span body);

/* renew.c: the configuration of the last reload, if that can be now */
void session_renew(struct session *s);
void session_renew_feed(struct session *s); /* when the one that it goes by has ended */

/* sequence.c: currval() and lastval() */
/* Before a statement of these effects is sent. */
void sequence_note(struct session *s, uint32_t effects);
/* Is it known whether the backend holds other clients' values? If not: hold_wait. */
bool sequence_certain(const struct session *s, const struct facts *f);
/* A simple query to PostgreSQL 18, where what stands in front of it must be a transaction of its own: only known to be possible when the
 * client's earlier ones are answered. If not: hold_wait. */
bool sequence_must_wait(const struct session *s);
/* After a transaction: pins the session if it may ask again, or no longer. */
void sequence_keep(struct session *s);
/* Is it idle, and keeps its backend for nothing but such values? Then it can do without. */
bool sequence_only(const struct session *s);
void sequence_let_go(struct session *s);

/* keepers.c: code that keeps something in the server process */
bool keepers_met(const struct session *s,
		 const struct stmt *stmt);   /* may a statement that taints run such code? */
bool keepers_known(const struct session *s); /* .. one that nobody can read? */

/* customs.c: settings like app.x */
bool customs_known(const struct session *s, const char *name); /* to this client */
/* As it was first set: so PostgreSQL shows it. */
#define CUSTOMS_SPELLING 256
void customs_spelling(const struct session *s, const char *name, char out[CUSTOMS_SPELLING]);
void customs_note_words(struct session *s, struct span bytes); /* of a statement that may set them unseen */
void customs_note_long(struct session *s, struct span text);   /* of which nothing else is known */
void customs_note_code(struct session *s);
/* What a setting is after a transaction. true = it is dealt with. */
bool customs_learned(struct session *s, const char *name, const char *mark, const struct span *value);
bool customs_defined_here(const struct session *s);
void customs_define(struct session *s); /* between BEGIN and COMMIT of the image */
void customs_ask(struct session *s, const struct batch *batch);
bool customs_fits(const struct lend *lend, const struct backend *b);

/* vacate.c: statements for which a database must have no connections */
bool vacate_begin(struct session *s, const struct batch *batch); /* true = the session waits */
void vacate_look(struct session *s, uint64_t now);		 /* has it waited for long enough? */

/* replay.c: a cached plan that is out of date */
void replay_keep(struct session *s, const struct batch *batch); /* before the batch is forwarded */
void replay_sent(struct session *s);				/* the next message is the batch's first */
void replay_begin_sent(struct session *s, struct stmt *begin);
bool replay_described(const struct session *s); /* the batch asks for the columns of its rows */
bool replay_possible(const struct session *s, const struct expect *head);
void replay_prepare(struct session *s); /* instead of delivering the error of the head */
void replay_go(struct session *s);	/* the failed batch's ReadyForQuery has come */
void replay_free(struct session *s);

/* relay.c: backend -> client */
extern const struct backend_user_ops relay_ops;
void relay_input(struct session *s);
/* Sends the local replies whose turn it is. */
void relay_locals(struct session *s);
/* Looks whether nothing is outstanding; true = the session is not busy any more. */
bool relay_quiet(struct session *s);

/* image.c, image_link.c, image_ask.c */
void image_link(struct session *s); /* pipelines what makes the backend's settings equal */
/* Tells the client what its backend reports differently. `changing`: what image commands still to be sent change is left out: now it
 * is another client's value. */
void image_tell_params(struct session *s, bool changing);
#define IMAGE_UNSHOWN "seed" /* a setting that can be set but not asked for: it is in no image */
/* `block`: its own text, or an implicit one of the extended protocol, may have begun the transaction block that it stands in. */
void image_note(struct session *s, const struct stmt_facts *f, bool block);
void image_block_ended(struct session *s);  /* what was reset for it alone is not any more */
void image_note_unknown(struct session *s); /* a text that is not understood */
/* After a transaction: asks for what has changed; true = answers are outstanding. */
/* Asks what has become of these settings, then Sync; the answers come by image_inspected, in the server's encoding. */
void image_ask(struct session *s, const struct settings *of);
bool image_inspect(struct session *s);
/* A question has met a timeout. true = image_ask_again is to be called when the others have been answered. */
bool image_unanswered(struct session *s);
void image_ask_again(struct session *s);
#define IMAGE_ASKS \
	100 /* each a round trip: with statement_timeout = 1ms on a busy machine some of ten may be lost */
/* `real`: pg_settings has it. */
void image_inspected(struct session *s, uint32_t index, struct span row, bool null, bool real);
void image_probed(struct session *s, char kind, struct span name, struct span value);
void image_inspect_done(struct session *s, bool probe);
/* s->pins have changed: max_pinned. */
void image_count_pin(struct session *s);
/* The value that a parameter, now `value` on the backend, goes back to by a RESET of this transaction, if that is not the backend's
 * default; NULL = not so. */
const char *image_reset_value(const struct session *s, struct span name, struct span value);
/* Behind a RESET: the startup packet's values, where the backend has its defaults. `sync`: with a Sync of ours; false = nothing to do. */
bool image_put_back(struct session *s, bool sync);
bool image_was_reset(const struct session *s); /* some of them */
void image_synced(struct session *s);	       /* the backend's image is equal now */
/* SET on the backend on loan, value NULL = back to its default; the answer comes for `why` and `index`. */
void image_put(struct session *s, const char *name, const char *value, enum expect_why why, uint32_t index);
/* The same for the roles that the backend's image has, which it goes on to have. */
void image_put_roles_back(struct session *s, enum expect_why why, uint32_t index);

/* image_key.c */
void image_key_refresh(struct session *s);
bool image_parse_setting(const char *name); /* a part of image_id */
/* Refreshes certain, same_encoding and read_committed after params or image have changed. */
void image_note_params(struct session *s);

/* Has what the client sends next to wait for the outcome of image_link? */
static inline bool image_holds(const struct session *s)
{
	return s->linking && (s->held || s->backend->expects.batches_sent > s->link_batch);
}

/* tries.c: settings that a backend may refuse */
bool tries_library(const struct backend *b, const char *name); /* may it be of a library? */
bool tries_setting(const struct backend *b, const char *name); /* is it dealt with there? */
/* In front of the commands of image_link. `apart`: the backend speaks another encoding than the server's, before and behind that. true =
 * something was sent. */
bool tries_link(struct session *s, bool *apart);
/* One of them has failed, which is the head. true = the client has been warned, and goes on without. */
bool tries_refused(struct session *s, const struct expect *head, struct span body);
/* A login's image without those. -1: no memory. */
int tries_learned(struct session *s, struct settings *image);
/* Can the backend have that image? */
bool tries_fit(const struct settings *image, const struct backend *b);
bool tries_picky(const struct settings *image); /* is that a question? */

/* local.c */
/* Under which circumstances (pool, settings, catalog) a Parse that succeeded would succeed again. Never 0. */
uint64_t parse_circumstances(const struct session *s);

/* txn.c */
/* Is its text what it looks like? */
bool txn_text_certain(const struct session *s, const struct stmt *stmt);
/* Nothing of the client is in the transaction that the server would run its next statement in. */
bool txn_stands_alone(const struct session *s);
void txn_note(struct session *s, struct stmt *stmt); /* a statement goes to the backend */
void txn_note_unknown(struct session *s);
/* Triggers, rules, views and defaults can change the session unseen, if the database has code of that kind at all. */
bool txn_runs_hidden_code(struct session *s, struct stmt *stmt);
void txn_begin_virtual(struct session *s, struct stmt *begin);
void txn_materialise(struct session *s);
void txn_ready(struct session *s, char status);	 /* ReadyForQuery delivered to the client */
void txn_parted(struct session *s, char status); /* .. or hidden from it: forward_part */
/* BEGIN is to be sent once more: the backend's transaction is gone. */
void txn_virtual_again(struct session *s, struct stmt *begin);
/* The transaction on the backend fails at once, as the client's has. */
void txn_fail(struct session *s);
void txn_end_local(struct session *s);
/* What the session did leaves traces on the backend that have not been looked at yet. */
bool txn_left_traces(const struct session *s);
bool txn_needs_probe(
	const struct session *s); /* what the transaction did leaves traces that only the backend shows */
/* Nothing is outstanding: give the backend back or keep it. */
void txn_quiet(struct session *s);
void txn_let_go(struct session *s); /* gives the backend back */

#endif
