#include "proxy/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *cond)
{
	fprintf(stderr, "%s:%d: check failed: %s\n", file, line, cond);
	fflush(stderr);
	abort();
}

/* calloc() of glibc leaves out the cache that each thread has of what it freed a moment ago, and a compiler that sees malloc() with
 * memset() behind it makes that a calloc(). */
#define CACHED_MAX 1024u

void *check_alloc(size_t n)
{
	void *volatile got;
	void *p;

	if (n > CACHED_MAX)
		got = calloc(1, n);
	else
		got = malloc(n == 0 ? 1 : n);
	p = got;
	check(p != NULL);
	return n > CACHED_MAX ? p : memset(p, 0, n);
}
