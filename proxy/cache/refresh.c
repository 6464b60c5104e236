/* What the row is after transaction X, with the versions that X left, goes into the store when a snapshot has shown X completed. Why it
 * may be served like a row that a statement has brought:
 *  - What is served is made of rows, and waits for a proof that was asked for after that (entry_made), at t. X was visible before the row
 *    came into the store, so it is visible at t.
 *  - All that touches the row and is visible at t has raised its version when the proof holds; the version is still X's, so nothing
 *    after X has touched it, and what touched it before X is in X's version of it. So the row at t is this one.
 * A row that was put in too early would be one that nobody can see yet, and the next to ask PostgreSQL would go back in time. */
#include "proxy/cache/refresh.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/cache/rows.h"
#include "proxy/sql/reads.h"

#include <stdlib.h>

void refresh_init(struct refreshes *r, struct store *store, const struct versions *versions)
{
	*r = (struct refreshes){.store = store, .versions = versions};
	check(pthread_mutex_init(&r->lock, NULL) == 0);
}

size_t refresh_bytes(const struct refreshes *r)
{
	return atomic_load_explicit(&r->bytes, memory_order_relaxed);
}

int64_t refresh_published(const struct refreshes *r)
{
	return atomic_load_explicit(&r->published, memory_order_relaxed);
}

unsigned refresh_pending(const struct refreshes *r)
{
	return atomic_load_explicit(&r->npending, memory_order_acquire);
}

/* --- under the lock --- */

static size_t cost_of(const struct refresh_row *row)
{
	return row->key->n + row->values->n;
}

static void drop_row(struct refresh_row *row)
{
	blob_unref(row->key);
	blob_unref(row->values);
}

/* The last one takes its place. */
static struct refresh_row take_row(struct refreshes *r, unsigned i)
{
	struct refresh_row row = r->pending[i];
	unsigned n = atomic_load_explicit(&r->npending, memory_order_relaxed) - 1;

	r->pending[i] = r->pending[n];
	atomic_store_explicit(&r->npending, n, memory_order_release);
	atomic_fetch_sub_explicit(&r->bytes, cost_of(&row), memory_order_relaxed);
	return row;
}

static void empty(struct refreshes *r)
{
	while (refresh_pending(r) > 0) {
		struct refresh_row row = take_row(r, 0);

		drop_row(&row);
	}
	for (unsigned i = 0; i < r->nwho; i++) {
		atomic_fetch_sub_explicit(&r->bytes, r->who[i].prefix->n, memory_order_relaxed);
		blob_unref(r->who[i].prefix);
	}
	atomic_store_explicit(&r->nwho, 0, memory_order_release);
	r->next_who = 0;
}

/* What is here is of the present epoch, or nothing. */
static bool current(struct refreshes *r)
{
	uint64_t epoch = versions_epoch(r->versions);

	if (r->epoch != epoch)
		empty(r);
	r->epoch = epoch;
	return epoch % 2 == 1;
}

/* --- */

void refresh_clear(struct refreshes *r)
{
	pthread_mutex_lock(&r->lock);
	empty(r);
	pthread_mutex_unlock(&r->lock);
}

void refresh_done(struct refreshes *r)
{
	empty(r);
	pthread_mutex_destroy(&r->lock);
}

static bool known(const struct refreshes *r, uint32_t relid, struct span prefix)
{
	for (unsigned i = 0; i < r->nwho; i++) {
		const struct blob *had = r->who[i].prefix;

		if (r->who[i].relid == relid && span_eq(span_of(had->bytes, had->n), prefix))
			return true;
	}
	return false;
}

static void add_who(struct refreshes *r, uint32_t relid, struct span prefix)
{
	struct blob *blob = blob_new(prefix);
	unsigned at = r->nwho;

	if (blob == NULL)
		return;
	if (at == REFRESH_WHO_MAX) {
		at = r->next_who++ % REFRESH_WHO_MAX;
		atomic_fetch_sub_explicit(&r->bytes, r->who[at].prefix->n, memory_order_relaxed);
		blob_unref(r->who[at].prefix);
	}
	r->who[at] = (struct refresh_who){.relid = relid, .prefix = blob};
	atomic_fetch_add_explicit(&r->bytes, prefix.n, memory_order_relaxed);
	if (at == r->nwho)
		atomic_store_explicit(&r->nwho, at + 1, memory_order_release);
}

void refresh_want(struct refreshes *r, uint64_t epoch, uint32_t relid, struct span prefix)
{
	if (prefix.n > REFRESH_WHO_BYTES)
		return;
	pthread_mutex_lock(&r->lock);
	if (current(r) && r->epoch == epoch && !known(r, relid, prefix))
		add_who(r, relid, prefix);
	pthread_mutex_unlock(&r->lock);
}

bool refresh_wanted(struct refreshes *r, uint32_t relid)
{
	bool wanted = false;

	if (atomic_load_explicit(&r->nwho, memory_order_acquire) == 0)
		return false;
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < r->nwho && !wanted; i++)
		wanted = r->who[i].relid == relid;
	pthread_mutex_unlock(&r->lock);
	return wanted;
}

/* --- a change; under the lock --- */

