/* run.h - one command of one client while it is carried out.
 * Source  commands.def.
 * Shape   a command's function fills `table` and `notice`, then calls run_done at once or later: after a round, or from its
 *         timer. run_fail ends it with an error, and so does run_done when nothing is there of a database that no client could
 *         ask for. `undo` is called when it is cancelled or its client has gone before its end.
 * Owner   the console's client.
 * Thread  the console's loop.
 * Errors  run->err. */
#ifndef PROXY_ADMIN_RUN_H
#define PROXY_ADMIN_RUN_H

#include "proxy/admin/averages.h"
#include "proxy/admin/command.h"
#include "proxy/admin/round.h"
#include "proxy/base/log.h"

struct run {
	const struct console_parts *parts;
	struct averages *averages; /* borrowed from the console */
	unsigned consoles;	   /* clients of the console now */
	uint64_t commands;	   /* that were carried out so far */
	struct parsed parsed;	   /* owned */
	bool admin;
	struct log_who who; /* borrowed */
	struct table table; /* when the command returns rows */
	struct buf notices; /* whole messages */
	char tag[128];
	struct err err;	   /* sqlstate "" = none */
	char *transaction; /* the client's status, I T E */
	void (*finished)(struct run *run, void *arg);
	void *arg;
	bool done;

	/* While it waits. */
	struct round *round;
	void (*then)(struct run *run, struct round *r);
	struct timer timer;
	void (*undo)(struct run *run);
	uint64_t until_us;
};

/* Takes `parsed`. `finished` is called from run_begin or later, once. */
void run_begin(struct run *run);
/* Cancels what is under way; then `finished` is not called. */
void run_free(struct run *run);
/* Ctrl-C of the client. */
void run_cancel(struct run *run);

/* For the commands' functions. */
void run_done(struct run *run);
void run_fail(struct run *run, const char *sqlstate, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void run_notice(struct run *run, const char *severity, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void run_round(struct run *run, const struct round_order *order,
	       void (*then)(struct run *run, struct round *r));
void run_later(struct run *run, void (*fn)(void *run), uint64_t after_us);
/* The database argument, or NULL. */
const char *run_database(const struct run *run);
/* It is named, and no client could ask for it. */
bool run_database_unknown(const struct run *run);
/* Rows' names are cut. */
static inline bool run_wants(const struct run *run, const char *database)
{
	return run_database(run) == NULL || strncmp(run_database(run), database, ROSTER_NAME - 1) == 0;
}

#endif
