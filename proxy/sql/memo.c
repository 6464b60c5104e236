#include "proxy/sql/memo.h"

#include "proxy/base/check.h"
#include "proxy/base/map.h"
#include "proxy/base/ring.h"
#include "proxy/sql/slots.h"

#include <stdatomic.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at))
#endif

/* What is known of a text. The texts of one shape share it; it is then in the memo's second table, where the hash of the skeleton
 * leads to it. Two shapes with one hash, also those that differ in a literal that is part of the shape, are not both there. */
struct memo_analysis {
	unsigned refs;
	unsigned kept;	   /* of its texts, in the memo's table */
	struct memo *memo; /* that counts its bytes */
	size_t bytes;
	struct facts *facts; /* counted */
	/* The resolution under one catalog and search path, kept while both stay the same (compared by memo_reads). */
	struct reads *reads;
	struct target *target;	/* owned; of the same resolution, NULL = nobody has asked */
	uint64_t reads_catalog; /* its serial, 0 = none */
	struct span reads_path; /* owned copies */
	struct span reads_role;
	struct ring node; /* in the memo's list of all that it counts */
	bool listed;
	uint64_t hash;
	uint64_t shape_id; /* stmt_shape_id() */
	struct ring by_use;
	UT_hash_handle hh; /* key: hash */
	size_t shape_n;
	uint8_t shape[]; /* the skeleton, then the literals that are not lifted */
};

/* A stmt in its memo's table. Two texts with one 64-bit hash do not share an object: the second is not kept. */
struct memo_node {
	struct stmt stmt; /* stmt.memo is NULL once it has left the table */
	size_t bytes;
	struct ring by_use;
	uint64_t placed;   /* memo.added when it was put where it is in by_use */
	UT_hash_handle hh; /* key: stmt.hash */
	uint8_t content[]; /* literals, oids, then the text */
};

/* Texts with literals are often seen once: they get into the table when they come again while their hash stands here. */
#define MEMO_SEEN 16384u
/* Texts that others are likely to be like, found by how they begin; the one that was last of use comes first. */
#define MODEL_HEADS 64u
#define MODELS 4u
#define MODEL_HEAD 24u
#define MODEL_TEXT_MAX 4096u
/* Room for a text that is not remembered, used again for the next one. */
#define SPARE_SIZE 768u
#define SPARES 256u

struct memo {
	struct memo_node *table;
	struct ring by_use; /* oldest first */
	struct memo_analysis *shapes;
	struct ring shapes_by_use;
	struct ring counted; /* all analyses, also those that are listed nowhere else any more */
	size_t bytes;	     /* of all */
	size_t shapes_bytes;
	size_t max_bytes;
	uint64_t parsed;
	uint64_t added;	      /* texts so far */
	uint64_t id, ids_end; /* the numbers up to ids_end are this memo's; `id` was given last */
	struct buf shape;     /* of the text in work */
	struct memo_node *models[MODEL_HEADS][MODELS]; /* counted */
	struct memo_node *latest; /* counted: the one that was asked for last, perhaps in no table */
	struct memo_node *spares[SPARES];
	unsigned nspares;
	uint32_t seen
		[MEMO_SEEN]; /* part of the hash of a text that came once, and of which the shape is known */
};

#define SHAPE_MAX (2u * FACTS_TEXT_MAX)

static _Atomic uint64_t last_id;

/* Numbers are taken in blocks: nearly every query needs one, and workers would share the place in memory. */
#define IDS 1024u

static uint64_t next_id(struct memo *m)
{
	if (m->id == m->ids_end) {
		m->id = atomic_fetch_add_explicit(&last_id, IDS, memory_order_relaxed);
		m->ids_end = m->id + IDS;
	}
	return ++m->id;
}

struct memo *memo_new(size_t max_bytes)
{
	struct memo *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->max_bytes = max_bytes;
	ring_init(&m->by_use);
	ring_init(&m->shapes_by_use);
	ring_init(&m->counted);
	buf_init(&m->shape, SHAPE_MAX);
	return m;
}

