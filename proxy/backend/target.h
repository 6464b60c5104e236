/* target.h - where a pool's backends connect to, made from the configuration.
 * Source  PgBouncer's [databases] and [users].
 * Shape   struct pool_target (pool.h).
 * Owner   counted.
 * Thread  any.
 * Errors  NULL with 3D000 when the configuration has no such database. */
#ifndef PROXY_BACKEND_TARGET_H
#define PROXY_BACKEND_TARGET_H

#include "proxy/backend/pool.h"
#include "proxy/net/tcp.h"

/* NULL = the configuration has no such database. */
struct pool_target *target_new(struct config *cfg, struct tls *tls, const char *database, const char *user,
			       const char *replication);
/* What the configuration says of TCP sockets, of clients and of servers. */
struct tcp_settings target_tcp(const struct config *cfg);
/* Would a backend made for `a` do for `b`? */
bool target_same_server(const struct pool_target *a, const struct pool_target *b);

/* max_db_connections and max_user_connections, counted over all pools: false = the bound is reached. */
bool target_budget_take(struct pool_target *t);
void target_budget_give(struct pool_target *t);

#endif
