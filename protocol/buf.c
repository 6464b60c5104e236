#include "protocol/buf.h"

#include <stdlib.h>

#define BUF_MIN 64u

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
	size_t max = b->max;

	free(b->p);
	buf_init(b, max);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

static bool buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap < BUF_MIN ? BUF_MIN : b->cap;
	uint8_t *p;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	if (cap > b->max && b->max >= need)
		cap = b->max > BUF_MIN ? b->max : BUF_MIN;
	p = realloc(b->p, cap);
	if (p == NULL)
		return false;
	b->p = p;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (b->len > b->max || n > b->max - b->len ||
	    ((b->p == NULL || n > b->cap - b->len) && !buf_grow(b, b->len + n))) {
		b->failed = true;
		return NULL;
	}
	return b->p + b->len;
}

void buf_add_cstr(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s) + 1);
}

void buf_drop(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	b->len -= n;
	memmove(b->p, b->p + n, b->len);
}
