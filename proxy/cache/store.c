#include "proxy/cache/store.h"

#include "proxy/base/check.h"

#include <stdlib.h>

#define BUCKETS_FIRST 64u
#define BUCKETS_MAX (1u << 26)
/* What one bucket costs, with the trace beside it. */
#define BUCKET_BYTES (sizeof(struct entry *) + sizeof(struct ghost))

static int shard_init(struct store_shard *shard)
{
	struct ghost *ghosts = calloc(BUCKETS_FIRST, sizeof(*ghosts));

	shard->bucket = calloc(BUCKETS_FIRST, sizeof(*shard->bucket));
	if (shard->bucket == NULL || ghosts == NULL) {
		free(shard->bucket);
		free(ghosts);
		return -1;
	}
	shard->mask = BUCKETS_FIRST - 1;
	shard->n = 0;
	atomic_init(&shard->bytes, 0);
	evict_init(&shard->evict);
	evict_ghosts(&shard->evict, ghosts, BUCKETS_FIRST);
	check(pthread_mutex_init(&shard->lock, NULL) == 0);
	return 0;
}

static void shard_done(struct store_shard *shard)
{
	free(shard->bucket);
	free(evict_ghosts(&shard->evict, NULL, 1));
	pthread_mutex_destroy(&shard->lock);
}

int store_init(struct store *st, const struct versions *v, size_t limit, size_t other)
{
	st->versions = v;
	atomic_init(&st->limit, limit);
	st->fixed = other + sizeof(*st) + STORE_SHARDS * BUCKETS_FIRST * BUCKET_BYTES;
	atomic_init(&st->used, st->fixed);
	atomic_init(&st->listed, 0);
	atomic_init(&st->entries, 0);
	atomic_init(&st->evictions, 0);
	atomic_init(&st->turn, 0);
	for (unsigned i = 0; i < STORE_SHARDS; i++) {
		if (shard_init(&st->shard[i]) == 0)
			continue;
		while (i-- > 0)
			shard_done(&st->shard[i]);
		return -1;
	}
	return 0;
}

void store_done(struct store *st)
{
	store_clear(st);
	for (unsigned i = 0; i < STORE_SHARDS; i++)
		shard_done(&st->shard[i]);
}

static struct store_shard *shard_of(struct store *st, XXH128_hash_t hash)
{
	return &st->shard[hash.low64 % STORE_SHARDS];
}

static uint64_t place_of(XXH128_hash_t hash)
{
	return hash.low64 / STORE_SHARDS;
}

/* --- under the shard's lock --- */

static struct entry **find(struct store_shard *shard, XXH128_hash_t hash, struct span key)
{
	struct entry **at = &shard->bucket[place_of(hash) & shard->mask];

	while (*at != NULL && !(XXH128_isEqual((*at)->hash, hash) && span_eq(entry_key(*at), key)))
		at = &(*at)->chain;
	return at;
}

static void weigh(struct store *st, struct store_shard *shard, size_t more, size_t less)
{
	size_t bytes = atomic_load_explicit(&shard->bytes, memory_order_relaxed); /* one writer at a time */

	atomic_store_explicit(&shard->bytes, bytes + more - less, memory_order_relaxed);
	atomic_fetch_add_explicit(&st->listed, more - less, memory_order_relaxed);
}

/* The caller has the store's reference now, and its bytes. */
static struct entry *take_out(struct store *st, struct store_shard *shard, struct entry **at)
{
	struct entry *entry = *at;

	*at = entry->chain;
	entry->chain = NULL;
	evict_remove(&shard->evict, entry);
	shard->n--;
	weigh(st, shard, 0, entry->cost);
	return entry;
}

static void put_in(struct store *st, struct store_shard *shard, struct entry *entry)
{
	struct entry **at = &shard->bucket[place_of(entry->hash) & shard->mask];

	entry->chain = *at;
	*at = entry;
	evict_add(&shard->evict, entry);
	shard->n++;
	weigh(st, shard, entry->cost, 0);
}

/* --- bytes --- */

static void give_back(struct store *st, size_t bytes)
{
	atomic_fetch_sub_explicit(&st->used, bytes, memory_order_relaxed);
}

