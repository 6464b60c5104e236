/* scratch.h - what the tests of config/ share: a directory of files, and configs made from literals.
 * Source  none.
 * Shape   one scratch directory per test.
 * Owner   scratch_drop() removes the files.
 * Thread  the test's.
 * Errors  end the test. */
#ifndef TESTS_UNIT_CONFIG_SCRATCH_H
#define TESTS_UNIT_CONFIG_SCRATCH_H

#include "config/config.h"

struct scratch {
	char dir[64];
	char path[16][128]; /* of the files written so far */
	unsigned count;
};

void scratch_make(struct scratch *s);
/* Writes a file and returns its path. Writing a name again replaces it. */
const char *scratch_file(struct scratch *s, const char *name, const char *text);
void scratch_drop(struct scratch *s);

/* A config that must be good; its name in messages is "t.ini". */
struct config *scratch_config(const char *text);
/* The message of a config that must be bad. In a buffer that the next call overwrites. */
const char *scratch_error(const char *text);

#endif
