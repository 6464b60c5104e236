/* listen.h - LISTEN, UNLISTEN and notifications of a session that shares its backends.
 * Source  PostgreSQL manual, LISTEN and NOTIFY; docs/isolation.md, "LISTEN".
 * Shape   The client's own LISTEN and UNLISTEN run on its backend, so errors, transactions and savepoints are PostgreSQL's.
 *         Before one can be committed the worker's shared connection (notify.h) listens too. After the transaction
 *         the backend says which channels there are; they stay with the shared connection and go from the backend. A
 *         transaction to which channels matter begins with the session's channels put onto its backend. What the
 *         shared connection does not have stays on the backend and pins it.
 * Owner   the session: s->listen, NULL until its first LISTEN.
 * Thread  its worker's.
 * Errors  a client that does not take its notifications, or may have missed some, is closed with the reason. */
#ifndef PROXY_SESSION_LISTEN_H
#define PROXY_SESSION_LISTEN_H

#include "proxy/session/session_private.h"

/* A message is about to be forwarded; stmt as far as it is known. true = not yet, session_run will follow. */
bool listen_must_wait(struct session *s, char type, struct stmt *stmt);
bool listen_waits(const struct session *s); /* .. has said so */
/* The message is the first of a batch, behind others that are not answered. true = only when they are. */
bool listen_alone(const struct session *s, char type);
/* The loan begins: puts the channels onto the backend if the request in the input depends on them. */
void listen_link(struct session *s);
/* The backend's message is a ReadyForQuery that has to wait until the notifications before it have been heard. */
bool listen_holds(struct session *s, char type, struct span body);
/* A NotificationResponse of the backend. true = dealt with, false = it goes to the client as it is. */
bool listen_relay(struct session *s, struct span body);
/* Nothing is outstanding and no transaction open. true = the backend has been asked something, wait for it. */
bool listen_settle(struct session *s);
void listen_settle_again(struct session *s);		 /* that has met a timeout */
void listen_row(struct session *s, struct span channel); /* its answer */
void listen_settled(struct session *s);			 /* .. and the end of that */
/* Sends what has been heard: a ReadyForQuery outside a transaction comes next. */
void listen_flush(struct session *s);
/* The same, if the session is idle. */
void listen_flush_idle(struct session *s);
/* Are there channels on its backend that the next session must not find? */
bool listen_left_traces(const struct session *s);
void listen_close(struct session *s);
/* Shutdown, after the sessions. */
void listen_close_house(struct house *h);
/* The connections that nobody listens on go. */
void listen_rest_house(struct house *h);

#endif
