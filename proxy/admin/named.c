/* Prepared statements and portals of a console client. */
#include "proxy/admin/console_private.h"

#include "proxy/base/check.h"

#include <stdlib.h>

struct named *named_find(struct client *c, bool portal, struct span name)
{
	struct named *n;
	char *key = check_alloc(name.n + 2);

	key[0] = portal ? 'p' : 's';
	if (name.n > 0)
		memcpy(key + 1, name.p, name.n);
	HASH_FIND_STR(c->table, key, n);
	free(key);
	return n;
}

static void drop(struct client *c, struct named *n)
{
	HASH_DEL(c->table, n);
	c->nnamed--;
	c->named_bytes -= n->bytes;
	if (n->run != NULL) {
		run_free(n->run);
		free(n->run);
	}
	free(n->text);
	free(n);
}

struct named *named_add(struct client *c, bool portal, struct span name, struct span text)
{
	struct named *n = named_find(c, portal, name);
	size_t bytes = name.n + text.n;

	if (n != NULL)
		drop(c, n);
	if (c->nnamed >= NAMED_MAX || c->named_bytes + bytes > NAMED_BYTES)
		return NULL;
	n = check_alloc(sizeof *n + name.n + 2);
	n->portal = portal;
	n->bytes = bytes;
	n->text = check_alloc(text.n + 1);
	if (text.n > 0)
		memcpy(n->text, text.p, text.n);
	n->key[0] = portal ? 'p' : 's';
	if (name.n > 0)
		memcpy(n->key + 1, name.p, name.n);
	HASH_ADD_STR(c->table, key, n);
	c->nnamed++;
	c->named_bytes += bytes;
	return n;
}

void named_remove(struct client *c, bool portal, struct span name)
{
	struct named *n = named_find(c, portal, name);

	if (n != NULL)
		drop(c, n);
}

void named_clear_portals(struct client *c)
{
	struct named *n, *following;

	HASH_ITER (hh, c->table, n, following)
		if (n->portal)
			drop(c, n);
}

void named_clear(struct client *c)
{
	struct named *n, *following;

	HASH_ITER (hh, c->table, n, following)
		drop(c, n);
}
