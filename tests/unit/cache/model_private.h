/* model_private.h - the inside of the model, for model.c and model_rows.c.
 * Source  model.h.
 * Shape   see there.
 * Owner   model_run.
 * Thread  the model's own.
 * Errors  abort. */
#ifndef TESTS_UNIT_CACHE_MODEL_PRIVATE_H
#define TESTS_UNIT_CACHE_MODEL_PRIVATE_H

#include "tests/unit/cache/kit.h"
#include "tests/unit/cache/model.h"

#include <pthread.h>

#define RELATIONS 3u
#define ROWS_EACH 4u
#define ROWS (RELATIONS * ROWS_EACH)
#define WRITERS 3u
#define READERS 3u
#define QUEUE 4096u

struct record {
	uint32_t xid;
	unsigned nrows;
	unsigned row[2];
	uint64_t value; /* of these, from now on */
	uint64_t end;
};

struct model {
	const struct model_settings *set;
	struct cache *cache;
	uint64_t ends_us;
	atomic_bool over;

	/* The database; under its lock. */
	pthread_mutex_t lock;
	uint64_t next_xid;
	uint64_t running[64]; /* rising, for a snapshot's sake */
	unsigned nrunning;
	uint64_t visible[ROWS];
	uint64_t insert, flush;
	struct record log[QUEUE];      /* commit records that the stream has not brought yet */
	uint64_t first, flushed, last; /* of the log: [first, flushed) can be streamed */

	/* The oracle. */
	_Atomic uint64_t acked[ROWS];
	_Atomic uint64_t seen[ROWS + RELATIONS];
	_Atomic uint64_t made, hits, fills, refused, waits, late, restarts, stale_hits, stale_reads;
};

struct member {
	struct model *m;
	unsigned number;
	uint64_t seed;
	pthread_t thread;
};

unsigned model_dice(uint64_t *seed, unsigned n);
void model_dawdle(uint64_t *seed);
struct snapshot model_snapshot(struct model *m);
uint64_t model_readkey(unsigned row);
/* model_rows.c: the rows of `record` as the stream shows them. */
void model_show_rows(const struct record *record, struct change *change);
/* A proof that is asked for now. */
bool model_proven(struct member *self);

/* model_rows.c: one read of a pair, from rows if they are there; else its rows are read, one or several at a time. */
void model_read_pair(struct member *self);

#endif
