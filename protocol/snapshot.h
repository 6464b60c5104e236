/* snapshot.h - which transactions a snapshot shows as completed.
 * Source  PostgreSQL manual, "Transaction ID and Snapshot Information" (pg_snapshot: xmin:xmax:xip_list).
 * Shape   text in; 64-bit xids; xip ascending, xmin <= xip[i] < xmax.
 * Owner   the struct owns xip; snapshot_free releases it. A zeroed struct is valid (nothing completed).
 * Thread  values; reading is safe from any.
 * Errors  -1 when the text is not a snapshot, too long, or memory is gone; output untouched. */
#ifndef PROTOCOL_SNAPSHOT_H
#define PROTOCOL_SNAPSHOT_H

#include "protocol/span.h"

#define SNAPSHOT_XIP_MAX 524288u /* above PostgreSQL's own limit of backends and prepared transactions */

struct snapshot {
	uint64_t xmin;
	uint64_t xmax;
	uint64_t *xip; /* owned */
	uint32_t nxip;
};

int snapshot_parse(struct span text, struct snapshot *out_r);
int snapshot_copy(const struct snapshot *from, struct snapshot *out_r);
void snapshot_free(struct snapshot *s); /* leaves it zeroed */

/* The 64-bit xid of which `xid32` is the low half: the one nearest to xmax. */
uint64_t snapshot_extend(const struct snapshot *s, uint32_t xid32);
/* Committed or rolled back before the snapshot was taken. */
bool snapshot_completed(const struct snapshot *s, uint32_t xid32);
bool snapshot_completed_full(const struct snapshot *s, uint64_t xid);

#endif
