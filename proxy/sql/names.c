#include "proxy/sql/names.h"

#include "proxy/sql/builtins.h"
#include "protocol/datum.h"

static bool space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span skip_space(struct span s)
{
	while (s.n > 0 && space(s.p[0]))
		s = span_skip(s, 1);
	return s;
}

/* One name of the list, as SplitIdentifierString reads it: quoted, or in lower case. False at a syntax error. */
static bool next_name(struct span *rest, struct arena *mem, struct span *name_r)
{
	struct span s = skip_space(*rest);
	uint8_t *out = arena_get(mem, s.n + 1);
	size_t n = 0;

	if (out == NULL || s.n == 0)
		return false;
	if (s.p[0] == '"') {
		for (s = span_skip(s, 1);; s = span_skip(s, 1)) {
			if (s.n == 0)
				return false;
			if (s.p[0] == '"') {
				if (s.n == 1 || s.p[1] != '"')
					break;
				s = span_skip(s, 1);
			}
			out[n++] = s.p[0];
		}
		s = span_skip(s, 1);
	} else {
		for (; s.n > 0 && s.p[0] != ',' && !space(s.p[0]); s = span_skip(s, 1)) {
			if (s.p[0] >= 0x80)
				return false; /* folded by the server's locale */
			out[n++] = s.p[0] >= 'A' && s.p[0] <= 'Z' ? (uint8_t)(s.p[0] - 'A' + 'a') : s.p[0];
		}
		if (n == 0)
			return false;
	}
	s = skip_space(s);
	if (s.n > 0 && s.p[0] != ',')
		return false;
	*rest = s.n > 0 ? span_skip(s, 1) : s;
	if (s.n > 0 && skip_space(*rest).n == 0)
		return false; /* a comma with nothing behind */
	*name_r = span_of(out, n < DATUM_NAME_MAX ? n : DATUM_NAME_MAX);
	return true;
}

static bool system_schema(struct span name)
{
	return (name.n >= 3 && memcmp(name.p, "pg_", 3) == 0) ||
	       span_eq(name, span_str("information_schema"));
}

int names_open(struct names *names, const struct catalog *catalog, const struct reads_session *session,
	       struct arena *mem)
{
	struct span rest = session->search_path;

	*names = (struct names){.catalog = catalog};
	while (skip_space(rest).n > 0) {
		struct span name;

		if (names->npath == NAMES_PATH_MAX || !next_name(&rest, mem, &name)) {
			names->odd = true;
			return mem->failed ? -1 : 0;
		}
		if (span_eq(name, span_str("$user"))) {
			name.n = session->role.n;
			name.p = arena_get(mem, name.n + 1);
			if (name.p == NULL)
				return -1;
			if (name.n > 0)
				memcpy((uint8_t *)(uintptr_t)name.p, session->role.p, name.n);
		}
		names->odd = names->odd || system_schema(name);
		names->path[names->npath++] = name;
	}
	return 0;
}

/* pg_catalog comes before the path; what is called pg_.. may be new in a later version. */
static bool system_name(const struct names *names, struct span name)
{
	return builtin_relation(name) || (name.n >= 3 && memcmp(name.p, "pg_", 3) == 0) ||
	       catalog_find(names->catalog, span_str("pg_catalog"), name) != NULL;
}

/* How many schemas of the path have it; a schema named twice counts once. */
static unsigned search(const struct names *names, struct span name, const struct catalog_relation **rels_r,
		       unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < names->npath; i++) {
		const struct catalog_relation *rel = catalog_find(names->catalog, names->path[i], name);
		bool seen = rel == NULL;

		for (unsigned k = 0; k < n && !seen; k++)
			seen = rels_r[k] == rel;
		if (!seen && n < max)
			rels_r[n++] = rel;
	}
	return n;
}

enum reason names_relation(const struct names *names, const PgQuery__RangeVar *var,
			   const struct catalog_relation **rel_r)
{
	const struct catalog_relation *found[NAMES_PATH_MAX];
	struct span name = span_str(var->relname);
	unsigned n;

	if (var->catalogname[0] != '\0')
		return REASON_SHAPE;
	if (var->schemaname[0] != '\0') {
		if (system_schema(span_str(var->schemaname)))
			return REASON_RELATION_KIND;
		*rel_r = catalog_find(names->catalog, span_str(var->schemaname), name);
		return *rel_r == NULL ? REASON_RELATION_UNKNOWN : REASON_NONE;
	}
	if (names->odd)
		return REASON_RELATION_AMBIGUOUS;
	if (system_name(names, name))
		return REASON_RELATION_KIND;
	n = search(names, name, found, NAMES_PATH_MAX);
	if (n == 1)
		*rel_r = found[0];
	/* Which of several it is depends on rights on schemas, which the catalog does not show. */
	return n == 0 ? REASON_RELATION_UNKNOWN : n == 1 ? REASON_NONE : REASON_RELATION_AMBIGUOUS;
}

static bool harmless_relation(const struct catalog_relation *rel)
{
	/* Policies and views may call anything, and so may foreign partitions and children. */
	return (rel->kind == 'r' || rel->kind == 'p' || rel->kind == 'm' || rel->kind == 'S') &&
	       !rel->row_security && !rel->has_rules && !rel->has_children;
}

unsigned names_candidates(const struct names *names, const PgQuery__RangeVar *var,
			  const struct catalog_relation **rels_r)
{
	struct span schema = span_str(var->schemaname), name = span_str(var->relname);

	if (schema.n == 0)
		return search(names, name, rels_r, NAMES_PATH_MAX);
	rels_r[0] = catalog_find(names->catalog, schema, name);
	return rels_r[0] != NULL ? 1 : 0;
}

bool names_harmless(const struct names *names, const PgQuery__RangeVar *var)
{
	const struct catalog_relation *found[NAMES_PATH_MAX];
	struct span schema = span_str(var->schemaname), name = span_str(var->relname);
	unsigned n;

	if (var->catalogname[0] != '\0')
		return false;
	if (span_eq(schema, span_str("pg_catalog")))
		return builtin_relation(name);
	if (span_eq(schema, span_str("information_schema")))
		return true;
	if (schema.n == 0 && names->odd)
		return false;
	if (schema.n == 0 && system_name(names, name))
		return builtin_relation(name);
	n = names_candidates(names, var, found);
	for (unsigned i = 0; i < n; i++)
		if (!harmless_relation(found[i]))
			return false;
	return n > 0;
}

bool names_own_type(const struct names *names, const PgQuery__TypeName *type)
{
	struct span name = type->n_names > 0 ? tree_string(type->names[type->n_names - 1]) : span_str("");

	return !type->setof && !type->pct_type && catalog_user_type(names->catalog, name) == CATALOG_OWN_CODE;
}
