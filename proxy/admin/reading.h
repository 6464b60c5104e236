/* reading.h - all numbers at one moment, read once from the source and then written in any form.
 * Source  report.h.
 * Shape   pools and caches sorted by name, rows of the same name added up, so that each series stands once.
 * Owner   reading_free.
 * Thread  the loop that serves the stats.
 * Errors  small allocations abort. */
#ifndef PROXY_ADMIN_READING_H
#define PROXY_ADMIN_READING_H

#include "proxy/admin/report.h"

struct reading {
	int64_t counters[NCOUNTERS];
	struct report_clients clients;
	struct report_database *databases; /* owned */
	unsigned ndatabases;
	struct tally_sum all; /* of all databases */
	const char *(*pin_name)(unsigned pin);
	bool ready;
	struct report_pool *pools; /* owned */
	unsigned npools;
	unsigned hidden_pools;	     /* more than REPORT_POOLS */
	struct report_cache *caches; /* owned */
	unsigned ncaches;
	struct toplist_row *tops[2]; /* owned; by enum report_top, by falling weight */
	unsigned ntops[2];
	uint64_t uptime_us;
};

void reading_take(const struct report_source *source, uint64_t started_us, struct reading *r);
void reading_free(struct reading *r);

#endif
