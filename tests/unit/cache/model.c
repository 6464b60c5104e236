#include "tests/unit/cache/model_private.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/sql/reads.h"

#include <sched.h>
#include <time.h>

/* --- chance --- */

unsigned model_dice(uint64_t *seed, unsigned n)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(*seed >> 33) % n;
}

/* Mostly short, sometimes long, sometimes not at all: a race needs all of these. */
void model_dawdle(uint64_t *seed)
{
	unsigned n = model_dice(seed, 16);

	if (n < 8)
		return;
	if (n < 13)
		sched_yield();
	else
		nanosleep(&(struct timespec){.tv_nsec = 1000L << model_dice(seed, n == 15 ? 9 : 5)}, NULL);
}

/* --- the database --- */

static struct snapshot snapshot_now(const struct model *m)
{
	struct snapshot s = {.xmin = m->next_xid, .xmax = m->next_xid};

	s.xip = malloc((m->nrunning + 1) * sizeof(*s.xip));
	check(s.xip != NULL);
	for (unsigned i = 0; i < m->nrunning; i++)
		s.xip[s.nxip++] = m->running[i];
	if (s.nxip > 0)
		s.xmin = s.xip[0];
	return s;
}

struct snapshot model_snapshot(struct model *m)
{
	struct snapshot s;

	pthread_mutex_lock(&m->lock);
	s = snapshot_now(m);
	pthread_mutex_unlock(&m->lock);
	return s;
}

static uint64_t begin(struct model *m)
{
	uint64_t xid;

	pthread_mutex_lock(&m->lock);
	xid = m->next_xid++;
	check(m->nrunning < 64);
	m->running[m->nrunning++] = xid;
	m->insert += 8;
	pthread_mutex_unlock(&m->lock);
	return xid;
}

static void flush_log(struct model *m)
{
	m->flush = m->insert;
	m->flushed = m->last;
}

static void log_commit(struct model *m, const struct record *record, bool sync)
{
	pthread_mutex_lock(&m->lock);
	check(m->last - m->first < QUEUE);
	m->insert += 16;
	m->log[m->last % QUEUE] = *record;
	m->log[m->last++ % QUEUE].end = m->insert;
	if (sync)
		flush_log(m);
	pthread_mutex_unlock(&m->lock);
}

/* Visible to snapshots from here on. */
static void finish(struct model *m, uint64_t xid, const struct record *record, uint64_t value)
{
	unsigned i = 0;

	pthread_mutex_lock(&m->lock);
	while (m->running[i] != xid)
		i++;
	memmove(&m->running[i], &m->running[i + 1], (m->nrunning - i - 1) * sizeof(m->running[0]));
	m->nrunning--;
	for (i = 0; record != NULL && i < record->nrows; i++)
		m->visible[record->row[i]] = value;
	pthread_mutex_unlock(&m->lock);
}

static bool log_is_long(struct model *m)
{
	bool is;

	pthread_mutex_lock(&m->lock);
	is = m->last - m->first > 64;
	pthread_mutex_unlock(&m->lock);
	return is;
}

/* --- threads --- */

static bool over(struct model *m)
{
	if (!atomic_load(&m->over) && clock_us() >= m->ends_us)
		atomic_store(&m->over, true);
	return atomic_load(&m->over);
}

/* Each writer has rows of its own, so that values rise in the order of commits. */
static void *writer(void *arg)
{
	struct member *self = arg;
	struct model *m = self->m;

	for (uint64_t value = 1; !over(m); value++) {
		uint64_t xid = begin(m);
		struct record record = {.xid = (uint32_t)xid, .nrows = 1 + model_dice(&self->seed, 2)};

		for (unsigned i = 0; i < record.nrows; i++)
			record.row[i] = self->number + WRITERS * model_dice(&self->seed, ROWS / WRITERS);
		if (m->set->rows) { /* two relations of a writer's own would not do: pairs are in one */
			record.nrows = 2;
			record.row[0] =
				2 * (self->number + WRITERS * model_dice(&self->seed, ROWS / 2 / WRITERS));
			record.row[1] = record.row[0] + 1;
		}
		record.value = value;
		model_dawdle(&self->seed);
		if (model_dice(&self->seed, 10) == 0) {
			finish(m, xid, NULL, 0); /* rolled back */
			continue;
		}
		log_commit(m, &record, model_dice(&self->seed, 100) >= m->set->async_percent);
		if (m->set->slow_commits)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		model_dawdle(&self->seed);
		finish(m, xid, &record, value);
		for (unsigned i = 0; i < record.nrows; i++)
			atomic_store(&m->acked[record.row[i]], value);
		model_dawdle(&self->seed);
		while (log_is_long(m) && !over(m))
			model_dawdle(&self->seed);
	}
	return NULL;
}