/* Out of the table already, and no lock is held: freeing takes time. */
static void discard(struct store *st, struct entry *entry)
{
	give_back(st, entry->cost);
	atomic_fetch_sub_explicit(&st->entries, 1, memory_order_relaxed);
	entry_unref(entry);
}

/* The next one in turn that has at least its part. To each in turn regardless, a shard that gets fewer newcomers than others for a
 * while would give up what is hot in it, and with a million newcomers every shard has such a while. */
static struct store_shard *next_shard(struct store *st)
{
	size_t part = atomic_load_explicit(&st->listed, memory_order_relaxed) / STORE_SHARDS;
	struct store_shard *shard = NULL;

	for (unsigned i = 0; i < STORE_SHARDS; i++) {
		unsigned turn = atomic_fetch_add_explicit(&st->turn, 1, memory_order_relaxed);

		shard = &st->shard[turn % STORE_SHARDS];
		if (atomic_load_explicit(&shard->bytes, memory_order_relaxed) >= part)
			break;
	}
	return shard;
}

static bool make_room(struct store *st)
{
	struct store_shard *shard = next_shard(st);
	struct entry *victim;

	pthread_mutex_lock(&shard->lock);
	victim = evict_victim(&shard->evict, st->versions);
	if (victim != NULL) {
		if (!victim->in_main)
			evict_trace(&shard->evict, victim);
		take_out(st, shard, find(shard, victim->hash, entry_key(victim)));
	}
	pthread_mutex_unlock(&shard->lock);
	if (victim == NULL)
		return false;
	atomic_fetch_add_explicit(&st->evictions, 1, memory_order_relaxed);
	discard(st, victim);
	return true;
}

/* Makes room until `used` + bytes <= limit, and takes them. False when that cannot be. */
static bool reserve(struct store *st, size_t bytes)
{
	size_t used = atomic_load_explicit(&st->used, memory_order_relaxed);
	unsigned empty = 0;

	while (empty < STORE_SHARDS) {
		size_t limit = atomic_load_explicit(&st->limit, memory_order_relaxed);

		if (bytes > limit)
			return false;
		if (used <= limit - bytes) {
			if (atomic_compare_exchange_weak_explicit(&st->used, &used, used + bytes,
								  memory_order_relaxed, memory_order_relaxed))
				return true;
			continue;
		}
		empty = make_room(st) ? 0 : empty + 1;
		used = atomic_load_explicit(&st->used, memory_order_relaxed);
	}
	return false;
}

void store_resize(struct store *st, size_t limit)
{
	atomic_store(&st->limit, limit);
	(void)reserve(st, 0);
}

/* --- growing a shard's table --- */

static void rehash(struct store_shard *shard, struct entry **bucket, uint32_t n)
{
	for (uint32_t i = 0; i <= shard->mask; i++) {
		struct entry *entry = shard->bucket[i], *next;

		for (; entry != NULL; entry = next) {
			struct entry **at = &bucket[place_of(entry->hash) & (n - 1)];

			next = entry->chain;
			entry->chain = *at;
			*at = entry;
		}
	}
}

/* Twice as many buckets. When there is no memory for them, the chains get longer. The traces start anew. */
static void grow(struct store *st, struct store_shard *shard, uint32_t had)
{
	uint32_t n = had * 2;
	struct entry **bucket, **old = NULL;
	struct ghost *ghosts, *old_ghosts = NULL;

	if (!reserve(st, n * BUCKET_BYTES))
		return;
	bucket = calloc(n, sizeof(*bucket));
	ghosts = calloc(n, sizeof(*ghosts));
	if (bucket == NULL || ghosts == NULL)
		goto out;
	pthread_mutex_lock(&shard->lock);
	if (shard->mask + 1 == had) { /* nobody was quicker */
		rehash(shard, bucket, n);
		old = shard->bucket;
		old_ghosts = evict_ghosts(&shard->evict, ghosts, n);
		shard->bucket = bucket;
		shard->mask = n - 1;
	}
	pthread_mutex_unlock(&shard->lock);
out:
	if (old != NULL) {
		give_back(st, had * BUCKET_BYTES);
		free(old);
		free(old_ghosts);
		return;
	}
	give_back(st, n * BUCKET_BYTES);
	free(bucket);
	free(ghosts);
}

