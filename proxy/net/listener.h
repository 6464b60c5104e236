/* listener.h - listening sockets, TCP and unix.
 * Source  libevent's evconnlistener.
 * Shape   one object per address; accepted fds are non-blocking, close-on-exec, keepalive and nodelay set. Leaving is done in two
 *         steps, so that no client that was on its way is reset: listener_leave, a moment later listener_free.
 * Owner   the caller.
 * Thread  the loop's.
 * Errors  NULL with address and errno text. fd exhaustion pauses accepting for 100 ms, no spin. */
#ifndef PROXY_NET_LISTENER_H
#define PROXY_NET_LISTENER_H

#include "proxy/base/err.h"
#include "proxy/net/loop.h"
#include "proxy/net/tcp.h"

#include <sys/socket.h>

struct listener;

struct listener_settings {
	int backlog;
	int reuseport;
	struct tcp_settings tcp; /* of what is accepted */
	int unix_mode;		 /* e.g. 0777 */
};

typedef void (*listener_fn)(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_n, int is_unix);

/* host "*" = all addresses (v4 and v6), or an address or name; port 0 = any free one. Returns one listener that may hold
 * several sockets. */
struct listener *listener_tcp(struct loop *l, const char *host, int port, const struct listener_settings *set,
			      listener_fn fn, void *arg, struct err *err);
/* dir/.s.PGSQL.port; a stale socket file is replaced, with reuseport also one that another process listens on; dir starting with
 * '@' = abstract. */
struct listener *listener_unix(struct loop *l, const char *dir, int port, const struct listener_settings *set,
			       listener_fn fn, void *arg, struct err *err);
/* Takes a listening socket that a service manager holds, too. Takes the fd, also when it fails. */
struct listener *listener_adopt(struct loop *l, int fd, const struct listener_settings *set, listener_fn fn,
				void *arg, struct err *err);
/* No client gets in line any more; those in line, and with TCP those whose handshake is under way, are still accepted.
 * A client that begins to connect now tries again by itself after a second, when another process may have the port. */
void listener_leave(struct listener *li);
/* What is accepted from now on. */
void listener_tune(struct listener *li, const struct tcp_settings *tcp);
void listener_pause(struct listener *li);
void listener_resume(struct listener *li);
int listener_port(const struct listener *li);
void listener_free(struct listener **li);

#endif
