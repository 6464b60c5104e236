/* metrics.h - a reading in the exposition formats that scrapers read.
 * Source  OpenMetrics 1.0; Prometheus text format 0.0.4.
 * Shape   The two differ in one thing here: OpenMetrics names a counter's family without _total. So a scraper that asks for
 *         OpenMetrics gets that, and all others get the older form, whose UNIT and EOF lines are comments.
 *         A row of counters.def is pgweir_<name>_total, a gauge pgweir_<name>. Unit "us": wait_us is wait_seconds. Unit "bytes":
 *         bytes_sent is sent_bytes.
 * Owner   the caller's buf.
 * Thread  pure; any.
 * Errors  the buf's sticky `failed`. */
#ifndef PROXY_ADMIN_METRICS_H
#define PROXY_ADMIN_METRICS_H

#include "proxy/admin/reading.h"
#include "protocol/buf.h"

#define METRICS_OPEN_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define METRICS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(struct buf *out, const struct reading *r, bool open);
/* The family's name of a counter row, without pgweir_ and _total. */
void metrics_counter_name(const struct counter_row *row, char *out, size_t n);

#endif
