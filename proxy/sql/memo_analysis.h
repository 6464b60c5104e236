/* memo_analysis.h - what is known of a text; the texts of one shape share it. Private to the memo's files.
 * Source  facts.h of the text; reads.h and target.h under the catalog that was asked last.
 * Shape   a table by the hash of the skeleton (literals.h). Two shapes with one hash, also those that differ in a literal that is part
 *         of the shape, are not both there.
 * Owner   counted; the table holds one reference. What neither the table nor a kept text of the memo holds is counted in no bytes: its
 *         holders keep it for as long as they like.
 * Thread  one worker.
 * Errors  NULL when memory is gone. */
#ifndef PROXY_SQL_MEMO_ANALYSIS_H
#define PROXY_SQL_MEMO_ANALYSIS_H

#include "proxy/base/map.h"
#include "proxy/base/ring.h"
#include "proxy/sql/memo.h"

struct analyses {
	struct memo_analysis *table;
	struct ring by_use;  /* those in the table, oldest first */
	struct ring counted; /* all, also those that are in no table any more */
	size_t bytes;	     /* of all that is counted */
	size_t listed_bytes; /* of those in the table */
	size_t max_listed;
	uint64_t parsed;
	struct buf shape; /* of the text in work */
};

struct memo_analysis {
	unsigned refs;
	unsigned kept;		   /* of its texts, in the memo's table */
	struct analyses *analyses; /* that count its bytes; NULL = nobody does */
	size_t bytes;
	struct facts *facts; /* counted */
	/* The resolution under one catalog and search path, kept while both stay the same (compared by analysis_reads). */
	struct reads *reads;
	struct target *target;	/* owned; of the same resolution, NULL = nobody has asked */
	uint64_t reads_catalog; /* its serial, 0 = none */
	struct span reads_path; /* owned copies */
	struct span reads_role;
	struct ring node; /* in `counted` */
	bool listed;	  /* in the table */
	uint64_t hash;
	uint64_t shape_id; /* stmt_shape_id() */
	struct ring by_use;
	UT_hash_handle hh; /* key: hash */
	size_t shape_n;
	uint8_t shape[]; /* the skeleton, then the literals that are not lifted */
};

void analyses_init(struct analyses *a, size_t max_listed);
/* No text may be kept any more. */
void analyses_free(struct analyses *a);
/* The analysis of the text, counted, and where its literals lie. `plain`: it has no declared types, which is what those who write literals
 * send; only such texts share one. */
struct memo_analysis *analyses_get(struct analyses *a, struct span text, bool plain,
				   struct literals *literals);
/* One that is in the table is used again; counted. */
struct memo_analysis *analysis_again(struct memo_analysis *an);
void analysis_unref(struct memo_analysis *an);
/* A text of it has come into the memo's table, or has left it. */
void analysis_kept(struct memo_analysis *an);
void analysis_left(struct memo_analysis *an);
/* As memo_reads() and memo_target(). */
struct reads *analysis_reads(struct memo_analysis *an, const struct catalog *catalog,
			     const struct reads_session *session, const uint32_t *oids, uint16_t noids);
struct target *analysis_target(struct memo_analysis *an, struct span text, const struct catalog *catalog,
			       const struct reads_session *session, const uint32_t *oids, uint16_t noids);

#endif
