/* Rows of tables beside whole answers, and answers that are put together from them.
 *
 * A row R of an answer is kept with two versions: readkey_whole of its relation as the lease of the answer has it, and its own, taken when
 * the answer is complete. Why it holds all that was received and touches it, is what fill.c says of the rows of an answer: the answer
 * has passed the fill rule with this lease, and no row here is on the list of what was raised since.
 *
 * Two answers may bring columns of one row at different times. When the row's version is the same, they are put into one entry; and an
 * answer may be made of several rows. Neither need have been true at the moment when it was put together: a commit that one part
 * shows and the other does not may not have been received yet. But let a proof be asked for after that, at t, and the versions be the
 * same after the proof: every part was read before t, and all that touches it and is visible at t has been received, so each part
 * is what the row is at t. That is why entry_made() has to be asked. */
#include "proxy/base/clock.h"
#include "proxy/cache/parts.h"
#include "proxy/cache/rows.h"
#include "proxy/sql/reads.h"

/* --- is it worth it? --- */

static uint32_t place_of(uint32_t relid)
{
	return relid * 2654435761u >> 22; /* 10 bits */
}

void cache_rows_ask(struct cache *c, uint32_t relid, uint64_t shape)
{
	_Atomic uint64_t *place = &c->rows_asked[place_of(relid)];
	uint64_t now = atomic_load_explicit(place, memory_order_relaxed);

	shape |= 2; /* neither 0 nor ROWS_MANY */
	if (now == 0 && atomic_compare_exchange_strong_explicit(place, &now, shape, memory_order_relaxed,
								memory_order_relaxed))
		return;
	if (now != shape && now != ROWS_MANY)
		atomic_store_explicit(place, ROWS_MANY, memory_order_relaxed);
}

bool cache_rows_wanted(const struct cache *c, uint32_t relid, uint64_t shape)
{
	uint64_t now = atomic_load_explicit(&c->rows_asked[place_of(relid)], memory_order_relaxed);

	return now != 0 && (now == ROWS_MANY || shape == 0 || now != (shape | 2));
}

/* --- keeping rows --- */

static struct span bytes_of(const struct entry *entry)
{
	return span_of(entry->answer->bytes, entry->answer->n);
}

/* What is known of the row besides, if it is of the same versions. */
static struct entry *known(struct cache *c, const struct cache_row *row, const struct lease_key key[2])
{
	struct entry *old = store_peek(&c->store, row->key);

	if (old == NULL || (old->nkeys == 2 && memcmp(old->lease, key, 2 * sizeof(*key)) == 0))
		return old;
	entry_unref(old);
	return NULL;
}

static bool put_row(struct cache *c, const struct cache_row *row, const struct entry_lease *lease,
		    struct buf *bytes)
{
	struct entry *old = known(c, row, lease->key);
	bool news = true, stored = false;
	struct blob *blob;

	buf_clear(bytes);
	if (row->value == NULL)
		row_write_absent(bytes);
	else
		news = row_write(bytes, row->value, row->nvalues,
				 old == NULL ? span_of(NULL, 0) : bytes_of(old));
	if (old != NULL)
		entry_unref(old);
	if (!news || bytes->failed || bytes->len > atomic_load_explicit(&c->max_result, memory_order_relaxed))
		return !bytes->failed && !news;
	blob = blob_new(buf_span(bytes));
	if (blob != NULL)
		stored = store_put(&c->store, row->key, blob, lease) == 1;
	blob_unref(blob);
	return stored;
}

unsigned cache_put_rows(struct cache *c, const struct lease *l, const struct snapshot *s0, unsigned whole,
			const struct cache_row *rows, unsigned n)
{
	uint64_t keys[CACHE_ROWS_MAX];
	struct lease_key noted[CACHE_ROWS_MAX];
	unsigned stored = 0;
	struct buf bytes;

	if (n > CACHE_ROWS_MAX || whole >= l->nkeys || !fill_allowed(c, l, 0, s0))
		return 0;
	for (unsigned i = 0; i < n; i++)
		keys[i] = rows[i].readkey;
	if (fill_note_rows(c, l, keys, n, noted) != RECENT_NONE)
		return 0;
	buf_init(&bytes, 64u << 20);
	for (unsigned i = 0; i < n; i++) {
		struct lease_key key[2] = {l->key[whole], noted[i]};
		struct entry_lease lease = {
			.epoch = l->epoch, .began_us = l->began_us, .key = key, .nkeys = 2};

#ifdef PGWEIR_MUTATE_ENTITY
		lease.nkeys = 0; /* a row that was seen once is believed for ever */
#endif
		stored += put_row(c, &rows[i], &lease, &bytes);
	}
	buf_free(&bytes);
	return stored;
}

void cache_put_note(struct cache *c, uint64_t epoch, struct span key, struct span note)
{
	struct blob *blob = blob_new(note);

	if (blob != NULL && epoch % 2 == 1)
		(void)store_put(&c->store, key, blob, &(struct entry_lease){.epoch = epoch});
	blob_unref(blob);
}

/* --- answers made of rows --- */

int cache_put_made(struct cache *c, struct span key, struct blob *answer, struct entry *const *rows,
		   unsigned n)
{
	struct lease_key lease[LEASE_ROWS_MAX + 1];
	struct entry_lease made = {.epoch = rows[0]->epoch, .key = lease, .made = true};

	if (n > LEASE_ROWS_MAX || answer->n > atomic_load_explicit(&c->max_result, memory_order_relaxed))
		return -1;
	for (unsigned i = 0; i < n; i++) {
#ifdef PGWEIR_MUTATE_ENTITY
		made.epoch = rows[i]->epoch;
		continue;
#endif
		/* Of one relation at one version; else one of them is dead by now. */
		if (rows[i]->epoch != made.epoch || rows[i]->nkeys != 2 ||
		    memcmp(&rows[i]->lease[0], &rows[0]->lease[0], sizeof(lease[0])) != 0)
			return 0;
		lease[0] = rows[i]->lease[0];
		lease[1 + i] = rows[i]->lease[1];
		made.nkeys = 2 + i;
	}
	/* What the lists cost that brought the rows says nothing of what they cost by key: the least that can be. */
	made.began_us = clock_us();
	return store_put(&c->store, key, answer, &made);
}
