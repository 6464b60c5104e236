/* toplist.h - the most frequent of many things, in bounded memory.
 * Source  Metwally et al., "Efficient computation of frequent and top-k elements" (space-saving).
 * Shape   a fixed number of rows; a new thing takes the row of the least frequent one and inherits its weight, so what is really
 *         frequent is always there. The numbers of a row count from when it came in.
 * Owner   whoever made it; the names are copies, cut at TOPLIST_NAME.
 * Thread  counted and named by one; read by any.
 * Errors  none; memory is taken once. */
#ifndef PROXY_BASE_TOPLIST_H
#define PROXY_BASE_TOPLIST_H

#include "protocol/span.h"

#define TOPLIST_NAME 256u
#define TOPLIST_GROUP 64u

enum toplist_kind {
	TOPLIST_HITS,
	TOPLIST_MISSES,
	TOPLIST_FILLS,
	TOPLIST_KILLS,
	TOPLIST_CHANGES,
	TOPLIST_KINDS
};

struct toplist;

struct toplist_row {
	char group[TOPLIST_GROUP]; /* the database */
	char name[TOPLIST_NAME];
	uint64_t id;
	uint64_t count[TOPLIST_KINDS];
	uint64_t weight; /* all of its kinds, and what was inherited */
};

/* An id for the thing of that number in that group, which is told by toplist_group. */
uint64_t toplist_group(struct span name);
uint64_t toplist_id(uint64_t group, uint64_t number);
struct toplist *toplist_new(unsigned rows);
void toplist_free(struct toplist **t);
/* Counts one of `kind` for the thing `id`. false = it is new: toplist_name() is due, or the row has no name. */
bool toplist_count(struct toplist *t, uint64_t id, enum toplist_kind kind);
void toplist_name(struct toplist *t, uint64_t id, struct span group, struct span name);
/* Adds the rows to those in `rows_r` (n used of max), equal ids together; returns how many there are then. */
unsigned toplist_add(const struct toplist *t, struct toplist_row *rows_r, unsigned n, unsigned max);
/* By falling weight. */
void toplist_sort(struct toplist_row *rows, unsigned n);

#endif
