/* published.h - which tables' changes the stream really carries, and since when that can be relied on.
 * Source  PostgreSQL manual, "Publication"; docs/coherence.md, "pgoutput". pgoutput sends only what its publication names, and
 *         what a transaction changed before a table was added is lost, even if it commits long after.
 * Shape   after each load of the catalog published_note() takes the list; a table counts once every transaction that ran at
 *         the first load that showed it has ended (published_ripen).
 *         Without a publication (test_decoding) everything counts at once.
 * Owner   the stream; a new stream starts empty.
 * Thread  the stream's.
 * Errors  -1 and the reason: there is no such publication, or it leaves changes out. */
#ifndef PROXY_ORIGIN_PUBLISHED_H
#define PROXY_ORIGIN_PUBLISHED_H

#include "proxy/base/err.h"
#include "protocol/snapshot.h"

#include <libpq-fe.h>

struct published_item;

struct published {
	const char *publication;      /* borrowed; NULL = the stream carries everything */
	struct published_item *items; /* owned */
	unsigned round;		      /* of notes */
	bool waiting;		      /* some do not count yet */
	uint32_t *parents;	      /* owned, sorted: above a table that does not count */
	size_t nparents;
};

void published_init(struct published *p, const char *publication);
void published_clear(struct published *p);
/* `lists`: SCHEMA_PUBLISHED; `relations` and `ancestors` of the same load; `s` = its snapshot. Ripens, too. */
int published_note(struct published *p, const PGresult *lists, const PGresult *relations,
		   const PGresult *ancestors, const struct snapshot *s, struct err *err);
/* A later snapshot: true = more tables count now; a new catalog has to say so. */
bool published_ripen(struct published *p, const struct snapshot *s);
/* Are all changes of the table, and of all that hang below it, in the stream? */
bool published_has(const struct published *p, uint32_t relid, char kind);

#endif
