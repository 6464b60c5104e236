/* resolve.h - names to addresses, and non-blocking connects.
 * Source  getaddrinfo in an offload thread (follows the system's resolver), cached for dns_max_ttl.
 * Shape   asynchronous; the callback runs in the loop that asked.
 * Owner   the request struct is the caller's until the callback ran or it was cancelled.
 * Thread  the loop's.
 * Errors  in the callback. */
#ifndef PROXY_NET_RESOLVE_H
#define PROXY_NET_RESOLVE_H

#include "proxy/base/err.h"
#include "proxy/base/offload.h"
#include "proxy/net/loop.h"
#include "proxy/net/tcp.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESOLVE_MAX 8

struct resolve_addr {
	struct sockaddr_storage addr;
	socklen_t n;
};

struct resolve_answer {
	unsigned n;
	struct resolve_addr addr[RESOLVE_MAX];
};

struct resolve_req; /* opaque, cancellable; gone once the callback ran */

/* How long answers are kept, for the whole process. Default 15 s; failures 1 s, or less. */
void resolve_max_ttl(uint64_t us);
/* Forgets all answers that nobody waits for. */
void resolve_forget(void);

/* A name that is known, or that is being asked for now. */
struct resolve_seen {
	const char *host;
	bool busy;
	uint64_t ttl_us;		     /* it is used for so long from now on */
	const struct resolve_answer *answer; /* ports 0; n = 0: it has no address */
};
/* All of them; `fn` runs with the lock held. */
void resolve_each(void (*fn)(void *arg, const struct resolve_seen *seen), void *arg);

/* Host starting with '/' or '@' is a unix socket directory and is answered at once (still from the loop). */
struct resolve_req *resolve_start(struct loop *l, struct offload *o, const char *host, int port,
				  void (*fn)(void *arg, const struct resolve_answer *answer,
					     const struct err *err),
				  void *arg);
void resolve_cancel(struct resolve_req **r);
/* The address of a unix socket, at once. */
int resolve_unix(const char *dir, int port, struct resolve_addr *addr_r, struct err *err);

/* A non-blocking connect; the fd, tuned, or -1 with the reason. EINPROGRESS is success. */
int resolve_connect(const struct resolve_addr *a, const struct tcp_settings *tcp, struct err *err);

#endif
