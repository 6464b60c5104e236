/* entities.h - which columns of an answer are columns of which row, and which statements ask for rows by their keys.
 * Source  the outermost SELECT (select.c); docs/coherence.md, "entity rows".
 * Shape   an entity is a table of its FROM whose whole primary key is among the columns of the answer: each row of the answer shows
 *         one row of it (none when the key is NULL: an outer join). A point statement has one table, plain columns, the whole primary
 *         key fixed by =, IN, = ANY, and no other condition: its answer is these rows, whoever brings them.
 * Owner   the reads object.
 * Thread  pure.
 * Errors  what is not certain is no entity. */
#ifndef PROXY_SQL_ENTITIES_H
#define PROXY_SQL_ENTITIES_H

#include "proxy/sql/reads.h"
#include "protocol/buf.h"

#define ENTITIES_MAX 4u
#define ENTITY_POINTS_MAX 256u

struct entity_column {
	uint16_t at; /* in the answer, from 0 */
	int16_t attnum;
};

struct entity {
	uint32_t relid;
	uint16_t nkey;
	bool keyed; /* the answer has the key; else `key_at` is unused, and the statement is a point */
	int16_t key[READS_KEY_MAX]; /* attnums rising */
	uint32_t type[READS_KEY_MAX];
	uint16_t key_at[READS_KEY_MAX];
	uint16_t ncols;
	const struct entity_column *cols; /* `at` rising */
};

struct entities {
	unsigned n;
	struct entity list[ENTITIES_MAX];
	bool point;  /* list[0] is its table, and its `cols` are all columns of the answer */
	bool sorted; /* ORDER BY: an answer of several rows is not for us to put together */
	enum { LIMIT_NONE, LIMIT_CONST, LIMIT_PARAM } limit_kind;
	uint32_t limit;
	uint16_t limit_param; /* from 1 */
	uint32_t limit_type;
};

/* NULL: there are none. */
const struct entities *reads_entities(const struct reads *r);

/* The rows that one execution of a point statement asks for, each once, in the order of their keys. */
struct entity_points {
	struct buf bytes; /* the caller's: initialised, with a bound */
	unsigned n;
	bool all; /* LIMIT leaves none of them out */
	struct entity_point {
		uint32_t at,
			n; /* in bytes: for each column of the key its length (4 bytes) and datum_canon's form */
		uint64_t readkey;
	} list[ENTITY_POINTS_MAX];
};

/* False: not certain, or too many. */
bool reads_points(const struct reads *r, const struct reads_param *params, uint16_t nparams,
		  struct entity_points *points_r);

#endif
