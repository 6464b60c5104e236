/* round.h - the same question or order to all workers, and their answers.
 * Source  none.
 * Shape   mail to each worker; it does its part there and comes back. `done` runs once: when all are back or after ROUND_US, so
 *         that a worker that is busy cannot keep an operator waiting. Late answers are thrown away, late orders are carried out.
 * Owner   itself: freed when the last part is back.
 * Thread  round_start, round_abandon and `done` in the console's loop; `work` in the workers.
 * Errors  `missing` workers have not answered. */
#ifndef PROXY_ADMIN_ROUND_H
#define PROXY_ADMIN_ROUND_H

#include "proxy/admin/control.h"
#include "proxy/session/roster.h"

#define ROUND_US 2000000u
#define ROUND_TEXT (1u << 20)

struct round;

/* One worker's answer. */
struct round_part {
	struct mail mail;
	struct round *round;
	struct house *house;
	bool back;
	struct socket_rows rows;
	struct buf text; /* whatever `work` has to say */
	uint64_t number;
};

/* What is asked; the same for all. */
struct round_order {
	void (*work)(struct house *h, const struct round_order *order, struct round_part *part);
	uint64_t id;
	bool on;
	bool deep;
	const char *why;	 /* static */
	const char *text, *user; /* copied by round_start, like .. */
	const char *database;	 /* NULL = all */
};

struct round {
	struct loop *loop;
	struct round_order order;
	void (*done)(struct round *r, void *arg); /* NULL = nobody waits any more */
	void *arg;
	struct timer limit;
	unsigned nparts, left, missing;
	char *text, *user, *database; /* owned: the order's */
	struct round_part parts[];
};

struct round *round_start(const struct console_parts *parts, const struct round_order *order,
			  void (*done)(struct round *r, void *arg), void *arg);
/* `done` will not be called. */
void round_abandon(struct round *r);
/* The sum of the parts' numbers. */
uint64_t round_number(const struct round *r);

#endif
