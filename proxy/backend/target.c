#include "proxy/backend/target.h"

#include "config/users.h"
#include "proxy/base/check.h"

#include <stdlib.h>

/* The secret to log in with: of the database's entry, else of auth_file; NULL = what logins taught us. */
static struct secret *fixed_secret(const struct config *cfg, const struct config_database *db,
				   const char *user)
{
	const struct users_entry *u;

	if (db->server_user[0] != '\0' && db->password[0] != '\0')
		return secret_new(db->password);
	u = users_find(cfg->userlist, user);
	if (u != NULL && u->kind == USERS_PLAIN && u->secret[0] != '\0')
		return secret_new(u->secret);
	if (db->password[0] != '\0')
		return secret_new(db->password);
	return NULL;
}

struct pool_target *target_new(struct config *cfg, struct tls *tls, const char *database, const char *user,
			       const char *replication)
{
	const struct config_database *db = config_database(cfg, database);
	struct pool_target *t;

	if (db == NULL)
		return NULL;
	t = check_alloc(sizeof *t);
	atomic_init(&t->refs, 1);
	t->config = config_ref(cfg);
	t->db = db;
	t->dbname = strdup(config_dbname(db, database));
	t->user = strdup(db->server_user[0] != '\0' ? db->server_user : user);
	t->replication = strdup(replication);
	check(t->dbname != NULL && t->user != NULL && t->replication != NULL);
	t->secret = fixed_secret(cfg, db, t->user);
	t->tls = tls != NULL ? tls_ref(tls) : NULL;
	policy_of(cfg, database, user, &t->policy);
	if (replication[0] != '\0')
		t->policy.pool_mode = POOL_MODE_SESSION;
	return t;
}

struct pool_target *target_ref(struct pool_target *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void target_unref(struct pool_target *t)
{
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	secret_unref(t->secret);
	tls_unref(t->tls);
	config_unref(t->config);
	free(t->dbname);
	free(t->user);
	free(t->replication);
	free(t);
}

static bool same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool same_secret(const struct secret *a, const struct secret *b)
{
	return a == NULL || b == NULL ? a == b : same(a->text, b->text);
}

bool target_same_server(const struct pool_target *a, const struct pool_target *b)
{
	const struct config_database *x = a->db, *y = b->db;

	return same(x->host, y->host) && x->target_session_attrs == y->target_session_attrs &&
	       x->load_balance_hosts == y->load_balance_hosts && x->port == y->port &&
	       same(a->dbname, b->dbname) && same(a->user, b->user) && same_secret(a->secret, b->secret) &&
	       same(x->connect_query, y->connect_query) && same(x->client_encoding, y->client_encoding) &&
	       same(x->datestyle, y->datestyle) && same(x->timezone, y->timezone) &&
	       same(x->application_name, y->application_name) && a->tls == b->tls;
}

struct tcp_settings target_tcp(const struct config *cfg)
{
	return (struct tcp_settings){.keepalive = cfg->tcp_keepalive,
				     .keepidle_s = (int)(cfg->tcp_keepidle / 1000000),
				     .keepintvl_s = (int)(cfg->tcp_keepintvl / 1000000),
				     .keepcnt = cfg->tcp_keepcnt,
				     .user_timeout_ms = cfg->tcp_user_timeout};
}
