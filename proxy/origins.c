#include "proxy/origins.h"

#include "config/users.h"
#include "proxy/base/check.h"
#include "proxy/base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct origin_item {
	struct origin_item *next;
	char *database;	       /* owned */
	struct origin *origin; /* owned; NULL = not cached */
	struct cache *cache;   /* counted */
	char settings[256];    /* catalog_settings_fingerprint when last looked at; "" = not yet */
	bool stale;	       /* has no origin; look again */
};

struct origins {
	pthread_mutex_t lock;
	struct origin_item *items;
};

struct origins *origins_new(void)
{
	struct origins *o = check_alloc(sizeof *o);

	pthread_mutex_init(&o->lock, NULL);
	return o;
}

void origins_free(struct origins **op)
{
	struct origins *o = *op;

	if (o == NULL)
		return;
	while (o->items != NULL) {
		struct origin_item *i = o->items;

		o->items = i->next;
		origin_stop(&i->origin);
		cache_unref(i->cache);
		free(i->database);
		free(i);
	}
	pthread_mutex_destroy(&o->lock);
	free(o);
	*op = NULL;
}

static struct cache_settings sizes(const struct config *cfg, const struct policy *policy)
{
	return (struct cache_settings){.bytes = cfg->cache_size, .max_result = policy->cache_max_result};
}

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

/* Where a database's feed connects to, by the configuration. Strings are borrowed from cfg but for `port`. */
struct feed_target {
	struct origin_settings set;
	struct policy policy;
	char port[16];
};

/* Static text: why the database has no cache; NULL = it has one. */
static const char *feed_target(struct config *cfg, const char *database, struct feed_target *t)
{
	static const char *const modes[] = {"disable", "allow",	    "prefer",
					    "require", "verify-ca", "verify-full"};
	const struct config_database *db = config_database(cfg, database);

	*t = (struct feed_target){0};
	policy_of(cfg, database, NULL, &t->policy);
	if (db == NULL)
		return "there is no such database";
	if (t->policy.coherence == COHERENCE_OFF || cfg->cache_size == 0)
		return "it is switched off";
	if (db->host_count > 1)
		return "the database has several hosts";
	feed_login(cfg, db, &t->policy, &t->set.user, &t->set.password);
	if (t->set.user == NULL)
		return "feed_user is not set and the database has no user of its own";
	snprintf(t->port, sizeof(t->port), "%d", db->port);
	t->set.database = database;
	t->set.host = db->hosts[0][0] != '\0' ? db->hosts[0] : cfg->unix_socket_dir;
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

static void start(struct origin_item *item, struct config *cfg)
{
	struct log_who who = {.kind = "feed", .database = item->database};
	struct cache_settings size;
	struct feed_target t;
	struct err err;
	const char *why = feed_target(cfg, item->database, &t);

	if (why != NULL) {
		log_info(&who, "no cache for this database", F_STR("reason", why));
		return;
	}
	size = sizes(cfg, &t.policy);
	item->cache = cache_new(&size);
	if (item->cache != NULL)
		item->origin = origin_start(&t.set, item->cache, &err);
	if (item->origin == NULL)
		log_error(&who, "no cache for this database",
			  F_STR("reason", item->cache == NULL ? "no memory" : err.text));
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool origins_current(struct config *cfg, const char *database, struct origin *origin)
{
	const struct origin_settings *now = origin_settings(origin);
	struct feed_target t;

	return feed_target(cfg, database, &t) == NULL && same(t.set.host, now->host) &&
	       same(t.set.port, now->port) && same(t.set.dbname, now->dbname) &&
	       same(t.set.user, now->user) && same(t.set.password, now->password) &&
	       same(t.set.sslmode, now->sslmode) && t.set.pgoutput == now->pgoutput;
}

struct origin *origins_get(struct origins *o, struct config *cfg, const char *database)
{
	struct origin_item *i;

	pthread_mutex_lock(&o->lock);
	for (i = o->items; i != NULL; i = i->next)
		if (strcmp(i->database, database) == 0)
			break;
	if (i == NULL) {
		i = check_alloc(sizeof *i);
		i->database = strdup(database);
		check(i->database != NULL);
		start(i, cfg);
		i->next = o->items;
		o->items = i;
	} else if (i->stale) {
		i->stale = false;
		start(i, cfg);
	}
	pthread_mutex_unlock(&o->lock);
	return i->origin;
}

void origins_each(struct origins *o, void (*fn)(void *arg, const char *database, struct origin *origin),
		  void *arg)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (i->origin != NULL)
			fn(arg, i->database, i->origin);
	pthread_mutex_unlock(&o->lock);
}

void origins_configure(struct origins *o, struct config *cfg)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next) {
		struct cache_settings size;
		struct policy policy;

		if (i->origin != NULL && !origins_current(cfg, i->database, i->origin)) {
			/* It has moved or is switched off: sessions find a new one under its name. */
			i->database[0] = '\0';
			continue;
		}
		if (i->origin == NULL) {
			i->stale = true; /* it may have a cache under the new configuration */
			continue;
		}
		policy_of(cfg, i->database, NULL, &policy);
		size = sizes(cfg, &policy);
		cache_resize(i->cache, &size);
	}
	pthread_mutex_unlock(&o->lock);
}

static bool settings_changed(struct origin_item *i)
{
	struct catalog *catalog = i->cache != NULL ? cache_catalog(i->cache) : NULL;
	const char *now;
	bool changed;

	if (catalog == NULL)
		return false;
	now = catalog_settings_fingerprint(catalog);
	changed = i->settings[0] != '\0' && strncmp(i->settings, now, sizeof(i->settings) - 1) != 0;
	snprintf(i->settings, sizeof(i->settings), "%s", now);
	catalog_unref(catalog);
	return changed;
}

void origins_settings_changed(struct origins *o, void (*fn)(void *arg, const char *database), void *arg)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (settings_changed(i))
			fn(arg, i->database);
	pthread_mutex_unlock(&o->lock);
}
