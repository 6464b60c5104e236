/* SHOW POOLS, DATABASES, USERS, LISTS: pools and clients counted by name. */
#include "proxy/admin/shows.h"

#include "config/users.h"
#include "proxy/backend/gates.h"
#include "proxy/base/check.h"
#include "proxy/base/map.h"
#include "proxy/net/resolve.h"

#include <stdio.h>

const struct column columns_pools[] = {{"database", COLUMN_TEXT},
				       {"user", COLUMN_TEXT},
				       {"cl_active", COLUMN_INT4},
				       {"cl_waiting", COLUMN_INT4},
				       {"cl_active_cancel_req", COLUMN_INT4},
				       {"cl_waiting_cancel_req", COLUMN_INT4},
				       {"sv_active", COLUMN_INT4},
				       {"sv_active_cancel", COLUMN_INT4},
				       {"sv_being_canceled", COLUMN_INT4},
				       {"sv_idle", COLUMN_INT4},
				       {"sv_used", COLUMN_INT4},
				       {"sv_tested", COLUMN_INT4},
				       {"sv_login", COLUMN_INT4},
				       {"maxwait", COLUMN_INT4},
				       {"maxwait_us", COLUMN_INT4},
				       {"pool_mode", COLUMN_TEXT},
				       {"load_balance_hosts", COLUMN_TEXT},
				       {"pool_size", COLUMN_INT4},
				       {"pinned", COLUMN_INT4},
				       {"paused", COLUMN_INT4},
				       {NULL, 0}};
const struct column columns_databases[] = {{"name", COLUMN_TEXT},
					   {"host", COLUMN_TEXT},
					   {"port", COLUMN_INT4},
					   {"database", COLUMN_TEXT},
					   {"force_user", COLUMN_TEXT},
					   {"pool_size", COLUMN_INT4},
					   {"min_pool_size", COLUMN_INT4},
					   {"reserve_pool_size", COLUMN_INT4},
					   {"server_lifetime", COLUMN_INT4},
					   {"pool_mode", COLUMN_TEXT},
					   {"load_balance_hosts", COLUMN_TEXT},
					   {"max_connections", COLUMN_INT4},
					   {"current_connections", COLUMN_INT4},
					   {"max_client_connections", COLUMN_INT4},
					   {"current_client_connections", COLUMN_INT4},
					   {"paused", COLUMN_INT4},
					   {"disabled", COLUMN_INT4},
					   {"coherence", COLUMN_TEXT},
					   {"reserve_pool", COLUMN_INT4}, /* its name before 1.24 */
					   {NULL, 0}};
const struct column columns_users[] = {{"name", COLUMN_TEXT},
				       {"pool_size", COLUMN_TEXT},
				       {"reserve_pool_size", COLUMN_TEXT},
				       {"pool_mode", COLUMN_TEXT},
				       {"max_user_connections", COLUMN_INT4},
				       {"current_connections", COLUMN_INT4},
				       {"max_user_client_connections", COLUMN_INT4},
				       {"current_client_connections", COLUMN_INT4},
				       {NULL, 0}};
const struct column columns_lists[] = {{"list", COLUMN_TEXT}, {"items", COLUMN_INT4}, {NULL, 0}};

/* What there is of one (database, user), one database or one user. */
struct tallied {
	char name[2 * ROSTER_NAME]; /* database NUL user */
	unsigned clients, waiting, cancels, canceled, tested;
	struct pool_counts servers;
	struct policy policy;
	bool has_pool;
	UT_hash_handle hh;
};

/* By which names the rows are told apart. */
enum by { BY_POOL, BY_DATABASE, BY_USER };

struct counting {
	enum by by;
	struct tallied *table; /* owned rows */
	unsigned logins, clients, servers;
};

static struct tallied *row_of(struct counting *c, const char *database, const char *user)
{
	char name[2 * ROSTER_NAME] = {0};
	struct tallied *row;

