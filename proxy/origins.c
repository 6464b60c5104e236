#include "proxy/origins.h"

#include "proxy/base/check.h"
#include "proxy/base/log.h"
#include "proxy/feed_target.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct origin_item {
	struct origin_item *next;
	char *database;	       /* owned */
	struct origin *origin; /* owned; NULL = not cached */
	struct cache *cache;   /* counted */
	unsigned settings;     /* cache_settings_changes when last looked at */
	unsigned users;	       /* of the origin: origins_get without origins_put */
	bool stale;	       /* has no origin; look again */
	bool retired;	       /* nobody gets it any more */
};

struct origins {
	pthread_mutex_t lock;
	struct config *cfg; /* counted */
	struct origin_item *items;
	int64_t past[NCOUNTERS]; /* of those that are freed */
};

struct origins *origins_new(struct config *cfg)
{
	struct origins *o = check_alloc(sizeof *o);

	pthread_mutex_init(&o->lock, NULL);
	o->cfg = config_ref(cfg);
	return o;
}

static void free_item(struct origin_item *i)
{
	origin_stop(&i->origin);
	cache_unref(i->cache);
	free(i->database);
	free(i);
}

void origins_free(struct origins **op)
{
	struct origins *o = *op;

	if (o == NULL)
		return;
	while (o->items != NULL) {
		struct origin_item *i = o->items;

		o->items = i->next;
		free_item(i);
	}
	config_unref(o->cfg);
	pthread_mutex_destroy(&o->lock);
	free(o);
	*op = NULL;
}

static struct cache_settings sizes(const struct config *cfg, const struct policy *policy)
{
	return (struct cache_settings){.bytes = cfg->cache_size, .max_result = policy->cache_max_result};
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
	       same(t.set.sslmode, now->sslmode) && same(t.set.sslrootcert, now->sslrootcert) &&
	       same(t.set.sslcert, now->sslcert) && same(t.set.sslkey, now->sslkey) &&
	       t.set.connect_timeout_s == now->connect_timeout_s && t.set.several == now->several &&
	       t.set.pgoutput == now->pgoutput && same(t.set.publication, now->publication) &&
	       t.set.catalog_poll_us == now->catalog_poll_us && t.set.max_change_keys == now->max_change_keys;
}

struct origin *origins_get(struct origins *o, const char *database)
{
	struct origin *origin;
	struct origin_item *i;

	pthread_mutex_lock(&o->lock);
	for (i = o->items; i != NULL; i = i->next)
		if (!i->retired && strcmp(i->database, database) == 0)
			break;
	if (i == NULL) {
		i = check_alloc(sizeof *i);
		i->database = strdup(database);
		check(i->database != NULL);
		start(i, o->cfg);
		i->next = o->items;
		o->items = i;
	} else if (i->stale) {
		i->stale = false;
		start(i, o->cfg);
	}
	origin = i->origin;
	i->users += origin != NULL;
	pthread_mutex_unlock(&o->lock);
	return origin;
}

void origins_put(struct origins *o, struct origin *origin)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (i->origin == origin) {
			check(i->users > 0);
			i->users--;
		}
	pthread_mutex_unlock(&o->lock);
}

void origins_each(struct origins *o, void (*fn)(void *arg, const char *database, struct origin *origin),
		  void *arg)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (i->origin != NULL && !i->retired)
			fn(arg, i->database, i->origin);
	pthread_mutex_unlock(&o->lock);
}

static void add_counters(const struct origin_item *i, int64_t sum[NCOUNTERS])
{
	if (i->origin == NULL)
		return;
	origin_counters(i->origin, sum);
	cache_counters(i->cache, sum);
}

void origins_counters(struct origins *o, int64_t sum[NCOUNTERS])
{
	pthread_mutex_lock(&o->lock);
	for (unsigned i = 0; i < NCOUNTERS; i++)
		sum[i] += o->past[i];
	for (const struct origin_item *i = o->items; i != NULL; i = i->next)
		add_counters(i, sum);
	pthread_mutex_unlock(&o->lock);
}

/* With the lock. Sessions that come from now on get another one under its name. */
static void retire(struct origin_item *i, const char *why)
{
	struct log_who who = {.kind = "feed", .database = i->database};

	log_info(&who, "feed ends", F_STR("reason", why));
	i->retired = true;
	origin_retire(i->origin);
}

void origins_configure(struct origins *o, struct config *cfg)
{
	pthread_mutex_lock(&o->lock);
	config_unref(o->cfg);
	o->cfg = config_ref(cfg);
	for (struct origin_item *i = o->items; i != NULL; i = i->next) {
		struct cache_settings size;
		struct policy policy;

		if (i->retired)
			continue;
		if (i->origin == NULL) {
			i->stale = true; /* it may have a cache under the new configuration */
			continue;
		}
		if (!origins_current(cfg, i->database, i->origin)) {
			retire(i, "the configuration says another one, or none");
			continue;
		}
		policy_of(cfg, i->database, NULL, &policy);
		size = sizes(cfg, &policy);
		cache_resize(i->cache, &size);
	}
	pthread_mutex_unlock(&o->lock);
}

void origins_leave(struct origins *o, const char *database)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (i->origin != NULL && !i->retired && strcmp(i->database, database) == 0)
			retire(i, "the database has to be without connections");
	pthread_mutex_unlock(&o->lock);
}

bool origins_left(struct origins *o, const char *database)
{
	bool left = true;

	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (i->origin != NULL && strcmp(i->database, database) == 0)
			left &= i->retired && i->users == 0 && origin_ended(i->origin);
	pthread_mutex_unlock(&o->lock);
	return left;
}

/* One that is retired, held by nobody, and has ended, taken out; NULL = none. */
static struct origin_item *take_retired(struct origins *o)
{
	struct origin_item *found = NULL;

	pthread_mutex_lock(&o->lock);
	for (struct origin_item **at = &o->items; *at != NULL && found == NULL;)
		if ((*at)->retired && (*at)->users == 0 && origin_ended((*at)->origin)) {
			found = *at;
			*at = found->next;
			add_counters(found, o->past);
		} else {
			at = &(*at)->next;
		}
	pthread_mutex_unlock(&o->lock);
	return found;
}

/* The workers have let it go (house_let_go). */
static void retire_unused(struct origins *o)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (i->origin != NULL && !i->retired && i->users == 0)
			retire(i, "no client has used the database for autodb_idle_timeout");
	pthread_mutex_unlock(&o->lock);
}

void origins_sweep(struct origins *o)
{
	struct origin_item *i;

	retire_unused(o);
	while ((i = take_retired(o)) != NULL)
		free_item(i);
}

static bool settings_changed(struct origin_item *i)
{
	unsigned now = i->cache != NULL ? cache_settings_changes(i->cache) : i->settings;
	bool changed = i->settings != now;

	i->settings = now;
	return changed;
}

void origins_settings_changed(struct origins *o, void (*fn)(void *arg, const char *database), void *arg)
{
	pthread_mutex_lock(&o->lock);
	for (struct origin_item *i = o->items; i != NULL; i = i->next)
		if (!i->retired && settings_changed(i))
			fn(arg, i->database);
	pthread_mutex_unlock(&o->lock);
}
