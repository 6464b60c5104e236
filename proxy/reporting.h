/* reporting.h - the stats' view of the process: gathers from workers, pools and caches.
 * Source  admin/report.h.
 * Shape   a struct report_source over borrowed parts.
 * Owner   the app.
 * Thread  the main thread; what it reads is atomic or locked.
 * Errors  none. */
#ifndef PROXY_REPORTING_H
#define PROXY_REPORTING_H

#include "proxy/admin/report.h"
#include "proxy/backend/pool.h"
#include "proxy/origins.h"
#include "proxy/worker.h"

struct reporting {
	struct worker **workers;
	unsigned nworkers;
	struct pools *pools;
	struct origins *origins;
	const bool *draining; /* no new clients are taken any more: not ready */
};

struct report_source reporting_source(struct reporting *r);

#endif
