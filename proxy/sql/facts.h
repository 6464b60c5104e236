/* facts.h - what the text of a statement says by itself, without any catalog.
 * Source  the PostgreSQL 15 grammar through libpg_query.
 * Shape   one struct facts per distinct text; a simple query may hold several statements.
 * Owner   counted, immutable, shared inside one worker.
 * Thread  one at a time per object (made and used by one worker).
 * Errors  a text that does not parse has nstmts == -1: it goes to PostgreSQL, which says why. */
#ifndef PROXY_SQL_FACTS_H
#define PROXY_SQL_FACTS_H

#include "protocol/span.h"

/* What kind of statement; only kinds that the proxy treats differently have a name. */
enum command {
	COMMAND_OTHER,	  /* not known: may do anything but what the flags say is excluded */
	COMMAND_SELECT,	  /* a plain SELECT, VALUES or TABLE, without INTO */
	COMMAND_DML,	  /* INSERT UPDATE DELETE MERGE, also under WITH or EXPLAIN ANALYZE */
	COMMAND_DDL,	  /* CREATE ALTER DROP GRANT REVOKE COMMENT REINDEX TRUNCATE .. */
	COMMAND_BEGIN,	  /* BEGIN, START TRANSACTION */
	COMMAND_COMMIT,	  /* COMMIT, END; not AND CHAIN */
	COMMAND_ROLLBACK, /* ROLLBACK, ABORT; not AND CHAIN, not TO SAVEPOINT */
	COMMAND_TXN,	  /* SAVEPOINT, RELEASE, ROLLBACK TO, .. AND CHAIN, PREPARE TRANSACTION, .. */
	COMMAND_SET,	  /* SET, SET LOCAL, RESET, SET SESSION CHARACTERISTICS, SET ROLE, .. */
	COMMAND_SET_TXN,  /* SET TRANSACTION .. */
	COMMAND_SHOW,
	COMMAND_PREPARE,
	COMMAND_EXECUTE,
	COMMAND_DEALLOCATE,
	COMMAND_DISCARD,
	COMMAND_LISTEN,
	COMMAND_UNLISTEN,
	COMMAND_NOTIFY,
	COMMAND_COPY,
	COMMAND_CURSOR, /* DECLARE FETCH MOVE CLOSE */
	COMMAND_LOAD,
	COMMAND_DO, /* DO, CALL */
	COMMAND_LOCK,
	COMMAND_EXPLAIN, /* EXPLAIN without ANALYZE */
	COMMAND_VACUUM,	 /* and all else that refuses to run in a transaction block */
};

#define COMMAND_BIT(command) ((uint32_t)1 << (command))

/* What a statement may leave behind in its session, or needs. Bits of stmt_facts.effects. */
enum effect {
	EFFECT_SETTING = 1 << 0,   /* changes the settings listed in `settings` */
	EFFECT_RESET_ALL = 1 << 1, /* RESET ALL (and DISCARD ALL): all settings */
	EFFECT_TAINT = 1 << 2,	   /* may change settings or locks unseen: DO, CALL, set_config with a
					 * name that is not constant, functions outside the built-in list */
	EFFECT_TEMP = 1 << 3,	   /* makes a temporary object (TEMP, or pg_temp.) */
	EFFECT_HOLD_CURSOR = 1 << 4,
	EFFECT_ADVISORY = 1 << 5, /* takes or frees a session advisory lock */
	EFFECT_LOAD = 1 << 6,
	EFFECT_LISTEN = 1 << 7,	  /* LISTEN or UNLISTEN */
	EFFECT_PREPARED = 1 << 8, /* PREPARE, EXECUTE or DEALLOCATE of SQL */
	EFFECT_DISCARD = 1 << 9,
	EFFECT_SEQUENCE = 1 << 10,	/* nextval, setval, currval, lastval */
	EFFECT_WRITES = 1 << 11,	/* DML, DDL, COPY FROM, a data-modifying WITH, nextval, lo_*, .. */
	EFFECT_LOCKS = 1 << 12,		/* FOR UPDATE/SHARE.., LOCK, advisory locks of both kinds */
	EFFECT_FUNCTIONS = 1 << 13,	/* calls a function or uses an operator outside the built-in list */
	EFFECT_NO_BLOCK = 1 << 14,	/* refuses to run inside a transaction block or a pipeline */
	EFFECT_DDL = 1 << 15,		/* changes a catalog */
	EFFECT_ROLE = 1 << 16,		/* SET ROLE / SESSION AUTHORIZATION (also listed in settings) */
	EFFECT_PORTAL = 1 << 17,	/* DECLARE, FETCH, MOVE, CLOSE: needs its transaction's backend */
	EFFECT_TXN_SNAPSHOT = 1 << 18,	/* BEGIN/SET TRANSACTION with isolation above READ COMMITTED,
					 * DEFERRABLE or SNAPSHOT: the transaction is never served */
	EFFECT_TXN_MODE = 1 << 19,	/* BEGIN/SET TRANSACTION with any mode at all */
	EFFECT_SEQUENCE_READ = 1 << 20, /* currval, lastval: shows what this session has taken */
	EFFECT_TYPES = 1 << 21,	  /* names a type outside the built-in list, whose input may call anything */
	EFFECT_VACATES = 1 << 22, /* nobody may be connected to the database `name`: DROP DATABASE, .. */
	EFFECT_PROCESS = 1 << 23, /* runs code of a language that may keep something in the server process */
};

