/* lists.h - answers of many rows: lists by owner, counts, pages, joins.
 * Source  the oracle; each row has one writer, its attributes are a function of its key and version.
 * Shape   some of the reads take longer, so that much happens meanwhile. Rows move between owners as their versions rise. An answer must have every row that was there at all versions which were
 *         possible while it was asked for, none that was there at no such version, and each at a possible version.
 * Owner   the caller's link.
 * Thread  any; a row is written by one.
 * Errors  false: the statement failed, nothing was judged. */
#ifndef TESTS_TRUTH_LISTS_H
#define TESTS_TRUTH_LISTS_H

#include "tests/truth/link.h"

#define LISTS_ROWS 40u
#define LISTS_SLOT 800u /* of the oracle; the row's number is added */
#define LISTS_ATTRIBUTES 4u

/* owner, kind, flag, grp of a row at a version. */
int64_t lists_attribute(unsigned i, unsigned id, int64_t version);

/* `parted`: rows also move between partitions as their versions rise. */
bool lists_set_up(struct link *l, unsigned rows, bool parted);
/* `dice`: any number; it decides what is read or how it is written. */
bool lists_read(struct link *l, enum protocol protocol, unsigned dice);
/* The next version of a row, or of an owner (1 to LISTS_OWNERS). The caller has counted it up. */
bool lists_write(struct link *l, enum protocol protocol, unsigned id, int64_t version, unsigned dice);
bool lists_write_owner(struct link *l, enum protocol protocol, unsigned owner, int64_t version);

#define LISTS_OWNERS 4u

#endif
