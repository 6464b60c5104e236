/* rows.h - which rows of a table an answer shows.
 * Source  PostgreSQL manual, "Message Formats": RowDescription, DataRow; reads.h: the rules say where the primary keys are.
 * Shape   a whole answer in, the keys of its rows out (readkey_row).
 * Owner   the caller's.
 * Thread  pure.
 * Errors  false: they cannot be told, or are more than `max`. */
#ifndef PROXY_SESSION_ROWS_H
#define PROXY_SESSION_ROWS_H

#include "proxy/sql/reads.h"

struct rows_rule {
	struct reads_rule rule;
	uint8_t binary; /* bit i: column i of the key comes in binary format */
};

bool rows_of_answer(struct span answer, const struct rows_rule *rules, unsigned nrules, uint64_t *keys_r,
		    unsigned max, unsigned *nkeys_r);

#endif
