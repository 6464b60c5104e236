/* Readers of entity rows: rows are brought one by one and by relations, and pairs of them, which always change together, are read. */
#include "tests/unit/cache/model_private.h"

#include "proxy/base/check.h"
#include "proxy/cache/rows.h"
#include "proxy/sql/reads.h"

static uint32_t relation_of(unsigned row)
{
	return 1 + row / ROWS_EACH;
}

static void keep(struct member *self, const struct lease *lease, const struct snapshot *s0, unsigned from,
		 unsigned n, const uint64_t *values)
{
	struct cache_row rows[ROWS_EACH];
	struct row_value value[ROWS_EACH];
	char key[ROWS_EACH][16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(key[i], sizeof(key[i]), "row %u", from + i);
		value[i] = (struct row_value){.attnum = 1, .value = span_of(&values[i], sizeof(values[i]))};
		rows[i] = (struct cache_row){.key = span_str(key[i]),
					     .readkey = model_readkey(from + i),
					     .value = &value[i],
					     .nvalues = 1};
	}
	cache_put_rows(self->m->cache, lease, s0, 0, rows, n);
	if (self->m->set->refresh)
		cache_refresh(self->m->cache, lease->epoch, relation_of(from), span_str("row "));
}

void model_show_rows(const struct record *record, struct change *change)
{
	struct row_value value = {.attnum = 1, .value = span_of(&record->value, sizeof(record->value))};
	struct buf bytes;
	char key[16];

	buf_init(&bytes, 1024);
	(void)row_write(&bytes, &value, 1, span_of(NULL, 0));
	for (unsigned i = 0; i < record->nrows; i++) {
		snprintf(key, sizeof(key), "%u", record->row[i]);
		change_row_add(change, relation_of(record->row[i]), model_readkey(record->row[i]),
			       span_str(key), buf_span(&bytes));
	}
	buf_free(&bytes);
}

/* The database itself must not show less than a finished read has: that one was given what nobody can see yet. */
static void look_back(struct model *m, unsigned from, unsigned n, const uint64_t *seen,
		      const uint64_t *values)
{
	for (unsigned i = 0; i < n; i++) {
		if (values[i] >= seen[i])
			continue;
		fprintf(stderr, "  row %u was seen too early\n", from + i);
		atomic_fetch_add(&m->stale_hits, 1);
		atomic_store(&m->over, true);
	}
}

/* One statement that shows the rows. */
static void bring(struct member *self, unsigned from, unsigned n)
{
	struct model *m = self->m;
	uint32_t relid = relation_of(from);
	uint64_t values[ROWS_EACH], seen[ROWS_EACH],
		keys[2] = {readkey_whole(relid), n == 1 ? model_readkey(from) : readkey_any(relid)};
	struct snapshot s0 = {0};
	struct lease lease, later;
	struct blob *blob;
	char key[16];
	bool asked;

	lease_take(m->cache, cache_epoch(m->cache), keys, 2, 0, &relid, 1, &lease);
	asked = lease_needs_snapshot(&lease);
	if (asked)
		s0 = model_snapshot(m);
	model_dawdle(&self->seed);
	for (unsigned i = 0; i < n; i++)
		seen[i] = atomic_load(&m->seen[(from + i) / 2 * 2]);
	pthread_mutex_lock(&m->lock);
	memcpy(values, &m->visible[from], n * sizeof(values[0]));
	pthread_mutex_unlock(&m->lock);
	look_back(m, from, n, seen, values);
	model_dawdle(&self->seed);
	snprintf(key, sizeof(key), "list %u %u", from, n);
	blob = blob_new(span_of(values, n * sizeof(values[0])));
	check(blob != NULL);
	if (cache_store(m->cache, span_str(key), blob, &lease, asked ? &s0 : NULL) == 1) {
		atomic_fetch_add_explicit(&m->fills, 1, memory_order_relaxed);
		model_dawdle(&self->seed);
		if (m->set->without == WITHOUT_RECENT) {
			lease_take(m->cache, lease.epoch, keys, 2, 0, &relid, 1, &later);
			lease.raised = later.raised;
		}
		keep(self, &lease, asked ? &s0 : NULL, from, n, values);
	} else {
		atomic_fetch_add_explicit(&m->refused, 1, memory_order_relaxed);
	}
	blob_unref(blob);
	snapshot_free(&s0);
}

