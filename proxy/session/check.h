/* check.h - row_version_check: an UPDATE or DELETE by primary key of a row that has changed since the transaction read it fails.
 * Source  docs/coherence.md, "Lost updates".
 * Shape   Reads leave marks (marks.h). In front of a write to what is marked two hidden statements go to the same backend: one locks
 *         the rows, one looks whether they are as they were. The write waits for that.
 * Owner   the session, while its transaction lasts.
 * Thread  its worker's.
 * Errors  40001, raised by the server itself with our text in its place. */
#ifndef PROXY_SESSION_CHECK_H
#define PROXY_SESSION_CHECK_H

#include "protocol/front.h"
#include "proxy/backend/expect.h"
#include "proxy/sql/memo.h"

struct session;
struct checking;

bool check_wanted(const struct session *s);
/* The statement is answered from the cache: `bind` NULL = a simple query. */
void check_served(struct session *s, struct stmt *stmt, const struct front_bind *bind, struct span answer);

enum check { CHECK_GO, CHECK_WAIT };
/* In front of a statement that goes to the backend; `stmt` NULL = nobody knows which, `bind` as above. CHECK_WAIT: come back with more
 * answers. When the write is refused the server skips it, as what follows. */
enum check check_statement(struct session *s, struct stmt *stmt, const struct front_bind *bind, bool simple);
/* Does a Bind of it have to be there whole? */
bool check_needs_whole(const struct session *s, const struct stmt *stmt);

/* Answers of the hidden statements. */
void check_row(struct session *s, const struct expect *head, const struct span v[3], int n);
void check_last(struct session *s, const struct expect *head);
/* One of them has failed. true = the error is the one that was asked for, and the client has been told. */
bool check_error(struct session *s, const struct expect *head);
void check_skipped(struct session *s); /* behind the error: what was in work is done with */
void check_tag(struct session *s, struct span tag);

void check_end(struct session *s);

#endif
