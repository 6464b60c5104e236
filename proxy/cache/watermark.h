/* watermark.h - up to where the stream has been applied, and who waits for it.
 * Source  docs/coherence.md, "position".
 * Shape   one atomic LSN; the waiters in a list by rising target, the lowest target beside it so that the feed looks at one word.
 * Owner   the cache; waiters are their owners' objects.
 * Thread  set, advance: the feed's; the rest any.
 * Errors  none. */
#ifndef PROXY_CACHE_WATERMARK_H
#define PROXY_CACHE_WATERMARK_H

#include "proxy/cache/versions.h"

#include <pthread.h>

struct watermark {
	_Atomic uint64_t pos;
	_Atomic uint64_t lowest; /* target of the first waiter; UINT64_MAX = nobody waits */
	pthread_mutex_t lock;
	struct position_wait *first; /* borrowed */
};

void watermark_init(struct watermark *w);
void watermark_done(struct watermark *w);
uint64_t watermark_pos(const struct watermark *w);

/* A new stream: may go back. */
void watermark_set(struct watermark *w, uint64_t pos);
void watermark_advance(struct watermark *w, uint64_t pos);
void watermark_wake_all(struct watermark *w);

/* Woken at once when the target is reached already, or when the cache is off. */
void watermark_wait(struct watermark *w, const struct versions *v, struct position_wait *wait);
bool watermark_cancel(struct watermark *w, struct position_wait *wait);

#endif
