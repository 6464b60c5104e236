#include "proxy/base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *cond)
{
	fprintf(stderr, "%s:%d: check failed: %s\n", file, line, cond);
	fflush(stderr);
	abort();
}

void *check_alloc_raw(size_t n)
{
	void *p = malloc(n == 0 ? 1 : n);

	check(p != NULL);
	return p;
}

void *check_alloc(size_t n)
{
	void *p = calloc(1, n == 0 ? 1 : n);

	check(p != NULL);
	return p;
}
