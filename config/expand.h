/* expand.h - ${env:NAME} and ${file:PATH} in a value.
 * Source  docs/options.md, "Secrets".
 * Shape   text in, text out; what is put in is not looked at again. A file's last newline is left out.
 * Owner   the caller's text_pool.
 * Thread  one at a time (getenv).
 * Errors  -1 with the reason: no such variable, no such file, another word before the colon, no end. */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "config/text.h"
#include "proxy/base/err.h"

/* `beside` is the file that the value stands in: a relative PATH is looked for in its directory. */
int expand_value(struct text_pool *pool, const char *value, const char *beside, const char **value_r,
		 struct err *err);

#endif