	if (c->by != BY_USER)
		snprintf(name, ROSTER_NAME, "%.63s", database);
	if (c->by != BY_DATABASE)
		snprintf(name + ROSTER_NAME, ROSTER_NAME, "%.63s", user);
	HASH_FIND(hh, c->table, name, sizeof name, row);
	if (row == NULL) {
		row = check_alloc(sizeof *row);
		memcpy(row->name, name, sizeof name);
		HASH_ADD(hh, c->table, name, sizeof row->name, row);
	}
	return row;
}

static void count_pool(void *arg, struct pool *pool)
{
	struct tallied *row;
	struct pool_counts c;

	if (pool_listening(pool))
		return;
	row = row_of(arg, pool_database(pool), pool_user(pool));
	pool_count(pool, &c);
	row->policy = pool_policy(pool);
	row->has_pool = true;
	row->servers.total += c.total;
	row->servers.lent += c.lent;
	row->servers.idle += c.idle;
	row->servers.connecting += c.connecting;
	row->servers.pinned += c.pinned;
	row->servers.size = c.size;
	if (c.oldest_wait_us > row->servers.oldest_wait_us)
		row->servers.oldest_wait_us = c.oldest_wait_us;
}

static void count_socket(struct counting *c, const struct socket_row *s)
{
	struct tallied *row;

	if (s->server) {
		c->servers++;
		row = row_of(c, s->database, s->user);
		row->cancels += s->canceling;
		row->canceled += strcmp(s->state, "being_canceled") == 0;
		row->tested += strcmp(s->state, "tested") == 0;
		return;
	}
	c->clients++;
	if (strcmp(s->state, "login") == 0) {
		c->logins++;
		return;
	}
	row = row_of(c, s->database, s->user);
	if (strcmp(s->state, "waiting") == 0)
		row->waiting++;
	else
		row->clients++;
}

static void count_all(struct counting *c, struct run *run, struct round *r)
{
	pools_each(run->parts->pools, count_pool, c);
	for (unsigned i = 0; i < r->nparts; i++)
		for (size_t j = 0; r->parts[i].back && j < r->parts[i].rows.n; j++)
			count_socket(c, &r->parts[i].rows.rows[j]);
}

static int by_name(const struct tallied *a, const struct tallied *b)
{
	return memcmp(a->name, b->name, sizeof a->name);
}

static void counting_free(struct counting *c)
{
	struct tallied *row, *following;

	HASH_ITER (hh, c->table, row, following) {
		HASH_DEL(c->table, row);
		free(row);
	}
}

static void gather(struct house *h, const struct round_order *order, struct round_part *part)
{
	(void)order;
	roster_clients(h, false, &part->rows);
	roster_servers(&h->host, false, &part->rows);
}

static void ask(struct run *run, void (*then)(struct run *run, struct round *r))
{
	struct round_order order = {.work = gather};

	run_round(run, &order, then);
}

static const char *mode_word(enum config_pool_mode mode)
{
	static const char *const words[] = {"session", "transaction", "statement"};

	return words[mode];
}

/* --- SHOW POOLS --- */

static void pool_row(struct run *run, const struct tallied *row)
{
	struct table *t = &run->table;
	const struct pool_counts *s = &row->servers;
	unsigned settling = row->canceled + row->tested;

	if (!row->has_pool || !run_wants(run, row->name))
		return;
	table_text(t, row->name);
	table_text(t, row->name + ROSTER_NAME);
	table_unsigned(t, row->clients);
	table_unsigned(t, row->waiting);
	table_int(t, 0);
	table_int(t, 0);
	table_unsigned(t, s->lent > settling ? s->lent - settling : 0);
	table_unsigned(t, row->cancels);
	table_unsigned(t, row->canceled);
	table_unsigned(t, s->idle);
	table_int(t, 0);
	table_unsigned(t, row->tested);
	table_unsigned(t, s->connecting);
	table_unsigned(t, s->oldest_wait_us / 1000000);
	table_unsigned(t, s->oldest_wait_us % 1000000);
	table_text(t, mode_word(row->policy.pool_mode));
	table_null(t);
	table_unsigned(t, s->size);
	table_unsigned(t, s->pinned);
	table_int(t, pools_paused(run->parts->pools, row->name));
}

