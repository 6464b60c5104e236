/* tools.h - ways to hurt a decoder.
 * Source  none.
 * Shape   a probe decodes one body and checks that all it hands out lies within; true = it was taken.
 * Owner   every input is a heap copy of exactly its size, so that a sanitizer sees each overread.
 * Thread  the test's own.
 * Errors  EXPECT in the probe. */
#ifndef TESTS_UNIT_PROTOCOL_TOOLS_H
#define TESTS_UNIT_PROTOCOL_TOOLS_H

#include "tests/support/test.h"

/* The bytes of a string literal, NULs inside included. */
#define BYTES(literal) span_of("" literal, sizeof(literal) - 1)

typedef bool (*probe_fn)(struct span body);

bool within(struct span part, struct span whole);
bool probe_copy(probe_fn probe, struct span body);
/* How many of the proper prefixes of `body` are taken. */
unsigned probe_cuts(probe_fn probe, struct span body);
/* Overwrites each place with hostile 1-, 2- and 4-byte numbers; returns how many variants are taken. */
unsigned probe_corrupt(probe_fn probe, struct span body);

#endif
