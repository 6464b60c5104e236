/* acceptor.h - takes connections from the sockets of a listener, in one loop.
 * Source  accept(2).
 * Shape   any number of acceptors, in any number of loops, share one listener: whoever is awake first takes the next in line, a few
 *         at a time, so that the others get some. What is taken is non-blocking and close-on-exec and has the listener's TCP settings.
 * Owner   the caller. The listener must outlive it.
 * Thread  the loop's; acceptor_new and acceptor_free also while nobody runs the loop. acceptor_rest any.
 * Errors  out of descriptors or memory: a pause of 100 ms, no spin. */
#ifndef PROXY_NET_ACCEPTOR_H
#define PROXY_NET_ACCEPTOR_H

#include "proxy/net/listener.h"
#include "proxy/net/loop.h"

struct acceptor;

/* Takes the fd. */
typedef void (*acceptor_fn)(void *arg, int fd, bool is_unix);

struct acceptor *acceptor_new(struct loop *l, struct listener *li, acceptor_fn fn, void *arg,
			      struct err *err);
void acceptor_free(struct acceptor **a);
/* All who are in line now, for a listener that is about to be closed. */
void acceptor_rest(struct listener *li, acceptor_fn fn, void *arg);

#endif