/* --- */

static bool fits_ever(struct store *st, size_t cost)
{
	size_t limit = atomic_load_explicit(&st->limit, memory_order_relaxed);

	/* At most half of it: one entry must not throw out all the others. */
	return limit > st->fixed && cost <= (limit - st->fixed) / 2;
}

int store_put(struct store *st, struct span key, struct blob *answer, const struct entry_lease *l)
{
	XXH128_hash_t hash = XXH3_128bits(key.p, key.n);
	struct store_shard *shard = shard_of(st, hash);
	struct entry *entry = entry_new(key, hash, answer, l), *old = NULL, **at;
	uint32_t buckets;
	bool full, current;

	if (entry == NULL)
		return -1;
	if (!fits_ever(st, entry->cost) || !reserve(st, entry->cost)) {
		entry_unref(entry);
		return -1;
	}
	atomic_fetch_add_explicit(&st->entries, 1, memory_order_relaxed);
	pthread_mutex_lock(&shard->lock);
	/* The feed ends the epoch before it clears the shards, so nothing of the old epoch stays behind in them. That such
	 * an entry would never be found does not depend on it: find compares the epoch. */
	current = versions_epoch(st->versions) == l->epoch;
	if (current) {
		at = find(shard, hash, key);
		if (*at != NULL)
			old = take_out(st, shard, at);
		put_in(st, shard, entry);
		if (old != NULL)
			entry->freq = old->freq;
	}
	buckets = shard->mask + 1;
	full = shard->n > buckets && buckets < BUCKETS_MAX;
	pthread_mutex_unlock(&shard->lock);
	if (old != NULL)
		discard(st, old);
	if (!current)
		discard(st, entry);
	if (full)
		grow(st, shard, buckets);
	return current;
}

static struct entry *look(struct store *st, struct span key, bool hit, bool *killed_r)
{
	XXH128_hash_t hash = XXH3_128bits(key.p, key.n);
	struct store_shard *shard = shard_of(st, hash);
	struct entry *found, *dead = NULL, **at;

	pthread_mutex_lock(&shard->lock);
	at = find(shard, hash, key);
	found = *at;
	if (found != NULL && !entry_alive(found, st->versions)) {
		/* A change of a row that is often read must not send it back to where scans pass through. */
		if (found->in_main || found->freq > 1)
			evict_trace(&shard->evict, found);
		dead = take_out(st, shard, at);
		found = NULL;
	}
	if (found != NULL) {
		if (hit)
			evict_hit(found);
		atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&shard->lock);
	*killed_r = dead != NULL;
	if (dead != NULL)
		discard(st, dead);
	return found;
}

struct entry *store_find(struct store *st, struct span key, bool *killed_r)
{
	return look(st, key, true, killed_r);
}

struct entry *store_peek(struct store *st, struct span key)
{
	bool killed;

	return look(st, key, false, &killed);
}

struct entry *store_last(struct store *st, struct span key)
{
	XXH128_hash_t hash = XXH3_128bits(key.p, key.n);
	struct store_shard *shard = shard_of(st, hash);
	struct entry *found;

	pthread_mutex_lock(&shard->lock);
	found = *find(shard, hash, key);
	if (found != NULL && found->epoch == versions_epoch(st->versions))
		atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
	else
		found = NULL;
	pthread_mutex_unlock(&shard->lock);
	return found;
}

void store_clear(struct store *st)
{
	for (unsigned i = 0; i < STORE_SHARDS; i++) {
		struct store_shard *shard = &st->shard[i];
		struct entry *gone = NULL, *next;

		pthread_mutex_lock(&shard->lock);
		for (uint32_t b = 0; shard->n > 0 && b <= shard->mask; b++) {
			while (shard->bucket[b] != NULL) {
				struct entry *entry = take_out(st, shard, &shard->bucket[b]);

				entry->chain = gone;
				gone = entry;
			}
		}
		pthread_mutex_unlock(&shard->lock);
		for (; gone != NULL; gone = next) {
			next = gone->chain;
			discard(st, gone);
		}
	}
}
