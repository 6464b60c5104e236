/* The whole of the promise, without sessions: writers commit by themselves, a reader fills and is served by the rules, and nothing
 * that it is served may be older than what had been acknowledged before it asked. */
#include "proxy/origin/fresh.h"
#include "proxy/origin/link.h"
#include "proxy/sql/reads.h"
#include "protocol/datum.h"
#include "tests/support/test.h"
#include "tests/unit/origin/site.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS 8
#define WRITERS 2

struct promise {
	struct site site;
	struct loop *loop;
	struct fresh *fresh;
	struct counters counters;
	PGconn *fill;
	uint32_t relid;
	uint64_t deadline;
	bool async;
	atomic_bool stop;
	_Atomic long acked[KEYS]; /* value of the last acknowledged commit */
	/* one read at a time */
	struct fresh_wait wait;
	struct later next;
	int key;
	long least;
	long hits, stale, late, off, fills, refused, overtaken;
};

struct writer {
	struct promise *p;
	int number;
	pthread_t thread;
};

/* Each writer has its own keys, so that it knows what it wrote last. */
static void *write_on(void *arg)
{
	struct writer *w = arg;
	struct promise *p = w->p;
	PGconn *conn = cluster_connect(&p->site.cluster, "app", "postgres");
	unsigned seed = (unsigned)w->number + 1;

	if (p->async)
		sql(conn, "SET synchronous_commit = off");
	for (long i = 1; !atomic_load(&p->stop); i++) {
		int key = (int)((unsigned)rand_r(&seed) % (KEYS / WRITERS)) * WRITERS + w->number;

		if (rand_r(&seed) % 10 == 0) {
			sql(conn, "BEGIN; UPDATE t SET v = -1 WHERE id = %d; ROLLBACK", key);
		} else {
			sql(conn, "UPDATE t SET v = %ld WHERE id = %d", i, key);
			atomic_store(&p->acked[key], i);
		}
		pause_ms((unsigned)rand_r(&seed) % 4);
	}
	PQfinish(conn);
	return NULL;
}

static struct span key_span(const int *key)
{
	return span_of(key, sizeof(*key));
}

static void lease_for(struct promise *p, int key, struct lease *lease_r)
{
	uint64_t epoch = cache_epoch(p->site.cache), keys[2];
	const int16_t attnum = 1;
	struct buf b;
	char text[16];

	snprintf(text, sizeof(text), "%d", key);
	buf_init(&b, 64);
	REQUIRE(datum_canon(23, false, span_str(text), &b) == DATUM_OK);
	struct span value = buf_span(&b);
	keys[0] = readkey_row(p->relid, 1, &attnum, &value);
	keys[1] = readkey_whole(p->relid);
	buf_free(&b);
	lease_take(p->site.cache, epoch, keys, 2, 0, &p->relid, 1, lease_r);
}

static void fill(struct promise *p, int key)
{
	struct snapshot s0 = {0};
	struct lease lease;
	struct blob *blob;
	bool needs;
	long value;

	lease_for(p, key, &lease);
	needs = lease_needs_snapshot(&lease);
	if (needs)
		REQUIRE(snapshot_parse(span_str(sql_text(p->fill, "SELECT pg_current_snapshot()")), &s0) ==
			0);
	value = atol(sql_text(p->fill, "SELECT v FROM t WHERE id = %d", key));
	blob = blob_new(span_of(&value, sizeof(value)));
	REQUIRE(blob != NULL);
	if (cache_store(p->site.cache, key_span(&key), blob, &lease, needs ? &s0 : NULL) == 1)
		p->fills++;
	else
		p->refused++;
	blob_unref(blob);
	snapshot_free(&s0);
}

static void on_proof(struct fresh_wait *w, enum fresh_result result)
{
	struct promise *p = (struct promise *)((char *)w - offsetof(struct promise, wait));
	struct entry *e = result == FRESH_PROVEN ? cache_find(p->site.cache, key_span(&p->key)) : NULL;
	long value;

	if (e != NULL) {
		memcpy(&value, entry_answer(e)->bytes, sizeof(value));
		p->hits++;
		p->stale += value < p->least;
		entry_unref(e);
	} else if (result == FRESH_PROVEN) {
		p->overtaken++;
	}
	p->late += result == FRESH_LATE;
	p->off += result == FRESH_OFF;
	loop_later(p->loop, &p->next);
}

static void on_next(struct later *later)
{
	struct promise *p = (struct promise *)((char *)later - offsetof(struct promise, next));
	struct entry *e;

	if (expired(p->deadline)) {
		loop_stop(p->loop);
		return;
	}
	p->key = rand() % KEYS;
	p->least = atomic_load(&p->acked[p->key]);
	e = cache_find(p->site.cache, key_span(&p->key));
	if (e == NULL)
		fill(p, p->key);
	else
		entry_unref(e);
	fresh_join(p->fresh, &p->wait, 0);
}

static void keep_promise(bool async)
{
	static struct promise promise;
	struct promise *p = &promise;
	struct writer writers[WRITERS];
	struct err err;

	memset(p, 0, sizeof(*p));
	p->async = async;
	site_start(&p->site, NULL);
	sql(p->site.db,
	    "CREATE TABLE t (id int PRIMARY KEY, v bigint); INSERT INTO t SELECT g, 0 FROM generate_series(0, 7) g");
	p->relid = site_relid(&p->site, "t");
	p->fill = cluster_connect(&p->site.cluster, "app", "postgres");
	site_watch(&p->site, 100);
	p->loop = loop_new(NULL, &err);
	REQUIRE(p->loop != NULL);
	p->fresh = fresh_new(p->loop, p->site.origin, &p->counters, 50000, 50000);
	p->wait.fn = on_proof;
	later_init(&p->next, on_next);
	p->deadline = deadline_in(4);
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.p = p, .number = i};
		REQUIRE(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]) == 0);
	}
	loop_later(p->loop, &p->next);
	loop_run(p->loop);
	atomic_store(&p->stop, true);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	printf("hits %ld stale %ld overtaken %ld late %ld off %ld fills %ld refused %ld probes %ld rtt %ld us\n",
	       p->hits, p->stale, p->overtaken, p->late, p->off, p->fills, p->refused,
	       (long)p->counters.v[COUNTER_probes], (long)fresh_rtt_us(p->fresh));
	EXPECT_EQ(p->stale, 0);
	EXPECT(p->hits > 100);
	EXPECT(p->fills > 10);
	fresh_free(&p->fresh);
	loop_free(&p->loop);
	PQfinish(p->fill);
	site_stop(&p->site);
}

TEST(coherence, nothing_served_is_older_than_what_was_acknowledged)
{
	keep_promise(false);
}

TEST(coherence, nor_with_asynchronous_commits)
{
	keep_promise(true);
}
