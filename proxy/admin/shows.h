/* shows.h - the functions and columns that commands.def names.
 * Source  PgBouncer 1.24's SHOW commands: its columns in its order and with its types, ours behind them.
 * Shape   show_* fill run->table; do_* order something. Each ends with run_done or run_fail, now or later.
 * Owner   -
 * Thread  the console's loop.
 * Errors  run_fail. */
#ifndef PROXY_ADMIN_SHOWS_H
#define PROXY_ADMIN_SHOWS_H

#include "proxy/admin/run.h"

/* PgBouncer's version whose console ours is like; monitoring looks for three numbers. */
#define CONSOLE_LIKE "1.24.1"

/* show_stats.c */
extern const struct column columns_stats[], columns_totals_of[], columns_averages[], columns_totals[];
void show_stats(struct run *run);
void show_stats_totals(struct run *run);
void show_stats_averages(struct run *run);
void show_totals(struct run *run);

/* show_sockets.c */
extern const struct column columns_sockets[], columns_sockets_all[], columns_pools[], columns_pins[];
void show_clients(struct run *run);
void show_servers(struct run *run);
void show_sockets(struct run *run);
void show_active_sockets(struct run *run);
void show_pins(struct run *run);

/* show_pools.c */
extern const struct column columns_databases[], columns_users[], columns_lists[];
void show_pools(struct run *run);
void show_databases(struct run *run);
void show_users(struct run *run);
void show_lists(struct run *run);

/* show_config.c */
extern const struct column columns_config[], columns_peers[], columns_peer_pools[], columns_fds[],
	columns_mem[], columns_dns_hosts[], columns_dns_zones[], columns_version[], columns_state[],
	columns_help[], columns_one[];
void show_config(struct run *run);
void show_peers(struct run *run);
void show_peer_pools(struct run *run);
void show_fds(struct run *run);
void show_mem(struct run *run);
void show_dns_hosts(struct run *run);
void show_nothing(struct run *run);
void show_version(struct run *run);
void show_state(struct run *run);
void show_help(struct run *run);
void show_param(struct run *run);
void show_one(struct run *run);

/* show_cache.c */
extern const struct column columns_cache[], columns_coherence[], columns_reasons[], columns_statements[],
	columns_relations[], columns_explain[];
void show_statements(struct run *run);
void show_relations(struct run *run);
void show_explain(struct run *run);
void show_cache(struct run *run);
void show_coherence(struct run *run);
void show_reasons(struct run *run);

/* orders.c */
void do_pause(struct run *run);
void do_resume(struct run *run);
void do_reconnect(struct run *run);
void do_kill(struct run *run);
void do_kill_client(struct run *run);
void do_suspend(struct run *run);
void do_enable(struct run *run);
void do_disable(struct run *run);
void do_wait_close(struct run *run);
void do_reload(struct run *run);
void do_shutdown(struct run *run);
void do_set(struct run *run);
void do_begin(struct run *run);
void do_commit(struct run *run);
void do_rollback(struct run *run);
void do_nothing(struct run *run);

#endif
