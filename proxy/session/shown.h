/* shown.h - which rows of tables an answer shows.
 * Source  docs/coherence.md, "entity rows"; PostgreSQL manual, "Message Formats": RowDescription, DataRow.
 * Shape   noted when a statement is understood (its entities, the formats of its columns, the rows that it asks for by key); later its
 *         answer is cut by that: for each row its primary key and the values of its columns in the order of row_compare.
 * Owner   the session's deps, or whoever looks at a hit. What a row points to lives during its call only.
 * Thread  its worker's.
 * Errors  what is not as the analysis says ends the cutting. */
#ifndef PROXY_SESSION_SHOWN_H
#define PROXY_SESSION_SHOWN_H

#include "proxy/cache/rows.h"
#include "proxy/session/serve_private.h"
#include "proxy/sql/entities.h"

#define SHOWN_ROWS_MAX 256u /* of one answer */

struct shown {
	struct reads *reads;	      /* counted */
	struct entity_points *points; /* owned; of a point statement */
	unsigned nformats;
	uint8_t formats[]; /* of the columns of the answer */
};

/* NULL: the answer shows no rows that can be told. */
struct shown *shown_new(const struct wanted *w, struct reads *reads, const struct reads_param *params,
			uint16_t nparams);
void shown_free(struct shown **shown);
const struct entities *shown_entities(const struct shown *shown);

/* PostgreSQL says of each column which one it is; is it the one that the analysis says? With a catalog also: of the same type? */
bool shown_described(const struct shown *shown, struct span description, const struct catalog *catalog);

struct shown_row {
	struct span key; /* as entity_point has it */
	uint64_t readkey;
	const struct row_value *values; /* NULL: it is not there */
	unsigned nvalues;
};
/* The rows of the entity number `i` in the DataRows `rows`, and those that were asked for by key and are not there. False: the
 * answer is not what the analysis says, and nothing that was shown of it may be believed. */
bool shown_cut(const struct shown *shown, unsigned i, struct span rows,
	       void (*row)(void *arg, const struct shown_row *row), void *arg);

uint8_t shown_format(const struct wanted *w, uint16_t at);

#endif
