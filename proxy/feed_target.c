#include "proxy/feed_target.h"

#include "config/users.h"

#include <stdio.h>
#include <string.h>

/* The user of feed and probes, and its password. NULL user = there is none. */
static void feed_login(const struct config *cfg, const struct config_database *db,
		       const struct policy *policy, const char **user_r, const char **password_r)
{
	const char *user = policy->feed_user[0] != '\0' ? policy->feed_user : db->server_user;
	const struct users_entry *known;

	*user_r = user[0] != '\0' ? user : NULL;
	*password_r = policy->feed_password;
	if (*user_r == NULL || (*password_r)[0] != '\0')
		return;
	if (strcmp(user, db->server_user) == 0 && db->password[0] != '\0') {
		*password_r = db->password;
		return;
	}
	known = users_find(cfg->userlist, user);
	if (known != NULL && known->kind == USERS_PLAIN)
		*password_r = known->secret;
}

static const char *or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* Reads of standbys are behind: a cache that is not would go back and forth in time with them. */
static const char *role(const struct config_database *db)
{
	switch (db->target_session_attrs) {
	case SERVER_ROLE_READ_WRITE:
	case SERVER_ROLE_PRIMARY: return NULL;
	case SERVER_ROLE_READ_ONLY:
	case SERVER_ROLE_STANDBY: return "its target_session_attrs asks for standbys";
	case SERVER_ROLE_ANY: break;
	}
	return db->host_count > 1
		       ? "it has several hosts: set target_session_attrs to primary or read-write for a cache"
		       : NULL;
}

const char *feed_target(struct config *cfg, const char *database, struct feed_target *t)
{
	static const char *const modes[] = {"disable", "allow",	    "prefer",
					    "require", "verify-ca", "verify-full"};
	const struct config_database *db = config_database(cfg, database);
	const char *why;

	*t = (struct feed_target){0};
	policy_of(cfg, database, NULL, &t->policy);
	if (db == NULL)
		return "there is no such database";
	if (t->policy.coherence == COHERENCE_OFF || cfg->cache_size == 0)
		return "it is switched off";
	why = role(db);
	if (why != NULL)
		return why;
	feed_login(cfg, db, &t->policy, &t->set.user, &t->set.password);
	if (t->set.user == NULL)
		return "feed_user is not set and the database has no user of its own";
	snprintf(t->port, sizeof(t->port), "%d", db->port);
	t->set.database = database;
	t->set.host = db->hosts[0][0] != '\0' ? db->host_list : cfg->unix_socket_dir;
	t->set.several = db->host_count > 1;
	t->set.port = t->port;
	t->set.dbname = config_dbname(db, database);
	t->set.sslmode = modes[cfg->server_tls_sslmode];
	t->set.sslrootcert = or_null(cfg->server_tls_ca_file);
	t->set.sslcert = or_null(cfg->server_tls_cert_file);
	t->set.sslkey = or_null(cfg->server_tls_key_file);
	t->set.connect_timeout_s = (int)(cfg->server_connect_timeout / 1000000);
	t->set.pgoutput = t->policy.feed_plugin == FEED_PLUGIN_PGOUTPUT;
	t->set.publication = t->policy.feed_publication;
	t->set.catalog_poll_us = t->policy.catalog_poll;
	t->set.max_change_keys = (size_t)t->policy.max_change_keys;
	return NULL;
}
