/* diff.h - what a reload changes.
 * Source  two configs.
 * Shape   a flat list: options first, then databases, users and peers, each by name.
 * Owner   diff_free() by the caller; names are borrowed from the two configs.
 * Thread  pure; any.
 * Errors  none; memory that is gone aborts (small, bounded by the files). */
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "config/config.h"

enum diff_what { DIFF_OPTION, DIFF_DATABASE, DIFF_USER, DIFF_PEER };
enum diff_how { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED };

struct diff_item {
	enum diff_what what;
	enum diff_how how;
	const char *name;
	const struct config_option *option; /* of DIFF_OPTION */
	bool restart;			    /* an option that a reload cannot change */
	bool reconnect;			    /* a database whose server connections must be made anew */
	bool feed;			    /* a database whose feed must be made anew */
};

struct diff {
	struct diff_item *items; /* owned */
	unsigned count;
	bool restart;	 /* some option needs one */
	bool server_tls; /* some server_tls_* option changed: new settings, new server connections */
	bool client_tls; /* some client_tls_* option changed */
};

void diff_configs(const struct config *before, const struct config *after, struct diff *diff_r);
void diff_free(struct diff *diff);

#endif
