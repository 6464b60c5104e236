#include "proxy/sql/memo.h"

#include "proxy/base/map.h"
#include "proxy/base/ring.h"

#include <stdatomic.h>

/* A stmt in its memo's table. Two texts with one 64-bit hash do not share an object: the second is not kept. */
struct memo_node {
	struct stmt stmt; /* stmt.memo is NULL once it has left the table */
	size_t bytes;
	struct ring by_use;
	UT_hash_handle hh; /* key: stmt.hash */
	uint8_t content[]; /* oids, then the text */
};

struct memo {
	struct memo_node *table;
	struct ring by_use; /* oldest first */
	size_t bytes;
	size_t max_bytes;
	uint64_t parsed;
};

static _Atomic uint64_t last_id;

struct memo *memo_new(size_t max_bytes)
{
	struct memo *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->max_bytes = max_bytes;
	ring_init(&m->by_use);
	return m;
}

static struct memo_node *node_of(struct stmt *s)
{
	return (struct memo_node *)(void *)s;
}

/* Takes it out of the table and gives back the memo's reference. */
static void evict(struct memo *m, struct memo_node *node)
{
	HASH_DEL(m->table, node);
	ring_remove(&node->by_use);
	m->bytes -= node->bytes;
	node->stmt.memo = NULL;
	stmt_unref(&node->stmt);
}

void memo_free(struct memo **m)
{
	if (*m == NULL)
		return;
	for (struct ring *it; (it = ring_first(&(*m)->by_use)) != NULL;)
		evict(*m, ring_item(it, struct memo_node, by_use));
	free(*m);
	*m = NULL;
}

/* The object just used stays, however large it is: its caller holds it anyway. */
static void shrink(struct memo *m, const struct memo_node *keep)
{
	while (m->bytes > m->max_bytes) {
		struct memo_node *oldest = ring_item(ring_first(&m->by_use), struct memo_node, by_use);

		if (oldest == keep)
			return;
		evict(m, oldest);
	}
}

static struct memo_node *node_new(struct span text, struct span oids_be, uint64_t hash)
{
	size_t noids = oids_be.n / 4;
	size_t size = sizeof(struct memo_node) + noids * 4 + text.n;
	struct memo_node *node = malloc(size);
	uint32_t *oids;

	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(*node));
	oids = (uint32_t *)(void *)node->content;
	for (size_t i = 0; i < noids; i++)
		oids[i] = (uint32_t)oids_be.p[4 * i] << 24 | (uint32_t)oids_be.p[4 * i + 1] << 16 |
			  (uint32_t)oids_be.p[4 * i + 2] << 8 | oids_be.p[4 * i + 3];
	if (text.n > 0)
		memcpy(node->content + noids * 4, text.p, text.n);
	node->stmt = (struct stmt){.refs = 1,
				   .hash = hash,
				   .text = span_of(node->content + noids * 4, text.n),
				   .noids = (uint16_t)noids,
				   .oids = oids};
	node->stmt.facts = facts_of_text(node->stmt.text);
	if (node->stmt.facts == NULL) {
		free(node);
		return NULL;
	}
	node->stmt.id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	node->bytes = size + node->stmt.facts->bytes;
	ring_init(&node->by_use);
	return node;
}

static bool same_statement(const struct stmt *s, struct span text, struct span oids_be)
{
	if (!span_eq(s->text, text) || s->noids != oids_be.n / 4)
		return false;
	for (size_t i = 0; i < s->noids; i++) {
		const uint8_t *p = oids_be.p + 4 * i;

		if (s->oids[i] != ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]))
			return false;
	}
	return true;
}

struct stmt *memo_get(struct memo *m, struct span text, struct span oids_be)
{
	uint64_t hash = XXH3_64bits(text.n > 0 ? text.p : (const uint8_t *)"", text.n);
	struct memo_node *node = NULL;