/* The console's own, as PgBouncer has it. */
static void own_pool(struct run *run)
{
	struct table *t = &run->table;

	if (!run_wants(run, "pgbouncer"))
		return;
	table_text(t, "pgbouncer");
	table_text(t, "pgbouncer");
	table_unsigned(t, run->consoles);
	for (unsigned i = 0; i < 12; i++)
		table_int(t, 0);
	table_text(t, "statement");
	table_null(t);
	for (unsigned i = 0; i < 3; i++)
		table_int(t, 0);
}

static void have_pools(struct run *run, struct round *r)
{
	struct counting c = {.by = BY_POOL};

	count_all(&c, run, r);
	HASH_SORT(c.table, by_name);
	for (struct tallied *row = c.table; row != NULL; row = row->hh.next)
		pool_row(run, row);
	counting_free(&c);
	own_pool(run);
	run_done(run);
}

void show_pools(struct run *run)
{
	ask(run, have_pools);
}

/* --- SHOW DATABASES --- */

static void database_row(struct run *run, struct counting *c, const char *name,
			 const struct config_database *db)
{
	struct config *cfg = run->parts->control.config(run->parts->control.arg);
	static const char *const kinds[] = {"off", "bounded", "strict"};
	struct table *t = &run->table;
	const struct tallied *row = row_of(c, name, "");
	struct policy p;

	policy_of(cfg, name, NULL, &p);
	table_text(t, name);
	table_text(t, db->host[0] != '\0' ? db->host : NULL);
	table_int(t, db->port);
	table_text(t, config_dbname(db, name));
	table_text(t, db->server_user[0] != '\0' ? db->server_user : NULL);
	table_int(t, p.default_pool_size);
	table_int(t, p.min_pool_size);
	table_int(t, p.reserve_pool_size);
	table_unsigned(t, p.server_lifetime / 1000000);
	table_text(t, db->over.set[OPTION_pool_mode] ? mode_word(p.pool_mode) : NULL);
	table_text(t, db->host_count < 2			     ? NULL
		      : db->load_balance_hosts == HOST_ORDER_DISABLE ? "disable"
								     : "round-robin");
	table_int(t, p.max_db_connections);
	table_unsigned(t, row->servers.total);
	table_int(t, p.max_db_client_connections);
	table_unsigned(t, row->clients + row->waiting);
	table_int(t, pools_paused(run->parts->pools, name));
	table_int(t, pools_disabled(run->parts->pools, name));
	table_text(t, kinds[p.coherence]);
	table_int(t, p.reserve_pool_size);
}

static void own_database(struct run *run)
{
	struct config *cfg = run->parts->control.config(run->parts->control.arg);
	struct table *t = &run->table;

	table_text(t, "pgbouncer");
	table_null(t);
	table_int(t, cfg->listen_port);
	table_text(t, "pgbouncer");
	table_text(t, "pgbouncer");
	table_int(t, 2);
	for (unsigned i = 0; i < 3; i++)
		table_int(t, 0);
	table_text(t, "statement");
	table_null(t);
	table_int(t, 0);
	table_int(t, 0);
	table_int(t, 0);
	table_unsigned(t, run->consoles);
	table_int(t, 0);
	table_int(t, 0);
	table_text(t, "off");
	table_int(t, 0);
}

static void have_databases(struct run *run, struct round *r)
{
	struct config *cfg = run->parts->control.config(run->parts->control.arg);
	struct counting c = {.by = BY_DATABASE};

	count_all(&c, run, r);
	for (unsigned i = 0; i < cfg->database_count; i++)
		if (!cfg->databases[i]->fallback)
			row_of(&c, cfg->databases[i]->name, "");
	HASH_SORT(c.table, by_name);
	for (struct tallied *row = c.table; row != NULL; row = row->hh.next) {
		const struct config_database *db = config_database(cfg, row->name);

		if (db != NULL)
			database_row(run, &c, row->name, db);
	}
	counting_free(&c);
	own_database(run);
	run_done(run);
}

