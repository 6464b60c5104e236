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

#define FRESH_TICK_US 100000u /* looks whether the stream has moved to another server, or is there at last */
#define FRESH_BACKOFF_MAX_US 5000000u
#define FRESH_CONNECT_US 5000000u /* connecting takes longer than that: start over */
#define FRESH_STUCK_US 50000u	  /* a question without answer for so long: no more readers */
#define FRESH_ROUNDS_MAX 16u	  /* answered questions that wait for their position */
#define FRESH_LATE_RUN 64u	  /* readers in a row that got no proof in time: rest */
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

enum fresh_link { LINK_DOWN, LINK_CONNECTING, LINK_IDENTIFYING, LINK_PREPARING, LINK_IDLE, LINK_ASKING };

struct fresh {
	struct loop *loop;	   /* borrowed */
	struct origin *origin;	   /* borrowed */
	struct counters *counters; /* borrowed */
	uint64_t patience_us;
	uint64_t rtt_us;

	enum fresh_link link;
	PGconn *conn; /* owned */
	struct watch watch;
	struct timer tick;
	uint64_t since_us; /* of the present link state */
	uint64_t connect_at_us;
	uint64_t backoff_us;
	uint32_t generation; /* under which the server was looked up */
	struct link_identity server;

	uint64_t proven_us;    /* when the newest question that is proven was asked .. */
	uint64_t proven_epoch; /* .. and the cache's epoch before; 0 = none */
	bool refresh;	       /* ask although nobody waits */

	struct ring joined;   /* fresh_wait: for the next question */
	struct round *asking; /* owned; the question in flight */
	struct ring rounds;   /* owned; oldest first */
	unsigned nrounds;
	struct ring refused; /* fresh_wait: told in this round of the loop */
	struct later later;
	struct timer late;
	bool late_armed;
	unsigned late_run;
	uint64_t rest_until_us;
};

#endif
