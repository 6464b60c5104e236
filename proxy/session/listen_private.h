/* listen_private.h - the inside of s->listen, for listen.c and hear.c.
 * Source  see listen.h.
 * Shape   channels by name, and the queue of what has been heard and not been sent.
 * Owner   the session.
 * Thread  its worker's.
 * Errors  - */
#ifndef PROXY_SESSION_LISTEN_PRIVATE_H
#define PROXY_SESSION_LISTEN_PRIVATE_H

#include "proxy/backend/notify.h"
#include "proxy/base/map.h"
#include "proxy/session/listen.h"

enum sub_state {
	SUB_NAMED, /* a LISTEN names it, that may not be committed */
	SUB_JOINED, /* the shared connection listens to it; whether the LISTEN was committed is not known yet */
	SUB_SETTLED, /* the session listens */
};

/* A channel of the session. */
struct sub {
	struct listening *of;
	struct notify_listener listener;
	enum sub_state state;
	bool seen; /* the backend has named it */
	UT_hash_handle hh;
	size_t n;
	char name[];
};

enum settling { SETTLING_NOT, SETTLING_ASKED, SETTLING_OFF };

struct listening {
	struct session *s;
	struct notify *notify; /* borrowed from the house */
	struct sub *subs;
	unsigned nnamed, nsettled;
	/* --- on the backend --- */
	bool on_backend; /* it listens to exactly what the session does */
	bool kept;	 /* the backend alone has some of them: pinned */
	bool unsettled;	 /* the transaction may have changed the channels */
	bool refused;	 /* the shared connection could not be had in this transaction */
	bool any_seen;
	bool looked; /* settled, and what the transaction did is not forgotten yet */
	enum settling settling;
	/* --- waiting for the shared connection --- */
	struct notify_wait go;	  /* before a message is forwarded */
	struct notify_wait ready; /* before a ReadyForQuery is delivered */
	bool go_waits, ready_waits;
	bool joining;	  /* `go` waits for channels */
	bool ready_heard; /* `ready` has been answered */
	/* Notifications of this backend are the session's own: what others have sent from it was heard before. */
	bool own_known;
	uint64_t backend_id;
	unsigned backend_loans;
	/* --- heard, not sent --- */
	struct ring queue;
	struct ring shown; /* by the backend itself, in a transaction that may have changed the channels */
	size_t queued;	   /* bytes of both */
};

struct sub *listen_find(const struct listening *li, struct span name);
/* --- hear.c --- */
extern const struct notify_ops hear_ops;
void hear_forget(struct listening *li,
		 bool all); /* what is queued, of channels that are no subs any more or all */

#endif
