/* stats.h - a reading as JSON, for the page and for people's scripts.
 * Source  RFC 8259.
 * Shape   names as in counters.def, times in microseconds, LSNs as text.
 * Owner   the caller's buf.
 * Thread  pure; any.
 * Errors  the buf's sticky `failed`. */
#ifndef PROXY_ADMIN_STATS_H
#define PROXY_ADMIN_STATS_H

#include "proxy/admin/reading.h"
#include "protocol/buf.h"

void stats_write(struct buf *out, const struct reading *r);

#endif
