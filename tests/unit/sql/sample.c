#include "tests/unit/sql/sample.h"

#include "protocol/datum.h"
#include "proxy/base/check.h"

#include <stdio.h>
#include <stdlib.h>

#define PUBLIC_OID 20000

struct table {
	const char *schema;
	const char *name;
	char kind;
	char persistence;
	bool row_security;
	bool has_children;
	const char *key; /* column types, in order: columns are then k1, k2, ..; "" = none */
};

static const struct table tables[] = {
	{"public", "mk_user", 'r', 'p', false, false, NULL},
	{"public", "mk_post", 'r', 'p', false, false, NULL},
	{"public", "ty_user", 'r', 'p', false, false, NULL},
	{"public", "sq_user", 'r', 'p', false, false, NULL},
	{"public", "kx_user", 'r', 'p', false, false, NULL},
	{"public", "dz_user", 'r', 'p', false, false, NULL},
	{"public", "dz_post", 'r', 'p', false, false, NULL},
	{"public", "pr_user", 'r', 'p', false, false, NULL},
	{"public", "pr_post", 'r', 'p', false, false, NULL},
	{"public", "dj_user", 'r', 'p', false, false, NULL},
	{"public", "ar_users", 'r', 'p', false, false, NULL},
	{"public", "sa_user", 'r', 'p', false, false, NULL},
	{"public", "jd_user", 'r', 'p', false, false, NULL},
	{"public", "ph_user", 'r', 'p', false, false, NULL},
	{"public", "by_uuid", 'r', 'p', false, false, "u"},
	{"public", "by_text", 'r', 'p', false, false, "t"},
	{"public", "by_varchar", 'r', 'p', false, false, "v"},
	{"public", "by_big", 'r', 'p', false, false, "8"},
	{"public", "by_small", 'r', 'p', false, false, "2"},
	{"public", "by_ci", 'r', 'p', false, false, "c"}, /* text under a nondeterministic collation */
	{"public", "by_pair", 'r', 'p', false, false, "4t"},
	{"public", "by_date", 'r', 'p', false, false, "d"},
	{"public", "no_key", 'r', 'p', false, false, ""},
	{"public", "split", 'p', 'p', false, true, "4"}, /* with a foreign partition */
	{"public", "parts", 'p', 'p', false, false, "4"},
	{"public", "parent", 'r', 'p', false, true, "4"},
	{"public", "guarded", 'r', 'p', true, false, "4"},
	{"public", "unlogged", 'r', 'u', false, false, "4"},
	{"public", "a_view", 'v', 'p', false, false, ""},
	{"public", "a_matview", 'm', 'p', false, false, ""},
	{"public", "a_foreign", 'f', 'p', false, false, ""},
	{"public", "Odd-Name", 'r', 'p', false, false, "4"},
	{"app", "mine", 'r', 'p', false, false, "4"},
	{"one", "twice", 'r', 'p', false, false, "4"},
	{"two", "twice", 'r', 'p', false, false, "4"},
	{"public", "pg_class", 'r', 'p', false, false, "4"},
};

#define COLUMN(num, name_, oid, builtin, plain)                                                 \
	{                                                                                       \
		.attnum = (num), .name = (name_), .type_oid = (oid), .builtin_type = (builtin), \
		.plain_equality = (plain)                                                       \
	}

static const struct catalog_column user_columns[] = {
	COLUMN(1, "id", 23, true, true),
	COLUMN(2, "email", 1043, true, true),
	COLUMN(3, "name", 1043, true, true),
	COLUMN(4, "age", 23, true, true),
	COLUMN(5, "version", 23, true, true),
	COLUMN(6, "meta", 3802, true, false),
	COLUMN(7, "createdAt", 1184, true, false),
	COLUMN(8, "author_id", 23, true, true),
	COLUMN(9, "title", 25, true, true),
	COLUMN(11, "status", 90001, false, false), /* a type of the user's */
	COLUMN(12, "lock_version", 23, true, true),
	COLUMN(13, "born", 1082, true, false),
	COLUMN(14, "price", 1700, true, false),
	COLUMN(15, "at_time", 1083, true, false),
	COLUMN(16, "tags", 1009, true, false),
	{.attnum = 17, .name = "mood", .type_oid = 90002, .own_code = true},
};

static const struct catalog_column regclass_columns[] = {COLUMN(1, "k1", 23, true, true),
							 COLUMN(2, "rel", 2205, true, false)};

