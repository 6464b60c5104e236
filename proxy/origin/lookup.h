/* lookup.h - auth_query: ask the database for a user's secret.
 * Source  PgBouncer's auth_query: one parameter (user name) in, (user, secret) out; libpq.
 * Shape   an offload job with a blocking libpq connection that is kept for a while and bounded by a timeout.
 * Owner   the request is the caller's until fn ran or it was cancelled.
 * Thread  the loop's; the work runs in the offload threads.
 * Errors  in the callback. */
#ifndef PROXY_ORIGIN_LOOKUP_H
#define PROXY_ORIGIN_LOOKUP_H

#include "proxy/base/err.h"
#include "proxy/base/offload.h"
#include "proxy/net/loop.h"

struct lookup_req;

struct lookup_settings {
	const char *host, *port, *dbname, *user, *password, *sslmode, *sslrootcert, *query;
	int timeout_s;
};

/* All strings are copied. fn: secret NULL and err->text empty = no such user; NULL with text = failed; "" = one without a
 * password, whom a certificate may let in. */
struct lookup_req *lookup_start(struct loop *l, struct offload *o, const struct lookup_settings *set,
				const char *name,
				void (*fn)(void *arg, const char *secret, const struct err *err), void *arg);
void lookup_cancel(struct lookup_req **r);

#endif
