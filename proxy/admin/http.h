/* http.h - the stats port: GET and HEAD of a few pages.
 * Source  RFC 9112 (HTTP/1.1 messages), the small part that scrapers, browsers and probes need: one request per connection, no
 *         request body, answers with Content-Length and Connection: close.
 *         Not evhttp: it has no bound on connections and its timeout starts again with every byte.
 * Shape   /metrics /stats.json /healthz /readyz / on one listener of the app's main loop.
 * Owner   the app; http_free closes all connections.
 * Thread  the loop's.
 * Errors  http_new: NULL with address and reason. A bad client gets a 4xx and is closed; too many of them: the oldest one goes. */
#ifndef PROXY_ADMIN_HTTP_H
#define PROXY_ADMIN_HTTP_H

#include "proxy/admin/report.h"
#include "proxy/base/err.h"
#include "proxy/net/loop.h"

struct http;

struct http_settings {
	const char *addr;    /* "*" = all */
	int port;	     /* 0 = any free one */
	unsigned max_conns;  /* 0 = 64 */
	uint64_t request_us; /* 0 = 5 s: the whole request must be there */
	uint64_t answer_us;  /* 0 = 10 s: the whole answer must have been taken */
};

/* `source` is copied; what it points to stays until http_free. */
struct http *http_new(struct loop *l, const struct http_settings *set, const struct report_source *source,
		      struct err *err);
int http_port(const struct http *h);
unsigned http_conns(const struct http *h);
void http_free(struct http **h);

#endif
