/* memo.h - one object per distinct statement text of a worker.
 * Source  -
 * Shape   text + declared parameter types -> struct stmt with facts and a number that is unique in the process. Texts that
 *         differ only in literals (literals.h) share one analysis.
 * Owner   counted; the memo holds one reference until it evicts (bounded by bytes, least recently used first).
 * Thread  one worker.
 * Errors  NULL when memory is gone. */
#ifndef PROXY_SQL_MEMO_H
#define PROXY_SQL_MEMO_H

#include "proxy/sql/facts.h"
#include "proxy/sql/literals.h"
#include "proxy/sql/reads.h"
#include "proxy/sql/target.h"

#define STMT_VARIANTS 4

struct memo;
struct memo_analysis; /* facts and reads of one text, or of all texts of one shape */

struct stmt {
	unsigned refs;
	uint64_t id;   /* unique in the process; its server name is made of it */
	uint64_t hash; /* of text and types */
	struct span text;
	uint16_t noids;
	const uint32_t *oids;
	struct facts *facts;		/* borrowed from `analysis` */
	struct memo_analysis *analysis; /* counted */
	const struct literal
		*literals; /* facts->nslots; their values are parameters behind those of the text */
	/* A backend has accepted a Parse of it under these circumstances (the session's business); 0 = never. */
	uint64_t valid_for;
	bool warned; /* PostgreSQL has given a warning when it parsed it (the session's business) */
	/* Numbers that stand for this statement parsed or used under other settings than the default ones (stmt_number). */
	struct stmt_variant {
		uint64_t under, used, number;
	} variant[STMT_VARIANTS];
	unsigned next_variant;
	struct memo *memo;
};

struct memo *memo_new(size_t max_bytes);
void memo_free(struct memo **m);
/* The object for that text; the caller gets a reference. oids_be: noids * 4 bytes in network order, as in Parse. */
struct stmt *memo_get(struct memo *m, struct span text, struct span oids_be);
/* The same for a simple query, which names nothing: one that differs from an earlier one only in values is not remembered, another
 * with literals only if it comes again. */
struct stmt *memo_get_query(struct memo *m, struct span text);
struct stmt *stmt_ref(struct stmt *s);
void stmt_unref(struct stmt *s);
/* Resolution under this catalog and session, remembered on the object. Borrowed until the next call for the same stmt. The
 * caller keeps `catalog` alive. */
struct reads *memo_reads(struct stmt *s, const struct catalog *catalog, const struct reads_session *session);
/* What it writes, resolved and remembered in the same way. Never for a text whose writes nobody asks for. */
struct target *memo_target(struct stmt *s, const struct catalog *catalog,
			   const struct reads_session *session);
/* The number of `s` as parsed under the settings `under` (0 = the default ones) for those who have `used` now; s->id = both are 0.
 * Never used for anything else. */
uint64_t stmt_number(struct stmt *s, uint64_t under, uint64_t used);
uint64_t stmt_number_fresh(void); /* one that nobody else has */
/* The text without the literals that are values: statements with the same one differ only in values. */
struct span stmt_shape(const struct stmt *s);
/* A place for a number of that text, for statistics (the session's business); 0 = not known yet. */
uint64_t *stmt_shape_id(struct stmt *s);
uint64_t memo_parsed(const struct memo *m); /* analyses so far: texts, but those of one shape once */
size_t memo_bytes(const struct memo *m);

#endif
