#include "proxy/base/toplist.h"

#include "proxy/base/map.h"

#include <pthread.h>
#include <stdatomic.h>

/* Its counts are in the atomics; those in `row` are not used. */
struct item {
	struct toplist_row row;
	_Atomic uint64_t count[TOPLIST_KINDS], weight;
	UT_hash_handle hh;
};

/* The lock is for what readers see beside the counts; the one who counts looks without it. */
struct toplist {
	pthread_mutex_t lock;
	struct item *by_id;
	struct item *recent; /* the one that was counted last */
	struct item *item;   /* owned: `max` of them, `n` in use */
	unsigned n, max;
};

uint64_t toplist_group(struct span name)
{
	return XXH3_64bits(name.p, name.n);
}

/* The finalizer of MurmurHash3. */
uint64_t toplist_id(uint64_t group, uint64_t number)
{
	uint64_t x = group ^ (number + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);

	x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

struct toplist *toplist_new(unsigned rows)
{
	struct toplist *t = check_alloc(sizeof(*t));

	check(rows > 0);
	t->item = check_alloc(rows * sizeof(*t->item));
	t->max = rows;
	check(pthread_mutex_init(&t->lock, NULL) == 0);
	return t;
}

void toplist_free(struct toplist **tp)
{
	struct toplist *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	HASH_CLEAR(hh, t->by_id);
	free(t->item);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct item *find(const struct toplist *t, uint64_t id)
{
	struct item *item = NULL;

	HASH_FIND_BYHASHVALUE(hh, t->by_id, &id, sizeof(id), (unsigned)id, item);
	return item;
}

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void set(_Atomic uint64_t *v, uint64_t to)
{
	atomic_store_explicit(v, to, memory_order_relaxed);
}

/* The row that goes; its weight is what the new one may have had unseen. */
static struct item *lightest(struct toplist *t)
{
	struct item *least = &t->item[0];

	for (unsigned i = 1; i < t->n; i++)
		if (get(&t->item[i].weight) < get(&least->weight))
			least = &t->item[i];
	return least;
}

static struct item *take_row(struct toplist *t, uint64_t id)
{
	uint64_t weight = 0;
	struct item *item;

	if (t->n < t->max) {
		item = &t->item[t->n++];
	} else {
		item = lightest(t);
		weight = get(&item->weight);
		HASH_DEL(t->by_id, item);
	}
	item->row = (struct toplist_row){.id = id};
	for (unsigned kind = 0; kind < TOPLIST_KINDS; kind++)
		set(&item->count[kind], 0);
	set(&item->weight, weight);
	HASH_ADD_BYHASHVALUE(hh, t->by_id, row.id, sizeof(item->row.id), (unsigned)id, item);
	return item;
}

bool toplist_count(struct toplist *t, uint64_t id, enum toplist_kind kind)
{
	struct item *item = t->recent;
	bool known;

	if (item == NULL || item->row.id != id)
		item = find(t, id);
	known = item != NULL;
	if (!known) {
		pthread_mutex_lock(&t->lock);
		item = take_row(t, id);
		pthread_mutex_unlock(&t->lock);
	}
	t->recent = item;
	set(&item->count[kind], get(&item->count[kind]) + 1);
	set(&item->weight, get(&item->weight) + 1);
	return known;
}

static void put(char *to, size_t room, struct span text)
{
	size_t n = text.n < room - 1 ? text.n : room - 1;

	/* Not into the middle of a character of UTF-8. */
	while (n > 0 && n < text.n && (text.p[n] & 0xc0) == 0x80)
		n--;
	if (n > 0)
		memcpy(to, text.p, n);
	to[n] = '\0';
}

void toplist_name(struct toplist *t, uint64_t id, struct span group, struct span name)
{
	struct item *item;

	pthread_mutex_lock(&t->lock);
	item = find(t, id);
	if (item != NULL) {
		put(item->row.group, sizeof(item->row.group), group);
		put(item->row.name, sizeof(item->row.name), name);
	}
	pthread_mutex_unlock(&t->lock);
}

static void add_row(const struct item *item, struct toplist_row *rows, unsigned *n, unsigned max)
{
	struct toplist_row copy = item->row, *from = &copy;
	unsigned i = 0;

	for (unsigned kind = 0; kind < TOPLIST_KINDS; kind++)
		copy.count[kind] = get(&item->count[kind]);
	copy.weight = get(&item->weight);
	while (i < *n && rows[i].id != from->id)
		i++;
	if (i == max)
		return;
	if (i == *n) {
		rows[(*n)++] = *from;
		return;
	}
	for (unsigned kind = 0; kind < TOPLIST_KINDS; kind++)
		rows[i].count[kind] += from->count[kind];
	rows[i].weight += from->weight;
	if (rows[i].name[0] == '\0') {
		memcpy(rows[i].name, from->name, sizeof(rows[i].name));
		memcpy(rows[i].group, from->group, sizeof(rows[i].group));
	}
}

unsigned toplist_add(const struct toplist *t, struct toplist_row *rows_r, unsigned n, unsigned max)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&t->lock;

	pthread_mutex_lock(lock);
	for (unsigned i = 0; i < t->n; i++)
		add_row(&t->item[i], rows_r, &n, max);
	pthread_mutex_unlock(lock);
	return n;
}

static int heavier_first(const void *a, const void *b)
{
	uint64_t x = ((const struct toplist_row *)a)->weight, y = ((const struct toplist_row *)b)->weight;

	return (x < y) - (x > y);
}

void toplist_sort(struct toplist_row *rows, unsigned n)
{
	qsort(rows, n, sizeof(*rows), heavier_first);
}