static void *flusher(void *arg)
{
	struct member *self = arg;
	struct model *m = self->m;

	while (!over(m)) {
		nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
		pthread_mutex_lock(&m->lock);
		flush_log(m);
		pthread_mutex_unlock(&m->lock);
	}
	return NULL;
}

uint64_t model_readkey(unsigned row)
{
	return UINT64_C(0x9E3779B97F4A7C15) * (row + 1);
}

/* What the stream brings next: a commit, or (record_r->nrows == 0) a keepalive. */
static bool stream_next(struct model *m, struct record *record_r)
{
	bool is_commit;

	pthread_mutex_lock(&m->lock);
	is_commit = m->first < m->flushed;
	if (is_commit)
		*record_r = m->log[m->first++ % QUEUE];
	else
		*record_r = (struct record){.end = m->flush};
	pthread_mutex_unlock(&m->lock);
	return is_commit;
}

/* As if all that has begun were visible. */
static void confirm_all(struct model *m)
{
	struct snapshot s = model_snapshot(m);

	s.nxip = 0;
	s.xmin = s.xmax;
	cache_confirm(m->cache, cache_epoch(m->cache), &s);
	snapshot_free(&s);
}

static void apply(struct model *m, const struct record *record, struct change *change)
{
	change_begin(change, record->xid);
	for (unsigned i = 0; i < record->nrows; i++)
		change_key(change, 1 + record->row[i] / ROWS_EACH, model_readkey(record->row[i]));
	if (m->set->refresh)
		model_show_rows(record, change);
	cache_apply(m->cache, change);
	if (m->set->without == WITHOUT_CONFIRM)
		confirm_all(m);
}

/* A new slot: what has its commit record before it will not be streamed, even if it is not visible yet. */
static void new_slot(struct model *m, struct change *change)
{
	struct record record;
	struct snapshot first;
	uint64_t insert, pos;

	pthread_mutex_lock(&m->lock);
	flush_log(m);
	m->first = m->last;
	pos = m->flush;
	pthread_mutex_unlock(&m->lock);
	pthread_mutex_lock(&m->lock);
	first = snapshot_now(m);
	insert = m->insert;
	pthread_mutex_unlock(&m->lock);
	while (pos < insert) {
		if (stream_next(m, &record))
			apply(m, &record, change);
		pos = record.end > pos ? record.end : pos;
		if (over(m))
			break;
	}
	if (m->set->without == WITHOUT_BASELINE)
		first.nxip = 0;
	cache_turn_on(m->cache, NULL, pos, &first);
	snapshot_free(&first);
}

static void *feed(void *arg)
{
	struct member *self = arg;
	struct model *m = self->m;
	struct change change;
	struct record record;

	change_init(&change, 100);
	while (!over(m)) {
		if (m->set->restarts && model_dice(&self->seed, 200) == 0) {
			cache_turn_off(m->cache, "test");
			model_dawdle(&self->seed);
			new_slot(m, &change);
			atomic_fetch_add(&m->restarts, 1);
		}
		if (!stream_next(m, &record)) {
			cache_advance(m->cache, record.end);
			sched_yield();
			continue;
		}
		if (m->set->without == WITHOUT_APPLY_FIRST) {
			cache_advance(m->cache, record.end);
			if (model_dice(&self->seed, 4) == 0)
				sched_yield();
		}
		apply(m, &record, &change);
		cache_advance(m->cache, record.end);
		model_dawdle(&self->seed);
	}
	change_free(&change);
	cache_turn_off(m->cache, "over");
	return NULL;
}

