#include "proxy/session/stmts.h"

#include "proxy/base/map.h"

struct client_stmt {
	struct stmt *stmt; /* counted */
	uint64_t serial;   /* never used twice, unlike addresses */
	size_t nname;
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

static void drop(struct stmts *t, struct client_stmt *c)
{
	HASH_DEL(t->table, c);
	t->bytes -= sizeof *c + c->nname + c->stmt->text.n;
	stmt_unref(c->stmt);
	free(c);
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
	stmts_set_unnamed(t, NULL);
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