/* ---- analyses ---- */

static size_t weight(const struct memo_analysis *an)
{
	return sizeof(*an) + an->shape_n + an->facts->bytes +
	       (an->reads == NULL ? 0 : reads_bytes(an->reads)) + target_bytes(an->target) +
	       an->reads_path.n + an->reads_role.n;
}

/* Its bytes have changed, or are counted no more. */
static void account(struct memo_analysis *an, size_t now)
{
	if (an->memo == NULL)
		return;
	an->memo->bytes += now - an->bytes;
	if (an->listed)
		an->memo->shapes_bytes += now - an->bytes;
	an->bytes = now;
}

/* Who still holds it may keep it for as long as he likes. */
static void count_no_more(struct memo_analysis *an)
{
	if (an->memo == NULL)
		return;
	account(an, 0);
	ring_remove(&an->node);
	an->memo = NULL;
}

static void forget_session(struct memo_analysis *an)
{
	free((uint8_t *)(uintptr_t)an->reads_path.p); /* one allocation holds both */
	an->reads_path = an->reads_role = span_of(NULL, 0);
}

static void analysis_unref(struct memo_analysis *an)
{
	if (--an->refs > 0)
		return;
	check(!an->listed);
	count_no_more(an);
	reads_unref(an->reads);
	target_free(&an->target);
	forget_session(an);
	facts_unref(an->facts);
	free(an);
}

static void unlist(struct memo_analysis *an)
{
	struct memo *m = an->memo;

	HASH_DEL(m->shapes, an);
	ring_remove(&an->by_use);
	m->shapes_bytes -= an->bytes;
	an->listed = false;
	if (an->kept == 0)
		count_no_more(an);
	analysis_unref(an);
}

/* Shapes have at most half of the room, so that the texts keep the other half. */
static void shrink_shapes(struct memo *m)
{
	struct ring *oldest;

	while (m->shapes_bytes > m->max_bytes / 2 && (oldest = ring_first(&m->shapes_by_use)) != NULL)
		unlist(ring_item(oldest, struct memo_analysis, by_use));
}

/* The skeleton is in m->shape; behind it come the literals that belong to the shape. */
static void add_fixed(struct memo *m, const struct facts *facts, struct span text,
		      const struct literals *literals)
{
	for (unsigned i = 0; i < literals->count; i++) {
		const struct literal *l = &literals->list[i];

		if (facts->slots[i].lifted)
			continue;
		buf_add_u32(&m->shape, l->n);
		buf_add(&m->shape, text.p + l->at, l->n);
	}
}

/* The analysis of an earlier text of the same shape, counted, or NULL. */
static struct memo_analysis *find_shape(struct memo *m, struct span text, const struct literals *literals,
					uint64_t hash)
{
	struct memo_analysis *an = NULL;
	size_t skeleton = m->shape.len;
	bool same;

	HASH_FIND_BYHASHVALUE(hh, m->shapes, &hash, sizeof(hash), (unsigned)hash, an);
	if (an == NULL || an->facts->nslots != literals->count)
		return NULL;
	add_fixed(m, an->facts, text, literals);
	same = !m->shape.failed && span_eq(buf_span(&m->shape), span_of(an->shape, an->shape_n));
	m->shape.len = skeleton;
	if (!same)
		return NULL;
	ring_remove(&an->by_use);
	ring_add(&m->shapes_by_use, &an->by_use);
	an->refs++;
	return an;
}

