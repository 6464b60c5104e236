/* fuzz.h - what every fuzz target is made of.
 * Source  libFuzzer's entry point; replay.c calls the same one with gcc.
 * Shape   LLVMFuzzerTestOneInput() decodes one input and checks what it was given.
 * Owner   the input is the caller's.
 * Thread  one.
 * Errors  FUZZ_CHECK aborts: what fails there is a bug of ours, never of the input. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "protocol/span.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define FUZZ_CHECK(cond)                                                           \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static inline void fuzz_within(struct span part, struct span whole)
{
	FUZZ_CHECK(part.p == NULL || part.n == 0 ||
		   (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

#endif
