/* fresh_private.h - the inside of the shared probe.
 * Source  see fresh.h.
 * Shape   one struct: the connection, the question in flight, the answered ones that wait for their position.
 * Owner   fresh.c makes and frees it.
 * Thread  the worker's loop.
 * Errors  - */
#ifndef PROXY_ORIGIN_FRESH_PRIVATE_H
#define PROXY_ORIGIN_FRESH_PRIVATE_H

#include "proxy/net/watch.h"
#include "proxy/origin/control.h"
#include "proxy/origin/fresh.h"
#include "protocol/buf.h"

#define FRESH_TICK_US 100000u /* looks whether the stream has moved to another server, or is there at last */
#define FRESH_BACKOFF_MAX_US 5000000u
#define FRESH_CONNECT_US 5000000u /* connecting takes longer than that: start over */
#define FRESH_STUCK_US 50000u	  /* a question without answer for so long: no more readers */
#define FRESH_ROUNDS_MAX 16u	  /* answered questions that wait for their position */
#define FRESH_LATE_RUN 4u	  /* so often in a row somebody got no proof in time: rest */
#define FRESH_REST_US 50000u
#define FRESH_RENEW_US 5000u /* bounded reads: a proof of that age is renewed */

/* One question, with all readers that joined before it was sent. */
struct round {
	struct ring node;    /* in fresh.rounds, while it waits for its position */
	struct fresh *fresh; /* NULL = abandoned; its mail frees it */
	struct ring waits;   /* fresh_wait, oldest first */
	struct probe probe;  /* once answered */
	uint64_t epoch;	     /* the cache's, before it was sent */
	uint64_t sent_us, answered_us;
	struct position_wait position;
};

#define FRESH_GATHER 2u /* a question waits for further readers for as long as so many questions take */

#define FRESH_PROBE_NAME "probe" /* of the prepared statement */

enum fresh_link { LINK_DOWN, LINK_CONNECTING, LINK_IDENTIFYING, LINK_PREPARING, LINK_IDLE, LINK_ASKING };

struct fresh {
	struct loop *loop;	   /* borrowed */
	struct origin *origin;	   /* borrowed */
	struct counters *counters; /* borrowed */
	uint64_t patience_us, patience_max_us;
	uint64_t rtt_us;			/* of the last questions, smoothed */
	uint64_t longest_us, longest_before_us; /* in this window, in the one before */
	uint64_t window_us;			/* when it began */

	enum fresh_link link;
	PGconn *conn;  /* owned */
	bool wire;     /* asked without libpq (fresh_wire.c) .. */
	char expected; /* .. whose answer goes on with this message .. */
	struct buf in; /* .. of which this has come */
	struct watch watch;
	struct timer tick;
	uint64_t since_us; /* of the present link state */
	uint64_t connect_at_us;
	uint64_t backoff_us;
	uint32_t generation; /* under which the server was looked up */
	struct link_identity server;

	uint64_t proven_us;	/* when the newest question that is proven was asked .. */
	uint64_t proven_epoch;	/* .. and the cache's epoch before; 0 = none */
	struct snapshot proven; /* its snapshot */
	bool refresh;		/* ask although nobody waits */

	struct ring joined;   /* fresh_wait: for the next question */
	unsigned arrived;     /* how many have joined since the last question .. */
	unsigned noticed;     /* .. and had when a round ended in which the next could go; 0 = none has .. */
	uint64_t gather_us;   /* .. the first of which was then .. */
	unsigned quiet;	      /* .. and so many of the last ones have brought nobody */
	unsigned asked_for;   /* how many the last question was for */
	struct round *asking; /* owned; the question in flight */
	struct round *spare;  /* owned: for the next question */
	struct ring rounds;   /* owned; oldest first */
	unsigned nrounds;
	struct ring refused; /* fresh_wait: told in this round of the loop */
	struct later later;
	struct timer late;
	uint64_t late_at_us; /* what `late` is set for; 0 = not */
	unsigned late_run;
	uint64_t rest_until_us;
};

/* One at a time: what is called may join or leave others. */
void fresh_tell_all(struct ring *waits, enum fresh_result result);
/* The readers are out; what is left may have mail under way. */
void fresh_round_drop(struct fresh *f, struct round *r);
/* Takes what has come over the connection. */
void fresh_read(struct fresh *f);
/* fresh_wire.c */
bool fresh_wire_possible(PGconn *conn);
int fresh_wire_ask(struct fresh *f, struct err *err);
/* *complete_r: the answer to the question in flight is in asking->probe. */
int fresh_wire_read(struct fresh *f, bool *complete_r, struct err *err);
/* fresh_late.c: a question was answered. */
void fresh_note_took(struct fresh *f, uint64_t took_us);
/* The timer is set in time for this reader; r = his question, once it is answered. */
void fresh_arm_late(struct fresh *f, const struct fresh_wait *w, const struct round *r);
void fresh_on_late(void *arg);

#endif
