/* refresh.h - rows that go on with their new values after a change, without being asked for again.
 * Source  docs/coherence.md, "in-place refresh".
 * Shape   `want`: for whom rows of which relations are kept, as the beginnings of their keys. When a change shows a new version of a row,
 *         each of these keys is looked up; what the row's entry holds is written anew and waits. refresh_confirm() puts it into
 *         the store when a snapshot shows the transaction completed, not before: the stream is ahead of what can be seen.
 * Owner   the cache.
 * Thread  apply, clear: the feed's; the rest any.
 * Errors  no room, no memory: the row is missing, as after any change. */
#ifndef PROXY_CACHE_REFRESH_H
#define PROXY_CACHE_REFRESH_H

#include "proxy/cache/change.h"
#include "proxy/cache/store.h"

#define REFRESH_WHO_MAX 64u
#define REFRESH_WHO_BYTES 4096u /* of one */
#define REFRESH_PENDING_MAX 256u
#define REFRESH_PENDING_BYTES (1024u * 1024u) /* of all */

struct refresh_who {
	uint32_t relid;
	struct blob *prefix; /* counted */
};

struct refresh_row {
	struct blob *key, *values; /* counted */
	uint32_t xid;
	struct lease_key lease[2]; /* right after the transaction had raised them */
};

struct refreshes {
	struct store *store;		 /* borrowed */
	const struct versions *versions; /* borrowed */
	pthread_mutex_t lock;
	uint64_t epoch; /* of all that is here */
	struct refresh_who who[REFRESH_WHO_MAX];
	atomic_uint nwho;
	unsigned next_who; /* the next one to go when there is no room */
	struct refresh_row pending[REFRESH_PENDING_MAX];
	atomic_uint npending; /* what others look at first */
	_Atomic size_t bytes;
	_Atomic int64_t published;
};

void refresh_init(struct refreshes *r, struct store *store, const struct versions *versions);
void refresh_done(struct refreshes *r);
void refresh_clear(struct refreshes *r);
size_t refresh_bytes(const struct refreshes *r);
int64_t refresh_published(const struct refreshes *r);
unsigned refresh_pending(const struct refreshes *r);

void refresh_want(struct refreshes *r, uint64_t epoch, uint32_t relid, struct span prefix);
/* Is anybody's row of it kept? */
bool refresh_wanted(struct refreshes *r, uint32_t relid);
/* After all versions of `change` are raised. */
void refresh_apply(struct refreshes *r, const struct change *change);
void refresh_confirm(struct refreshes *r, uint64_t epoch, const struct snapshot *s);

#endif
