/* site.h - the pages of the stats port.
 * Source  RFC 9110 (methods, status codes, Vary, Allow).
 * Shape   / /metrics /stats.json /healthz /readyz; GET and HEAD,  405 for all other methods. With credentials, 401 but for the two that probes ask.
 * Owner   the http server.
 * Thread  the loop's.
 * Errors  become answers. */
#ifndef PROXY_ADMIN_SITE_H
#define PROXY_ADMIN_SITE_H

#include "proxy/admin/report.h"

#include <event2/http.h>

struct site {
	struct report_source source;
	uint64_t started_us;
	const char *credentials; /* base64 of user:password; NULL = nobody is asked, "" = nobody has them */
};

/* Answers the request, and asks for the connection's end. For evhttp_set_gencb. */
void site_answer(struct evhttp_request *req, void *site);

#endif
