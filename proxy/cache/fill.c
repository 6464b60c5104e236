/* Which answers may be stored: the fill rule. */
#include "proxy/base/clock.h"
#include "proxy/cache/parts.h"

/* Why an answer that passes cache_store holds all that was received and touches it, for a transaction X that was applied
 *  - after the versions were read here: X raises a version that was noted, so the lease is dead;
 *  - before: the raised version was read, so (release and acquire on that counter) X was on the unconfirmed list when it was
 *    read next. Either it is listed in the lease, and the fill needs a snapshot s0 that shows X completed; or a snapshot
 *    had shown it completed and it was taken off before this statement left.
 * In both cases X is completed before the statement's own snapshot is taken, and completion is for ever.
 * The other way round (list, then versions) X could be pushed and raised between the two, and be in neither. */
void lease_take(struct cache *c, uint64_t epoch, const uint64_t *keys, unsigned nkeys, unsigned notherwise,
		const uint32_t *relids, unsigned nrels, struct lease *lease_r)
{
	lease_r->epoch = epoch;
	lease_r->began_us = clock_us();
	lease_r->raised = 0;
	lease_r->nkeys = lease_r->notherwise = 0;
	lease_r->nxids = 0;
	lease_r->full = nkeys > LEASE_KEYS + LEASE_OTHERWISE || notherwise > nkeys || epoch % 2 == 0;
	if (lease_r->full)
		return;
	versions_take(&c->versions, keys, nkeys, lease_r->key);
	lease_r->raised = versions_raised(&c->versions);
	lease_r->nkeys = nkeys - notherwise;
	lease_r->notherwise = notherwise;
	lease_r->full =
		!unconfirmed_match(&c->unconfirmed, relids, nrels, lease_r->xid, LEASE_XIDS, &lease_r->nxids);
#ifdef PGWEIR_MUTATE_UNCONFIRMED
	lease_r->full = false;
	lease_r->nxids = 0;
#endif
}

bool lease_keys_alive(const struct cache *c, uint64_t epoch, const struct lease_key *keys, unsigned nkeys)
{
	return versions_unchanged(&c->versions, epoch, keys, nkeys);
}

bool fill_allowed(const struct cache *c, const struct lease *l, unsigned nkeys, const struct snapshot *s0)
{
	if (l->full || (l->nxids > 0 && s0 == NULL))
		return false;
	for (unsigned i = 0; i < l->nxids; i++) {
		if (!snapshot_completed(s0, l->xid[i]))
			return false;
	}
	return versions_unchanged(&c->versions, l->epoch, l->key, nkeys);
}

/* Rows of the answer are known only now, so their versions are. Why none of them was changed by a transaction X that the answer does
 * not hold: X wrote the row on the list of the recent, then raised its version.
 *  - It was on the list before the lease looked at it: then (release and acquire on the list's length) X was among the unconfirmed
 *    when the lease asked for those, and is completed before the statement's snapshot like all of them.
 *  - It came on the list later, and versions_recent has seen it: the answer is not stored.
 *  - Or it has not: then the version that was read here before is not yet raised (it would have shown the list's new length),
 *    and the raise to come kills the entry. */
enum versions_recent fill_note_rows(struct cache *c, const struct lease *l, const uint64_t *rows,
				    unsigned nrows, struct lease_key *keys_r)
{
	versions_take(&c->versions, rows, nrows, keys_r);
#ifdef PGWEIR_MUTATE_RECENT
	return RECENT_NONE;
#else
	return versions_recent(&c->versions, l->raised, keys_r, nrows);
#endif
}

static int store(struct cache *c, struct span key, struct blob *answer, const struct lease *l,
		 const struct snapshot *s0, const struct lease_key *rows, unsigned nrows, bool rows_known)
{
	unsigned nkeys = l->nkeys + (rows_known ? 0 : l->notherwise);
#ifdef PGWEIR_MUTATE_FILL_RULE
	struct lease now = *l; /* as if nothing had happened since the statement left */

	for (unsigned i = 0; i < nkeys; i++)
		now.key[i].version = atomic_load(&c->versions.slot[now.key[i].slot]);
	now.epoch = cache_epoch(c);
	now.nxids = 0;
	now.full = l->full && l->nkeys == 0;
	l = &now;
#endif
	if (s0 != NULL)
		confirm(c, l->epoch, s0);
	/* If a version is raised between this and the entry's appearance, find sees that it is dead. */
	if (!fill_allowed(c, l, nkeys, s0))
		return 0;
	if (answer->n > atomic_load_explicit(&c->max_result, memory_order_relaxed))
		return -1;
	return store_put(&c->store, key, answer,
			 &(struct entry_lease){.epoch = l->epoch,
					       .began_us = l->began_us,
					       .key = l->key,
					       .nkeys = nkeys,
					       .row = rows,
					       .nrows = rows_known ? nrows : 0});
}

int cache_store(struct cache *c, struct span key, struct blob *answer, const struct lease *l,
		const struct snapshot *s0)
{
	return store(c, key, answer, l, s0, NULL, 0, false);
}

int cache_store_rows(struct cache *c, struct span key, struct blob *answer, const struct lease *l,
		     const struct snapshot *s0, const uint64_t *rows, unsigned nrows)
{
	struct lease_key noted[LEASE_ROWS_MAX];
	enum versions_recent recent = RECENT_UNKNOWN;

	if (nrows <= LEASE_ROWS_MAX)
		recent = fill_note_rows(c, l, rows, nrows, noted);
#ifdef PGWEIR_MUTATE_ROWS
	nrows = 0; /* what the answer shows may change as it likes */
#endif
	if (recent == RECENT_RAISED) {
		if (s0 != NULL)
			confirm(c, l->epoch, s0);
		return 0;
	}
	return store(c, key, answer, l, s0, noted, nrows, recent == RECENT_NONE);
}
