/* apply.h - records of the stream, gathered into one struct change per transaction.
 * Source  protocol/decoding.h (test_decoding), protocol/pgoutput.h; docs/coherence.md, "invalidate".
 * Shape   apply_decoding() or apply_pgoutput() per record; at APPLY_COMMIT `change` and the facts about the transaction are complete.
 *         A row counts by its primary key, old and new, where both are certain; else as its whole relation. A new row, and an
 *         old one that is shown whole, also counts by the columns of each signature. A row of a partition counts for all partitioned tables above it
 *         in the same way, by their own keys and signatures; parents of plain inheritance are touched as a whole. A relation that the catalog does not know touches everything.
 * Owner   the stream; the catalog is borrowed.
 * Thread  the stream's.
 * Errors  -1 and the reason: a record that is not understood, or memory is gone; the stream must start anew. */
#ifndef PROXY_ORIGIN_APPLY_H
#define PROXY_ORIGIN_APPLY_H

#include "proxy/base/err.h"
#include "proxy/cache/cache.h"
#include "proxy/cache/signatures.h"
#include "proxy/origin/relations.h"
#include "proxy/sql/catalog.h"
#include "protocol/buf.h"

enum apply_event {
	APPLY_NONE,
	APPLY_COMMIT,  /* `change` is complete */
	APPLY_SUSPECT, /* a message outside of transactions says that the catalog changed */
};

struct apply {
	struct change change;
	const struct catalog *catalog; /* borrowed */
	struct signatures *signatures; /* borrowed; NULL = none */
	struct cache *cache;	       /* borrowed: asked which rows are kept hot; NULL = none */
	struct buf scratch;	       /* unescaped names and values of one record */
	struct buf values;	       /* canonical key values of one row */
	struct relations relations;    /* what pgoutput has announced */
	bool open;		       /* between BEGIN and COMMIT */
	uint64_t end;		       /* at APPLY_COMMIT: the position behind it; 0 = that of the record */
	/* facts about the transaction */
	uint64_t nrows;	  /* row and truncate records */
	uint64_t nnudges; /* empty messages of ours */
	bool ddl;	  /* a message of ours says that it changed the catalog */
	bool unknown;	  /* touched a relation that the catalog does not know */
};

void apply_init(struct apply *a, size_t max_change_keys);
void apply_free(struct apply *a);
/* Forgets an open transaction: the stream starts anew. */
void apply_reset(struct apply *a);
int apply_decoding(struct apply *a, struct span record, enum apply_event *event_r, struct err *err);
int apply_pgoutput(struct apply *a, struct span record, enum apply_event *event_r, struct err *err);

/* May this transaction have changed the catalog? Rows alone say no; a transaction without anything says perhaps. */
static inline bool apply_suspicious(const struct apply *a)
{
	return a->ddl || a->unknown || (a->nrows == 0 && a->nnudges == 0);
}

#endif
