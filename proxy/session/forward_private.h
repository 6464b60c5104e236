/* forward_private.h - messages of the client on their way to the backend, for the forward*.c files.
 * Source  see session.h.
 * Shape   forward.c takes the messages one by one, streams what is long, and ends batches; forward_extended.c has Parse, Bind, Describe and
 *         Close, forward_query.c the simple query, forward_note.c what is noted of a statement before it goes.
 * Owner   the session.
 * Thread  its worker's.
 * Errors  FORWARD_CLOSED: the session has ended, and the client was told why. */
#ifndef PROXY_SESSION_FORWARD_PRIVATE_H
#define PROXY_SESSION_FORWARD_PRIVATE_H

#include "proxy/session/session_private.h"

#define PARSE_MAX (16u * 1024u * 1024u) /* a Parse has to be held whole */
#define SMALL_MAX (64u * 1024u)		/* Describe, Close, Execute, Sync, .. */
#define HELD_MAX (60u * 1024u)		/* what conn_input can hold for sure */
#define FORWARD_TOO_MANY "too many messages in a pipeline"
#define FORWARD_MISPLACED "settings of pgweir cannot be set or shown in the middle of a pipeline"

/* What to do after one message. */
enum forward { FORWARD_NEXT, FORWARD_WAIT, FORWARD_CLOSED };

/* Ends the session. */
enum forward forward_fail(struct session *s, const char *sqlstate, const char *message);
/* The client's request is answered in its turn; -1 = too many are under way. */
int forward_expecting(struct session *s, enum expect_kind kind);
/* Sends the message as it is: all of it, or what is there, the rest as it comes. `total`: its bytes. */
void forward_pass_on(struct session *s, struct span in, size_t total);
/* Of a text that is too long to be held, a piece as it came. A name that lies in two of them is not seen. */
void forward_pass_unread(struct session *s, struct span in, size_t total);
/* The server does not get it. */
void forward_skip(struct session *s, struct span in, size_t total);
/* A Sync of the client goes, in a COPY perhaps later; -1 as above. */
int forward_sync_sent(struct session *s);

/* A whole Parse; `message` with its header. */
enum forward forward_parse(struct session *s, struct span message);
/* One that is too long to be held. */
enum forward forward_refuse_parse(struct session *s, struct span in, size_t total);
enum forward forward_bind(struct session *s, struct span in, uint32_t body_n);
/* Describe and Close (`type`), whole. */
enum forward forward_target(struct session *s, char type, struct span body, size_t total, struct span in);

/* `whole`: all of its text is there. */
enum forward forward_query(struct session *s, struct span in, uint32_t body_n, bool whole);
/* In its place a statement that fails when it runs: a setting of ours cannot be changed between statements that the server has not run
 * yet, and nobody may reach statements that the proxy shares between clients (`names`). Takes over `stmt`; counted, NULL = no memory. */
struct stmt *forward_instead(struct session *s, struct stmt *stmt, bool names);

/* The statement is about to be run; in front of it goes what it needs. */
void forward_note(struct session *s, struct stmt *stmt);
/* The statement has just been sent; behind it goes what it makes necessary. `sync`: it ends its batch. */
void forward_ran(struct session *s, bool sync);
/* Has what the client sends next to wait, since a RESET may have left values that are not the client's? */
bool forward_restores(const struct session *s);
/* The client has not made the unnamed portal, so it must not find that of the BEGIN which was sent for it. */
void forward_close_begin_portal(struct session *s);
/* PostgreSQL keeps the unnamed portal of a simple query that failed in a transaction block, but not the memory of its statements: an Execute
 * reads what is there now, and may end the whole server. Without the portal it is an error. */
void forward_close_failed_portal(struct session *s);

#endif
