/* check_private.h - the check of one transaction, for the check*.c files.
 * Source  see check.h.
 * Shape   check.c takes the statements one by one and the answers of what is asked; check_mark.c has what reads leave behind,
 *         check_ask.c the hidden statements in front of a write.
 * Owner   the session, while its transaction lasts.
 * Thread  its worker's.
 * Errors  none. */
#ifndef PROXY_SESSION_CHECK_PRIVATE_H
#define PROXY_SESSION_CHECK_PRIVATE_H

#include "proxy/session/check.h"

#include "proxy/session/marks.h"
#include "proxy/session/session_private.h"

#define CHECK_PARAMS (SERVE_PARAMS_MAX + LITERALS_MAX)
#define CHECK_ROWS 256u /* that one read or write names; with more it counts as any of the table */

enum check_state { CHECK_NONE, CHECK_ASKED, CHECK_ANSWERED, CHECK_REFUSING };

/* expect.index of the hidden statements. */
enum { CHECK_INDEX_LOCK = 1, CHECK_INDEX_LOOK = 2, CHECK_INDEX_LAST = 3 };

struct checking {
	struct marks *marks; /* owned */
	enum check_state state;
	bool simple;	  /* the write in work is a simple query */
	bool removed;	  /* the transaction may have taken rows away itself */
	bool conflict;	  /* a row has changed */
	int64_t expected; /* rows that were shown, of the part in work; 0 = nobody knows */
	bool unable;	  /* it cannot be told */
	uint32_t open;	  /* place of the only read that is not answered, else MARKS_NONE */
	unsigned nopen;
	unsigned open_rows; /* that it names */
};

/* Made where it is not there yet. */
struct checking *check_of(struct session *s);
/* Do names mean what the catalog and the session's own settings say? */
bool check_names_certain(struct session *s);
/* What the statement reads is marked, as of the snapshot at `place`. How many rows it names, if all are of one table; 0 = not known. */
unsigned check_mark(struct session *s, struct stmt *stmt, const struct front_bind *bind, uint32_t place);
/* Notes that the answer of a hidden statement is to come. A backend that cannot take it is marked as broken. */
void check_expect(struct session *s, enum expect_kind kind, uint32_t index);

enum check_asked { CHECK_ASKED_NOTHING, CHECK_ASKED_ALL, CHECK_ASKED_IN_VAIN };

/* Asks for the parts of the text that write to what was read; in vain: it cannot be told. */
enum check_asked check_ask(struct session *s, struct stmt *stmt, const struct front_bind *bind);

#endif
