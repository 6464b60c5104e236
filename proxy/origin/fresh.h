/* fresh.h - the shared probe: proves that the cache is current for all reads that wait.
 * Source  docs/coherence.md, "probe" and "serve".
 * Shape   one control connection per worker and database; one question in flight; a read that arrives while one is in
 *         flight joins the next one.
 * Owner   the worker.
 * Thread  the worker's loop.
 * Errors  a lost connection answers FRESH_OFF to all who wait, connects again with a back-off. */
#ifndef PROXY_ORIGIN_FRESH_H
#define PROXY_ORIGIN_FRESH_H

#include "proxy/base/counters.h"
#include "proxy/base/ring.h"
#include "proxy/net/loop.h"
#include "proxy/origin/origin.h"

struct fresh;

enum fresh_result {
	FRESH_PROVEN, /* look up (again) and serve now, in this callback */
	FRESH_LATE,   /* not within the patience: ask PostgreSQL */
	FRESH_OFF,    /* no probe possible, or the cache is off: ask PostgreSQL */
};

struct fresh_wait {
	struct ring node;
	void (*fn)(struct fresh_wait *w, enum fresh_result result);
	uint64_t since_us, cost_us; /* set by fresh_join */
};

struct fresh *fresh_new(struct loop *l, struct origin *origin, struct counters *counters,
			uint64_t patience_us, uint64_t patience_max_us);
void fresh_free(struct fresh **f);
/* A read waits patience_us, and longer, up to the other, while asking PostgreSQL would take longer. */
void fresh_patience(struct fresh *f, uint64_t patience_us, uint64_t patience_max_us);
/* Connected, same system and timeline as the stream, not in recovery, cache on: a join makes sense. */
bool fresh_ready(const struct fresh *f);
/* fn is called later from the loop, never from inside fresh_join. cost_us: what PostgreSQL took for this statement, 0 = not known. */
void fresh_join(struct fresh *f, struct fresh_wait *w, uint64_t cost_us);
void fresh_leave(struct fresh_wait *w);
/* Is there a proof, in this epoch of the cache, that was asked for after after_us and less than within_us ago (both clock_us)? Then what is found
 * now is no older. Asks for the next proof in good time, so that who reads all the time need not wait. */
bool fresh_within(struct fresh *f, uint64_t after_us, uint64_t within_us);
/* What the newest proof of this epoch has shown, borrowed until the next round of the loop; NULL = there is none. An entry that is
 * alive now shows all that was completed in it. */
const struct snapshot *fresh_snapshot(const struct fresh *f);
/* Round-trip time of the last probes, smoothed, for stats. */
uint64_t fresh_rtt_us(const struct fresh *f);

#endif
