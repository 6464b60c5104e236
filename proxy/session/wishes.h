/* wishes.h - what a session has set of pgweir's own settings, with the rules of transactions.
 * Source  wishes.def; PostgreSQL manual, "SET": what was set in a transaction goes with it, SET LOCAL ends with it, ROLLBACK TO goes
 *         back to what was at the savepoint.
 * Shape   `now` counts. wishes_note() tells of a statement about transactions that is sent, wishes_answered() of its tag.
 * Owner   the session; savepoints and unanswered ends have memory only while there are any.
 * Thread  its worker's.
 * Errors  the SQLSTATE of what was refused. More savepoints than fit are forgotten, oldest first. */
#ifndef PROXY_SESSION_WISHES_H
#define PROXY_SESSION_WISHES_H

#include "config/policy.h"
#include "proxy/sql/facts.h"

#define WISHES_PREFIX "pgweir."
#define WISHES_MARKS 64
#define WISHES_NOTES 32
#define WISHES_NAME 64 /* NAMEDATALEN */

enum wish {
#define W(id, name, field) WISH_##id,
#include "proxy/session/wishes.def"
#undef W
	NWISHES
};

struct wish_values {
	uint64_t max_staleness; /* microseconds */
	enum config_coherence coherence;
	bool repeatable_context, row_version_check;
	unsigned char set; /* a bit for each wish: the client's own, not the configuration's */
};

struct wishes {
	struct wish_values start;   /* what RESET goes back to */
	struct wish_values before;  /* at the beginning of the transaction */
	struct wish_values session; /* once it is committed */
	struct wish_values now;
	struct wish_mark { /* a savepoint */
		char name[WISHES_NAME];
		struct wish_values session, now;
	} * mark;	   /* owned */
	struct wish_note { /* sent, not yet answered */
		const char *tag;
		char name[WISHES_NAME];
	} * note; /* owned */
	unsigned nmarks, nnotes;
};

void wishes_init(struct wishes *w, const struct policy *policy);
void wishes_free(struct wishes *w);
/* Outside of a transaction: the configuration's have changed. */
void wishes_renew(struct wishes *w, const struct policy *policy);
/* The startup packet's, in front of anything else. */
void wishes_start(struct wishes *w, const bool wished[NWISHES], const struct wish_values *values);
/* WISHES_PREFIX in front? In any case. */
bool wishes_name(const char *name);
/* The wish of that full name, or NWISHES. */
enum wish wishes_find(const char *name);
/* 0, or -1: not a value for it. */
int wishes_read(enum wish wish, const char *text, struct wish_values *values);
/* As SHOW prints it. */
void wishes_text(enum wish wish, const struct wish_values *values, char *out, size_t n);

/* One SET, SET LOCAL or RESET; `value` NULL = the default. Returns NULL, or the SQLSTATE: 42704, 22023. */
const char *wishes_change(struct wishes *w, enum setting_action action, const char *name, const char *value,
			  bool in_transaction);
/* RESET ALL. */
void wishes_reset(struct wishes *w, bool in_transaction);

void wishes_end(struct wishes *w, bool committed);
void wishes_note(struct wishes *w, const struct stmt_facts *f);
void wishes_answered(struct wishes *w, struct span tag);
/* Nothing is outstanding: what was not answered was skipped. */
void wishes_settled(struct wishes *w);

#endif
