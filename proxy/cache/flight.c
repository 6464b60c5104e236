#include "proxy/cache/flight.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/cache/wait.h"

#include <stdlib.h>
#include <xxhash.h>

struct flight {
	struct flight *next;
	uint64_t hash;
	uint64_t since_us;
	struct flight_wait *first, **last; /* followers; borrowed */
	size_t n;
	uint8_t key[];
};

void flights_init(struct flights *f)
{
	atomic_init(&f->bytes, 0);
	for (unsigned i = 0; i < FLIGHT_SHARDS; i++) {
		check(pthread_mutex_init(&f->shard[i].lock, NULL) == 0);
		f->shard[i].first = NULL;
	}
}

size_t flights_bytes(const struct flights *f)
{
	return atomic_load_explicit(&f->bytes, memory_order_relaxed);
}

static struct flight_shard *shard_of(struct flights *f, uint64_t hash)
{
	return &f->shard[hash % FLIGHT_SHARDS];
}

static struct flight **find(struct flight_shard *shard, uint64_t hash, struct span key)
{
	struct flight **at = &shard->first;

	while (*at != NULL && !((*at)->hash == hash && span_eq(span_of((*at)->key, (*at)->n), key)))
		at = &(*at)->next;
	return at;
}

static void lead(struct flights *f, struct flight_shard *shard, uint64_t hash, struct span key)
{
	struct flight *flight = malloc(sizeof(*flight) + key.n);

	if (flight == NULL)
		return;
	flight->hash = hash;
	flight->since_us = clock_us();
	flight->first = NULL;
	flight->last = &flight->first;
	flight->n = key.n;
	memcpy(flight->key, key.p, key.n);
	flight->next = shard->first;
	shard->first = flight;
	atomic_fetch_add_explicit(&f->bytes, sizeof(*flight) + key.n, memory_order_relaxed);
}

/* Under the shard's lock, for the reason that watermark.c gives. */
static void end(struct flights *f, struct flight **at)
{
	struct flight *flight = *at;
	struct flight_wait *wait = flight->first, *next;

	*at = flight->next;
	for (; wait != NULL; wait = next) {
		next = wait->next;
		wait->state = WAIT_POSTED;
		mailbox_post(wait->mb, &wait->mail);
	}
	atomic_fetch_sub_explicit(&f->bytes, sizeof(*flight) + flight->n, memory_order_relaxed);
	free(flight);
}

void flights_done(struct flights *f)
{
	for (unsigned i = 0; i < FLIGHT_SHARDS; i++) {
		while (f->shard[i].first != NULL)
			end(f, &f->shard[i].first);
		pthread_mutex_destroy(&f->shard[i].lock);
	}
}

bool flights_join(struct flights *f, struct span key, struct flight_wait *wait)
{
	uint64_t hash = XXH3_64bits(key.p, key.n);
	struct flight_shard *shard = shard_of(f, hash);
	struct flight *flight;
	bool leads = true;

	check(wait == NULL || wait->state != WAIT_LISTED);
	pthread_mutex_lock(&shard->lock);
	flight = *find(shard, hash, key);
	if (flight == NULL) {
		lead(f, shard, hash, key);
	} else if (clock_us() - flight->since_us > FLIGHT_PATIENCE_US) {
		flight->since_us = clock_us();
	} else if (wait == NULL) {
		leads = false;
	} else {
		leads = false;
		wait->next = NULL;
		wait->state = WAIT_LISTED;
		*flight->last = wait;
		flight->last = &wait->next;
	}
	pthread_mutex_unlock(&shard->lock);
	return leads;
}

/* Two may lead the same key (patience, no memory): the first that ends wakes all, for the other nothing is left to do, or it wakes
 * the followers of a third. They look for themselves whenever they are woken, so that is only early. */
void flights_end(struct flights *f, struct span key)
{
	uint64_t hash = XXH3_64bits(key.p, key.n);
	struct flight_shard *shard = shard_of(f, hash);
	struct flight **at;

	pthread_mutex_lock(&shard->lock);
	at = find(shard, hash, key);
	if (*at != NULL)
		end(f, at);
	pthread_mutex_unlock(&shard->lock);
}

bool flights_cancel(struct flights *f, struct span key, struct flight_wait *wait)
{
	uint64_t hash = XXH3_64bits(key.p, key.n);
	struct flight_shard *shard = shard_of(f, hash);
	struct flight *flight;
	struct flight_wait **at;
	bool listed;

	pthread_mutex_lock(&shard->lock);
	listed = wait->state == WAIT_LISTED;
	if (listed) {
		flight = *find(shard, hash, key);
		check(flight != NULL);
		for (at = &flight->first; *at != wait; at = &(*at)->next)
			check(*at != NULL);
		*at = wait->next;
		if (flight->last == &wait->next)
			flight->last = at;
		wait->state = WAIT_IDLE;
	}
	pthread_mutex_unlock(&shard->lock);
	return listed;
}