static uint32_t letter_type(char letter)
{
	switch (letter) {
	case 'u': return 2950;
	case 'v': return 1043;
	case '8': return 20;
	case '2': return 21;
	case '4': return 23;
	case 'd': return 1082;
	default: return 25;
	}
}

static void add_table(struct catalog *c, uint32_t oid, const struct table *t)
{
	static const char *const key_names[] = {"k1", "k2", "k3"};
	static const int16_t user_key[] = {1}, keys[] = {1, 2, 3};
	struct catalog_column columns[4];
	struct catalog_relation rel = {.oid = oid,
				       .schema = t->schema,
				       .name = t->name,
				       .kind = t->kind,
				       .persistence = t->persistence,
				       .replica_identity = 'd',
				       .row_security = t->row_security,
				       .has_children = t->has_children,
				       .columns = user_columns,
				       .ncolumns = sizeof(user_columns) / sizeof(user_columns[0]),
				       .nkey = 1,
				       .key = user_key};

	if (t->key != NULL) {
		size_t n = strlen(t->key);

		for (size_t i = 0; i < n; i++)
			columns[i] = (struct catalog_column)COLUMN((int16_t)(i + 1), key_names[i],
								   letter_type(t->key[i]), true,
								   t->key[i] != 'c' && t->key[i] != 'd');
		columns[n] = (struct catalog_column)COLUMN((int16_t)(n + 1), "v", 25, true, true);
		rel.columns = columns;
		rel.ncolumns = (uint16_t)(n + 1);
		rel.nkey = (uint16_t)n;
		rel.key = keys;
	}
	check(catalog_add_relation(c, &rel) == 0);
}

struct catalog *sample_catalog(void)
{
	static const int16_t key[] = {1};
	struct catalog *c = catalog_new();
	struct catalog_relation rel = {.oid = 19999,
				       .schema = "public",
				       .name = "with_regclass",
				       .kind = 'r',
				       .persistence = 'p',
				       .columns = regclass_columns,
				       .ncolumns = 2,
				       .nkey = 1,
				       .key = key};

	check(c != NULL);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		add_table(c, (uint32_t)(PUBLIC_OID + i), &tables[i]);
	check(catalog_add_relation(c, &rel) == 0);
	check(catalog_add_user_function(c, "initcap", CATALOG_USERS_CODE) == 0);
	check(catalog_add_user_function(c, "full_name", CATALOG_USERS_CODE) == 0);
	check(catalog_add_user_type(c, "mood", CATALOG_OWN_CODE) == 0);
	check(catalog_add_user_type(c, "mine", CATALOG_USERS_CODE) == 0);
	check(catalog_add_user_operator(c, "<->", CATALOG_USERS_CODE) == 0);
	catalog_freeze(c);
	return c;
}

static struct reads *resolve(const struct catalog *c, const char *text, const char *path,
			     const uint32_t *oids, uint16_t noids)
{
	struct reads_session session = {.search_path = span_str(path), .role = span_str("app")};
	struct facts *facts = facts_of_text(span_str(text));
	struct reads *r;

	check(facts != NULL);
	r = reads_resolve(facts, c, &session, oids, noids);
	check(r != NULL);
	facts_unref(facts);
	return r;
}

struct reads *sample_reads(const struct catalog *c, const char *text, const uint32_t *oids, uint16_t noids)
{
	return resolve(c, text, "\"$user\", public", oids, noids);
}

struct reads *sample_reads_path(const struct catalog *c, const char *text, const char *path)
{
	return resolve(c, text, path, NULL, 0);
}

/* ---- expectations ---- */

#define WANT_MAX 64

struct want {
	uint64_t keys[WANT_MAX];
	unsigned count;
	uint64_t shown[READS_RULES_MAX]; /* readkey_gone of the relations */
	unsigned nshown;
};

static void want(struct want *w, uint64_t key)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->keys[i] == key)
			return;
	check(w->count < WANT_MAX);
	w->keys[w->count++] = key;
}

static void want_values(struct want *w, const struct catalog_relation *rel, unsigned n,
			const int16_t *attnums, char *const *values)
{
	struct span row[4] = {{0}};
	struct buf buf[4];

	for (unsigned i = 0; i < n; i++) {
		uint32_t type = catalog_column_at(rel, attnums[i])->type_oid;

		buf_init(&buf[i], 1024);
		check(datum_canon(type == 21 || type == 23 ? 20 : type, false, span_str(values[i]),
				  &buf[i]) == DATUM_OK);
		row[i] = buf_span(&buf[i]);
	}
	want(w, readkey_row(rel->oid, (uint16_t)n, attnums, row));
	for (unsigned i = 0; i < n; i++)
		buf_free(&buf[i]);
}

