#include "proxy/sql/catalog.h"

#include "proxy/base/map.h"
#include "proxy/sql/arena.h"

struct relation_node {
	struct catalog_relation rel;
	char *key; /* schema, NUL, name */
	UT_hash_handle by_name;
	UT_hash_handle by_oid;
};

/* A name without its schema. */
struct name_node {
	const char *name;
	const struct catalog_relation *any;
	unsigned count;
	enum catalog_users users;
	UT_hash_handle hh;
};

struct catalog {
	atomic_uint refs;
	uint64_t serial;
	bool frozen;
	bool strict;
	bool users_casts;
	bool users_equal;
	struct arena mem; /* all nodes and strings */
	struct relation_node *by_name;
	struct relation_node *by_oid;
	struct name_node *names;
	struct name_node *functions;
	struct name_node *operators;
	struct name_node *types;
	const char *fingerprint;
	const char *settings; /* NULL = the fingerprint's own part alone */
	size_t relations;
};

#define CATALOG_BYTES_MAX ((size_t)2 << 30)

static _Atomic uint64_t last_serial;

struct catalog *catalog_new(void)
{
	struct catalog *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	atomic_init(&c->refs, 1);
	c->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
	arena_init(&c->mem, 4096, CATALOG_BYTES_MAX);
	c->fingerprint = "";
	c->strict = true;
	return c;
}

static const char *keep(struct catalog *c, const char *s)
{
	return arena_str(&c->mem, span_str(s));
}

/* Copies the arrays and strings of `rel`; false when memory is gone. */
static bool copy_relation(struct catalog *c, const struct catalog_relation *rel, struct catalog_relation *out)
{
	struct catalog_column *columns = arena_get(&c->mem, rel->ncolumns * sizeof(*columns));
	int16_t *key = arena_get(&c->mem, rel->nkey * sizeof(*key));
	uint32_t *ancestors = arena_get(&c->mem, rel->nancestors * sizeof(*ancestors));

	*out = *rel;
	out->schema = keep(c, rel->schema);
	out->name = keep(c, rel->name);
	if (columns == NULL || key == NULL || ancestors == NULL || out->schema == NULL || out->name == NULL)
		return false;
	for (unsigned i = 0; i < rel->ncolumns; i++) {
		columns[i] = rel->columns[i];
		columns[i].name = keep(c, rel->columns[i].name);
		if (columns[i].name == NULL)
			return false;
	}
	if (rel->nkey > 0)
		memcpy(key, rel->key, rel->nkey * sizeof(*key));
	if (rel->nancestors > 0)
		memcpy(ancestors, rel->ancestors, rel->nancestors * sizeof(*ancestors));
	out->columns = columns;
	out->key = key;
	out->ancestors = ancestors;
	return true;
}

static struct name_node *name_find(struct name_node *table, struct span name)
{
	struct name_node *node = NULL;

	if (name.n > 0)
		HASH_FIND(hh, table, name.p, name.n, node);
	return node;
}

static struct name_node *name_add(struct catalog *c, struct name_node **table, const char *name)
{
	struct name_node *node = name_find(*table, span_str(name));

	if (node != NULL || name[0] == '\0')
		return node;
	node = arena_zero(&c->mem, sizeof(*node));
	if (node == NULL || (node->name = keep(c, name)) == NULL)
		return NULL;
	HASH_ADD_KEYPTR(hh, *table, node->name, strlen(node->name), node);
	return node;
}

#define IDENTIFIER_MAX 256 /* NAMEDATALEN is 64, but a server may be built otherwise */

/* The key of a (schema, name) pair; 0 when it is longer than any identifier. */
static size_t pair_key(struct span schema, struct span name, char *key_r)
{
	if (schema.n > IDENTIFIER_MAX || name.n > IDENTIFIER_MAX || schema.n == 0 || name.n == 0)
		return 0;
	memcpy(key_r, schema.p, schema.n);
	key_r[schema.n] = '\0';
	memcpy(key_r + schema.n + 1, name.p, name.n);
	return schema.n + 1 + name.n;
}

int catalog_add_relation(struct catalog *c, const struct catalog_relation *rel)
{
	struct relation_node *node = arena_zero(&c->mem, sizeof(*node));
	char key[2 * IDENTIFIER_MAX + 1];
	size_t nkey = pair_key(span_str(rel->schema), span_str(rel->name), key);
	struct name_node *name;

	check(!c->frozen);
	if (nkey == 0)
		return 0; /* nobody can name it in a text we understand */
	if (node == NULL || !copy_relation(c, rel, &node->rel))
		return -1;
	node->key = arena_str(&c->mem, span_of(key, nkey));
	name = name_add(c, &c->names, rel->name);
	if (node->key == NULL || name == NULL)
		return -1;
	name->count++;
	name->any = &node->rel;
	HASH_ADD_KEYPTR(by_name, c->by_name, node->key, nkey, node);
	HASH_ADD(by_oid, c->by_oid, rel.oid, sizeof(node->rel.oid), node);
	c->relations++;
	return 0;
}

static int users_add(struct catalog *c, struct name_node **table, const char *name, enum catalog_users users)
{
	struct name_node *node = name_add(c, table, name);

	check(!c->frozen);
	if (node == NULL)
		return -1;
	if (users > node->users)
		node->users = users;
	return 0;
}

int catalog_add_user_function(struct catalog *c, const char *name, enum catalog_users users)
{
	return users_add(c, &c->functions, name, users);
}

int catalog_add_user_operator(struct catalog *c, const char *name, enum catalog_users users)
{
	return users_add(c, &c->operators, name, users);
}

