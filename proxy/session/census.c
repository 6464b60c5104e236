#include "proxy/session/census.h"

#include "proxy/base/map.h"

#include <pthread.h>
#include <stdio.h>

struct census_row {
	unsigned n;
	UT_hash_handle hh;
	char key[]; /* 'd' or 'u', then the name */
};

struct census {
	pthread_mutex_t lock;
	struct census_row *table;
};

struct census *census_new(void)
{
	struct census *c = check_alloc(sizeof *c);

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void drop(struct census *c, struct census_row *row)
{
	HASH_DEL(c->table, row);
	free(row);
}

void census_free(struct census **c)
{
	struct census_row *row, *next;

	if (*c == NULL)
		return;
	HASH_ITER (hh, (*c)->table, row, next)
		drop(*c, row);
	pthread_mutex_destroy(&(*c)->lock);
	free(*c);
	*c = NULL;
}

/* The row of that name, made when there is none. */
static struct census_row *row_of(struct census *c, char kind, const char *name)
{
	size_t n = strlen(name) + 1;
	struct census_row *row = check_alloc(sizeof *row + n + 1), *old;

	row->key[0] = kind;
	memcpy(row->key + 1, name, n);
	HASH_FIND(hh, c->table, row->key, n, old);
	if (old != NULL) {
		free(row);
		return old;
	}
	HASH_ADD_KEYPTR(hh, c->table, row->key, n, row);
	return row;
}

const char *census_enter(struct census *c, const char *database, unsigned max_database, const char *user,
			 unsigned max_user)
{
	struct census_row *d, *u;
	const char *full = NULL;

	pthread_mutex_lock(&c->lock);
	d = row_of(c, 'd', database);
	u = row_of(c, 'u', user);
	if (max_database > 0 && d->n >= max_database)
		full = "max_db_client_connections";
	else if (max_user > 0 && u->n >= max_user)
		full = "max_user_client_connections";
	if (full == NULL) {
		d->n++;
		u->n++;
	}
	/* Names that nobody has are not kept: they come from clients. */
	if (d->n == 0)
		drop(c, d);
	if (u->n == 0)
		drop(c, u);
	pthread_mutex_unlock(&c->lock);
	return full;
}

void census_leave(struct census *c, const char *database, const char *user)
{
	struct census_row *d, *u;

	pthread_mutex_lock(&c->lock);
	d = row_of(c, 'd', database);
	u = row_of(c, 'u', user);
	check(d->n > 0 && u->n > 0);
	if (--d->n == 0)
		drop(c, d);
	if (--u->n == 0)
		drop(c, u);
	pthread_mutex_unlock(&c->lock);
}

unsigned census_count(struct census *c, const char *database)
{
	struct census_row *row;
	unsigned n;

	pthread_mutex_lock(&c->lock);
	row = row_of(c, 'd', database);
	n = row->n;
	if (n == 0)
		drop(c, row);
	pthread_mutex_unlock(&c->lock);
	return n;
}