static struct memo_analysis *analyse(struct memo *m, struct span text, const struct literals *literals,
				     uint64_t hash)
{
	struct facts *facts = facts_of_shape(text, literals);
	struct memo_analysis *an, *other = NULL;
	size_t n = 0;

	if (facts == NULL)
		return NULL;
	m->parsed++;
	if (facts->shared) {
		add_fixed(m, facts, text, literals);
		n = m->shape.failed ? 0 : m->shape.len;
	}
	an = calloc(1, sizeof(*an) + n);
	if (an == NULL) {
		facts_unref(facts);
		return NULL;
	}
	an->refs = 1;
	an->memo = m;
	an->facts = facts;
	ring_init(&an->by_use);
	ring_init(&an->node);
	ring_add(&m->counted, &an->node);
	account(an, weight(an));
	if (n == 0)
		return an;
	an->hash = hash;
	an->shape_n = n;
	memcpy(an->shape, m->shape.p, n);
	HASH_FIND_BYHASHVALUE(hh, m->shapes, &hash, sizeof(hash), (unsigned)hash, other);
	if (other != NULL)
		unlist(other);
	HASH_ADD_BYHASHVALUE(hh, m->shapes, hash, sizeof(an->hash), (unsigned)hash, an);
	ring_add(&m->shapes_by_use, &an->by_use);
	an->listed = true;
	an->refs++;
	m->shapes_bytes += an->bytes;
	account(an, weight(an));
	shrink_shapes(m);
	return an;
}

static struct memo_node **models_of(struct memo *m, struct span text)
{
	return m->models[XXH3_64bits(text.p, text.n < MODEL_HEAD ? text.n : MODEL_HEAD) % MODEL_HEADS];
}

static bool like_model(struct span text, const struct stmt *model, struct literals *literals)
{
	const struct literal *mine = literals->list, *its = model->literals;

	if (!model->analysis->listed ||
	    !literals_like(text, model->text, its, model->facts->nslots, literals))
		return false;
	for (unsigned i = 0; i < literals->count; i++)
		if (!model->facts->slots[i].lifted && !span_eq(span_of(text.p + mine[i].at, mine[i].n),
							       span_of(model->text.p + its[i].at, its[i].n)))
			return false;
	return true;
}

/* The analysis of an earlier text that differs only in the values of literals that may differ; counted, or NULL. */
static struct memo_analysis *find_like(struct memo *m, struct span text, struct literals *literals)
{
	struct memo_node **models, *model;
	struct memo_analysis *an;
	unsigned i;

	if (text.n == 0 || text.n > MODEL_TEXT_MAX)
		return NULL;
	models = models_of(m, text);
	for (i = 0; i < MODELS; i++)
		if (models[i] != NULL && like_model(text, &models[i]->stmt, literals))
			break;
	if (i == MODELS)
		return NULL;
	model = models[i];
	for (; i > 0; i--)
		models[i] = models[i - 1];
	models[0] = model;
	an = model->stmt.analysis;
	ring_remove(&an->by_use);
	ring_add(&m->shapes_by_use, &an->by_use);
	an->refs++;
	return an;
}

/* Only texts without declared types, which is what those who write literals send. */
static struct memo_analysis *analysis_of(struct memo *m, struct span text, bool plain,
					 struct literals *literals)
{
	struct memo_analysis *an;
	uint64_t hash;

	if (plain && (an = find_like(m, text, literals)) != NULL)
		return an;
	literals->count = 0;
	literals->plain = false;
	if (!plain || text.n > FACTS_TEXT_MAX || !literals_scan(text, literals, &m->shape))
		return analyse(m, text, NULL, 0);
	hash = XXH3_64bits(m->shape.p, m->shape.len);
	an = find_shape(m, text, literals, hash);
	return an != NULL ? an : analyse(m, text, literals, hash);
}

/* ---- texts ---- */

/* AddressSanitizer is told that nobody may touch what is spare. */
static struct memo_node *spare_take(struct memo *m)
{
	struct memo_node *node = m->nspares == 0 ? NULL : m->spares[--m->nspares];

	if (node != NULL)
		ASAN_UNPOISON_MEMORY_REGION(node, SPARE_SIZE); /* its `bytes` are right still */
	return node;
}

static bool spare_keep(struct memo *m, struct memo_node *node)
{
	if (node->bytes != SPARE_SIZE || m->nspares == SPARES)
		return false;
	m->spares[m->nspares++] = node;
	ASAN_POISON_MEMORY_REGION(node, SPARE_SIZE);
	return true;
}

