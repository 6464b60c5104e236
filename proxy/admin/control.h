/* control.h - what the console may do to the process, as a table of functions that the app fills.
 * Source  none.
 * Shape   see struct control.
 * Owner   the app.
 * Thread  called from the console's loop, which is the app's.
 * Errors  -1 and *err with what the operator is told. */
#ifndef PROXY_ADMIN_CONTROL_H
#define PROXY_ADMIN_CONTROL_H

#include "config/config.h"
#include "proxy/admin/report.h"
#include "proxy/backend/pool.h"
#include "proxy/session/house.h"

enum control_shutdown {
	SHUTDOWN_NOW,
	SHUTDOWN_SERVERS, /* clients end with their transactions */
	SHUTDOWN_CLIENTS, /* .. or when they like */
};

struct control {
	void *arg;
	struct config *(*config)(void *arg); /* borrowed until the loop's round ends */
	int (*reload)(void *arg, struct err *err);
	int (*set)(void *arg, const char *key, const char *value, struct err *err);
	void (*shutdown)(void *arg, enum control_shutdown how);
	bool (*stopping)(void *arg); /* a shutdown is under way */
	/* The feed and the idle server connections of a database go. */
	void (*leave)(void *arg, const char *database);
};

/* The parts of the process that the console looks into; all borrowed, they outlive it. */
struct console_parts {
	struct loop *loop;
	struct house **houses; /* one per worker: `host.loop` takes mail, the rest is the worker's */
	unsigned nhouses;
	struct pools *pools;
	struct cancels *cancels;
	struct report_source report;
	struct control control;
};

#endif
