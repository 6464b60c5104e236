/* relay_private.h - replies of the backend on their way to the client, for the relay*.c files.
 * Source  see session.h.
 * Shape   relay.c cuts the messages and delivers those of the client's requests in runs; relay_error.c has the errors, relay_hidden.c what
 *         answers requests of ours.
 * Owner   the session.
 * Thread  its worker's.
 * Errors  - */
#ifndef PROXY_SESSION_RELAY_PRIVATE_H
#define PROXY_SESSION_RELAY_PRIVATE_H

#include "proxy/base/check.h"
#include "proxy/session/session_private.h"

/* Bytes of the backend's input that are for the client and have not been sent yet. */
struct run {
	struct span in;
	size_t from, to;
};

void relay_send(struct session *s, struct run *r); /* what is between the two */
/* The next `n` are for nobody; what is in front of them has been sent. */
static inline void relay_skip(struct run *r, size_t n)
{
	check(r->from == r->to);
	r->from += n;
	r->to += n;
}

/* The request at the head has succeeded, or is a simple query that was tried. */
static inline void relay_answered(struct session *s, const struct expect *head)
{
	if (head->change != 0)
		stmts_done(&s->stmts, head->change);
	s->unsettling -= head->unsettles;
}

/* An ErrorResponse. false = the session is closed. */
bool relay_error(struct session *s, struct run *r, const struct frame *f, size_t used);
/* A message to a request of ours that has not failed. */
void relay_hidden(struct session *s, const struct frame *f, enum reply_step step);

#endif
