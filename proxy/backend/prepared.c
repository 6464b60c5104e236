#include "proxy/backend/prepared.h"

#include "proxy/base/map.h"

struct prepared_entry {
	uint64_t id;
	enum prepared_state state;
	bool seen;
	uint64_t batch; /* of the Parse */
	struct ring node;
	UT_hash_handle hh;
};

void prepared_init(struct prepared *p)
{
	p->table = NULL;
	p->n = 0;
	ring_init(&p->lru);
}

static void drop(struct prepared *p, struct prepared_entry *e)
{
	HASH_DEL(p->table, e);
	ring_remove(&e->node);
	p->n -= e->state != PREPARED_CLOSING;
	free(e);
}

void prepared_clear(struct prepared *p)
{
	struct prepared_entry *e, *next;

	HASH_ITER (hh, p->table, e, next)
		drop(p, e);
}

void prepared_clear_held(struct prepared *p)
{
	struct prepared_entry *e, *next;

	HASH_ITER (hh, p->table, e, next)
		if (e->state != PREPARED_PENDING)
			drop(p, e);
}

static struct prepared_entry *find(const struct prepared *p, uint64_t id)
{
	struct ring *newest = ring_last(&p->lru);
	struct prepared_entry *e;

	/* Mostly the one of the request before, and it is asked for several times: the table is four places in memory. */
	if (newest != NULL && (e = ring_item(newest, struct prepared_entry, node))->id == id)
		return e;
	HASH_FIND(hh, p->table, &id, sizeof id, e);
	return e;
}

enum prepared_state prepared_look(struct prepared *p, uint64_t id)
{
	struct prepared_entry *e = find(p, id);

	if (e == NULL)
		return PREPARED_NOT;
	if (ring_last(&p->lru) != &e->node) {
		ring_remove(&e->node);
		ring_add(&p->lru, &e->node);
	}
	return e->state;
}

int prepared_sent(struct prepared *p, uint64_t id, uint64_t batch)
{
	struct prepared_entry *e = find(p, id);

	if (e != NULL)
		return 0;
	e = check_alloc(sizeof *e);
	e->id = id;
	e->state = PREPARED_PENDING;
	e->batch = batch;
	ring_add(&p->lru, &e->node);
	HASH_ADD(hh, p->table, id, sizeof e->id, e);
	p->n++;
	return 0;
}

void prepared_confirmed(struct prepared *p, uint64_t id)
{
	struct prepared_entry *e = find(p, id);

	if (e == NULL)
		return;
	p->n += e->state == PREPARED_CLOSING;
	e->state = PREPARED_HELD;
}

void prepared_closing(struct prepared *p, uint64_t id)
{
	struct prepared_entry *e = find(p, id);

	if (e == NULL || e->state == PREPARED_CLOSING)
		return;
	e->state = PREPARED_CLOSING;
	p->n--;
}

uint64_t prepared_batch(const struct prepared *p, uint64_t id)
{
	const struct prepared_entry *e = find(p, id);

	return e != NULL ? e->batch : 0;
}

void prepared_forget(struct prepared *p, uint64_t id)
{
	struct prepared_entry *e = find(p, id);

	if (e != NULL)
		drop(p, e);
}

uint64_t prepared_oldest(const struct prepared *p)
{
	ring_each (it, &p->lru) {
		struct prepared_entry *e = ring_item(it, struct prepared_entry, node);

		if (e->state == PREPARED_HELD)
			return e->id;
	}
	return 0;
}

unsigned prepared_unsee(struct prepared *p)
{
	unsigned n = 0;

	ring_each (it, &p->lru) {
		struct prepared_entry *e = ring_item(it, struct prepared_entry, node);

		e->seen = e->state != PREPARED_HELD;
		n += e->state == PREPARED_HELD;
	}
	return n;
}

void prepared_see(struct prepared *p, uint64_t id)
{
	struct prepared_entry *e = find(p, id);

	if (e != NULL)
		e->seen = true;
}

uint64_t prepared_unseen(const struct prepared *p)
{
	ring_each (it, &p->lru) {
		const struct prepared_entry *e = ring_item(it, struct prepared_entry, node);

		if (!e->seen)
			return e->id;
	}
	return 0;
}

struct span prepared_name(uint64_t id, char out[PREPARED_NAME_MAX])
{
	static const char prefix[] = "pgweir_";
	char digits[20], *at = digits + sizeof digits;
	size_t n = sizeof prefix - 1;

	/* One for each Bind: printf would be a twentieth of the work. */
	do
		*--at = (char)('0' + id % 10);
	while ((id /= 10) != 0);
	memcpy(out, prefix, n);
	memcpy(out + n, at, (size_t)(digits + sizeof digits - at));
	n += (size_t)(digits + sizeof digits - at);
	out[n] = '\0';
	return span_of(out, n);
}

uint64_t prepared_held_but(const struct prepared *p, bool (*keep)(void *arg, uint64_t id), void *arg)
{
	ring_each (it, &p->lru) {
		const struct prepared_entry *e = ring_item(it, struct prepared_entry, node);

		if (e->state == PREPARED_HELD && !keep(arg, e->id))
			return e->id;
	}
	return 0;
}
