#include "proxy/sql/memo_analysis.h"

#include "proxy/base/check.h"
#include "proxy/sql/slots.h"

#include <stdatomic.h>
#include <stddef.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at))
#endif

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
	struct analyses analyses; /* the first: memo_of() */
	struct memo_node *table;
	struct ring by_use;   /* oldest first */
	size_t bytes;	      /* of those in the table */
	size_t max_bytes;     /* with the analyses */
	uint64_t added;	      /* texts so far */
	uint64_t id, ids_end; /* the numbers up to ids_end are this memo's; `id` was given last */
	struct memo_node *models[MODEL_HEADS][MODELS]; /* counted */
	struct memo_node *latest; /* counted: the one that was asked for last, perhaps in no table */
	struct memo_node *spares[SPARES];
	unsigned nspares;
	uint32_t seen
		[MEMO_SEEN]; /* part of the hash of a text that came once, and of which the shape is known */
};

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
	/* Shapes have at most half of the room, so that the texts keep the other half. */
	analyses_init(&m->analyses, max_bytes / 2);
	return m;
}

_Static_assert(offsetof(struct memo, analyses) == 0, "memo_of() casts");

/* Whose texts `an` is known of; NULL = it may be gone. */
static struct memo *memo_of(const struct memo_analysis *an)
{
	return (struct memo *)(void *)an->analyses;
}

/* ---- models ---- */

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
	return analysis_again(model->stmt.analysis);
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
	analysis_left(node->stmt.analysis);
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
	analyses_free(&(*m)->analyses);
	for (struct memo_node *node; (node = spare_take(*m)) != NULL;)
		free(node);
	free(*m);
	*m = NULL;
}

/* The object just used stays, however large it is: its caller holds it anyway. */
static void shrink(struct memo *m, const struct memo_node *keep)
{
	while (memo_bytes(m) > m->max_bytes) {
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
	struct memo_analysis *an = oids_be.n == 0 ? find_like(m, text, &literals) : NULL;
	struct memo_node *node;

	if (an == NULL)
		an = analyses_get(&m->analyses, text, oids_be.n == 0, &literals);
	node = an == NULL ? NULL : node_new(node_size(text, oids_be, an), an);

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
	analysis_kept(node->stmt.analysis);
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
	m = memo_of(s->analysis);
	analysis_unref(s->analysis);
	if (m == NULL || !spare_keep(m, node))
		free(node);
}

/* ---- what is asked of a text ---- */

/* Its analysis has grown from `before` bytes, perhaps. */
static void make_room(struct stmt *s, size_t before)
{
	if (s->memo != NULL && s->analysis->bytes > before)
		shrink(s->memo, node_of(s));
}

struct reads *memo_reads(struct stmt *s, const struct catalog *catalog, const struct reads_session *session)
{
	size_t before = s->analysis->bytes;
	struct reads *reads = analysis_reads(s->analysis, catalog, session, s->oids, s->noids);

	make_room(s, before);
	return reads;
}

struct target *memo_target(struct stmt *s, const struct catalog *catalog, const struct reads_session *session)
{
	size_t before = s->analysis->bytes;
	struct target *target = analysis_target(s->analysis, s->text, catalog, session, s->oids, s->noids);

	make_room(s, before);
	return target;
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
	return m->analyses.parsed;
}

size_t memo_bytes(const struct memo *m)
{
	return m->bytes + m->analyses.bytes;
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
