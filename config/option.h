/* option.h - the rows of options.def at work: text into a field, a field into text.
 * Source  options.def.
 * Shape   fields are reached by offset, one table for each struct that holds them.
 * Owner   strings go into the caller's text_pool.
 * Thread  pure; any.
 * Errors  -1 and a reason that names the option, without file and line. */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include "config/config.h"
#include "config/text.h"

/* The field of an option in each struct, or NULL when it has none there. */
void *option_in_config(const struct config *cfg, enum config_option_id id);
void *option_in_policy(const struct policy *policy, enum config_option_id id);
void *option_in_database(const struct config_database *db, enum config_option_id id);

enum config_option_id option_id(const struct config_option *option);

/* text -> *field, within the option's bounds. */
int option_set(struct text_pool *pool, const struct config_option *option, const char *text, void *field,
	       struct err *err);
void option_copy(const struct config_option *option, void *to, const void *from);
bool option_equal(const struct config_option *option, const void *a, const void *b);
/* As a config file would have it; secrets too. */
char *option_text(struct text_pool *pool, const struct config_option *option, const void *field);

/* Every name that may be written in the scope, sorted as in options.def, ends with NULL. In the pool. */
const char *const *option_names(struct text_pool *pool, enum config_scope scope);

#endif
