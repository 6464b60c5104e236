/* change.h - what the feed tells the cache: one committed transaction.
 * Source  COMMIT of the logical decoding stream; docs/coherence.md.
 * Shape   the hashes of what was touched (readkey_*), gathered row by row by origin/feed, applied at the commit. And the last new version of
 *         rows that are kept hot (refresh.h), if all of the row is shown.
 * Owner   the feed; cleared and reused.
 * Thread  the feed's.
 * Errors  when memory is gone or there are more than max_keys: `everything` or whole relations instead of rows. */
#ifndef PROXY_CACHE_CHANGE_H
#define PROXY_CACHE_CHANGE_H

#include "protocol/buf.h"

struct change_relation {
	uint32_t relid;
	bool whole; /* cannot be told by key: raise readkey_whole (and readkey_any) */
	bool gone;  /* a row was changed or deleted whose old values are not known: raise readkey_gone */
};

#define CHANGE_ROWS_MAX 64u
#define CHANGE_ROWS_BYTES (256u * 1024u)

/* What a row is after the transaction, in both formats where that is certain (rows.h). */
struct change_row {
	uint32_t relid;
	bool ended; /* touched again later */
	uint64_t readkey;
	size_t at, key_n, n; /* in row_bytes: the key as entity_point has it, then the values */
};

struct change {
	uint32_t xid;		      /* top-level, low 32 bits */
	struct change_relation *rels; /* owned; each relation once, ancestors included */
	size_t nrels, caprels;
	uint64_t *keys; /* owned; readkey_row hashes of old and new rows, by primary key and by signatures */
	size_t nkeys, capkeys;
	size_t max_keys;
	bool everything;   /* unknown relation, memory gone: the whole cache goes */
	uint64_t nchanges; /* row records seen */
	struct change_row rows[CHANGE_ROWS_MAX];
	unsigned nrows;
	bool rows_off; /* too many: none of them is certain */
	struct buf row_bytes;
};

void change_init(struct change *c, size_t max_keys);
void change_free(struct change *c);
void change_begin(struct change *c, uint32_t xid); /* empties it */
/* A row of `relid` was touched. Marks the relation; `whole` when the key is not certain. */
void change_relation(struct change *c, uint32_t relid, bool whole);
/* Of a relation that is marked already. */
void change_gone(struct change *c, uint32_t relid);
void change_key(struct change *c, uint32_t relid, uint64_t key);
/* The row with this key was touched: what it was after an earlier record of the transaction does not count. */
void change_row_end(struct change *c, uint32_t relid, uint64_t readkey);
/* What it is now. */
void change_row_add(struct change *c, uint32_t relid, uint64_t readkey, struct span key, struct span values);
/* None of the rows is certain. */
void change_rows_off(struct change *c);
struct span change_row_key(const struct change *c, const struct change_row *row);
struct span change_row_values(const struct change *c, const struct change_row *row);

#endif
