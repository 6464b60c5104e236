/* target.h - what the INSERTs, UPDATEs and DELETEs of a text write, and which rows of it they name by primary key.
 * Source  the parse tree and the catalog, by the rules of reads.h: `key = const or parameter`, IN, = ANY, OR of such.
 * Shape   one part per UPDATE or DELETE whose condition fixes the whole primary key of its table. Other conditions beside it, and FROM
 *         or USING, are nothing to it: a name that means a column of another table is not one of the written table.
 * Owner   target_free; `facts` and the catalog are not needed any more.
 * Thread  one at a time.
 * Errors  NULL when memory is gone; what is not understood has no part. */
#ifndef PROXY_SQL_TARGET_H
#define PROXY_SQL_TARGET_H

#include "proxy/sql/reads.h"
#include "protocol/buf.h"

struct target;

struct target *target_resolve(struct span text, const struct facts *facts, const struct catalog *catalog,
			      const struct reads_session *session, const uint32_t *oids, uint16_t noids);
void target_free(struct target **t);
size_t target_bytes(const struct target *t);

/* The one table that the text can write: it is a single statement that calls nothing of users and has no other writing inside, and
 * the table has no triggers, rules or defaults that may write elsewhere, no children and no parents; no table in it has a column of a
 * type of users, but of those with `own_code`. 0 = not so sure. */
uint32_t target_only(const struct target *t);
/* The i-th UPDATE or DELETE of the text that has no part; its table, 0 = not known. */
bool target_missing(const struct target *t, unsigned i, uint32_t *relid_r);

struct target_part {
	uint32_t relid;
	bool removes; /* DELETE, or an UPDATE of the key */
	const struct reads *
		reads; /* reads_keys of it: the rows (their readkey_row), or readkey_any when they cannot be told */
};
bool target_part(const struct target *t, unsigned i, struct target_part *part_r);

/* A value of the condition: a parameter of the statement (from 1; the literals of the text behind them, as for reads_keys), or bytes. */
struct target_value {
	uint16_t param; /* 0 = the bytes */
	bool binary;	/* of the bytes */
	uint32_t type;	/* what it is to be read as */
	struct span bytes;
};

#define TARGET_VALUES_MAX 200u

/* Appends `"schema"."table" AS r WHERE ..`, the table named as in the text, with the values as $first, $first + 1, ..; false = too many. */
bool target_from(const struct target *t, unsigned i, unsigned first, struct buf *sql,
		 struct target_value *values_r, unsigned *nvalues_r);

#endif
