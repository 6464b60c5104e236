/* points.h - reads by key that rows of other answers may answer.
 * Source  the oracle; the rows of lists.h, whose attributes are a function of key and version; and twins: two rows that always change
 *         together, so an answer that shows both shows them at one version.
 * Shape   a row is asked for with some columns, and brought by lists and by reads with others.
 * Owner   the caller's link.
 * Thread  any; a pair of twins is written by one.
 * Errors  false: the statement failed, nothing was judged. */
#ifndef TESTS_TRUTH_POINTS_H
#define TESTS_TRUTH_POINTS_H

#include "tests/truth/link.h"

#define POINTS_PAIRS 40u

/* After lists_set_up. */
bool points_set_up(struct link *l, unsigned rows);
bool points_read(struct link *l, enum protocol protocol, unsigned dice);
/* The next version of a pair, 1 to POINTS_PAIRS. */
bool points_write(struct link *l, enum protocol protocol, unsigned pair, int64_t version, unsigned dice);

#endif