int catalog_add_user_type(struct catalog *c, const char *name, enum catalog_users users)
{
	return users_add(c, &c->types, name, users);
}

int catalog_set_fingerprint(struct catalog *c, const char *text)
{
	const char *copy = keep(c, text);

	check(!c->frozen);
	if (copy == NULL)
		return -1;
	c->fingerprint = copy;
	return 0;
}

/* From the bar on. */
static const char *settings_part(const struct catalog *c)
{
	const char *bar = strrchr(c->fingerprint, '|');

	return bar != NULL ? bar : "";
}

int catalog_set_code(struct catalog *c, const char *text)
{
	const char *part = settings_part(c);
	size_t n = strlen(part), more = strlen(text);
	char *both = arena_get(&c->mem, n + more + 2);

	check(!c->frozen);
	if (both == NULL)
		return -1;
	memcpy(both, part, n);
	both[n] = ' ';
	memcpy(both + n + 1, text, more + 1);
	c->settings = both;
	return 0;
}

void catalog_set_strict(struct catalog *c, bool strict)
{
	check(!c->frozen);
	c->strict = strict;
}

bool catalog_strict(const struct catalog *c)
{
	return c->strict;
}

void catalog_set_casts(struct catalog *c, bool users)
{
	check(!c->frozen);
	c->users_casts = users;
}

bool catalog_users_casts(const struct catalog *c)
{
	return c->users_casts;
}

void catalog_set_equal(struct catalog *c, bool users)
{
	check(!c->frozen);
	c->users_equal = users;
}

bool catalog_users_equal(const struct catalog *c)
{
	return c->users_equal;
}

void catalog_freeze(struct catalog *c)
{
	c->frozen = true;
}

uint64_t catalog_serial(const struct catalog *c)
{
	return c->serial;
}

struct catalog *catalog_ref(struct catalog *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void catalog_unref(struct catalog *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	HASH_CLEAR(by_name, c->by_name);
	HASH_CLEAR(by_oid, c->by_oid);
	HASH_CLEAR(hh, c->names);
	HASH_CLEAR(hh, c->functions);
	HASH_CLEAR(hh, c->operators);
	HASH_CLEAR(hh, c->types);
	arena_free(&c->mem);
	free(c);
}

const struct catalog_relation *catalog_find(const struct catalog *c, struct span schema, struct span name)
{
	struct relation_node *node = NULL;
	char key[2 * IDENTIFIER_MAX + 1];
	size_t nkey = pair_key(schema, name, key);

	if (nkey > 0)
		HASH_FIND(by_name, c->by_name, key, nkey, node);
	return node == NULL ? NULL : &node->rel;
}

const struct catalog_relation *catalog_find_oid(const struct catalog *c, uint32_t oid)
{
	struct relation_node *node = NULL;

	HASH_FIND(by_oid, c->by_oid, &oid, sizeof(oid), node);
	return node == NULL ? NULL : &node->rel;
}

unsigned catalog_count_name(const struct catalog *c, struct span name, const struct catalog_relation **any_r)
{
	const struct name_node *node = name_find(c->names, name);

	if (node == NULL)
		return 0;
	*any_r = node->any;
	return node->count;
}

static enum catalog_users users_of(struct name_node *table, struct span name)
{
	const struct name_node *node = name_find(table, name);

	return node == NULL ? CATALOG_NONE : node->users;
}

enum catalog_users catalog_user_function(const struct catalog *c, struct span name)
{
	return users_of(c->functions, name);
}

enum catalog_users catalog_user_operator(const struct catalog *c, struct span name)
{
	return users_of(c->operators, name);
}

enum catalog_users catalog_user_type(const struct catalog *c, struct span name)
{
	return users_of(c->types, name);
}

#define FIRST_USERS_OID 16384u

/* A scan of all columns: rare, and only when a text is analysed for the first time. */
bool catalog_own_code(const struct catalog *c, uint32_t oid)
{
	for (const struct relation_node *node = c->by_oid; node != NULL; node = node->by_oid.next)
		for (unsigned i = 0; i < node->rel.ncolumns; i++)
			if (node->rel.columns[i].type_oid == oid)
				return node->rel.columns[i].own_code;
	return false;
}

bool catalog_own_input(const struct catalog *c, const uint32_t *oids, uint16_t noids)
{
	for (unsigned i = 0; i < noids; i++)
		if (oids[i] >= FIRST_USERS_OID && (c == NULL || !catalog_own_code(c, oids[i])))
			return false;
	return true;
}

const char *catalog_fingerprint(const struct catalog *c)
{
	return c->fingerprint;
}

const struct catalog_column *catalog_column(const struct catalog_relation *rel, struct span name)
{
	for (unsigned i = 0; i < rel->ncolumns; i++)
		if (span_eq(span_str(rel->columns[i].name), name))
			return &rel->columns[i];
	return NULL;
}

const struct catalog_column *catalog_column_at(const struct catalog_relation *rel, int16_t attnum)
{
	for (unsigned i = 0; i < rel->ncolumns; i++)
		if (rel->columns[i].attnum == attnum)
			return &rel->columns[i];
	return NULL;
}

bool catalog_column_of_users(const struct catalog_column *column)
{
	return !column->builtin_type && !column->own_code;
}

bool catalog_has_column_of_users(const struct catalog_relation *rel)
{
	for (unsigned i = 0; i < rel->ncolumns; i++)
		if (catalog_column_of_users(&rel->columns[i]))
			return true;
	return false;
}

size_t catalog_relations(const struct catalog *c)
{
	return c->relations;
}

const char *catalog_settings_fingerprint(const struct catalog *c)
{
	return c->settings != NULL ? c->settings : settings_part(c);
}
