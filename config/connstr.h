/* connstr.h - the value of an entry in [databases], [users], [peers]: key=value pairs between white space.
 * Source  PgBouncer: 'quoted values', a doubled quote stands for one; no backslashes.
 * Shape   an iterator over a copy that it cuts up.
 * Owner   the caller's text; keys and values point into it.
 * Thread  one at a time.
 * Errors  CONNSTR_BAD with static text. */
#ifndef CONFIG_CONNSTR_H
#define CONFIG_CONNSTR_H

#include "config/text.h"

enum connstr_status { CONNSTR_PAIR, CONNSTR_END, CONNSTR_BAD };

/* *at starts at the text and moves on. */
enum connstr_status connstr_next(char **at, char **key_r, char **value_r, const char **why_r);

/* The value as it must be written in a connection string. */
char *connstr_quote(struct text_pool *pool, const char *value);

#endif