static struct entry *find_row(struct model *m, unsigned row)
{
	char key[16];

	snprintf(key, sizeof(key), "row %u", row);
	return cache_find(m->cache, span_str(key));
}

static uint64_t value_of(struct entry *entry)
{
	struct row_reader reader;
	struct row_value value;
	uint64_t v;

	check(row_open(span_of(entry_answer(entry)->bytes, entry_answer(entry)->n), &reader));
	check(row_next(&reader, &value));
	memcpy(&v, value.value.p, sizeof(v));
	return v;
}

static struct entry *make(struct member *self, struct span key, unsigned first)
{
	struct model *m = self->m;
	struct entry *rows[2] = {find_row(m, first), NULL}, *made = NULL;
	struct blob *blob;
	uint64_t values[2];

	model_dawdle(&self->seed);
	rows[1] = find_row(m, first + 1);
	if (rows[0] != NULL && rows[1] != NULL) {
		values[0] = value_of(rows[0]);
		values[1] = value_of(rows[1]);
		blob = blob_new(span_of(values, sizeof(values)));
		check(blob != NULL);
		model_dawdle(&self->seed);
		if (cache_put_made(m->cache, key, blob, rows, 2) == 1)
			made = cache_find(m->cache, key);
		blob_unref(blob);
	}
	for (int i = 0; i < 2; i++)
		if (rows[i] != NULL)
			entry_unref(rows[i]);
	return made;
}

static void judge(struct model *m, unsigned first, uint64_t floor, struct entry *entry)
{
	uint64_t values[2], seen;

	memcpy(values, entry_answer(entry)->bytes, sizeof(values));
	atomic_fetch_add_explicit(&m->hits, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->made, entry_made(entry), memory_order_relaxed);
	if (values[0] < floor || values[0] != values[1]) {
		atomic_fetch_add(&m->stale_hits, 1);
		atomic_store(&m->over, true);
	}
	seen = atomic_load(&m->seen[first]);
	while (seen < values[0] && !atomic_compare_exchange_weak(&m->seen[first], &seen, values[0]))
		;
}

static bool serve(struct member *self, unsigned first, uint64_t floor)
{
	struct model *m = self->m;
	struct entry *entry;
	uint64_t made_us;
	char key[16];
	bool good;

	snprintf(key, sizeof(key), "pair %u", first);
	entry = cache_find(m->cache, span_str(key));
	if (entry == NULL)
		entry = make(self, span_str(key), first);
	if (entry == NULL)
		return false;
	made_us = entry_made(entry) ? entry_stored_us(entry) : 0;
	entry_unref(entry);
	if (!model_proven(self))
		return true;
	model_dawdle(&self->seed);
	entry = cache_find(m->cache, span_str(key));
	if (entry == NULL)
		return false;
	good = m->set->without == WITHOUT_MADE_BEFORE || !entry_made(entry) ||
	       entry_stored_us(entry) <= made_us;
	if (good)
		judge(m, first, floor, entry);
	entry_unref(entry);
	return good;
}

void model_read_pair(struct member *self)
{
	struct model *m = self->m;
	unsigned first = m->set->meet ? 0 : 2 * model_dice(&self->seed, ROWS / 2);
	uint64_t floor = atomic_load(&m->acked[first]), seen = atomic_load(&m->seen[first]);

	if (serve(self, first, floor > seen ? floor : seen))
		return;
	if (model_dice(&self->seed, 3) == 0)
		bring(self, first / ROWS_EACH * ROWS_EACH, ROWS_EACH);
	else
		bring(self, first + model_dice(&self->seed, 2), 1);
}