enum setting_action {
	SETTING_SET,
	SETTING_SET_LOCAL,
	SETTING_RESET,
	SETTING_RESET_LOCAL, /* SET LOCAL .. TO DEFAULT */
};

static inline bool setting_is_local(enum setting_action action)
{
	return action == SETTING_SET_LOCAL || action == SETTING_RESET_LOCAL;
}

static inline bool setting_resets(enum setting_action action)
{
	return action == SETTING_RESET || action == SETTING_RESET_LOCAL;
}

struct setting_change {
	enum setting_action action;
	const char *name;  /* lower case; "timezone", "role", "session_authorization", "app.tenant", .. */
	const char *value; /* of SET, when it is one constant: its text; else NULL (DEFAULT, a list, ..) */
};

struct stmt_facts {
	enum command command;
	uint32_t effects;
	uint16_t nsettings;
	const struct setting_change *settings;
	const char *name; /* PREPARE/EXECUTE/DEALLOCATE name (NULL = ALL), LISTEN channel, DISCARD what
			   * ("all", "plans", "temp", "sequences"), cursor name, what SHOW shows, the savepoint, the
			   * database of EFFECT_VACATES */
	const char *
		prepared; /* the prepared statement that it makes, runs or takes away, also inside (EXPLAIN EXECUTE); NULL = none, or
			       * all */
	const char *
		tag; /* CommandComplete tag of BEGIN, COMMIT, ROLLBACK, SAVEPOINT and RELEASE, chained or not:
			   * "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK" (also of ROLLBACK TO, which has a
			   * name), ..; else NULL */
	bool names_tables; /* some relation stands in it */
	bool locks_shown; /* a SELECT from one table that locks, FOR UPDATE or FOR NO KEY UPDATE, all rows that it shows */
};

struct literals;
struct slot;
struct query_shape; /* what reads.c needs of a single SELECT; opaque here */

struct facts {
	unsigned refs;
	int nstmts; /* 0 = empty text (only blanks, comments, ';'), -1 = does not parse */
	struct stmt_facts *stmts;
	uint32_t effects;  /* all statements' effects together */
	uint32_t commands; /* all statements' commands: COMMAND_BIT of each */
	uint16_t nparams;  /* highest $n in the text */
	uint64_t params_seen,
		params_again;	   /* bit n: $n (n < 64) stands in the text, stands there more than once */
	struct query_shape *shape; /* only when nstmts == 1 and it is a SELECT that might be cached */
	struct query_shape *
		body; /* owned; the tree of a single SELECT or EXPLAIN, for reads.c; `shape` is this or NULL */
	unsigned nslots;	  /* facts_of_shape: the literals that the text had */
	const struct slot *slots; /* NULL unless `shared` */
	bool shared; /* holds for every text of the same skeleton and the same literals where not lifted */
	uint16_t reason; /* enum reason: why shape is NULL (REASON_NONE when it is not) */
	size_t bytes;	 /* memory that the object owns */
};

/* Analyses a text. Never NULL but when memory is gone. Texts above `facts_text_max` bytes are not parsed
 * (nstmts -1). Thread: libpg_query keeps its state per thread, any thread may call. */
struct facts *facts_of_text(struct span text);
/* The same for a text whose literals were found: what is said of it may hold for others (`shared`). */
struct facts *facts_of_shape(struct span text, const struct literals *literals);
struct facts *facts_ref(struct facts *f);
void facts_unref(struct facts *f);

/* Is a text under these settings of its session what it looks like to the parser? With standard_conforming_strings
 * off a backslash changes where strings end, and in some client encodings (SJIS, BIG5, GBK, ..) a byte that looks
 * like a quote or backslash is half a character. If not: treat every text as one that does not parse. */
bool facts_certain(struct span client_encoding, struct span standard_conforming_strings);

/* About 70 ms of a worker's loop in the worst case. */
#define FACTS_TEXT_MAX (64u * 1024u)
#define FACTS_SHAPE_MAX (2u * FACTS_TEXT_MAX) /* of its skeleton (literals.h) */

#endif
