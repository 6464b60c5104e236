#include "proxy/base/blob.h"

#include "proxy/base/check.h"

#include <stdlib.h>

struct blob *blob_new(struct span s)
{
	struct blob *b;

	if (s.n > UINT32_MAX)
		return NULL;
	b = malloc(sizeof *b + s.n);
	if (b == NULL)
		return NULL;
	atomic_init(&b->refs, 1);
	b->n = (uint32_t)s.n;
	if (s.n != 0)
		memcpy(b->bytes, s.p, s.n);
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);

	check(before != 0);
	return b;
}

void blob_unref(struct blob *b)
{
	unsigned before;

	if (b == NULL)
		return;
	/* Release what this holder did, and see what all others did before the bytes go. */
	before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
	check(before != 0);
	if (before == 1)
		free(b);
}
