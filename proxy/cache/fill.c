/* Which answers may be stored: the fill rule. */
#include "proxy/cache/parts.h"

/* Why an answer that passes cache_store holds all that was received and touches it, for a transaction X that was applied
 *  - after the versions were read here: X raises a version that was noted, so the lease is dead;
 *  - before: the raised version was read, so (release and acquire on that counter) X was on the unconfirmed list when it was
 *    read next. Either it is listed in the lease, and the fill needs a snapshot s0 that shows X completed; or a snapshot
 *    had shown it completed and it was taken off before this statement left.
 * In both cases X is completed before the statement's own snapshot is taken, and completion is for ever.
 * The other way round (list, then versions) X could be pushed and raised between the two, and be in neither. */
void lease_take(struct cache *c, uint64_t epoch, const uint64_t *keys, unsigned nkeys, const uint32_t *relids,
		unsigned nrels, struct lease *lease_r)
{
	lease_r->epoch = epoch;
	lease_r->nkeys = 0;
	lease_r->nxids = 0;
	lease_r->full = nkeys > LEASE_KEYS || epoch % 2 == 0;
	if (lease_r->full)
		return;
	versions_take(&c->versions, keys, nkeys, lease_r->key);
	lease_r->nkeys = nkeys;
	lease_r->full =
		!unconfirmed_match(&c->unconfirmed, relids, nrels, lease_r->xid, LEASE_XIDS, &lease_r->nxids);
#ifdef PGWEIR_MUTATE_UNCONFIRMED
	lease_r->full = false;
	lease_r->nxids = 0;
#endif
}

bool lease_alive(const struct cache *c, const struct lease *l)
{
	return !l->full && versions_unchanged(&c->versions, l->epoch, l->key, l->nkeys);
}

static bool fill_allowed(const struct cache *c, const struct lease *l, const struct snapshot *s0)
{
	if (l->full || (l->nxids > 0 && s0 == NULL))
		return false;
	for (unsigned i = 0; i < l->nxids; i++) {
		if (!snapshot_completed(s0, l->xid[i]))
			return false;
	}
	return versions_unchanged(&c->versions, l->epoch, l->key, l->nkeys);
}

int cache_store(struct cache *c, struct span key, struct blob *answer, const struct lease *l,
		const struct snapshot *s0)
{
#ifdef PGWEIR_MUTATE_FILL_RULE
	struct lease now = *l; /* as if nothing had happened since the statement left */

	for (unsigned i = 0; i < now.nkeys; i++)
		now.key[i].version = atomic_load(&c->versions.slot[now.key[i].slot]);
	now.epoch = cache_epoch(c);
	now.nxids = 0;
	now.full = l->full && l->nkeys == 0;
	l = &now;
#endif
	if (s0 != NULL)
		unconfirmed_confirm(&c->unconfirmed, &c->versions, l->epoch, s0);
	/* If a version is raised between this and the entry's appearance, find sees that it is dead. */
	if (!fill_allowed(c, l, s0))
		return 0;
	if (answer->n > atomic_load_explicit(&c->max_result, memory_order_relaxed))
		return -1;
	return store_put(&c->store, key, answer, l);
}
