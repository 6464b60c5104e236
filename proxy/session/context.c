#include "proxy/session/context.h"

#include "proxy/base/map.h"

struct item {
	UT_hash_handle hh;	/* key: bytes */
	struct blob *blob;	/* counted */
	struct entry *entry;	/* counted; NULL: then .. */
	struct lease_key *keys; /* .. owned; NULL too: nobody knows whether it has changed */
	unsigned nkeys;
	uint64_t epoch;
	bool changed; /* counted in context.changed */
	uint8_t nrels;
	uint32_t relids[CONTEXT_RELATIONS];
	size_t cost;
	uint8_t key[];
};

struct context {
	struct item *items;
	struct context_rows *rows; /* owned */
	size_t bytes;
	unsigned changed;
	unsigned nwritten;
	uint32_t written[CONTEXT_RELATIONS];
	bool ended;
};

struct context *context_new(void)
{
	struct context *c = check_alloc(sizeof(*c));

	c->rows = context_rows_new();
	return c;
}

struct context_rows *context_rows(struct context *c)
{
	return c->rows;
}

size_t context_rows_room(const struct context *c, size_t max)
{
	return c->bytes < max ? max - c->bytes : 0;
}

static void drop(struct context *c, struct item *item)
{
	HASH_DEL(c->items, item);
	c->bytes -= item->cost;
	if (item->entry != NULL)
		entry_unref(item->entry);
	blob_unref(item->blob);
	free(item->keys);
	free(item);
}

static void drop_all(struct context *c)
{
	struct item *item, *next;

	HASH_ITER (hh, c->items, item, next)
		drop(c, item);
}

void context_free(struct context **cp)
{
	struct context *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	drop_all(c);
	context_rows_free(&c->rows);
	free(c);
}

/* Notes whether others have changed it. With another epoch nobody can tell. */
static void look(struct context *c, struct cache *cache, struct item *item)
{
	bool alive = true;

	if (item->changed || cache_epoch(cache) != item->epoch)
		return;
	if (item->entry != NULL)
		alive = cache_alive(cache, item->entry);
	else if (item->keys != NULL)
		alive = lease_keys_alive(cache, item->epoch, item->keys, item->nkeys);
	/* An epoch that has just passed kills everything. */
	if (alive || cache_epoch(cache) != item->epoch)
		return;
	item->changed = true;
	c->changed++;
}

unsigned context_changed(struct context *c, struct cache *cache)
{
	for (struct item *item = c->items; item != NULL; item = item->hh.next)
		look(c, cache, item);
	return c->changed + context_rows_changed(c->rows);
}

struct blob *context_find(struct context *c, struct cache *cache, uint64_t epoch, struct span key)
{
	struct item *item = NULL;

	if (key.n == 0)
		return NULL;
	HASH_FIND(hh, c->items, key.p, key.n, item);
	if (item == NULL)
		return NULL;
	if (item->epoch != epoch) {
		drop(c, item);
		return NULL;
	}
	look(c, cache, item);
	return item->blob;
}

bool context_written(const struct context *c, const uint32_t *relids, unsigned nrels)
{
	if (c->ended)
		return true;
	for (unsigned i = 0; i < nrels; i++)
		for (unsigned k = 0; k < c->nwritten; k++)
			if (relids[i] == c->written[k])
				return true;
	return false;
}

static void copy_lease(struct item *item, const struct lease *lease)
{
	unsigned n = lease->nkeys + lease->notherwise;

	item->keys = check_alloc(n * sizeof(*item->keys));
	memcpy(item->keys, lease->key, n * sizeof(*item->keys));
	item->nkeys = n;
}

static size_t cost_of(const struct context_answer *answer)
{
	size_t n = sizeof(struct item) + answer->key.n + sizeof(*answer->blob) + answer->blob->n;

	if (answer->entry == NULL && answer->lease != NULL && !answer->lease->full)
		n += (answer->lease->nkeys + answer->lease->notherwise) * sizeof(struct lease_key);
	return n;
}

bool context_keep(struct context *c, const struct context_answer *answer, size_t max)
{
	size_t cost = cost_of(answer);
	struct item *item = NULL;

	HASH_FIND(hh, c->items, answer->key.p, answer->key.n, item);
	if (item != NULL)
		drop(c, item);
	if (c->bytes + context_rows_bytes(c->rows) + cost > max || answer->nrels > CONTEXT_RELATIONS ||
	    context_written(c, answer->relids, answer->nrels))
		return false;
	item = check_alloc(sizeof(*item) + answer->key.n);
	item->blob = blob_ref(answer->blob);
	if (answer->entry != NULL)
		item->entry = entry_ref(answer->entry);
	else if (answer->lease != NULL && !answer->lease->full)
		copy_lease(item, answer->lease);
	item->epoch = answer->epoch;
	item->nrels = (uint8_t)answer->nrels;
	memcpy(item->relids, answer->relids, answer->nrels * sizeof(*answer->relids));
	item->cost = cost;
	memcpy(item->key, answer->key.p, answer->key.n);
	HASH_ADD_KEYPTR(hh, c->items, item->key, answer->key.n, item);
	c->bytes += cost;
	return true;
}

static bool depends_on(const struct item *item, uint32_t relid)
{
	for (unsigned i = 0; i < item->nrels; i++)
		if (item->relids[i] == relid)
			return true;
	return false;
}

void context_wrote(struct context *c, struct cache *cache, uint32_t relid)
{
	struct item *item, *next;

	/* From here on what changes may be the transaction's own doing. */
	context_changed(c, cache);
	if (relid == 0 || (c->nwritten == CONTEXT_RELATIONS && !context_written(c, &relid, 1))) {
		c->ended = true;
		drop_all(c);
		context_rows_wrote(c->rows, 0);
		return;
	}
	if (!context_written(c, &relid, 1))
		c->written[c->nwritten++] = relid;
	context_rows_wrote(c->rows, relid);
	HASH_ITER (hh, c->items, item, next)
		if (depends_on(item, relid))
			drop(c, item);
}

bool context_ended(const struct context *c)
{
	return c->ended;
}
