#include "proxy/origin/relations.h"

#include "proxy/base/map.h"

#include <stdlib.h>

struct relations_item {
	uint32_t oid;
	UT_hash_handle hh;
	size_t n;
	uint8_t bytes[];
};

static struct relations_item *find(const struct relations *r, uint32_t oid)
{
	struct relations_item *item = NULL;

	HASH_FIND(hh, r->items, &oid, sizeof(oid), item);
	return item;
}

int relations_put(struct relations *r, uint32_t oid, struct span columns)
{
	struct relations_item *old = find(r, oid);
	struct relations_item *item;

	if (old == NULL && r->n >= RELATIONS_MAX)
		return -1;
	item = malloc(sizeof(*item) + columns.n + 1); /* a table without columns has some bytes, too */
	if (item == NULL)
		return -1;
	item->oid = oid;
	item->n = columns.n;
	if (columns.n > 0)
		memcpy(item->bytes, columns.p, columns.n);
	if (old != NULL) {
		HASH_DEL(r->items, old);
		free(old);
		r->n--;
	}
	HASH_ADD(hh, r->items, oid, sizeof(item->oid), item);
	r->n++;
	return 0;
}

struct span relations_columns(const struct relations *r, uint32_t oid)
{
	const struct relations_item *item = find(r, oid);

	return item == NULL ? span_of(NULL, 0) : span_of(item->bytes, item->n);
}

void relations_clear(struct relations *r)
{
	struct relations_item *item, *next;

	HASH_ITER (hh, r->items, item, next) {
		HASH_DEL(r->items, item);
		free(item);
	}
	r->n = 0;
}
