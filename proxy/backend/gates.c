#include "proxy/backend/gates.h"

#include "proxy/backend/pool_private.h"

struct gate_row {
	bool paused, disabled;
	UT_hash_handle hh;
	char name[];
};

/* With the lock of `ps`. */
static struct gate_row *row_find(struct pools *ps, const char *database)
{
	struct gate_row *row;

	HASH_FIND_STR(ps->gates, database, row);
	return row;
}

static struct gate_row *row_make(struct pools *ps, const char *database)
{
	struct gate_row *row = row_find(ps, database);
	size_t n = strlen(database) + 1;

	if (row != NULL)
		return row;
	row = check_alloc(sizeof *row + n);
	memcpy(row->name, database, n);
	HASH_ADD_KEYPTR(hh, ps->gates, row->name, n - 1, row);
	return row;
}

static void row_drop_if_open(struct pools *ps, struct gate_row *row)
{
	if (row->paused || row->disabled)
		return;
	HASH_DEL(ps->gates, row);
	free(row);
}

void gates_free(struct pools *ps)
{
	struct gate_row *row, *next;

	HASH_ITER (hh, ps->gates, row, next) {
		HASH_DEL(ps->gates, row);
		free(row);
	}
}

bool gates_paused(struct pools *ps, const char *database)
{
	struct gate_row *row = row_find(ps, database);

	return ps->all_paused || (row != NULL && row->paused);
}

/* With the lock of `ps`: lets the pools know. Whoever waits gets a backend at once, or one is opened. */
static void tell(struct pools *ps, const char *database)
{
	for (struct pool *p = ps->table; p != NULL; p = p->hh.next) {
		if (database != NULL && strcmp(database, p->database) != 0)
			continue;
		pthread_mutex_lock(&p->lock);
		/* Whoever listens keeps what he listens on. */
		p->paused = !p->listening && gates_paused(ps, p->database);
		if (!p->paused)
			p->retry_at_us = 0;
		pool_match(p);
		pthread_mutex_unlock(&p->lock);
	}
}

static bool set_paused(struct pools *ps, const char *database, bool paused)
{
	bool *state, was;

	pthread_mutex_lock(&ps->lock);
	state = database == NULL ? &ps->all_paused : &row_make(ps, database)->paused;
	was = *state;
	*state = paused;
	if (was != paused)
		tell(ps, database);
	if (database != NULL)
		row_drop_if_open(ps, row_find(ps, database));
	pthread_mutex_unlock(&ps->lock);
	return was != paused;
}

bool pools_pause(struct pools *ps, const char *database)
{
	return set_paused(ps, database, true);
}

bool pools_resume(struct pools *ps, const char *database)
{
	return set_paused(ps, database, false);
}

bool pools_paused(struct pools *ps, const char *database)
{
	bool paused;

	pthread_mutex_lock(&ps->lock);
	paused = database == NULL ? ps->all_paused : gates_paused(ps, database);
	pthread_mutex_unlock(&ps->lock);
	return paused;
}

unsigned pools_paused_count(struct pools *ps)
{
	unsigned n = 0;

	pthread_mutex_lock(&ps->lock);
	for (struct gate_row *row = ps->gates; row != NULL; row = row->hh.next)
		n += row->paused;
	pthread_mutex_unlock(&ps->lock);
	return n;
}

void pools_disable(struct pools *ps, const char *database, bool disabled)
{
	struct gate_row *row;

	pthread_mutex_lock(&ps->lock);
	row = row_make(ps, database);
	row->disabled = disabled;
	row_drop_if_open(ps, row);
	pthread_mutex_unlock(&ps->lock);
}

bool pools_disabled(struct pools *ps, const char *database)
{
	struct gate_row *row;
	bool disabled;

	pthread_mutex_lock(&ps->lock);
	row = row_find(ps, database);
	disabled = row != NULL && row->disabled;
	pthread_mutex_unlock(&ps->lock);
	return disabled;
}

unsigned pools_backends(struct pools *ps, const char *database, bool listening)
{
	unsigned n = 0;

	pthread_mutex_lock(&ps->lock);
	for (struct pool *p = ps->table; p != NULL; p = p->hh.next) {
		if ((p->listening && !listening) || (database != NULL && strcmp(database, p->database) != 0))
			continue;
		pthread_mutex_lock(&p->lock);
		n += p->total;
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&ps->lock);
	return n;
}

bool pools_suspend(struct pools *ps, bool on)
{
	return atomic_exchange(&ps->suspended, on) != on;
}

bool pools_suspended(struct pools *ps)
{
	return ps->suspended;
}
