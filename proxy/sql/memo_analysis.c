#include "proxy/sql/memo_analysis.h"

#include "proxy/base/check.h"
#include "proxy/sql/slots.h"

void analyses_init(struct analyses *a, size_t max_listed)
{
	*a = (struct analyses){.max_listed = max_listed};
	ring_init(&a->by_use);
	ring_init(&a->counted);
	buf_init(&a->shape, FACTS_SHAPE_MAX);
}

static size_t weight(const struct memo_analysis *an)
{
	return sizeof(*an) + an->shape_n + an->facts->bytes +
	       (an->reads == NULL ? 0 : reads_bytes(an->reads)) + target_bytes(an->target) +
	       an->reads_path.n + an->reads_role.n;
}

/* Its bytes have changed, or are counted no more. */
static void account(struct memo_analysis *an, size_t now)
{
	if (an->analyses == NULL)
		return;
	an->analyses->bytes += now - an->bytes;
	if (an->listed)
		an->analyses->listed_bytes += now - an->bytes;
	an->bytes = now;
}

/* Who still holds it may keep it for as long as he likes. */
static void count_no_more(struct memo_analysis *an)
{
	if (an->analyses == NULL)
		return;
	account(an, 0);
	ring_remove(&an->node);
	an->analyses = NULL;
}

static void forget_session(struct memo_analysis *an)
{
	free((uint8_t *)(uintptr_t)an->reads_path.p); /* one allocation holds both */
	an->reads_path = an->reads_role = span_of(NULL, 0);
}

void analysis_unref(struct memo_analysis *an)
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
	struct analyses *a = an->analyses;

	HASH_DEL(a->table, an);
	ring_remove(&an->by_use);
	a->listed_bytes -= an->bytes;
	an->listed = false;
	if (an->kept == 0)
		count_no_more(an);
	analysis_unref(an);
}

static void shrink(struct analyses *a)
{
	struct ring *oldest;

	while (a->listed_bytes > a->max_listed && (oldest = ring_first(&a->by_use)) != NULL)
		unlist(ring_item(oldest, struct memo_analysis, by_use));
}

void analysis_kept(struct memo_analysis *an)
{
	an->kept++;
}

void analysis_left(struct memo_analysis *an)
{
	if (--an->kept == 0 && !an->listed)
		count_no_more(an);
}

struct memo_analysis *analysis_again(struct memo_analysis *an)
{
	ring_remove(&an->by_use);
	ring_add(&an->analyses->by_use, &an->by_use);
	an->refs++;
	return an;
}

/* The skeleton is in a->shape; behind it come the literals that belong to the shape. */
static void add_fixed(struct analyses *a, const struct facts *facts, struct span text,
		      const struct literals *literals)
{
	for (unsigned i = 0; i < literals->count; i++) {
		const struct literal *l = &literals->list[i];

		if (facts->slots[i].lifted)
			continue;
		buf_add_u32(&a->shape, l->n);
		buf_add(&a->shape, text.p + l->at, l->n);
	}
}

/* The analysis of an earlier text of the same shape, counted, or NULL. */
static struct memo_analysis *find_shape(struct analyses *a, struct span text, const struct literals *literals,
					uint64_t hash)
{
	struct memo_analysis *an = NULL;
	size_t skeleton = a->shape.len;
	bool same;

	HASH_FIND_BYHASHVALUE(hh, a->table, &hash, sizeof(hash), (unsigned)hash, an);
	if (an == NULL || an->facts->nslots != literals->count)
		return NULL;
	add_fixed(a, an->facts, text, literals);
	same = !a->shape.failed && span_eq(buf_span(&a->shape), span_of(an->shape, an->shape_n));
	a->shape.len = skeleton;
	if (!same)
		return NULL;
	return analysis_again(an);
}

static struct memo_analysis *analyse(struct analyses *a, struct span text, const struct literals *literals,
				     uint64_t hash)
{
	struct facts *facts = facts_of_shape(text, literals);
	struct memo_analysis *an, *other = NULL;
	size_t n = 0;

	if (facts == NULL)
		return NULL;
	a->parsed++;
	if (facts->shared) {
		add_fixed(a, facts, text, literals);
		n = a->shape.failed ? 0 : a->shape.len;
	}
	an = calloc(1, sizeof(*an) + n);
	if (an == NULL) {
		facts_unref(facts);
		return NULL;
	}
	an->refs = 1;
	an->analyses = a;
	an->facts = facts;
	ring_init(&an->by_use);
	ring_init(&an->node);
	ring_add(&a->counted, &an->node);
	account(an, weight(an));
	if (n == 0)
		return an;
	an->hash = hash;
	an->shape_n = n;
	memcpy(an->shape, a->shape.p, n);
	HASH_FIND_BYHASHVALUE(hh, a->table, &hash, sizeof(hash), (unsigned)hash, other);
	if (other != NULL)
		unlist(other);
	HASH_ADD_BYHASHVALUE(hh, a->table, hash, sizeof(an->hash), (unsigned)hash, an);
	ring_add(&a->by_use, &an->by_use);
	an->listed = true;
	an->refs++;
	a->listed_bytes += an->bytes;
	account(an, weight(an));
	shrink(a);
	return an;
}

struct memo_analysis *analyses_get(struct analyses *a, struct span text, bool plain,
				   struct literals *literals)
{
	struct memo_analysis *an;
	uint64_t hash;

	literals->count = 0;
	literals->plain = false;
	if (!plain || text.n > FACTS_TEXT_MAX || !literals_scan(text, literals, &a->shape))
		return analyse(a, text, NULL, 0);
	hash = XXH3_64bits(a->shape.p, a->shape.len);
	an = find_shape(a, text, literals, hash);
	return an != NULL ? an : analyse(a, text, literals, hash);
}

void analyses_free(struct analyses *a)
{
	for (struct ring *it; (it = ring_first(&a->by_use)) != NULL;)
		unlist(ring_item(it, struct memo_analysis, by_use));
	for (struct ring *it; (it = ring_first(&a->counted)) != NULL;)
		count_no_more(ring_item(it, struct memo_analysis, node));
	buf_free(&a->shape);
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

struct reads *analysis_reads(struct memo_analysis *an, const struct catalog *catalog,
			     const struct reads_session *session, const uint32_t *oids, uint16_t noids)
{
	uint64_t serial = catalog == NULL ? 0 : catalog_serial(catalog);
	struct reads *reads;

	if (an->reads != NULL && an->reads_catalog == serial && same_session(an, session))
		return an->reads;
	reads = reads_resolve(an->facts, catalog, session, oids, noids);
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
	return reads;
}

struct target *analysis_target(struct memo_analysis *an, struct span text, const struct catalog *catalog,
			       const struct reads_session *session, const uint32_t *oids, uint16_t noids)
{
	if (analysis_reads(an, catalog, session, oids, noids) == NULL)
		return NULL;
	if (an->target != NULL)
		return an->target;
	an->target = target_resolve(text, an->facts, catalog, session, oids, noids);
	account(an, weight(an));
	return an->target;
}
