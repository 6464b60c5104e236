/* watch.h - readiness of a file descriptor that a library owns (libpq's sockets).
 * Source  libevent.
 * Shape   one persistent event per watch.
 * Owner   the embedding object; watch_stop before the fd is closed.
 * Thread  the loop's.
 * Errors  none; small allocations abort. What the kernel cannot watch now is tried again every 10 ms. */
#ifndef PROXY_NET_WATCH_H
#define PROXY_NET_WATCH_H

#include "proxy/net/loop.h"

#define WATCH_READ 1
#define WATCH_WRITE 2

struct watch {
	struct event *ev;  /* owned, NULL while stopped */
	struct loop *loop; /* borrowed, of the last watch_set */
	void (*fn)(void *arg, int what);
	void *arg;
	int fd;
	int what;
};

void watch_init(struct watch *w, void (*fn)(void *arg, int what), void *arg);
/* Watch `fd` for `what`; calling it again changes both. */
void watch_set(struct loop *l, struct watch *w, int fd, int what);
void watch_stop(struct watch *w);

#endif
