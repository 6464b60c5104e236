#include "proxy/sql/arena.h"

#include <stdlib.h>

struct arena_chunk {
	struct arena_chunk *older;
	size_t used;
	size_t size;
	_Alignas(16) uint8_t bytes[];
};

#define CHUNK_MAX (256u * 1024u)

void arena_init(struct arena *a, size_t first, size_t max)
{
	*a = (struct arena){.next = first, .max = max};
}

void arena_free(struct arena *a)
{
	while (a->chunk != NULL) {
		struct arena_chunk *older = a->chunk->older;

		free(a->chunk);
		a->chunk = older;
	}
	a->bytes = 0;
}

static bool arena_more(struct arena *a, size_t n)
{
	size_t size = a->next > n ? a->next : n;
	size_t total = sizeof(struct arena_chunk) + size;
	struct arena_chunk *chunk;

	if (total < n || total > a->max || a->bytes > a->max - total || (chunk = malloc(total)) == NULL)
		return false;
	*chunk = (struct arena_chunk){.older = a->chunk, .size = size};
	a->chunk = chunk;
	a->bytes += total;
	if (a->next < CHUNK_MAX)
		a->next *= 2;
	return true;
}

void *arena_get(struct arena *a, size_t n)
{
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (a->chunk == NULL || a->chunk->size - a->chunk->used < n) {
		if (a->failed || !arena_more(a, n)) {
			a->failed = true;
			return NULL;
		}
	}
	p = a->chunk->bytes + a->chunk->used;
	a->chunk->used += n;
	return p;
}

void *arena_zero(struct arena *a, size_t n)
{
	void *p = arena_get(a, n);

	if (p != NULL)
		memset(p, 0, n);
	return p;
}

char *arena_str(struct arena *a, struct span s)
{
	char *p = arena_get(a, s.n + 1);

	if (p == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

void *arena_grow(struct arena *a, const void *old, size_t n, size_t m)
{
	void *p = arena_get(a, m);

	if (p != NULL && n > 0)
		memcpy(p, old, n);
	return p;
}
