/* What a text writes, and which rows it names by primary key. */
#include "proxy/sql/memo.h"
#include "tests/support/test.h"
#include "tests/unit/sql/sample.h"

#include <stdio.h>

static const struct reads_session session = {.search_path = {(const uint8_t *)"\"$user\", public", 15},
					     .role = {(const uint8_t *)"app", 3}};

/* The parts as "FROM-text | FROM-text"; "?" where one is missing, "-" behind one that removes. */
static const char *parts_of(const struct target *t)
{
	static char out[2048];
	struct target_value values[TARGET_VALUES_MAX];
	struct target_part part;
	struct buf sql;
	uint32_t relid;
	unsigned n;

	buf_init(&sql, sizeof out - 10);
	for (unsigned i = 0; target_part(t, i, &part); i++) {
		if (i > 0)
			buf_add_span(&sql, span_str(" | "));
		EXPECT(target_from(t, i, 1, &sql, values, &n));
		if (part.removes)
			buf_add_span(&sql, span_str("-"));
	}
	if (target_missing(t, 0, &relid))
		buf_add_span(&sql, span_str("?"));
	snprintf(out, sizeof out, "%.*s", (int)sql.len, (const char *)sql.p);
	buf_free(&sql);
	return out;
}

static void says(const struct catalog *c, const char *text, const char *wanted)
{
	struct facts *f = facts_of_text(span_str(text));
	struct target *t = target_resolve(span_str(text), f, c, &session, NULL, 0);

	REQUIRE(t != NULL);
	EXPECT_STR(parts_of(t), wanted);
	target_free(&t);
	facts_unref(f);
}

#define USER "\"mk_user\" AS r WHERE ((r.\"id\" OPERATOR(pg_catalog.=) ($1)))"

TEST(target, knows_rows_by_primary_key)
{
	struct catalog *c = sample_catalog();

	says(c, "UPDATE mk_user SET name = 'x' WHERE id = 5", USER);
	says(c, "update public.mk_user as u set name = $1 where u.id = $2 and name = 'old'",
	     "\"public\"." USER);
	says(c,
	     "UPDATE mk_user SET name = mk_post.title FROM mk_post WHERE mk_user.id = 5 AND mk_post.author_id = 5",
	     USER);
	says(c, "DELETE FROM mk_user WHERE 5 = id RETURNING name", USER "-");
	says(c, "UPDATE mk_user SET id = 6 WHERE id = 5", USER "-");
	says(c, "DELETE FROM ONLY mk_user WHERE id IN (1, 2)",
	     "\"mk_user\" AS r WHERE ((r.\"id\" OPERATOR(pg_catalog.=) ($1) OR r.\"id\" OPERATOR(pg_catalog.=) ($2)))-");
	says(c, "UPDATE mk_user SET name = '' WHERE id = ANY($1::int[])",
	     "\"mk_user\" AS r WHERE ((r.\"id\" OPERATOR(pg_catalog.=) ANY ($1)))");
	says(c, "UPDATE mk_user SET name = '' WHERE id = 1; DELETE FROM mk_user WHERE id = 2",
	     USER " | " USER "-");
	catalog_unref(c);
}

TEST(target, says_what_it_cannot_tell)
{
	struct catalog *c = sample_catalog();

	says(c, "UPDATE mk_user SET name = 'x'", "?");
	says(c, "UPDATE mk_user SET name = 'x' WHERE name = 'y'", "?");
	says(c, "UPDATE mk_user SET name = 'x' WHERE id > 5", "?");
	says(c, "UPDATE mk_user SET name = 'x' WHERE id = 5 OR name = 'y'", "?");
	says(c, "DELETE FROM mk_user WHERE id = (SELECT 5)", "?");
	says(c, "DELETE FROM mk_user USING mk_post WHERE mk_post.id = 5", "?");
	says(c, "DELETE FROM nowhere WHERE id = 5", "?");
	says(c, "UPDATE mk_user SET name = '' WHERE CURRENT OF c", "?");
	says(c, "INSERT INTO mk_user (id) VALUES (5)", "");
	says(c, "SELECT * FROM mk_user WHERE id = 5", "");
	catalog_unref(c);
}

static uint32_t only_with(const struct catalog *c, const char *text, uint32_t oid)
{
	struct facts *f = facts_of_text(span_str(text));
	struct target *t = target_resolve(span_str(text), f, c, &session, &oid, 1);
	uint32_t relid = target_only(t);

	target_free(&t);
	facts_unref(f);
	return relid;
}

