/* read.h - a cursor over received bytes, shared by the decoders.
 * Source  none.
 * Shape   reads move forward; the first short read sets `why`, later reads yield zeros.
 * Owner   the caller's bytes.
 * Thread  one at a time.
 * Errors  sticky: why != NULL; the texts are PostgreSQL's own. */
#ifndef PROTOCOL_READ_H
#define PROTOCOL_READ_H

#include "protocol/span.h"

struct read {
	struct span left;
	const char *why;
};

static inline struct read read_from(struct span s)
{
	return (struct read){.left = s};
}

static inline struct span read_bytes(struct read *r, size_t n)
{
	struct span s = span_of(NULL, 0);

	if (r->why != NULL)
		return s;
	if (n > r->left.n) {
		r->why = "insufficient data left in message";
		return s;
	}
	s = span_of(r->left.p, n);
	if (n > 0)
		r->left = span_skip(r->left, n);
	return s;
}

static inline uint8_t read_u8(struct read *r)
{
	struct span s = read_bytes(r, 1);

	return s.n == 1 ? s.p[0] : 0;
}

static inline uint16_t read_u16(struct read *r)
{
	struct span s = read_bytes(r, 2);

	return s.n == 2 ? (uint16_t)(s.p[0] << 8 | s.p[1]) : 0;
}

static inline uint32_t read_u32(struct read *r)
{
	struct span s = read_bytes(r, 4);

	return s.n == 4 ? (uint32_t)s.p[0] << 24 | (uint32_t)s.p[1] << 16 | (uint32_t)s.p[2] << 8 | s.p[3]
			: 0;
}

static inline uint64_t read_u64(struct read *r)
{
	uint64_t high = read_u32(r);

	return high << 32 | read_u32(r);
}

/* A string that ends with NUL, returned without it. */
static inline struct span read_cstr(struct read *r)
{
	const uint8_t *nul;
	struct span s = span_of(NULL, 0);

	if (r->why != NULL)
		return s;
	nul = r->left.n == 0 ? NULL : memchr(r->left.p, 0, r->left.n);
	if (nul == NULL) {
		r->why = "invalid string in message";
		return s;
	}
	s = span_of(r->left.p, (size_t)(nul - r->left.p));
	r->left = span_skip(r->left, s.n + 1);
	return s;
}

static inline struct span read_rest(struct read *r)
{
	return read_bytes(r, r->left.n);
}

/* All bytes must have been read. 0, or -1 and the reason. */
static inline int read_end(struct read *r, const char **why_r)
{
	if (r->why == NULL && r->left.n != 0)
		r->why = "invalid message format";
	if (r->why == NULL)
		return 0;
	*why_r = r->why;
	return -1;
}

#endif
