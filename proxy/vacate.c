#include "proxy/vacate.h"

#include "proxy/backend/gates.h"
#include "proxy/base/check.h"
#include "proxy/session/census.h"

#include <stdlib.h>
#include <string.h>

/* The clients' names for one database. */
struct names {
	const char **list; /* owned; the names are borrowed */
	size_t n;
};

static void add(void *arg, const char *name)
{
	struct names *names = arg;

	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->list[i], name) == 0)
			return;
	names->list = realloc(names->list, (names->n + 1) * sizeof *names->list);
	check(names->list != NULL);
	names->list[names->n++] = name;
}

static void leave(const struct vacate *v, const char *database)
{
	pools_leave(v->pools, database);
	origins_leave(v->origins, database);
}

static void tidy(const struct vacate *v)
{
	for (unsigned i = 0; i < v->nworkers; i++)
		worker_tidy(v->workers[i]);
}

bool vacate_server(const struct vacate *v, const struct pool_target *where, const char *dbname)
{
	struct names names = {0};
	bool left = true, clients = false;

	pools_names(v->pools, where, dbname, add, &names);
	for (size_t i = 0; i < names.n; i++) {
		clients |= census_count(v->census, names.list[i]) > 0;
		left &= pools_backends(v->pools, names.list[i], true) == 0 &&
			origins_left(v->origins, names.list[i]);
	}
	for (size_t i = 0; i < names.n && !left && !clients; i++)
		leave(v, names.list[i]);
	if (!left && !clients)
		tidy(v);
	free(names.list);
	return left;
}

void vacate_database(const struct vacate *v, const char *database)
{
	leave(v, database);
	tidy(v);
}