static uint32_t only(const struct catalog *c, const char *text)
{
	return only_with(c, text, 0);
}

TEST(target, knows_the_only_table)
{
	struct catalog *c = sample_catalog();
	const struct catalog_relation *pair = catalog_find(c, span_str("public"), span_str("by_pair"));

	REQUIRE(pair != NULL);
	EXPECT_EQ(only(c, "UPDATE by_pair SET v = 'x' WHERE v = 'y'"), pair->oid);
	EXPECT_EQ(only(c, "INSERT INTO by_pair (k1) SELECT k1 FROM parts ON CONFLICT DO NOTHING"), pair->oid);
	EXPECT_EQ(only(c, "DELETE FROM by_pair WHERE k1 = 1; SELECT 1"), 0);
	EXPECT_EQ(only(c, "DELETE FROM by_pair WHERE k1 = mine(1)"), 0);
	EXPECT_EQ(
		only(c,
		     "WITH w AS (DELETE FROM parts RETURNING k1) DELETE FROM by_pair WHERE k1 IN (SELECT k1 FROM w)"),
		0);
	EXPECT_EQ(only(c, "TRUNCATE by_pair"), 0);
	EXPECT_EQ(only(c, "UPDATE nowhere SET x = 1"), 0);
	catalog_unref(c);
}

TEST(target, takes_a_column_of_a_users_type_for_code)
{
	struct catalog *c = sample_catalog();
	const struct catalog_relation *pair = catalog_find(c, span_str("public"), span_str("by_pair"));

	REQUIRE(pair != NULL);
	EXPECT_EQ(only(c, "UPDATE mk_user SET name = 'x' WHERE id = 1"), 0);
	EXPECT_EQ(only(c, "INSERT INTO by_pair (k1) SELECT id FROM mk_user WHERE status = '{x}'"), 0);
	EXPECT_EQ(only(c, "UPDATE by_pair SET v = array_in('{x}', 90001, -1)::text"), 0);
	EXPECT_EQ(only_with(c, "UPDATE by_pair SET v = $1", 25), pair->oid);
	EXPECT_EQ(only_with(c, "UPDATE by_pair SET v = $1", 90002), pair->oid); /* an enum */
	EXPECT_EQ(only_with(c, "UPDATE by_pair SET v = $1", 90001), 0);
	catalog_unref(c);
}

/* The same rows have the same keys, read or written; literals of one shape share the analysis. */
TEST(target, has_the_keys_of_reads)
{
	struct catalog *c = sample_catalog();
	struct memo *m = memo_new(1 << 20);
	static const char *const texts[] = {"UPDATE mk_user SET name = 'a' WHERE id = 5",
					    "UPDATE mk_user SET name = 'b' WHERE id = 6"};
	uint64_t keys[2][4], wanted[2];
	struct target *first = NULL;

	for (int i = 0; i < 2; i++) {
		const struct reads_param params[] = {{.value = span_str("a")},
						     {.value = span_str(i == 0 ? "5" : "6")}};
		struct stmt *stmt = memo_get(m, span_str(texts[i]), span_of(NULL, 0));
		struct target *t = memo_target(stmt, c, &session);
		struct target_value values[TARGET_VALUES_MAX];
		uint32_t relids[4];
		struct reads_set set = {.keys = keys[i], .max = 4, .relids = relids, .maxrels = 4};
		const struct span value = span_str(i == 0 ? "5" : "6");
		struct target_part part;
		struct buf sql;
		unsigned n;

		REQUIRE(t != NULL && target_part(t, 0, &part));
		if (i == 0)
			first = t;
		EXPECT(t == first);
		EXPECT_EQ(reads_keys(part.reads, params, 2, NULL, &set), REASON_NONE);
		EXPECT_EQ(set.nkeys, 2);
		wanted[i] = readkey_row(part.relid, 1, (const int16_t[]){1}, &value);
		EXPECT(keys[i][0] == wanted[i] || keys[i][1] == wanted[i]);
		buf_init(&sql, 1000);
		EXPECT(target_from(t, 0, 7, &sql, values, &n));
		EXPECT_EQ(n, 1);
		EXPECT_EQ(values[0].param, 2);
		buf_free(&sql);
		stmt_unref(stmt);
	}
	memo_free(&m);
	catalog_unref(c);
}
