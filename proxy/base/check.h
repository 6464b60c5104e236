/* check.h - what must be true, in release builds too. Never for input from a peer, file or user.
 * Source  none.
 * Shape   a macro; prints file:line and the condition, then aborts.
 * Owner   -
 * Thread  any.
 * Errors  abort(). */
#ifndef PROXY_BASE_CHECK_H
#define PROXY_BASE_CHECK_H

#include <stddef.h>

_Noreturn void check_failed(const char *file, int line, const char *cond);

#define check(cond)                                              \
	do {                                                     \
		if (__builtin_expect(!(cond), 0))                \
			check_failed(__FILE__, __LINE__, #cond); \
	} while (0)

/* Small fixed allocations: zeroed, abort when memory is gone. Peer-sized ones use malloc and return
 * an error. */
void *check_alloc(size_t n);
/* The same, not zeroed: for what is made and freed for each message. malloc() gives again what this thread has freed last, calloc() does not. */
void *check_alloc_raw(size_t n);

#endif
