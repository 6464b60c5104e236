#include "proxy/auth/gate_private.h"

#include "config/users.h"

#include <stdio.h>
#include <string.h>

/* The result of auth_query is not kept, not even for seconds: a changed password, a dropped role or VALID UNTIL count at the next
 * login, as they do in PostgreSQL, and a SCRAM exchange that began with an old verifier could not be mended. lookup.c keeps its
 * connection, so that asking costs a login one round trip of a thread that is not a loop's. */

static void set_secret(struct gate *g, const char *text)
{
	secret_unref(g->secret);
	g->secret = secret_new(text);
	g->known = true;
}

static void lookup_done(void *arg, const char *secret, const struct err *err)
{
	struct gate *g = arg;

	g->lookup = NULL;
	g->lookup_err = *err;
	if (secret != NULL)
		set_secret(g, secret);
	gate_wake(g);
}

static enum gate_step after_lookup(struct gate *g, struct buf *out, struct err *err)
{
	if (g->lookup_err.text[0] == '\0')
		return g->then(g, out, err);
	/* Says nothing about the user, and the client may try again: not a wrong password. */
	return gate_deny(g, err, "57P03", "the database of users cannot be asked now", g->lookup_err.text);
}

/* The password of auth_user itself comes from auth_file, or from a database entry for that very user. */
static const char *query_password(const struct gate *g, const struct config_database *db,
				  const char *auth_user)
{
	const struct users_entry *entry = users_find(g->config->userlist, auth_user);

	if (entry != NULL && entry->kind == USERS_PLAIN && entry->secret[0] != '\0')
		return entry->secret;
	if (strcmp(db->server_user, auth_user) == 0 && db->password[0] != '\0')
		return db->password;
	return NULL;
}

static const char *sslmode_word(enum config_sslmode mode)
{
#define WORD(id, word) word,
	static const char *const words[] = {CONFIG_VALUES_sslmode(WORD)};
#undef WORD

	return words[mode];
}

/* 0 = a look-up's own default. */
static int lookup_timeout_s(const struct config *config)
{
	uint64_t s = (config->server_connect_timeout + 999999) / 1000000;

	return s > 3600 ? 0 : (int)s;
}

/* False = there is no database to ask (*why_r says so). */
static bool lookup_begin(struct gate *g, const struct policy *policy, const char **why_r)
{
	const char *name = policy->auth_dbname[0] != '\0' ? policy->auth_dbname : g->database;
	const struct config_database *db = config_database(g->config, name);
	struct lookup_settings set = {0};
	char port[12];

	if (db == NULL) {
		*why_r = "auth_dbname names no database of this configuration";
		return false;
	}
	snprintf(port, sizeof port, "%d", db->port);
	set.host = db->host[0] != '\0' ? db->host_list : g->config->unix_socket_dir;
	set.port = port;
	set.dbname = config_dbname(db, name);
	set.user = policy->auth_user;
	set.password = query_password(g, db, policy->auth_user);
	set.sslmode = sslmode_word(g->config->server_tls_sslmode);
	set.sslrootcert = g->config->server_tls_ca_file[0] != '\0' ? g->config->server_tls_ca_file : NULL;
	set.query = policy->auth_query;
	set.timeout_s = lookup_timeout_s(g->config);
	g->lookup = lookup_start(g->loop, g->askers, &set, g->user, lookup_done, g);
	*why_r = "too many logins are under way";
	return g->lookup != NULL;
}

enum gate_step gate_find_user(struct gate *g, gate_ready_fn then, struct buf *out, struct err *err)
{
	const struct users_entry *entry = users_find(g->config->userlist, g->user);
	struct policy policy;
	const char *why = "";

	if (entry != NULL) {
		set_secret(g, entry->secret);
		return then(g, out, err);
	}
	policy_of(g->config, g->console ? NULL : g->database, g->user, &policy);
	/* The console has no database of its own to ask, only the one of auth_dbname. */
	if (policy.auth_user[0] == '\0' || (g->console && policy.auth_dbname[0] == '\0') ||
	    (g->db == NULL && !g->console)) {
		/* A start from a URL knows one user, and promises that the others may try their luck at the server. */
		g->known =
			(g->config->userlist == NULL || g->config->from_url) && policy.auth_user[0] == '\0';
		return then(g, out, err);
	}
	g->then = then;
	if (lookup_begin(g, &policy, &why))
		return gate_wait(g, after_lookup);
	return gate_deny(g, err, "57P03", "the database of users cannot be asked now", why);
}

enum secret_kind gate_mock_kind(const struct gate *g)
{
	const struct users_entry *first;

	/* Like the users that there are: those of auth_file, else those of a server, which has SCRAM unless it is old. */
	if (users_count(g->config->userlist) == 0)
		return SECRET_SCRAM;
	first = users_at(g->config->userlist, 0);
	return first->kind == USERS_SCRAM ? SECRET_SCRAM : SECRET_MD5;
}
