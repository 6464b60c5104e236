/* buf.h - a growing byte buffer with a bound, the target of every message builder.
 * Source  none.
 * Shape   bytes [0, len); growth doubles; `max` is never exceeded.
 * Owner   whoever embeds the struct; buf_free releases the bytes.
 * Thread  one at a time.
 * Errors  sticky: after a failed growth (bound or memory) `failed` is set, later appends do
 *         nothing, and the caller checks once at the end. */
#ifndef PROTOCOL_BUF_H
#define PROTOCOL_BUF_H

#include "protocol/span.h"

struct buf {
	uint8_t *p; /* owned */
	size_t len;
	size_t cap;
	size_t max; /* bytes; the hard bound */
	bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);

/* Forgets the content, keeps the memory, clears `failed`. */
void buf_clear(struct buf *b);

/* Room for `n` more bytes at the end, to be filled by the caller who then adds to len; NULL when
 * the buffer failed. */
uint8_t *buf_reserve(struct buf *b, size_t n);

/* Messages are built of many small pieces: those that fit are inlined. */
static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;

	if (n == 0)
		return;
	to = !b->failed && n <= b->cap - b->len && b->cap <= b->max ? b->p + b->len : buf_reserve(b, n);
	if (to == NULL)
		return;
	memcpy(to, p, n);
	b->len += n;
}

static inline void buf_add_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.n);
}

static inline void buf_add_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

/* Network order, as all of the wire. */
static inline void buf_add_u16(struct buf *b, uint16_t v)
{
	uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	buf_add(b, bytes, sizeof(bytes));
}

static inline void buf_add_u32(struct buf *b, uint32_t v)
{
	uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	buf_add(b, bytes, sizeof(bytes));
}

void buf_add_cstr(struct buf *b, const char *s); /* with its NUL */

/* Removes the first `n` bytes (n <= len). */
void buf_drop(struct buf *b, size_t n);

static inline struct span buf_span(const struct buf *b)
{
	return span_of(b->p, b->len);
}

#endif
