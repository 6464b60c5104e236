/* http.h - the stats port: libevent's evhttp, with bounds.
 * Source  libevent's evhttp. What it lacks is here: a bound on connections, and a time limit that a byte now and then does not
 *         start again.
 * Shape   the pages of site.h on one or more listeners of the app's main loop; one request per connection.
 * Owner   the app; http_free closes all connections. Before loop_free.
 * Thread  the loop's; http_conns any. The process ignores SIGPIPE: evhttp writes to sockets that may be closed.
 * Errors  http_new: NULL with address and reason. A bad client gets a 4xx and is closed. When all places are
 *         taken the next ones wait, and who holds a place without sending his request goes first. */
#ifndef PROXY_ADMIN_HTTP_H
#define PROXY_ADMIN_HTTP_H

#include "proxy/admin/report.h"
#include "proxy/base/err.h"
#include "proxy/net/loop.h"
#include "proxy/net/tls.h"

struct http;

struct http_settings {
	const char *addr; /* "*" = all */
	int port;	  /* 0 = any free one */
	bool reuseport;
	unsigned max_conns;   /* 0 = 64 */
	const char *user;     /* NULL or "" = nobody is asked */
	const char *password; /* NULL or "" = who is asked is not let in */
	struct tls *tls;      /* counted by the server; NULL = plain HTTP */
	uint64_t limit_us;    /* 0 = 10 s: a connection's whole life, however busy it is */
};

/* `source` is copied; what it points to stays until http_free. */
struct http *http_new(struct loop *l, const struct http_settings *set, const struct report_source *source,
		      struct err *err);
int http_port(const struct http *h);
unsigned http_conns(const struct http *h);
void http_free(struct http **h);

#endif
