/* feed_target.h - where the feed of a database connects to, and as whom, by the configuration.
 * Source  options feed_*, server_tls_*, and the entry in [databases].
 * Shape   origin_settings made from a config.
 * Owner   strings are borrowed from the config, but for `port`: hold a reference as long, and do not copy the struct.
 * Thread  pure; any.
 * Errors  static text: why the database has no cache. */
#ifndef PROXY_FEED_TARGET_H
#define PROXY_FEED_TARGET_H

#include "config/config.h"
#include "proxy/origin/origin.h"

struct feed_target {
	struct origin_settings set;
	struct policy policy;
	char port[16];
};

/* NULL = it has one. */
const char *feed_target(struct config *cfg, const char *database, struct feed_target *target_r);

#endif
