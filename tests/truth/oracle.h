/* oracle.h - what a read must return at least, and at most.
 * Source  linearizability of a register whose values only rise.
 * Shape   one slot per row. A read that begins must return no less than any write acknowledged, and any value returned by a read that
 *         ended, before it began; and nothing that was not written in a transaction meant to commit.
 * Owner   global: one run, one oracle.
 * Thread  any (atomics).
 * Errors  a violation is counted, and printed while there are few. */
#ifndef TESTS_TRUTH_ORACLE_H
#define TESTS_TRUTH_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#define ORACLE_SLOTS 1024u

/* Before the statement that may commit it is sent. */
void oracle_issued(unsigned slot, int64_t version);
void oracle_acked(unsigned slot, int64_t version);

/* Before a read is sent. */
int64_t oracle_floor(unsigned slot);
/* After its answer: what it may have returned at most. */
int64_t oracle_ceiling(unsigned slot);
/* After its answer; `where` and `how` for the report. `direct`: PostgreSQL itself answered, so a violation means that the oracle, not
 * the proxy, is wrong. */
void oracle_returned(unsigned slot, int64_t floor, int64_t version, const char *where, const char *how,
		     bool direct);
/* A row that must be there was not. */
void oracle_missing(unsigned slot, int64_t floor, const char *where, const char *how, bool direct);
/* An answer that was true at no moment. */
void oracle_torn(unsigned slot, int64_t got, const char *where, const char *how, bool direct);
/* A transaction did not see what it wrote itself. */
void oracle_own(unsigned slot, int64_t wrote, int64_t got, const char *where, const char *how, bool direct);

uint64_t oracle_violations(void);
uint64_t oracle_unsound(void);

#endif
