#include "proxy/cache/watermark.h"

#include "proxy/base/check.h"
#include "proxy/cache/wait.h"

void watermark_init(struct watermark *w)
{
	atomic_init(&w->pos, 0);
	atomic_init(&w->lowest, UINT64_MAX);
	w->first = NULL;
	check(pthread_mutex_init(&w->lock, NULL) == 0);
}

void watermark_done(struct watermark *w)
{
	check(w->first == NULL);
	pthread_mutex_destroy(&w->lock);
}

uint64_t watermark_pos(const struct watermark *w)
{
	/* Acquire: who sees a position sees all versions that were raised before it was published. */
	return atomic_load_explicit(&w->pos, memory_order_acquire);
}

/* --- under the lock --- */

static void publish_lowest(struct watermark *w)
{
	atomic_store(&w->lowest, w->first == NULL ? UINT64_MAX : w->first->target);
}

static void insert(struct watermark *w, struct position_wait *wait)
{
	struct position_wait **at = &w->first;

	while (*at != NULL && (*at)->target <= wait->target)
		at = &(*at)->next;
	wait->next = *at;
	*at = wait;
	wait->state = WAIT_LISTED;
	publish_lowest(w);
}

static void take_off(struct watermark *w, struct position_wait *wait)
{
	struct position_wait **at = &w->first;

	while (*at != wait) {
		check(*at != NULL);
		at = &(*at)->next;
	}
	*at = wait->next;
	wait->state = WAIT_IDLE;
	publish_lowest(w);
}

/* Posted under the lock: when cancel says "on its way", the mail is in the mailbox already, so an owner that goes away can
 * drain its mailbox and be done. After the post the wait may be gone. */
static void post(struct position_wait *wait)
{
	wait->state = WAIT_POSTED;
	mailbox_post(wait->mb, &wait->mail);
}

static void wake(struct watermark *w, uint64_t upto)
{
	struct position_wait *wait;

	while ((wait = w->first) != NULL && wait->target <= upto) {
		w->first = wait->next;
		post(wait);
	}
	publish_lowest(w);
}

/* --- */

void watermark_set(struct watermark *w, uint64_t pos)
{
	atomic_store(&w->pos, pos);
}

void watermark_advance(struct watermark *w, uint64_t pos)
{
	if (pos <= atomic_load_explicit(&w->pos, memory_order_relaxed))
		return;
	/* No wake-up is lost: here pos is written, then lowest is read; a waiter writes lowest, then reads pos; all four are
	 * sequentially consistent, so at least one of the two sees the other. */
	atomic_store(&w->pos, pos);
	if (atomic_load(&w->lowest) > pos)
		return;
	pthread_mutex_lock(&w->lock);
	wake(w, pos);
	pthread_mutex_unlock(&w->lock);
}

void watermark_wake_all(struct watermark *w)
{
	pthread_mutex_lock(&w->lock);
	wake(w, UINT64_MAX);
	pthread_mutex_unlock(&w->lock);
}

void watermark_wait(struct watermark *w, const struct versions *v, struct position_wait *wait)
{
	check(wait->state != WAIT_LISTED);
	pthread_mutex_lock(&w->lock);
	insert(w, wait);
	/* The cache goes off before its waiters are woken, under this lock: so either they are woken with them, or seen here. */
	if (atomic_load(&w->pos) >= wait->target || !versions_on(v)) {
		take_off(w, wait);
		post(wait);
	}
	pthread_mutex_unlock(&w->lock);
}

bool watermark_cancel(struct watermark *w, struct position_wait *wait)
{
	bool listed;

	pthread_mutex_lock(&w->lock);
	listed = wait->state == WAIT_LISTED;
	if (listed)
		take_off(w, wait);
	pthread_mutex_unlock(&w->lock);
	return listed;
}
