#include "proxy/session/house.h"

#include "proxy/base/check.h"

#include <stdlib.h>
#include <string.h>

struct served *house_served(struct house *h, const char *database)
{
	struct served *sv;
	struct origin *origin;

	for (sv = h->served; sv != NULL; sv = sv->next)
		if (strcmp(sv->database, database) == 0)
			return sv->origin != NULL ? sv : NULL;
	origin = h->origin_of(h->app, h->config, database);
	sv = check_alloc(sizeof *sv);
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

void house_free_served(struct house *h)
{
	while (h->served != NULL) {
		struct served *sv = h->served;

		h->served = sv->next;
		fresh_free(&sv->fresh);
		catalog_unref(sv->catalog);
		free(sv->database);
		free(sv);
	}
}

void house_renew_served(struct house *h)
{
	struct served **at = &h->served;

	while (*at != NULL) {
		struct served *sv = *at;

		if (sv->origin != NULL) {
			if (!sv->dead && !h->origin_current(h->app, h->config, sv->database, sv->origin)) {
				sv->dead = true;
				sv->database[0] = '\0'; /* new sessions do not find it */
			}
			at = &sv->next;
			continue;
		}
		*at = sv->next;
		free(sv->database);
		free(sv);
	}
}