/* --- readers: a row, or the sum of a relation --- */

struct question {
	char key[16];
	unsigned slot;	  /* of seen[] */
	unsigned from, n; /* rows */
	uint64_t readkey;
	uint32_t relid;
};

static struct question ask(uint64_t *seed)
{
	unsigned row = model_dice(seed, ROWS), rel = row / ROWS_EACH;
	struct question q = {
		.slot = row, .from = row, .n = 1, .readkey = model_readkey(row), .relid = rel + 1};

	if (model_dice(seed, 5) == 0)
		q = (struct question){.slot = ROWS + rel,
				      .from = rel * ROWS_EACH,
				      .n = ROWS_EACH,
				      .readkey = readkey_any(rel + 1),
				      .relid = rel + 1};
	snprintf(q.key, sizeof(q.key), "%u", q.slot);
	return q;
}

/* What this question must return at least. */
static uint64_t at_least(struct model *m, const struct question *q)
{
	uint64_t sum = 0, seen = atomic_load(&m->seen[q->slot]);

	for (unsigned i = 0; i < q->n; i++)
		sum += atomic_load(&m->acked[q->from + i]);
	return sum > seen ? sum : seen;
}

static void returned(struct model *m, const struct question *q, uint64_t value)
{
	uint64_t seen = atomic_load(&m->seen[q->slot]);

	while (seen < value && !atomic_compare_exchange_weak(&m->seen[q->slot], &seen, value))
		;
}

static uint64_t value_of(struct entry *entry)
{
	uint64_t value;

	memcpy(&value, entry_answer(entry)->bytes, sizeof(value));
	return value;
}

/* How long a reader waits for the stream. */
#ifdef __SANITIZE_THREAD__
#define PATIENCE_US 20000u
#else
#define PATIENCE_US 2000u
#endif

bool model_proven(struct member *self)
{
	struct model *m = self->m;
	uint64_t epoch = cache_epoch(m->cache), insert, flush, target,
		 until = clock_us() + (m->set->meet ? 100000 : PATIENCE_US);
	struct snapshot s;
	enum proof proof;

	pthread_mutex_lock(&m->lock);
	s = snapshot_now(m);
	insert = m->insert;
	flush = m->flush;
	pthread_mutex_unlock(&m->lock);
	if (m->set->without == WITHOUT_INSERT_LSN)
		insert = flush;
	model_dawdle(&self->seed);
	proof = cache_prove(m->cache, epoch, insert, flush, &s, &target);
	while (proof == PROOF_WAIT && clock_us() < until) {
		if (cache_position(m->cache) >= target || !cache_on(m->cache))
			proof = cache_prove_again(m->cache, epoch, insert, flush, &s, &target);
		else
			sched_yield();
		atomic_fetch_add_explicit(&m->waits, 1, memory_order_relaxed);
	}
	if (proof == PROOF_WAIT)
		atomic_fetch_add_explicit(&m->late, 1, memory_order_relaxed);
	snapshot_free(&s);
	return proof == PROOF_NOW;
}

/* True when the cache answered. */
static bool serve(struct member *self, const struct question *q, uint64_t floor)
{
	struct model *m = self->m;
	struct entry *entry = cache_find(m->cache, span_str(q->key));
	uint64_t value, before;

	if (entry == NULL)
		return false;
	before = value_of(entry);
	entry_unref(entry);
	if (m->set->without != WITHOUT_PROBE && !model_proven(self))
		return false;
	value = before;
	if (m->set->without != WITHOUT_SECOND_LOOK) {
		entry = cache_find(m->cache, span_str(q->key));
		if (entry == NULL)
			return false;
		value = value_of(entry);
		entry_unref(entry);
	}
	atomic_fetch_add_explicit(&m->hits, 1, memory_order_relaxed);
	if (value < floor) {
		atomic_fetch_add(&m->stale_hits, 1);
		atomic_store(&m->over, true);
	}
	returned(m, q, value);
	return true;
}

