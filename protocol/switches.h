/* switches.h - the startup parameter `options`: a command line for the server process, as the settings that it stands for.
 * Source  PostgreSQL's pg_split_opts() and process_postgres_switches(), for a connection; getopt() of the C library, which goes on
 *         behind words that are no switches.
 * Shape   switches_begin, then switches_next until it is not SWITCH_SETTING.
 * Owner   what is returned points into the struct, or is static; it is good until the next call.
 * Thread  pure; any.
 * Errors  SWITCH_BAD: what PostgreSQL would say is in `why`, `hint` and `sqlstate`. */
#ifndef PROTOCOL_SWITCHES_H
#define PROTOCOL_SWITCHES_H

#include "protocol/startup.h"

enum switch_status { SWITCH_SETTING, SWITCH_END, SWITCH_BAD };

struct switches {
	char text[STARTUP_MAX + 1]; /* the words, unescaped, a NUL behind each */
	size_t n, at;		    /* of the next word */
	const char *word, *before;  /* the latest that was taken, the one before that */
	const char *rest;	    /* of `word`: its switches that are still to come; NULL = none */
	const char *stray;	    /* the first word that is none */
	int debug;		    /* level of a -d in work */
	unsigned debug_at; /* the next of the settings that it stands for; 0 = there is none in work */
	char level[24];
	char why[1024], sqlstate[6];
	const char *hint; /* may be NULL */
};

/* -1: longer than a startup packet can be. */
int switches_begin(struct switches *w, struct span options);
enum switch_status switches_next(struct switches *w, struct span *name_r, struct span *value_r);

#endif
