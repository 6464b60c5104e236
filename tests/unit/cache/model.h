/* model.h - a database with a log, a stream and delayed visibility, in one process, and a cache on top of it.
 * Source  docs/coherence.md: what PostgreSQL does, measured.
 * Shape   threads: writers, a flusher, the feed, readers. Rows hold numbers that only rise, so a read is stale when it returns less
 *         than what was acknowledged, or returned by a finished read, before it began.
 * Owner   model_run.
 * Thread  the caller's, until it ends.
 * Errors  abort. */
#ifndef TESTS_UNIT_CACHE_MODEL_H
#define TESTS_UNIT_CACHE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* One rule left out. */
enum model_without {
	WITHOUT_NOTHING,
	WITHOUT_FILL_RULE,   /* the lease is taken when the answer is there */
	WITHOUT_UNCONFIRMED, /* no snapshot is asked for */
	WITHOUT_PROBE,	     /* what is found is served */
	WITHOUT_INSERT_LSN,  /* the flush LSN must do */
	WITHOUT_SECOND_LOOK, /* what was found before the proof is served */
	WITHOUT_APPLY_FIRST, /* the position is published before the change is applied */
	WITHOUT_BASELINE,    /* when it goes on, nobody is taken to be running */
	WITHOUT_RECENT,	     /* rows: what was raised while the answer came is not looked for */
	WITHOUT_CONFIRM,     /* rows that are kept hot do not wait until their transaction is visible */
	WITHOUT_MADE_BEFORE, /* rows: an answer that was made since the proof was asked for is served */
};

struct model_settings {
	enum model_without without;
	unsigned async_percent; /* commits that become visible before they are flushed */
	bool slow_commits;	/* they are visible only long after they are logged */
	bool restarts;		/* the stream is lost now and then */
	bool rows;		/* pairs of rows that change together, read from entity rows (model_rows.h) */
	bool refresh;		/* with rows: they are kept hot (refresh.h) */
	bool meet; /* with rows: all read the same pair, and wait long for a proof: what needs several at once is likelier */
	uint64_t run_us; /* ends after that, or at the first stale read */
};

struct model_result {
	uint64_t made;	    /* of the hits, answers made of rows */
	uint64_t refreshes; /* rows that went on by themselves */
	uint64_t hits, fills, refused, waits, late, restarts, stale_hits;
	uint64_t stale_reads; /* of the database itself: the model is wrong */
};

struct model_result model_run(const struct model_settings *set);

#endif