static void want_row(struct want *w, const struct catalog_relation *rel, char *text)
{
	char *values[4];
	unsigned n = 0;

	for (char *save, *v = strtok_r(text, ",", &save); v != NULL; v = strtok_r(NULL, ",", &save))
		values[n++] = v;
	want_values(w, rel, rel->nkey, rel->key, values);
}

static void want_predicate(struct want *w, const struct catalog_relation *rel, char *text)
{
	char *values[4], *end = strchr(text, ']');
	int16_t attnums[4];
	unsigned n = 0;

	if (end[1] == '+')
		w->shown[w->nshown++] = readkey_gone(rel->oid);
	else if (end[1] != '~')
		want(w, readkey_gone(rel->oid));
	*end = '\0';
	for (char *save, *v = strtok_r(text, "&", &save); v != NULL; v = strtok_r(NULL, "&", &save), n++) {
		attnums[n] = (int16_t)atoi(v);
		values[n] = strchr(v, '=') + 1;
	}
	want_values(w, rel, n, attnums, values);
}

static void want_word(struct want *w, const struct catalog *c, char *word)
{
	char *open = word + strcspn(word, "([*"), kind = *open;
	const struct catalog_relation *rel = NULL;

	check(kind != '\0');
	*open = '\0';
	check(catalog_count_name(c, span_str(word), &rel) == 1);
	if (kind == '*') {
		want(w, readkey_any(rel->oid));
		return;
	}
	want(w, readkey_whole(rel->oid));
	if (kind == '[') {
		want_predicate(w, rel, open + 1);
		return;
	}
	*strchr(open + 1, ')') = '\0';
	if (open[1] != '\0')
		want_row(w, rel, open + 1);
}

static bool has(const uint64_t *keys, unsigned n, uint64_t key)
{
	for (unsigned i = 0; i < n; i++)
		if (keys[i] == key)
			return true;
	return false;
}

bool sample_applied(void *arg, uint32_t relid, uint16_t ncols, const int16_t *attnums)
{
	(void)arg;
	(void)relid;
	(void)attnums;
	return ncols > 0;
}

static bool depends(const struct catalog *c, const struct reads *r, const struct reads_param *params,
		    uint16_t nparams, const struct reads_signatures *signatures, const char *expected)
{
	struct want w = {0};
	uint64_t keys[WANT_MAX];
	uint32_t relids[8];
	struct reads_set set = {.keys = keys, .max = WANT_MAX, .relids = relids, .maxrels = 8};
	char *copy = strdup(expected);
	bool ok = true;

	for (char *save, *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
		want_word(&w, c, word);
	free(copy);
	if (reads_keys(r, params, nparams, signatures, &set) != REASON_NONE)
		return false;
	for (unsigned i = 0; i < w.count; i++)
		ok = ok && has(keys, set.nkeys, w.keys[i]);
	for (unsigned i = 0; i < set.nkeys; i++)
		ok = ok && has(w.keys, w.count, keys[i]);
	for (unsigned i = 0; i < w.nshown; i++)
		ok = ok && has(set.otherwise, set.nrules, w.shown[i]);
	return ok && set.nrels > 0 && set.nrules == w.nshown;
}

bool sample_depends(const struct catalog *c, const struct reads *r, const struct reads_param *params,
		    uint16_t nparams, const char *expected)
{
	return depends(c, r, params, nparams, NULL, expected);
}

bool sample_depends_precisely(const struct catalog *c, const struct reads *r, const char *expected)
{
	const struct reads_signatures all = {.applied = sample_applied};

	return depends(c, r, NULL, 0, &all, expected);
}

enum reason sample_keys(const struct reads *r, const struct reads_param *params, uint16_t nparams,
			uint64_t *keys_r, unsigned max, unsigned *nkeys_r, uint32_t *relids_r,
			unsigned maxrels, unsigned *nrels_r)
{
	struct reads_set set = {.keys = keys_r, .max = max, .relids = relids_r, .maxrels = maxrels};
	enum reason reason = reads_keys(r, params, nparams, NULL, &set);

	*nkeys_r = set.nkeys;
	*nrels_r = set.nrels;
	return reason;
}
