/* ending.h - transactions that snapshots show completed while other backends have not been told yet what they did to the catalog.
 * Source  PostgreSQL's CommitTransaction: visible to new snapshots first, then the invalidation messages to the other backends, then the
 *         locks are released, that on its own transaction id too. COMMIT PREPARED keeps the same order.
 * Shape   ENDING_SQL, read after a snapshot was taken, lists the ids that are held; ending_note keeps those that the snapshot shows
 *         completed; ending_still, with a later list, those that are held still. None left: whoever begins a transaction from now on has
 *         what all of them did to the catalog.
 * Owner   the caller; ending_free.
 * Thread  values.
 * Errors  -1 when the list cannot be read or memory is gone. */
#ifndef PROXY_ORIGIN_ENDING_H
#define PROXY_ORIGIN_ENDING_H

#include "protocol/snapshot.h"

#include <stddef.h>

/* Blanks between the ids. Of each transaction the oldest: snapshots do not list subtransactions, so those of a running one look
 * completed. Who waits for a transaction holds its id in another mode. */
#define ENDING_SQL                                                                               \
	"(SELECT coalesce(pg_catalog.string_agg(e.transactionid::text, ' '), '') FROM"           \
	" (SELECT DISTINCT ON (l.virtualtransaction) l.transactionid FROM pg_catalog.pg_locks l" \
	" WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted"         \
	" ORDER BY l.virtualtransaction, pg_catalog.age(l.transactionid) DESC) e)"

/* A zeroed one is empty. */
struct ending {
	uint32_t *xid; /* owned */
	size_t n;
};

int ending_note(struct ending *e, const char *held, const struct snapshot *snapshot);
int ending_still(struct ending *e, const char *held);
void ending_free(struct ending *e);

#endif
