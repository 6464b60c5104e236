/* build.h - from the settings of an ini_doc to a struct config.
 * Source  private to config/: config.c and url.c collect settings, build.c makes the struct of them.
 * Shape   one pass over the settings, then what can only be said when all are known.
 * Owner   the config owns its pool; everything in it lives there.
 * Thread  one at a time.
 * Errors  -1 and "file:line: reason". */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include "config/config.h"
#include "config/ini.h"
#include "config/text.h"

#include <stdatomic.h>

struct config_private {
	struct text_pool *pool; /* owned */
	struct ini_doc doc;	/* what it was made from */
	bool files;		/* the auth files are read too */
	atomic_uint refs;
	const struct ini_setting *where[OPTION_COUNT]; /* who set a global option; NULL = default */
};

/* An empty config with one reference. files = read the auth files it will name. */
struct config *build_new(const char *path, bool files);

/* Makes the rest of cfg from priv->doc and hands it out; on an error the reference is gone. */
int build_finish(struct config *cfg, struct config **cfg_r, struct err *err);

/* Copies the settings of a doc into cfg's. */
void build_take_doc(struct config *cfg, const struct ini_doc *doc);

void build_notice(struct config *cfg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
