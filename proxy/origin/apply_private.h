/* apply_private.h - what the readers of both decoders share.
 * Source  see apply.h.
 * Shape   apply_begin, then rows, truncates and messages; the reader itself ends the transaction.
 * Owner   -
 * Thread  the stream's.
 * Errors  -1 and *why_r. */
#ifndef PROXY_ORIGIN_APPLY_PRIVATE_H
#define PROXY_ORIGIN_APPLY_PRIVATE_H

#include "proxy/origin/apply.h"
#include "proxy/origin/tuple.h"

void apply_begin(struct apply *a, uint32_t xid);
/* The relation, or NULL: then the change is one of everything. */
const struct catalog_relation *apply_known(struct apply *a, const struct catalog_relation *rel);
void apply_touch(struct apply *a, const struct catalog_relation *rel, bool whole);
/* `rel` as from apply_known. */
int apply_row(struct apply *a, const struct catalog_relation *rel, const struct row *row, const char **why_r);
/* apply_rows.c: an UPDATE, all of whose keys are in the change. */
int apply_new_version(struct apply *a, const struct catalog_relation *rel, const struct row *row,
		      const char **why_r);
enum apply_event apply_message(struct apply *a, struct span prefix, struct span content, bool transactional);
int apply_bad(struct err *err, const char *why);

#endif
