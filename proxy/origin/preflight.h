/* preflight.h - why there can be no feed, in words that say what to do.
 * Source  PostgreSQL manual, "Streaming Replication" settings; SQLSTATEs of CREATE_REPLICATION_SLOT.
 * Shape   asked only after something has failed; *err has the failure and may get a better text.
 * Owner   -
 * Thread  the origin's.
 * Errors  PREFLIGHT_UNKNOWN leaves *err as it is. */
#ifndef PROXY_ORIGIN_PREFLIGHT_H
#define PROXY_ORIGIN_PREFLIGHT_H

#include "proxy/origin/link.h"

enum preflight {
	PREFLIGHT_UNKNOWN, /* may pass: try again soon */
	PREFLIGHT_REFUSED, /* somebody has to change something on the server */
};

/* The replication connection was refused: asks over an ordinary one. */
enum preflight preflight(const struct link_target *control, const struct link_wait *wait, struct err *err);
/* The slot was refused; the reason is in err->sqlstate. */
enum preflight preflight_slot(struct err *err);

#endif
