/* command.h - the console's language: text into a row of commands.def and its arguments.
 * Source  PgBouncer's console; words and quoting as in SQL: keywords in any case, "names", 'strings', comments.
 * Shape   one command at a time; several in one text are separated by semicolons.
 * Owner   parsed_free; rows are static.
 * Thread  pure; any.
 * Errors  PARSED_ERROR: *err has 42601 and what was expected, or that there is no such command. */
#ifndef PROXY_ADMIN_COMMAND_H
#define PROXY_ADMIN_COMMAND_H

#include "proxy/admin/table.h"
#include "proxy/base/err.h"

struct run; /* run.h */

enum command_args {
	ARGS_NONE,
	ARGS_DB,	  /* a database */
	ARGS_OPTIONAL_DB, /* .. or none */
	ARGS_CLIENT,	  /* its number, also as SHOW CLIENTS has it in `ptr`: c17 */
	ARGS_KEY_VALUE,	  /* key = value, key TO value */
	ARGS_WORD,	  /* one optional word of `choices` */
	ARGS_DB_SQL,	  /* a database and a statement in quotes */
	ARGS_ANY,	  /* whatever follows, and it is ignored */
};

enum command_right {
	RIGHT_STATS,
	RIGHT_ADMIN,
	RIGHT_PARTLY, /* admin_users; what drivers set without need everybody may: the command looks itself */
};

struct verb {
	const char *words;  /* "SHOW POOLS"; upper case, one blank between words */
	const char *syntax; /* what follows the words, for HELP */
	enum command_args args;
	enum command_right right;
	const struct column *columns; /* NULL = it returns no rows */
	void (*run)(struct run *run);
	const char *tag;
	const char *help;
};

extern const struct verb commands[];
extern const unsigned command_number;

#define COMMAND_ARG_MAX (64u * 1024)

struct parsed {
	const struct verb *command;
	char *arg[2]; /* owned; NULL = not given */
};

enum parsed_end { PARSED_OK, PARSED_EMPTY, PARSED_ERROR };

/* The first command of `text`; *used_r = bytes with its semicolon. */
enum parsed_end command_parse(struct span text, struct parsed *parsed_r, size_t *used_r, struct err *err);
void parsed_free(struct parsed *p);

/* Settings that drivers ask for or set without need. NULL = not one of them. */
const char *fake_param(const char *name);

#endif
