#include "proxy/cache/unconfirmed.h"

#include "proxy/base/check.h"

#include <stdlib.h>

#define BITS_BYTES (UNCONFIRMED_BITS / 8)

int unconfirmed_init(struct unconfirmed *u)
{
	*u = (struct unconfirmed){0};
	u->xact = malloc(UNCONFIRMED_MAX * sizeof(*u->xact));
	u->dropped_bits = calloc(1, BITS_BYTES);
	if (u->xact == NULL || u->dropped_bits == NULL) {
		free(u->xact);
		free(u->dropped_bits);
		return -1;
	}
	check(pthread_mutex_init(&u->lock, NULL) == 0);
	return 0;
}

void unconfirmed_done(struct unconfirmed *u)
{
	free(u->xact);
	free(u->dropped_bits);
	pthread_mutex_destroy(&u->lock);
}

size_t unconfirmed_bytes(void)
{
	return UNCONFIRMED_MAX * sizeof(struct unconfirmed_xact) + BITS_BYTES;
}

/* --- under the lock --- */

static void publish(struct unconfirmed *u)
{
	atomic_store_explicit(&u->pending, u->n + u->dropped, memory_order_release);
}

static uint64_t bit_of(uint32_t xid)
{
	return UINT64_C(1) << (xid % 64);
}

static uint64_t *word_of(struct unconfirmed *u, uint32_t xid)
{
	return &u->dropped_bits[xid % UNCONFIRMED_BITS / 64];
}

static void drop(struct unconfirmed *u, uint32_t xid)
{
	*word_of(u, xid) |= bit_of(xid);
	if (u->dropped == 0 || (int32_t)(xid - u->newest_dropped) > 0)
		u->newest_dropped = xid;
	if (u->dropped < UINT32_MAX / 2)
		u->dropped++;
}

static void add(struct unconfirmed *u, uint32_t xid, uint32_t nrels, const struct change_relation *rels)
{
	struct unconfirmed_xact *x;

	if (u->n == UNCONFIRMED_MAX) {
		drop(u, xid);
		return;
	}
	x = &u->xact[u->n++];
	x->xid = xid;
	x->nrels = nrels;
	if (nrels == UNCONFIRMED_ALL)
		u->nall++;
	else
		for (uint32_t i = 0; i < nrels; i++)
			x->rel[i] = rels[i].relid;
}

static void forget(struct unconfirmed *u, unsigned i)
{
	if (u->xact[i].nrels == UNCONFIRMED_ALL)
		u->nall--;
	u->xact[i] = u->xact[--u->n];
}

static bool known(const struct unconfirmed *u, uint32_t xid)
{
	for (unsigned i = 0; i < u->n; i++) {
		if (u->xact[i].xid == xid)
			return true;
	}
	return false;
}

/* Of those that had no room, the ones that `s` shows running come back as touching everything. `s` must be newer than all of
 * them: then each is either completed in it or in its list. They had committed when they were dropped, so they cannot
 * have started after it. */
static void recover(struct unconfirmed *u, const struct snapshot *s)
{
	unsigned back = 0;

	if (snapshot_extend(s, u->newest_dropped) >= s->xmax)
		return;
	for (uint32_t i = 0; i < s->nxip; i++)
		back += (*word_of(u, (uint32_t)s->xip[i]) & bit_of((uint32_t)s->xip[i])) != 0;
	if (back > UNCONFIRMED_MAX - u->n)
		return; /* a later snapshot will do */
	for (uint32_t i = 0; i < s->nxip; i++) {
		uint32_t xid = (uint32_t)s->xip[i];

		if ((*word_of(u, xid) & bit_of(xid)) != 0)
			add(u, xid, UNCONFIRMED_ALL, NULL);
	}
	memset(u->dropped_bits, 0, BITS_BYTES);
	u->dropped = 0;
}

static bool touches(const struct unconfirmed_xact *x, const uint32_t *relids, unsigned nrels)
{
	if (x->nrels == UNCONFIRMED_ALL)
		return true;
	for (unsigned i = 0; i < x->nrels; i++) {
		for (unsigned j = 0; j < nrels; j++) {
			if (x->rel[i] == relids[j])
				return true;
		}
	}
	return false;
}

/* --- */

void unconfirmed_push(struct unconfirmed *u, const struct change *change)
{
	bool all = change->everything || change->nrels > UNCONFIRMED_RELS;

	if (change->nrels == 0 && !all)
		return; /* touches nothing that anybody can depend on */
	pthread_mutex_lock(&u->lock);
	/* From the baseline it was listed as touching everything; now it is known what it touches. */
	for (unsigned i = 0; u->nall > 0 && i < u->n; i++) {
		if (u->xact[i].xid == change->xid && u->xact[i].nrels == UNCONFIRMED_ALL) {
			forget(u, i);
			break;
		}
	}
	add(u, change->xid, all ? UNCONFIRMED_ALL : (uint32_t)change->nrels, change->rels);
	publish(u);
	pthread_mutex_unlock(&u->lock);
}

void unconfirmed_baseline(struct unconfirmed *u, const struct snapshot *first)
{
	pthread_mutex_lock(&u->lock);
	for (uint32_t i = 0; i < first->nxip; i++) {
		if (!known(u, (uint32_t)first->xip[i]))
			add(u, (uint32_t)first->xip[i], UNCONFIRMED_ALL, NULL);
	}
	publish(u);
	pthread_mutex_unlock(&u->lock);
}

void unconfirmed_clear(struct unconfirmed *u)
{
	pthread_mutex_lock(&u->lock);
	u->n = u->nall = u->dropped = 0;
	memset(u->dropped_bits, 0, BITS_BYTES);
	publish(u);
	pthread_mutex_unlock(&u->lock);
}

void unconfirmed_confirm(struct unconfirmed *u, const struct versions *v, uint64_t epoch,
			 const struct snapshot *s)
{
	if (atomic_load_explicit(&u->pending, memory_order_acquire) == 0)
		return;
	pthread_mutex_lock(&u->lock);
	/* Under the lock: the feed ends an epoch before it clears the list, and begins one after it has written the
	 * baseline, so an answer of another server, or of this one's past, never touches the list of this epoch.
	 *
	 * Nothing is asked about when `s` was taken. That a transaction is completed in a snapshot holds for every later
	 * one as well; a lease that does not list it was registered after this, its statement leaves later still, and so
	 * sees it. */
	if (versions_epoch(v) == epoch) {
		for (unsigned i = 0; i < u->n;) {
			if (snapshot_completed(s, u->xact[i].xid))
				forget(u, i);
			else
				i++;
		}
		if (u->dropped > 0)
			recover(u, s);
		publish(u);
	}
	pthread_mutex_unlock(&u->lock);
}

bool unconfirmed_match(struct unconfirmed *u, const uint32_t *relids, unsigned nrels, uint32_t *xid_r,
		       unsigned max, unsigned *n_r)
{
	bool fits;

	*n_r = 0;
	if (atomic_load_explicit(&u->pending, memory_order_acquire) == 0)
		return true;
	pthread_mutex_lock(&u->lock);
	fits = u->dropped == 0;
	if (!fits)
		xid_r[(*n_r)++] = u->newest_dropped;
	for (unsigned i = 0; fits && i < u->n; i++) {
		if (!touches(&u->xact[i], relids, nrels))
			continue;
		if (*n_r == max)
			fits = false;
		else
			xid_r[(*n_r)++] = u->xact[i].xid;
	}
	pthread_mutex_unlock(&u->lock);
	return fits;
}