static struct memo_node *node_of(struct stmt *s)
{
	return (struct memo_node *)(void *)s;
}

/* Takes a reference of its own. */
static void note_node(struct memo_node **place, struct memo_node *node)
{
	struct memo_node *old = *place;

	*place = node;
	if (node != NULL)
		stmt_ref(&node->stmt);
	if (old != NULL)
		stmt_unref(&old->stmt);
}

/* Takes it out of the table and gives back the memo's reference. */
static void evict(struct memo *m, struct memo_node *node)
{
	HASH_DEL(m->table, node);
	ring_remove(&node->by_use);
	m->bytes -= node->bytes;
	node->stmt.memo = NULL;
	/* Its holders keep the rest, as long as they like; the memo counts only what it holds. */
	if (--node->stmt.analysis->kept == 0 && !node->stmt.analysis->listed)
		count_no_more(node->stmt.analysis);
	stmt_unref(&node->stmt);
}

void memo_free(struct memo **m)
{
	if (*m == NULL)
		return;
	note_node(&(*m)->latest, NULL);
	for (unsigned i = 0; i < MODEL_HEADS * MODELS; i++)
		note_node(&(*m)->models[i / MODELS][i % MODELS], NULL);
	for (struct ring *it; (it = ring_first(&(*m)->by_use)) != NULL;)
		evict(*m, ring_item(it, struct memo_node, by_use));
	for (struct ring *it; (it = ring_first(&(*m)->shapes_by_use)) != NULL;)
		unlist(ring_item(it, struct memo_analysis, by_use));
	for (struct ring *it; (it = ring_first(&(*m)->counted)) != NULL;)
		count_no_more(ring_item(it, struct memo_analysis, node));
	for (struct memo_node *node; (node = spare_take(*m)) != NULL;)
		free(node);
	buf_free(&(*m)->shape);
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

static void read_oids(struct span oids_be, uint32_t *oids)
{
	for (size_t i = 0; i < oids_be.n / 4; i++) {
		const uint8_t *p = oids_be.p + 4 * i;

		oids[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	}
}

/* The next text may be like this one; it takes the place of the model that was of use longest ago. One of a shape is enough. */
static void note_model(struct memo *m, struct memo_node *node)
{
	struct memo_node **models = models_of(m, node->stmt.text);

	for (unsigned i = 0; i < MODELS; i++)
		if (models[i] != NULL && models[i]->stmt.analysis == node->stmt.analysis)
			return;
	note_node(&models[MODELS - 1], node);
}

/* Takes the reference to `an` over. */
static void node_fill(struct memo *m, struct memo_node *node, struct span text, struct span oids_be,
		      uint64_t hash, struct memo_analysis *an, const struct literals *literals)
{
	size_t nliterals = an->facts->nslots * sizeof(struct literal), noids = oids_be.n / 4;
	uint8_t *at = node->content;

	memcpy(at, literals->list, nliterals);
	read_oids(oids_be, (uint32_t *)(void *)(at + nliterals));
	if (text.n > 0)
		memcpy(at + nliterals + noids * 4, text.p, text.n);
	node->stmt = (struct stmt){.refs = 1,
				   .id = next_id(m),
				   .hash = hash,
				   .text = span_of(at + nliterals + noids * 4, text.n),
				   .noids = (uint16_t)noids,
				   .oids = (const uint32_t *)(void *)(at + nliterals),
				   .facts = an->facts,
				   .analysis = an,
				   .literals = (const struct literal *)(void *)at};
	ring_init(&node->by_use);
}

static size_t node_size(struct span text, struct span oids_be, const struct memo_analysis *an)
{
	return sizeof(struct memo_node) + an->facts->nslots * sizeof(struct literal) + oids_be.n / 4 * 4 +
	       text.n;
}

/* NULL = memory is gone; then so is the reference to `an`. */
static struct memo_node *node_new(size_t size, struct memo_analysis *an)
{
	struct memo_node *node = malloc(size);

	if (node == NULL)
		analysis_unref(an);
	else
		node->bytes = size;
	return node;
}

/* A query like one that came a moment ago, but for its values, is known by that one: the table would cost more, and is not asked. */
static struct memo_node *node_like(struct memo *m, struct span text)
{
	struct literals literals;
	struct memo_analysis *an = find_like(m, text, &literals);
	struct memo_node *node;
	size_t size;

	if (an == NULL)
		return NULL;
	size = node_size(text, span_of(NULL, 0), an);
	node = size <= SPARE_SIZE ? spare_take(m) : NULL;
	if (node == NULL)
		node = node_new(size < SPARE_SIZE ? SPARE_SIZE : size, an);
	if (node != NULL)
		node_fill(m, node, text, span_of(NULL, 0), 0, an, &literals);
	return node;
}

static struct memo_node *node_unlike(struct memo *m, struct span text, struct span oids_be, uint64_t hash)
{
	struct literals literals;
	struct memo_analysis *an = analysis_of(m, text, oids_be.n == 0, &literals);
	struct memo_node *node = an == NULL ? NULL : node_new(node_size(text, oids_be, an), an);

	if (node == NULL)
		return NULL;
	node_fill(m, node, text, oids_be, hash, an, &literals);
	if (literals.plain && an->listed && text.n <= MODEL_TEXT_MAX)
		note_model(m, node);
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

static bool worth_keeping(struct memo *m, const struct memo_node *node)
{
	uint32_t *seen = &m->seen[node->stmt.hash % MEMO_SEEN], mark = (uint32_t)(node->stmt.hash >> 32) | 1;

	if (node->stmt.facts->nslots == 0 || *seen == mark)
		return true;
	*seen = mark;
	return false;
}

static struct stmt *get(struct memo *m, struct span text, struct span oids_be, bool once)
{
	struct memo_node *node = NULL, *other;
	uint64_t hash;

	/* A request is looked at several times on its way. */
	if (m->latest != NULL && (once || m->latest->stmt.memo != NULL) &&
	    same_statement(&m->latest->stmt, text, oids_be))
		return stmt_ref(&m->latest->stmt);
	if (once && (node = node_like(m, text)) != NULL) {
		note_node(&m->latest, node);
		return &node->stmt;
	}
	hash = XXH3_64bits(text.n > 0 ? text.p : (const uint8_t *)"", text.n);
	if (oids_be.n > 0)
		hash = XXH3_64bits_withSeed(oids_be.p, oids_be.n, hash);
	HASH_FIND_BYHASHVALUE(hh, m->table, &hash, sizeof(hash), (unsigned)hash, node);
	if (node != NULL && same_statement(&node->stmt, text, oids_be)) {
		/* As long as few have come since, it is young enough where it is: moving it touches four others. */
		if (m->added - node->placed > HASH_COUNT(m->table) / 8) {
			ring_remove(&node->by_use);
			ring_add(&m->by_use, &node->by_use);
			node->placed = m->added;
		}
		note_node(&m->latest, node);
		return stmt_ref(&node->stmt);
	}
	other = node;
	node = node_unlike(m, text, oids_be, hash);
	if (node == NULL)
		return NULL;
	note_node(&m->latest, node);
	if (other != NULL || (once && !worth_keeping(m, node)))
		return &node->stmt;
	HASH_ADD_BYHASHVALUE(hh, m->table, stmt.hash, sizeof(hash), (unsigned)hash, node);
	ring_add(&m->by_use, &node->by_use);
	node->placed = ++m->added;
	m->bytes += node->bytes;
	node->stmt.analysis->kept++;
	node->stmt.memo = m;
	shrink(m, node);
	return stmt_ref(&node->stmt);
}

struct stmt *memo_get(struct memo *m, struct span text, struct span oids_be)
{
	return get(m, text, oids_be, false);
}

struct stmt *memo_get_query(struct memo *m, struct span text)
{
	return get(m, text, span_of(NULL, 0), true);
}

struct stmt *stmt_ref(struct stmt *s)
{
	s->refs++;
	return s;
}

void stmt_unref(struct stmt *s)
{
	struct memo_node *node = node_of(s);
	struct memo *m;

	if (s == NULL || --s->refs > 0)
		return;
	check(s->memo == NULL);
	m = s->analysis->memo; /* NULL = it may be gone */
	analysis_unref(s->analysis);
	if (m == NULL || !spare_keep(m, node))
		free(node);
}

/* ---- resolving ---- */

/* Compared byte by byte: a session chooses its own search_path, and must not find another's resolution. */
static bool same_session(const struct memo_analysis *an, const struct reads_session *session)
{
	return span_eq(an->reads_path, session->search_path) && span_eq(an->reads_role, session->role);
}

static bool note_session(struct memo_analysis *an, const struct reads_session *session)
{
	size_t path = session->search_path.n, role = session->role.n;
	uint8_t *copy = malloc(path + role + 1);

	if (copy == NULL)
		return false;
	if (path > 0)
		memcpy(copy, session->search_path.p, path);
	if (role > 0)
		memcpy(copy + path, session->role.p, role);
	forget_session(an);
	an->reads_path = span_of(copy, path);
	an->reads_role = span_of(copy + path, role);
	return true;
}

struct reads *memo_reads(struct stmt *s, const struct catalog *catalog, const struct reads_session *session)
{
	uint64_t serial = catalog == NULL ? 0 : catalog_serial(catalog);
	struct memo_analysis *an = s->analysis;
	struct reads *reads;

	if (an->reads != NULL && an->reads_catalog == serial && same_session(an, session))
		return an->reads;
	reads = reads_resolve(s->facts, catalog, session, s->oids, s->noids);
	if (reads == NULL)
		return NULL;
	if (!note_session(an, session)) {
		reads_unref(reads);
		return NULL;
	}
	reads_unref(an->reads);
	target_free(&an->target);
	an->reads = reads;
	an->reads_catalog = serial;
	account(an, weight(an));
	if (s->memo != NULL)
		shrink(s->memo, node_of(s));
	return reads;
}

struct target *memo_target(struct stmt *s, const struct catalog *catalog, const struct reads_session *session)
{
	struct memo_analysis *an = s->analysis;

	if (memo_reads(s, catalog, session) == NULL)
		return NULL;
	if (an->target != NULL)
		return an->target;
	an->target = target_resolve(s->text, s->facts, catalog, session, s->oids, s->noids);
	account(an, weight(an));
	if (s->memo != NULL)
		shrink(s->memo, node_of(s));
	return an->target;
}

/* A skeleton has a byte in place of each literal that no statement without a syntax error has there. */
struct span stmt_shape(const struct stmt *s)
{
	const struct memo_analysis *an = s->analysis;

	return an->facts->shared && an->shape_n > 0 ? span_of(an->shape, an->shape_n) : s->text;
}

uint64_t *stmt_shape_id(struct stmt *s)
{
	return &s->analysis->shape_id;
}

uint64_t memo_parsed(const struct memo *m)
{
	return m->parsed;
}

size_t memo_bytes(const struct memo *m)
{
	return m->bytes;
}

uint64_t stmt_number_fresh(void)
{
	return atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
}

uint64_t stmt_number(struct stmt *s, uint64_t under, uint64_t used)
{
	struct stmt_variant *v;

	if (under == 0 && used == 0)
		return s->id;
	for (unsigned i = 0; i < STMT_VARIANTS; i++)
		if (s->variant[i].under == under && s->variant[i].used == used)
			return s->variant[i].number;
	/* One that is forgotten here gets a new number when it comes again: a Parse more, nothing else. */
	v = &s->variant[s->next_variant++ % STMT_VARIANTS];
	v->under = under;
	v->used = used;
	v->number = stmt_number_fresh();
	return v->number;
}
