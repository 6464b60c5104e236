#include "proxy/cache/entry.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"

#include <stdlib.h>

/* What malloc takes for `n` bytes: a header, steps of 16, whole pages for big ones. */
static size_t footprint(size_t n)
{
	size_t step = n >= 128 * 1024 ? 4096 : 16;

	return (n + 8 + step - 1) / step * step;
}

/* .. and what lies idle between blocks of all sizes that come and go: measured by tests/e2e/test_cache_memory.py. */
static size_t with_gaps(size_t n)
{
	return n + n / 16;
}

struct entry *entry_new(struct span key, XXH128_hash_t hash, struct blob *answer, const struct entry_lease *l)
{
	uint32_t nkeys = l->nkeys + l->nrows;
	size_t lease_n = nkeys * sizeof(*l->key);
	struct entry *entry = malloc(sizeof(*entry) + lease_n + key.n);
	uint64_t now_us = clock_us(), took_us = now_us - l->began_us;

	if (entry == NULL)
		return NULL;
	*entry = (struct entry){
		.made = l->made,
		.nkeys = nkeys,
		.key_n = key.n,
		.hash = hash,
		.epoch = l->epoch,
		.took_us = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX,
		.stored_us = now_us,
		.answer = blob_ref(answer),
		.cost = with_gaps(footprint(sizeof(*entry) + lease_n + key.n) +
				  footprint(sizeof(*answer) + answer->n)),
	};
	atomic_init(&entry->refs, 1);
	ring_init(&entry->node);
	if (l->nkeys > 0)
		memcpy(entry->lease, l->key, l->nkeys * sizeof(*l->key));
	if (l->nrows > 0)
		memcpy(&entry->lease[l->nkeys], l->row, l->nrows * sizeof(*l->row));
	memcpy(&entry->lease[nkeys], key.p, key.n);
	return entry;
}

uint64_t entry_stored_us(const struct entry *e)
{
	return e->stored_us;
}

uint64_t entry_took_us(const struct entry *e)
{
	return e->took_us;
}

bool entry_made(const struct entry *e)
{
	return e->made;
}

struct blob *entry_answer(struct entry *e)
{
	return e->answer;
}

struct entry *entry_ref(struct entry *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

void entry_unref(struct entry *e)
{
	unsigned before = atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel);

	check(before != 0);
	if (before > 1)
		return;
	blob_unref(e->answer);
	free(e);
}
