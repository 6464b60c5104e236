/* fields.h - a line of pg_hba.conf or pg_ident.conf, cut into fields.
 * Source  PostgreSQL manual, "The pg_hba.conf File": fields between white space, a field may be a list with
 *         commas, a double-quoted item loses every special meaning, # starts a comment, a backslash before
 *         the end of the line continues it.
 * Shape   an iterator over the lines of a text; empty lines are left out.
 * Owner   items live in the caller's text_pool.
 * Thread  one at a time.
 * Errors  FIELDS_BAD with static text and the line. */
#ifndef CONFIG_FIELDS_H
#define CONFIG_FIELDS_H

#include "config/text.h"
#include "proxy/base/err.h"

#include <stdbool.h>

#define FIELDS_MAX 64 /* in a line */

struct fields_item {
	const char *text;
	bool quoted;
};

struct fields_field {
	struct fields_item *items; /* at least one */
	unsigned count;
};

struct fields {
	struct text_pool *pool;
	const char *at;
	const char *end;
	int next_line;
	int line;				/* of the fields below */
	struct fields_field fields[FIELDS_MAX]; /* until the next fields_next() */
	unsigned count;
	const char *why; /* of FIELDS_BAD */
};

enum fields_status { FIELDS_LINE, FIELDS_END, FIELDS_BAD };

void fields_start(struct fields *f, struct text_pool *pool, const char *text, size_t n);
enum fields_status fields_next(struct fields *f);
/* Gives every line of a file to `fn`, which returns 0, or -1 with the reason; ours begins with name:line. */
int fields_each(struct text_pool *pool, const char *text, size_t n, const char *name,
		int (*fn)(void *arg, const struct fields *line, struct err *why), void *arg, struct err *err);

#endif
