/* marks.h - what a transaction has read, and as of when (row_version_check).
 * Source  docs/coherence.md, "Lost updates".
 * Shape   A read leaves a mark on rows (readkey_row), on a table, or on everything, with the place of a snapshot taken before it: what
 *         that shows completed, the read has seen. Places rise with time, so the lowest mark is the oldest. What does not fit is
 *         marked more coarsely, or as older than it is: then more counts as changed, never less.
 * Owner   the session, while the transaction lasts.
 * Thread  its worker's.
 * Errors  none. */
#ifndef PROXY_SESSION_MARKS_H
#define PROXY_SESSION_MARKS_H

#include "protocol/snapshot.h"

#define MARKS_ROWS 512u
#define MARKS_RELATIONS 32u
#define MARKS_SNAPSHOTS 128u
#define MARKS_NONE UINT32_MAX

struct marks;

struct marks *marks_new(void);
void marks_free(struct marks **m);

/* The place of a snapshot that is asked for now. Its answer comes later, or never: then the read was skipped with it. */
uint32_t marks_place(struct marks *m);
/* Takes the snapshot over. */
void marks_answer(struct marks *m, uint32_t place, struct snapshot *s);
/* The same at once. */
uint32_t marks_place_now(struct marks *m, const struct snapshot *s);

/* Each keeps the oldest mark. */
void marks_row(struct marks *m, uint32_t relid, uint64_t key, uint32_t place);
void marks_relation(struct marks *m, uint32_t relid, uint32_t place);
void marks_all(struct marks *m, uint32_t place);
/* Those rows were in the answer, one and all. */
void marks_shown(struct marks *m, uint32_t place);

/* A locking read or a write: while its locks last, the rows are as it saw them. A savepoint's rollback takes locks back. */
void marks_locked(struct marks *m, uint32_t place);
bool marks_locks(const struct marks *m);
void marks_unlocked(struct marks *m); /* now all counts as read then */

/* The oldest mark that concerns a row; MARKS_NONE = it has not been read. */
uint32_t marks_find_row(const struct marks *m, uint32_t relid, uint64_t key, bool *shown_r);
/* .. that concerns any row of the table; 0 = of any table. */
uint32_t marks_find_any(const struct marks *m, uint32_t relid);
/* Every answer that is to come has come. NULL = all that was marked there or later was skipped. */
const struct snapshot *marks_snapshot(const struct marks *m, uint32_t place);

#endif
