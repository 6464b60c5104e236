/* span.h - a run of bytes that somebody else owns.
 * Source  none.
 * Shape   start and length; no terminating NUL is implied.
 * Owner   never the span; it is valid as long as the bytes it points into.
 * Thread  pure; any.
 * Errors  none. */
#ifndef PROTOCOL_SPAN_H
#define PROTOCOL_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){.p = p, .n = n};
}

/* The bytes of a C string without its NUL. */
static inline struct span span_str(const char *s)
{
	return span_of(s, strlen(s));
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Drops the first `n` bytes; `n` must not exceed s.n. */
static inline struct span span_skip(struct span s, size_t n)
{
	return n == 0 ? s : span_of(s.p + n, s.n - n); /* NULL + 0 is undefined */
}

#endif
