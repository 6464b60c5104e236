/* end.h - one end of a connection under test: it checks, echoes, produces, counts.
 * Source  none.
 * Shape   bytes follow a pattern (byte i of the stream is pattern_at(i)), so that a reader can check order.
 * Owner   the test; end_stop frees the connection.
 * Thread  the loop's that it is attached to.
 * Errors  fail the test, or are noted for it. */
#ifndef TESTS_UNIT_NET_END_H
#define TESTS_UNIT_NET_END_H

#include "proxy/net/conn.h"

enum { FREE_NEVER, FREE_ON_INPUT, FREE_ON_OUTPUT, FREE_ON_CLOSED };

struct end {
	struct conn *c; /* owned */
	/* What it does. */
	bool echo;
	bool keep;	   /* keeps what it reads in `got`, else checks the pattern */
	size_t record;	   /* consumes only whole records of this size; 0 = anything */
	size_t to_produce; /* pattern bytes that it still wants to send */
	int free_when;
	/* What it has seen. */
	struct buf got;
	size_t total;	 /* bytes consumed */
	size_t produced; /* pattern bytes sent */
	size_t max_pending;
	bool in_order;
	int inputs, outputs, closes, shakes;
	bool closed, freed, shaken;
	char why[512];
	/* Conditions for run_until. */
	size_t want;	  /* bytes consumed */
	size_t want_seen; /* bytes consumed or shown */
};

void end_start(struct end *e, struct loop *l, int fd);
void end_attach(struct end *e, struct loop *l, struct conn *c);
void end_stop(struct end *e);
/* Sends `n` pattern bytes, obeying conn_full. */
void end_produce(struct end *e, size_t n);
/* Sends `n` pattern bytes at once. */
void end_send_pattern(struct end *e, size_t n);
/* Consumes what it may of the unread input. */
void end_take(struct end *e);
struct span end_got(const struct end *e);
bool end_has_want(void *end);
bool end_has_seen(void *end);

#endif
