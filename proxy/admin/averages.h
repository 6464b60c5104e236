/* averages.h - what each database did per second, over the last stats_period.
 * Source  PgBouncer's avg_ columns: the difference to the snapshot of the period before.
 * Shape   two snapshots of every database's totals, taken in turn.
 * Owner   the console.
 * Thread  the console's loop.
 * Errors  small allocations abort. */
#ifndef PROXY_ADMIN_AVERAGES_H
#define PROXY_ADMIN_AVERAGES_H

#include "proxy/backend/pool.h"

struct averages;

/* Totals of one database. */
struct database_totals {
	char database[64];
	uint64_t v[NTALLIES];
};

struct totals {
	struct database_totals *at; /* owned; sorted by name */
	unsigned n, room;
	uint64_t taken_us;
};

void totals_take(struct totals *t, struct pools *pools);
void totals_free(struct totals *t);

struct averages *averages_new(struct pools *pools);
void averages_free(struct averages **a);
/* A period has ended. */
void averages_turn(struct averages *a);
/* Per second (counts, bytes) or per transaction, statement (times); `now` is what totals_take has for the database. */
void averages_of(const struct averages *a, const struct database_totals *now, uint64_t now_us,
		 uint64_t out[NTALLIES]);

#endif