static void fill(struct member *self, const struct question *q, uint64_t floor)
{
	struct model *m = self->m;
	struct snapshot s0 = {0};
	struct lease lease;
	struct blob *blob;
	uint64_t value = 0, epoch = cache_epoch(m->cache);
	bool asked;

	model_dawdle(&self->seed);
	lease_take(m->cache, epoch, &q->readkey, 1, 0, &q->relid, 1, &lease);
	if (m->set->without == WITHOUT_UNCONFIRMED) {
		lease.nxids = 0;
		lease.full = false;
	}
	asked = lease_needs_snapshot(&lease);
	if (asked)
		s0 = model_snapshot(m);
	model_dawdle(&self->seed);
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < q->n; i++)
		value += m->visible[q->from + i];
	pthread_mutex_unlock(&m->lock);
	model_dawdle(&self->seed);
	if (m->set->without == WITHOUT_FILL_RULE) {
		lease_take(m->cache, cache_epoch(m->cache), &q->readkey, 1, 0, &q->relid, 1, &lease);
		lease.nxids = 0;
		lease.full = false;
	}
	blob = blob_new(span_of(&value, sizeof(value)));
	check(blob != NULL);
	if (cache_store(m->cache, span_str(q->key), blob, &lease, asked ? &s0 : NULL) == 1)
		atomic_fetch_add_explicit(&m->fills, 1, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&m->refused, 1, memory_order_relaxed);
	blob_unref(blob);
	snapshot_free(&s0);
	if (value < floor)
		atomic_fetch_add(&m->stale_reads, 1);
	returned(m, q, value);
}

static void *reader(void *arg)
{
	struct member *self = arg;
	struct model *m = self->m;

	while (!over(m) && m->set->rows)
		model_read_pair(self);
	while (!over(m)) {
		struct question q = ask(&self->seed);
		uint64_t floor = at_least(m, &q);

		if (!serve(self, &q, floor))
			fill(self, &q, floor);
	}
	return NULL;
}

/* --- */

static void start(struct member *self, struct model *m, unsigned number, void *(*run)(void *))
{
	*self = (struct member){.m = m, .number = number, .seed = clock_ns() ^ (uint64_t)(uintptr_t)self};
	check(pthread_create(&self->thread, NULL, run, self) == 0);
}

struct model_result model_run(const struct model_settings *set)
{
	struct model *m = calloc(1, sizeof(*m));
	struct member member[2 + WRITERS + READERS];
	struct change change;
	int64_t counters[NCOUNTERS] = {0};
	struct model_result result;
	unsigned n = 0;

	check(m != NULL && pthread_mutex_init(&m->lock, NULL) == 0);
	m->set = set;
	m->cache = kit_cache(64 << 20);
	m->next_xid = UINT32_MAX - 200; /* the low halves wrap on the way */
	m->insert = m->flush = 1000;
	m->ends_us = clock_us() + set->run_us;
	change_init(&change, 100);
	new_slot(m, &change);
	change_free(&change);
	start(&member[n++], m, 0, feed);
	start(&member[n++], m, 0, flusher);
	for (unsigned i = 0; i < WRITERS; i++)
		start(&member[n++], m, i, writer);
	for (unsigned i = 0; i < READERS; i++)
		start(&member[n++], m, i, reader);
	for (unsigned i = 0; i < n; i++)
		pthread_join(member[i].thread, NULL);
	cache_counters(m->cache, counters);
	result = (struct model_result){.made = m->made,
				       .refreshes = (uint64_t)counters[COUNTER_cache_refreshes],
				       .hits = m->hits,
				       .fills = m->fills,
				       .refused = m->refused,
				       .waits = m->waits,
				       .late = m->late,
				       .restarts = m->restarts,
				       .stale_hits = m->stale_hits,
				       .stale_reads = m->stale_reads};
	cache_unref(m->cache);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return result;
}
