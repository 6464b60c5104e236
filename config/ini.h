/* ini.h - an ini file and what it includes, as a flat list of settings.
 * Source  inih (Debian: libinih-dev) cuts the lines; PgBouncer's dialect around it: %include, no inline
 *         comments, quoted names of databases.
 * Shape   settings in the order in which they were read; duplicates are kept.
 * Owner   everything lives in the caller's text_pool.
 * Thread  one at a time; sets inih's process-wide switches once.
 * Errors  -1 and "file:line: reason". */
#ifndef CONFIG_INI_H
#define CONFIG_INI_H

#include "config/text.h"
#include "proxy/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ini_setting {
	const char *section;
	const char *key;
	bool quoted; /* the key was written "in quotes" */
	const char *value;
	const char *file;
	int line;
	bool literal; /* not from a file: ${..} stands for itself */
};

struct ini_doc {
	struct ini_setting *settings;
	unsigned count;
	unsigned room;
};

/* Adds the settings of a text to doc. With includes, %include is followed; without, it is an error. */
int ini_read(struct text_pool *pool, const char *text, size_t n, const char *file, bool includes,
	     struct ini_doc *doc, struct err *err);

void ini_add(struct text_pool *pool, struct ini_doc *doc, struct ini_setting setting);

#endif