/* The columns of `old` as `now` has them. False: one of them is not shown in this format. */
static bool renew(struct span old, struct span now, struct buf *out)
{
	struct row_value values[ROW_VALUES_MAX], value;
	struct row_reader had, have;
	unsigned n = 0;
	bool more;

	if (!row_open(old, &had) || !row_open(now, &have))
		return false; /* it was known to be missing: by which columns one will ask is not */
	more = row_next(&have, &value);
	while (n < ROW_VALUES_MAX && row_next(&had, &values[n])) {
		while (more && row_compare(&value, &values[n]) < 0)
			more = row_next(&have, &value);
		if (!more || row_compare(&value, &values[n]) != 0)
			return false;
		values[n++] = value;
	}
	buf_clear(out);
	(void)row_write(out, values, n, span_of(NULL, 0));
	return !out->failed;
}

static unsigned find_row(const struct refreshes *r, struct span key)
{
	unsigned i = 0;

	while (i < r->npending && !span_eq(span_of(r->pending[i].key->bytes, r->pending[i].key->n), key))
		i++;
	return i;
}

/* The columns that somebody was shown in this epoch: those of what waits, or of what was kept last, also when a change has ended
 * it. */
static bool renew_row(struct refreshes *r, struct span key, struct span now, struct buf *out)
{
	unsigned waiting = find_row(r, key);
	struct entry *entry;
	bool whole;

	if (waiting < r->npending) {
		struct refresh_row row = take_row(r, waiting);

		whole = renew(span_of(row.values->bytes, row.values->n), now, out);
		drop_row(&row);
		return whole;
	}
	entry = store_last(r->store, key);
	if (entry == NULL)
		return false;
	whole = renew(span_of(entry->answer->bytes, entry->answer->n), now, out);
	entry_unref(entry);
	return whole;
}

/* What a statement has brought since is not older, and may have more. */
static void publish(struct refreshes *r, const struct refresh_row *row)
{
	struct span key = span_of(row->key->bytes, row->key->n);
	struct entry *there = store_peek(r->store, key);

	if (there != NULL) {
		entry_unref(there);
		return;
	}
	if (store_put(r->store, key, row->values,
		      &(struct entry_lease){
			      .epoch = r->epoch, .began_us = clock_us(), .key = row->lease, .nkeys = 2}) == 1)
		atomic_fetch_add_explicit(&r->published, 1, memory_order_relaxed);
}

static void wait_for(struct refreshes *r, const struct change *change, const struct change_row *changed,
		     struct span key, struct span values)
{
	const uint64_t keys[2] = {readkey_whole(changed->relid), changed->readkey};
	struct refresh_row row = {.xid = change->xid};

	if (r->npending == REFRESH_PENDING_MAX || refresh_bytes(r) + key.n + values.n > REFRESH_PENDING_BYTES)
		return;
	row.key = blob_new(key);
	row.values = blob_new(values);
	if (row.key == NULL || row.values == NULL) {
		drop_row(&row);
		return;
	}
	versions_take(r->versions, keys, 2, row.lease);
#ifdef PGWEIR_MUTATE_REFRESH
	publish(r, &row); /* nobody can see it yet */
	drop_row(&row);
#else
	r->pending[r->npending] = row;
	atomic_fetch_add_explicit(&r->bytes, cost_of(&row), memory_order_relaxed);
	atomic_fetch_add_explicit(&r->npending, 1, memory_order_release);
#endif
}

static void refresh_one(struct refreshes *r, const struct change *change, const struct change_row *changed,
			struct buf *key, struct buf *values)
{
	for (unsigned i = 0; i < r->nwho; i++) {
		if (r->who[i].relid != changed->relid)
			continue;
		buf_clear(key);
		buf_add(key, r->who[i].prefix->bytes, r->who[i].prefix->n);
		buf_add_span(key, change_row_key(change, changed));
		if (!key->failed && renew_row(r, buf_span(key), change_row_values(change, changed), values))
			wait_for(r, change, changed, buf_span(key), buf_span(values));
	}
}

static bool whole_relation(const struct change *change, uint32_t relid)
{
	for (size_t i = 0; i < change->nrels; i++)
		if (change->rels[i].relid == relid)
			return change->rels[i].whole;
	return true; /* cannot be */
}

void refresh_apply(struct refreshes *r, const struct change *change)
{
	struct buf key, values;

	buf_init(&key, REFRESH_PENDING_BYTES);
	buf_init(&values, REFRESH_PENDING_BYTES);
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < change->nrows && current(r); i++)
		if (!change->rows[i].ended && !whole_relation(change, change->rows[i].relid))
			refresh_one(r, change, &change->rows[i], &key, &values);
	pthread_mutex_unlock(&r->lock);
	buf_free(&key);
	buf_free(&values);
}

/* --- a snapshot --- */

/* All of it belongs to one epoch: that of the rows, of the question that `s` answers, and the present one. Should it end now, store_put
 * refuses. Rows that have changed again are dead and only make room. */
void refresh_confirm(struct refreshes *r, uint64_t epoch, const struct snapshot *s)
{
	if (refresh_pending(r) == 0)
		return;
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; current(r) && r->epoch == epoch && i < r->npending;) {
		bool alive = versions_unchanged(r->versions, epoch, r->pending[i].lease, 2);
		struct refresh_row row;

		if (alive && !snapshot_completed(s, r->pending[i].xid)) {
			i++;
			continue;
		}
		row = take_row(r, i);
		if (alive)
			publish(r, &row);
		drop_row(&row);
	}
	pthread_mutex_unlock(&r->lock);
}
