/* feed.h - the logical replication stream: slot, start, messages, feedback.
 * Source  PostgreSQL manual, "Streaming Replication Protocol"; libpq's COPY functions.
 * Shape   feed_next() turns what has arrived into one event after the other, without blocking. The position of an event is one
 *         that is proven: the end of a commit record, or a keepalive's between transactions. Never that of a row.
 * Owner   the stream; the connection ends with feed_close.
 * Thread  the stream's.
 * Errors  -1 and the reason: the connection is lost, the stream has ended, or a message was not understood. */
#ifndef PROXY_ORIGIN_FEED_H
#define PROXY_ORIGIN_FEED_H

#include "proxy/origin/apply.h"
#include "proxy/origin/link.h"

#define FEED_FEEDBACK_US 250000u

/* An output plugin: its name, its options for START_REPLICATION, the reader of its records. */
struct feed_decoder {
	const char *plugin;
	const char *options;
	bool published; /* reads a publication */
	int (*record)(struct apply *a, struct span record, enum apply_event *event_r, struct err *err);
};

extern const struct feed_decoder feed_test_decoding, feed_pgoutput;

enum feed_event {
	FEED_NOTHING,	/* no whole message has arrived */
	FEED_MESSAGE,	/* one was dealt with */
	FEED_COMMIT,	/* the transaction in `apply` is complete; `lsn` = its end */
	FEED_KEEPALIVE, /* `lsn` = proven position; 0 inside of a transaction */
	FEED_SUSPECT,
};

struct feed {
	PGconn *conn; /* owned */
	const struct feed_decoder *decoder;
	const char *publication; /* borrowed */
	char slot[40];
	struct buf status;
	uint64_t feedback_us; /* clock_us() of the last one */
	bool reply_now;	      /* the server asked for one */
	bool streams;	      /* feed_start has succeeded */
};

void feed_init(struct feed *f, const struct feed_decoder *decoder, const char *publication);
/* Does that server's stream show all that is written to the tables that the decoder is for? -1 with the reason if not. */
int feed_fits(const struct feed *f, const PGconn *conn, struct err *err);
/* Takes the connection over and asks for the slot. */
int feed_slot_ask(struct feed *f, PGconn *conn, struct err *err);
/* It may take as long as there are transactions open on the server. 0 = made, 1 = time is up and it is still under way; any other
 * end, also a stop, cancels it there. */
int feed_slot_wait(struct feed *f, const struct link_wait *wait, struct err *err);
int feed_start(struct feed *f, const struct link_wait *wait, struct err *err);
void feed_close(struct feed *f);
/* Drops the slot. It goes with the connection in any case, but then nobody knows when, and PostgreSQL drops no database that has one. Some
 * seconds at most; the connection is of no use any more. */
void feed_end(struct feed *f);

/* Takes what the socket has. */
int feed_read(struct feed *f, struct err *err);
int feed_next(struct feed *f, struct apply *apply, enum feed_event *event_r, uint64_t *lsn_r,
	      struct err *err);
/* Sends `pos` when it is due, and what was left unsent. *unsent_r: wait for POLLOUT. */
int feed_feedback(struct feed *f, uint64_t pos, uint64_t now_us, bool *unsent_r, struct err *err);

#endif