	if (oids_be.n > 0)
		hash = XXH3_64bits_withSeed(oids_be.p, oids_be.n, hash);
	HASH_FIND_BYHASHVALUE(hh, m->table, &hash, sizeof(hash), (unsigned)hash, node);
	if (node != NULL && same_statement(&node->stmt, text, oids_be)) {
		if (m->by_use.prev != &node->by_use) {
			ring_remove(&node->by_use);
			ring_add(&m->by_use, &node->by_use);
		}
		return stmt_ref(&node->stmt);
	}
	m->parsed++;
	if (node != NULL) {
		node = node_new(text, oids_be, hash);
		return node == NULL ? NULL : &node->stmt;
	}
	node = node_new(text, oids_be, hash);
	if (node == NULL)
		return NULL;
	HASH_ADD_BYHASHVALUE(hh, m->table, stmt.hash, sizeof(hash), (unsigned)hash, node);
	ring_add(&m->by_use, &node->by_use);
	m->bytes += node->bytes;
	node->stmt.memo = m;
	shrink(m, node);
	return stmt_ref(&node->stmt);
}

struct stmt *stmt_ref(struct stmt *s)
{
	s->refs++;
	return s;
}

static void account(struct stmt *s, size_t before, size_t now)
{
	struct memo_node *node = node_of(s);

	node->bytes += now - before;
	if (s->memo != NULL) {
		s->memo->bytes += now - before;
		shrink(s->memo, node);
	}
}

/* Compared byte by byte: a session chooses its own search_path, and must not find another's resolution. */
static bool same_session(const struct stmt *s, const struct reads_session *session)
{
	return span_eq(s->reads_path, session->search_path) && span_eq(s->reads_role, session->role);
}

static void forget_session(struct stmt *s)
{
	free((uint8_t *)(uintptr_t)s->reads_path.p); /* one allocation holds both */
	s->reads_path = s->reads_role = span_of(NULL, 0);
}

void stmt_unref(struct stmt *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	check(s->memo == NULL);
	reads_unref(s->reads);
	forget_session(s);
	facts_unref(s->facts);
	free(node_of(s));
}

static bool note_session(struct stmt *s, const struct reads_session *session)
{
	size_t path = session->search_path.n, role = session->role.n;
	uint8_t *copy = malloc(path + role + 1);

	if (copy == NULL)
		return false;
	if (path > 0)
		memcpy(copy, session->search_path.p, path);
	if (role > 0)
		memcpy(copy + path, session->role.p, role);
	forget_session(s);
	s->reads_path = span_of(copy, path);
	s->reads_role = span_of(copy + path, role);
	return true;
}

struct reads *memo_reads(struct stmt *s, const struct catalog *catalog, const struct reads_session *session)
{
	uint64_t serial = catalog == NULL ? 0 : catalog_serial(catalog);
	size_t before = s->reads == NULL ? 0 : reads_bytes(s->reads) + s->reads_path.n + s->reads_role.n;
	struct reads *reads;

	if (s->reads != NULL && s->reads_catalog == serial && same_session(s, session))
		return s->reads;
	reads = reads_resolve(s->facts, catalog, session, s->oids, s->noids);
	if (reads == NULL)
		return NULL;
	if (!note_session(s, session)) {
		reads_unref(reads);
		return NULL;
	}
	reads_unref(s->reads);
	s->reads = reads;
	s->reads_catalog = serial;
	account(s, before, reads_bytes(reads) + s->reads_path.n + s->reads_role.n);
	return reads;
}

uint64_t memo_parsed(const struct memo *m)
{
	return m->parsed;
}

size_t memo_bytes(const struct memo *m)
{
	return m->bytes;
}

uint64_t stmt_number(struct stmt *s, uint64_t under)
{
	struct stmt_variant *v;

	if (under == 0)
		return s->id;
	for (unsigned i = 0; i < STMT_VARIANTS; i++)
		if (s->variant[i].under == under)
			return s->variant[i].number;
	/* One that is forgotten here gets a new number when it comes again: a Parse more, nothing else. */
	v = &s->variant[s->next_variant++ % STMT_VARIANTS];
	v->under = under;
	v->number = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	return v->number;
}
