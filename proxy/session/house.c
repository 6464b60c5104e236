#include "proxy/session/house.h"

#include "proxy/base/check.h"
#include "proxy/base/clock.h"

#include <stdlib.h>
#include <string.h>

struct served *house_served(struct house *h, const char *database)
{
	struct served *sv;
	struct origin *origin;

	for (sv = h->served; sv != NULL; sv = sv->next)
		if (!sv->dead && strcmp(sv->database, database) == 0)
			return sv->origin != NULL ? sv : NULL;
	origin = h->origin_of(h->app, database);
	sv = check_alloc(sizeof *sv);
	sv->refs = 1;
	sv->idle_us = clock_us();
	sv->database = strdup(database);
	check(sv->database != NULL);
	sv->group = toplist_group(span_str(database));
	sv->origin = origin;
	if (origin != NULL) {
		struct policy policy;

		policy_of(h->config, database, NULL, &policy);
		sv->cache = origin_cache(origin);
		sv->fresh = fresh_new(h->host.loop, origin, &h->host.counters, policy.probe_patience,
				      policy.probe_patience_max);
	}
	sv->next = h->served;
	h->served = sv;
	return origin != NULL ? sv : NULL;
}

const struct catalog *served_catalog(struct served *sv, uint64_t *epoch_r)
{
	uint64_t epoch = cache_epoch(sv->cache);

	if (epoch != sv->epoch || sv->catalog == NULL) {
		catalog_unref(sv->catalog);
		sv->catalog = cache_catalog(sv->cache);
		sv->epoch = epoch;
		/* It may be newer than `epoch` but never older: cache_set_catalog swaps the catalog before it raises the epoch. */
	}
	*epoch_r = sv->epoch;
	return sv->catalog;
}

/* What is the worker's: from then on nothing is served. */
static void shut(struct served *sv)
{
	fresh_free(&sv->fresh);
	catalog_unref(sv->catalog);
	sv->catalog = NULL;
}

static void unlist(struct house *h, const struct served *sv)
{
	for (struct served **at = &h->served; *at != NULL; at = &(*at)->next)
		if (*at == sv) {
			*at = sv->next;
			return;
		}
}

static void served_unref(struct house *h, struct served *sv)
{
	if (--sv->refs > 0) {
		sv->idle_us = clock_us();
		return;
	}
	unlist(h, sv);
	shut(sv);
	if (sv->origin != NULL)
		h->origin_put(h->app, sv->origin);
	free(sv->database);
	free(sv);
}

struct served *house_take_served(struct house *h, const char *database)
{
	struct served *sv = house_served(h, database);

	if (sv != NULL)
		sv->refs++;
	return sv;
}

void house_leave_served(struct house *h, struct served **sv)
{
	if (*sv != NULL)
		served_unref(h, *sv);
	*sv = NULL;
}

void house_free_served(struct house *h)
{
	while (h->served != NULL) {
		struct served *sv = h->served;
		bool ours = !sv->dead;

		h->served = sv->next;
		shut(sv);
		sv->dead = true;
		if (ours)
			served_unref(h, sv);
	}
}

static bool is_made(const struct config *cfg, const char *database)
{
	const struct config_database *db = config_database(cfg, database);

	return db == NULL || db->fallback;
}

/* Nobody finds it any more. */
static void bury(struct house *h, struct served *sv)
{
	sv->dead = true;
	served_unref(h, sv);
}

void house_let_go(struct house *h)
{
	uint64_t limit = h->config->autodb_idle_timeout, now = clock_us();
	struct served *next;

	for (struct served *sv = h->served; sv != NULL && limit > 0; sv = next) {
		next = sv->next;
		if (!sv->dead && sv->refs == 1 && now - sv->idle_us >= limit &&
		    is_made(h->config, sv->database))
			bury(h, sv);
	}
}

void house_renew_served(struct house *h)
{
	struct served *next;

	for (struct served *sv = h->served; sv != NULL; sv = next) {
		next = sv->next;
		if (sv->dead ||
		    (sv->origin != NULL && h->origin_current(h->app, h->config, sv->database, sv->origin)))
			continue;
		bury(h, sv);
	}
}
