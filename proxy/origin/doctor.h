/* doctor.h - looks at a database and says what stands between it and its cache.
 * Source  docs/coherence.md (connections, catalog); DESIGN of setup: docs/setup.sql.
 * Shape   one finding after the other through a callback; the same connections, statements and analysis as the origin's, so that
 *         what is found is what the proxy would meet.
 * Owner   nothing outlives a call; a finding's texts are valid during the callback.
 * Thread  the caller's; blocks, each step bounded.
 * Errors  are findings. */
#ifndef PROXY_ORIGIN_DOCTOR_H
#define PROXY_ORIGIN_DOCTOR_H

#include "proxy/origin/origin.h"

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE,	/* something is not cached, or falls more often than it must */
	DOCTOR_WARNING, /* there is a cache, with a weaker promise */
	DOCTOR_ERROR,	/* there is no cache */
};

struct doctor_finding {
	enum doctor_level level;
	const char *text;
	const char *fix; /* "" = nothing to do, or nothing that can be done */
};

struct doctor {
	void (*say)(void *arg, const struct doctor_finding *finding);
	void *arg;
	enum doctor_level worst; /* of all findings so far */
};

void doctor_examine(struct doctor *d, const struct origin_settings *set);

/* The databases of a server that take connections, templates left out: calls fn for each. */
int doctor_databases(const struct origin_settings *set, void (*fn)(void *arg, const char *database),
		     void *arg, struct err *err);

#endif