void show_databases(struct run *run)
{
	ask(run, have_databases);
}

/* --- SHOW USERS --- */

static void user_row(struct run *run, const struct tallied *row)
{
	struct config *cfg = run->parts->control.config(run->parts->control.arg);
	const char *name = row->name + ROSTER_NAME;
	const struct config_user *user = config_user(cfg, name);
	const struct config_override *over = user != NULL ? &user->over : NULL;
	struct table *t = &run->table;
	struct policy p;

	policy_of(cfg, NULL, name, &p);
	table_text(t, name);
	if (over != NULL && over->set[OPTION_default_pool_size])
		table_printf(t, "%9d", p.default_pool_size);
	else
		table_text(t, "");
	if (over != NULL && over->set[OPTION_reserve_pool_size])
		table_printf(t, "%9d", p.reserve_pool_size);
	else
		table_text(t, "");
	table_text(t, over != NULL && over->set[OPTION_pool_mode] ? mode_word(p.pool_mode) : NULL);
	table_int(t, p.max_user_connections);
	table_unsigned(t, row->servers.total);
	table_int(t, p.max_user_client_connections);
	table_unsigned(t, row->clients + row->waiting);
}

static void add_users(struct counting *c, const struct config *cfg)
{
	for (size_t i = 0; i < users_count(cfg->userlist); i++)
		row_of(c, "", users_at(cfg->userlist, i)->name);
	for (unsigned i = 0; i < cfg->user_count; i++)
		row_of(c, "", cfg->users[i]->name);
}

static void have_users(struct run *run, struct round *r)
{
	struct counting c = {.by = BY_USER};

	count_all(&c, run, r);
	add_users(&c, run->parts->control.config(run->parts->control.arg));
	HASH_SORT(c.table, by_name);
	for (struct tallied *row = c.table; row != NULL; row = row->hh.next)
		user_row(run, row);
	counting_free(&c);
	run_done(run);
}

void show_users(struct run *run)
{
	ask(run, have_users);
}

/* --- SHOW LISTS --- */

static void list_row(struct run *run, const char *name, uint64_t n)
{
	table_text(&run->table, name);
	table_unsigned(&run->table, n);
}

struct names {
	unsigned known, asked;
};

static void count_name(void *arg, const struct resolve_seen *seen)
{
	struct names *names = arg;

	names->known++;
	names->asked += seen->busy;
}

static void have_lists(struct run *run, struct round *r)
{
	struct config *cfg = run->parts->control.config(run->parts->control.arg);
	struct counting pools = {.by = BY_POOL}, users = {.by = BY_USER}, databases = {.by = BY_DATABASE};
	struct names names = {0};

	resolve_each(count_name, &names);
	count_all(&pools, run, r);
	count_all(&users, run, r);
	count_all(&databases, run, r);
	add_users(&users, cfg);
	for (unsigned i = 0; i < cfg->database_count; i++)
		if (!cfg->databases[i]->fallback)
			row_of(&databases, cfg->databases[i]->name, "");
	list_row(run, "databases", HASH_COUNT(databases.table) + 1);
	list_row(run, "users", HASH_COUNT(users.table));
	list_row(run, "peers", cfg->peer_count);
	list_row(run, "pools", HASH_COUNT(pools.table) + 1);
	list_row(run, "peer_pools", cfg->peer_count);
	list_row(run, "free_clients", 0);
	list_row(run, "used_clients", pools.clients + run->consoles);
	list_row(run, "login_clients", pools.logins);
	list_row(run, "free_servers", 0);
	list_row(run, "used_servers", pools.servers);
	list_row(run, "dns_names", names.known);
	list_row(run, "dns_zones", 0);
	list_row(run, "dns_queries", names.asked);
	list_row(run, "dns_pending", 0);
	counting_free(&pools);
	counting_free(&users);
	counting_free(&databases);
	run_done(run);
}

void show_lists(struct run *run)
{
	ask(run, have_lists);
}
