#include "proxy/session/stmts.h"

#include "proxy/base/map.h"

struct client_stmt {
	struct stmt *stmt; /* counted */
	uint64_t serial;   /* never used twice, unlike addresses */
	uint64_t number;   /* on the backends */
	size_t nname;
	struct client_stmt *next_closing;
	UT_hash_handle hh;
	char name[];
};

static struct client_stmt *look(const struct stmts *t, struct span name)
{
	struct client_stmt *c;

	HASH_FIND(hh, t->table, name.p, name.n, c);
	return c;
}

struct stmt *stmts_find(const struct stmts *t, struct span name)
{
	struct client_stmt *c;

	if (name.n == 0)
		return t->unnamed;
	c = look(t, name);
	return c == NULL ? NULL : c->stmt;
}

void stmts_set_unnamed(struct stmts *t, struct stmt *stmt)
{
	struct stmt *old = t->unnamed;

	t->unnamed = stmt == NULL ? NULL : stmt_ref(stmt);
	t->unnamed_number = 0;
	if (old != NULL)
		stmt_unref(old);
}

int stmts_add(struct stmts *t, struct span name, struct stmt *stmt)
{
	struct client_stmt *c;
	size_t bytes = sizeof *c + name.n + stmt->text.n;

	if (name.n == 0) {
		stmts_set_unnamed(t, stmt);
		return 0;
	}
	if (t->bytes + bytes > STMTS_BYTES)
		return -1;
	c = check_alloc(sizeof *c + name.n + 1);
	c->stmt = stmt_ref(stmt);
	c->serial = ++t->serial;
	c->nname = name.n;
	memcpy(c->name, name.p, name.n);
	HASH_ADD_KEYPTR(hh, t->table, c->name, c->nname, c);
	t->bytes += bytes;
	return 0;
}

static void release(struct stmts *t, struct client_stmt *c)
{
	t->bytes -= sizeof *c + c->nname + c->stmt->text.n;
	stmt_unref(c->stmt);
	free(c);
}

static void drop(struct stmts *t, struct client_stmt *c)
{
	HASH_DEL(t->table, c);
	release(t, c);
}

uint64_t stmts_close_begin(struct stmts *t, struct span name)
{
	struct client_stmt *c = name.n == 0 ? NULL : look(t, name);

	if (name.n == 0)
		stmts_set_unnamed(t, NULL);
	if (c == NULL)
		return 0;
	HASH_DEL(t->table, c);
	c->next_closing = t->closing;
	t->closing = c;
	return c->serial;
}

static struct client_stmt *take_closing(struct stmts *t, uint64_t key)
{
	for (struct client_stmt **at = &t->closing; *at != NULL; at = &(*at)->next_closing) {
		struct client_stmt *c = *at;

		if (c->serial == key) {
			*at = c->next_closing;
			return c;
		}
	}
	return NULL;
}

void stmts_close_end(struct stmts *t, uint64_t key)
{
	struct client_stmt *c = take_closing(t, key);

	if (c != NULL)
		release(t, c);
}

void stmts_close_undo(struct stmts *t, uint64_t key)
{
	struct client_stmt *c = take_closing(t, key), *other;

	if (c == NULL)
		return;
	/* Made behind the Close in the same pipeline, so it is skipped as well. */
	other = look(t, span_of(c->name, c->nname));
	if (other != NULL)
		drop(t, other);
	HASH_ADD_KEYPTR(hh, t->table, c->name, c->nname, c);
}

bool stmts_remove(struct stmts *t, struct span name)
{
	struct client_stmt *c;

	if (name.n == 0) {
		stmts_set_unnamed(t, NULL);
		return true;
	}
	c = look(t, name);
	if (c != NULL)
		drop(t, c);
	return c != NULL;
}

void stmts_clear(struct stmts *t)
{
	struct client_stmt *c, *next;

	HASH_ITER (hh, t->table, c, next)
		drop(t, c);
	while (t->closing != NULL)
		stmts_close_end(t, t->closing->serial);
	stmts_set_unnamed(t, NULL);
}

uint64_t *stmts_number(struct stmts *t, struct span name)
{
	struct client_stmt *c;

	if (name.n == 0)
		return t->unnamed == NULL ? NULL : &t->unnamed_number;
	c = look(t, name);
	return c == NULL ? NULL : &c->number;
}

uint64_t stmts_key(const struct stmts *t, struct span name)
{
	struct client_stmt *c = name.n == 0 ? NULL : look(t, name);

	return c == NULL ? 0 : c->serial;
}

void stmts_remove_key(struct stmts *t, uint64_t key)
{
	struct client_stmt *c, *next;

	HASH_ITER (hh, t->table, c, next)
		if (c->serial == key) {
			drop(t, c);
			return;
		}
}

void stmts_clear_until(struct stmts *t, uint64_t key)
{
	struct client_stmt *c, *next;

	HASH_ITER (hh, t->table, c, next)
		if (c->serial <= key)
			drop(t, c);
}
