/* witness.h - what PostgreSQL, the proxies and the machine say of themselves when somebody has waited too long.
 * Source  psql, ps and ss, as commands with a time limit: whoever is asked may hang, too.
 * Shape   text on standard error, for the report of a test.
 * Thread  any; blocks for some seconds.
 * Errors  what can't be asked says so in its place. */
#ifndef TESTS_TRUTH_WITNESS_H
#define TESTS_TRUTH_WITNESS_H

#include "tests/truth/link.h"

void witness_report(const struct target *targets, unsigned ntargets);

#endif
