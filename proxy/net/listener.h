/* listener.h - listening sockets, TCP and unix.
 * Source  socket(7), tcp(7), unix(7).
 * Shape   one object per address; acceptor.h takes the connections. The TCP settings are those of the listening sockets: the kernel
 *         hands them down to what is accepted. Leaving is done in two steps, so that no client that was on its way is reset:
 *         listener_leave, a moment later listener_free.
 * Owner   the caller.
 * Thread  one at a time; the getters any.
 * Errors  NULL with address and errno text. */
#ifndef PROXY_NET_LISTENER_H
#define PROXY_NET_LISTENER_H

#include "proxy/base/err.h"
#include "proxy/net/tcp.h"

#include <stdbool.h>

#define LISTENER_SOCKETS 8

struct listener;

struct listener_settings {
	int backlog;
	int reuseport;
	struct tcp_settings tcp; /* of what is accepted */
	int unix_mode;		 /* e.g. 0777 */
};

/* host "*" = all addresses (v4 and v6), or an address or name; port 0 = any free one. Returns one listener that may hold
 * several sockets. */
struct listener *listener_tcp(const char *host, int port, const struct listener_settings *set,
			      struct err *err);
/* dir/.s.PGSQL.port; a stale socket file is replaced, with reuseport also one that another process listens on; dir starting with
 * '@' = abstract. */
struct listener *listener_unix(const char *dir, int port, const struct listener_settings *set,
			       struct err *err);
/* Takes a listening socket that a service manager holds, too. Takes the fd, also when it fails. */
struct listener *listener_adopt(int fd, const struct listener_settings *set, struct err *err);
/* No client gets in line any more; those in line, and with TCP those whose handshake is under way, can still be accepted.
 * A client that begins to connect now tries again by itself after a second, when another process may have the port.
 * Does nothing to sockets of a service manager: whoever comes next takes the clients from the line. */
void listener_leave(struct listener *li);
/* Of clients who connect from now on. */
void listener_tune(struct listener *li, const struct tcp_settings *tcp);
int listener_port(const struct listener *li);
bool listener_is_unix(const struct listener *li);
bool listener_is_shared(const struct listener *li);	/* with a service manager */
unsigned listener_count(const struct listener *li);	/* sockets, at most LISTENER_SOCKETS */
int listener_fd(const struct listener *li, unsigned i); /* borrowed */
void listener_free(struct listener **li);

#endif
