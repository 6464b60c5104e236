#include "proxy/net/watch.h"

#include "proxy/base/check.h"

static void watch_event(evutil_socket_t fd, short events, void *arg)
{
	struct watch *w = arg;
	int what = ((events & EV_READ) ? WATCH_READ : 0) | ((events & EV_WRITE) ? WATCH_WRITE : 0);

	(void)fd;
	w->fn(w->arg, what);
}

void watch_init(struct watch *w, void (*fn)(void *arg, int what), void *arg)
{
	*w = (struct watch){.fn = fn, .arg = arg, .fd = -1};
}

static void watch_retry(evutil_socket_t fd, short events, void *arg)
{
	struct watch *w = arg;
	int watched = w->fd, what = w->what;

	(void)fd;
	(void)events;
	watch_stop(w);
	watch_set(w->loop, w, watched, what);
}

/* The kernel has no room for one more descriptor (epoll_ctl: ENOMEM, ENOSPC): soon again. */
static void watch_later(struct watch *w)
{
	static const struct timeval soon = {.tv_usec = 10 * 1000};

	event_free(w->ev);
	w->ev = event_new(loop_base(w->loop), -1, 0, watch_retry, w);
	check(w->ev != NULL);
	check(event_add(w->ev, &soon) == 0);
}

void watch_set(struct loop *l, struct watch *w, int fd, int what)
{
	short events = EV_PERSIST;

	if (w->ev != NULL && w->fd == fd && w->what == what)
		return;
	watch_stop(w);
	if (what & WATCH_READ)
		events |= EV_READ;
	if (what & WATCH_WRITE)
		events |= EV_WRITE;
	w->ev = event_new(loop_base(l), fd, events, watch_event, w);
	check(w->ev != NULL);
	w->loop = l;
	if (event_add(w->ev, NULL) != 0)
		watch_later(w);
	w->fd = fd;
	w->what = what;
}

void watch_stop(struct watch *w)
{
	if (w->ev == NULL)
		return;
	event_free(w->ev);
	w->ev = NULL;
	w->fd = -1;
	w->what = 0;
}
