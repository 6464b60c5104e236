#include "proxy/cache/proof.h"

#include "proxy/base/check.h"

#include <stdlib.h>

void proof_init(struct proof_state *p)
{
	*p = (struct proof_state){0};
	check(pthread_mutex_init(&p->lock, NULL) == 0);
}

static void base_free(struct proof_base *b)
{
	snapshot_free(&b->at);
	free(b->received);
	*b = (struct proof_base){0};
}

void proof_done(struct proof_state *p)
{
	base_free(&p->base);
	base_free(&p->spare);
	pthread_mutex_destroy(&p->lock);
}

/* --- the window; under the lock --- */

static bool window_has(const struct proof_state *p, uint64_t xid)
{
	uint64_t first = p->base.at.xmax;

	return xid >= first && xid - first < PROOF_WINDOW &&
	       (p->window[xid % PROOF_WINDOW / 64] >> xid % 64 & 1) != 0;
}

static uint64_t window_mask(uint64_t xid, uint64_t n)
{
	return (n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << xid % 64;
}

/* The next stretch of [xid, xid + n) that lies in one word. */
static uint64_t window_stretch(uint64_t xid, uint64_t n)
{
	uint64_t room = 64 - xid % 64;

	return n < room ? n : room;
}

static uint64_t window_count(const struct proof_state *p, uint64_t xid, uint64_t n)
{
	uint64_t sum = 0, k;

	for (; n > 0; xid += k, n -= k) {
		k = window_stretch(xid, n);
		sum += (uint64_t)__builtin_popcountll(p->window[xid % PROOF_WINDOW / 64] &
						      window_mask(xid, k));
	}
	return sum;
}

static void window_clear(struct proof_state *p, uint64_t xid, uint64_t n)
{
	uint64_t k;

	if (n > PROOF_WINDOW)
		n = PROOF_WINDOW;
	for (; n > 0; xid += k, n -= k) {
		k = window_stretch(xid, n);
		p->window[xid % PROOF_WINDOW / 64] &= ~window_mask(xid, k);
	}
}

/* --- the base; under the lock --- */

/* The place of `xid` among those that E shows running, or -1. */
static int64_t base_index(const struct proof_base *b, uint64_t xid)
{
	uint32_t low = 0, high = b->at.nxip;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (b->at.xip[middle] == xid)
			return middle;
		if (b->at.xip[middle] < xid)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

static bool base_room(struct proof_base *b, uint32_t n)
{
	uint64_t *xip;
	bool *received;

	if (n <= b->room)
		return true;
	n += n / 2 + 16;
	xip = realloc(b->at.xip, n * sizeof(*xip));
	if (xip == NULL)
		return false;
	b->at.xip = xip;
	received = realloc(b->received, n * sizeof(*received));
	if (received == NULL)
		return false;
	b->received = received;
	b->room = n;
	return true;
}

static bool received(const struct proof_state *p, uint64_t xid)
{
	int64_t i;

	if (!p->known)
		return false;
	if (xid >= p->base.at.xmax)
		return window_has(p, xid);
	i = base_index(&p->base, xid);
	return i >= 0 && p->base.received[i];
}

/* E := s, keeping what was received of those that s shows running. */
static void base_set(struct proof_state *p, const struct snapshot *s)
{
	struct proof_base *next = &p->spare, old;

	if (!base_room(next, s->nxip))
		return;
	next->at.xmin = s->xmin;
	next->at.xmax = s->xmax;
	next->at.nxip = s->nxip;
	for (uint32_t i = 0; i < s->nxip; i++) {
		next->at.xip[i] = s->xip[i];
		next->received[i] = received(p, s->xip[i]);
	}
	if (p->known)
		window_clear(p, p->base.at.xmax, s->xmax - p->base.at.xmax);
	old = p->base;
	p->base = *next;
	p->spare = old;
	p->known = true;
}

static bool newer(const struct snapshot *s, const struct snapshot *than)
{
	return s->xmax > than->xmax || (s->xmax == than->xmax && s->nxip < than->nxip);
}

/* --- */

void proof_reset(struct proof_state *p)
{
	pthread_mutex_lock(&p->lock);
	p->known = false;
	memset(p->window, 0, sizeof(p->window));
	pthread_mutex_unlock(&p->lock);
}

void proof_start(struct proof_state *p, const struct snapshot *first)
{
	proof_reset(p);
	pthread_mutex_lock(&p->lock);
	base_set(p, first);
	pthread_mutex_unlock(&p->lock);
}

void proof_received(struct proof_state *p, uint32_t xid32)
{
	uint64_t xid, first;
	int64_t i;

	pthread_mutex_lock(&p->lock);
	if (p->known) {
		xid = snapshot_extend(&p->base.at, xid32);
		first = p->base.at.xmax;
		i = base_index(&p->base, xid);
		if (i >= 0)
			p->base.received[i] = true;
		else if (xid >= first && xid - first < PROOF_WINDOW)
			p->window[xid % PROOF_WINDOW / 64] |= UINT64_C(1) << xid % 64;
	}
	pthread_mutex_unlock(&p->lock);
}

/* Whatever is completed in s is completed in E, or received. Counted for the xids from E.xmax on: as many bits must be set as there
 * are completed ones. Rolled back transactions, subtransactions and those of other databases are completed and never
 * received; then the answer is no, until E has moved past them. */
static bool explains(const struct proof_state *p, const struct snapshot *s)
{
	const struct proof_base *e = &p->base;
	uint64_t n, running = 0, got;

	if (!p->known)
		return false;
	for (uint32_t i = 0; i < e->at.nxip; i++) {
		if (!e->received[i] && snapshot_completed_full(s, e->at.xip[i]))
			return false;
	}
	if (s->xmax <= e->at.xmax)
		return true;
	n = s->xmax - e->at.xmax;
	if (n > PROOF_WINDOW)
		return false;
	got = window_count(p, e->at.xmax, n);
	for (uint32_t i = 0; i < s->nxip; i++) {
		if (s->xip[i] < e->at.xmax)
			continue;
		running++;
		if (window_has(p, s->xip[i])) /* received, and not yet visible in s */
			got--;
	}
	return got == n - running;
}

bool proof_explains(struct proof_state *p, const struct versions *v, uint64_t epoch, const struct snapshot *s)
{
	bool yes;

	pthread_mutex_lock(&p->lock);
	/* Under the lock: an epoch ends before the base is forgotten, and begins after the new one is set. */
	yes = versions_epoch(v) == epoch && explains(p, s);
	pthread_mutex_unlock(&p->lock);
	return yes;
}

void proof_rebase(struct proof_state *p, const struct versions *v, uint64_t epoch, const struct snapshot *s)
{
	pthread_mutex_lock(&p->lock);
	if (versions_epoch(v) == epoch && (!p->known || newer(s, &p->base.at)))
		base_set(p, s);
	pthread_mutex_unlock(&p->lock);
}
