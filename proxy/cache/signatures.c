#include "proxy/cache/signatures.h"

#include "proxy/base/check.h"

void signatures_init(struct signatures *s)
{
	memset(s, 0, sizeof(*s));
	check(pthread_mutex_init(&s->lock, NULL) == 0);
}

void signatures_done(struct signatures *s)
{
	pthread_mutex_destroy(&s->lock);
}

/* The relation's list, or the free place for it. Half of the places are always free. */
static struct signature_list *find(struct signatures *s, uint32_t relid)
{
	uint32_t at = relid * 2654435761u % SIGNATURES_SLOTS;

	while (s->list[at].relid != 0 && s->list[at].relid != relid)
		at = (at + 1) % SIGNATURES_SLOTS;
	return &s->list[at];
}

static bool same(const struct signature *item, uint16_t ncols, const int16_t *attnums)
{
	return item->ncols == ncols && memcmp(item->attnums, attnums, ncols * sizeof(*attnums)) == 0;
}

static void promote(struct signatures *s)
{
	for (unsigned i = 0; s->pending && i < SIGNATURES_SLOTS; i++) {
		s->list[i].n += s->list[i].npending;
		s->list[i].npending = 0;
	}
	s->pending = false;
}

static bool want(struct signatures *s, uint32_t relid, uint16_t ncols, const int16_t *attnums)
{
	struct signature_list *list = find(s, relid);
	unsigned known = list->n + list->npending;

	for (unsigned i = 0; i < known; i++)
		if (same(&list->item[i], ncols, attnums))
			return i < list->n;
	if (known == SIGNATURES_EACH || s->count == SIGNATURES_MAX)
		return false;
	s->count++;
	__atomic_store_n(&list->relid, relid, __ATOMIC_RELAXED);
	list->item[known].ncols = ncols;
	memcpy(list->item[known].attnums, attnums, ncols * sizeof(*attnums));
	list->npending++;
	s->pending = true;
	if (s->open)
		return false;
	promote(s);
	return true;
}

bool signatures_want(struct signatures *s, uint32_t relid, uint16_t ncols, const int16_t *attnums)
{
	bool in_force;

	if (relid == 0 || ncols == 0 || ncols > SIGNATURE_COLUMNS)
		return false;
	pthread_mutex_lock(&s->lock);
	in_force = want(s, relid, ncols, attnums);
	pthread_mutex_unlock(&s->lock);
#ifdef PGWEIR_MUTATE_SIGNATURE
	in_force = true; /* even though the feed does not know it yet, or has no room for it */
#endif
	return in_force;
}

/* No transaction is open: what was left pending by one that never ended comes into force here too. */
void signatures_begin(struct signatures *s)
{
	pthread_mutex_lock(&s->lock);
	promote(s);
	s->open = true;
	pthread_mutex_unlock(&s->lock);
}

void signatures_end(struct signatures *s)
{
	pthread_mutex_lock(&s->lock);
	s->open = false;
	promote(s);
	pthread_mutex_unlock(&s->lock);
}

/* Without the lock: while a transaction is open, others only write behind `n`, and start lists of relations that had none. */
const struct signature *signatures_of(const struct signatures *s, uint32_t relid, unsigned *n_r)
{
	uint32_t at = relid * 2654435761u % SIGNATURES_SLOTS;

	while (__atomic_load_n(&s->list[at].relid, __ATOMIC_RELAXED) != relid) {
		if (__atomic_load_n(&s->list[at].relid, __ATOMIC_RELAXED) == 0) {
			*n_r = 0;
			return NULL;
		}
		at = (at + 1) % SIGNATURES_SLOTS;
	}
	*n_r = s->list[at].n;
	return s->list[at].item;
}

void signatures_clear(struct signatures *s)
{
	pthread_mutex_lock(&s->lock);
	memset(s->list, 0, sizeof(s->list));
	s->count = 0;
	s->pending = false;
	pthread_mutex_unlock(&s->lock);
}
