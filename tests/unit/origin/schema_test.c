/* The catalog, and how its changes are noticed: by message, by empty transaction, by polling. */
#include "proxy/origin/link.h"
#include "tests/support/test.h"
#include "tests/unit/origin/site.h"

#include <stdio.h>
#include <stdlib.h>

static const struct catalog_relation *relation(struct catalog *catalog, const char *schema, const char *name)
{
	return catalog_find(catalog, span_str(schema), span_str(name));
}

/* Does the statement bring a new catalog, before the position passes it? */
static bool reloads(struct site *s, const char *statement)
{
	uint64_t epoch = cache_epoch(s->cache);

	sql(s->db, "%s", statement);
	site_catch_up(s);
	return cache_epoch(s->cache) != epoch;
}

static bool knows(struct site *s, const char *name)
{
	struct catalog *catalog = cache_catalog(s->cache);
	bool found = catalog != NULL && relation(catalog, "public", name) != NULL;

	if (catalog != NULL)
		catalog_unref(catalog);
	return found;
}

TEST(schema, tables_as_they_are)
{
	struct site s;
	struct catalog *c;
	const struct catalog_relation *r;

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE t (a int, b text, gone int, c varchar(9) NOT NULL, d numeric, e text COLLATE \"C\", PRIMARY KEY (c, a));"
	    "ALTER TABLE t DROP COLUMN gone; CREATE DOMAIN dom AS int; CREATE TYPE mood AS ENUM ('a');"
	    "CREATE COLLATION loose (provider = icu, locale = 'und', deterministic = false);"
	    "CREATE TABLE l (k text COLLATE loose PRIMARY KEY, d dom, m mood, i int8, z uuid, o oid);"
	    "CREATE UNLOGGED TABLE un (a int); CREATE TEMP TABLE te (a int); CREATE VIEW vi AS SELECT 1 AS x;"
	    "CREATE TABLE pa (id int PRIMARY KEY) PARTITION BY RANGE (id);"
	    "CREATE TABLE pb PARTITION OF pa FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id);"
	    "CREATE TABLE pc PARTITION OF pb FOR VALUES FROM (0) TO (9);"
	    "CREATE TABLE qa (id int) PARTITION BY RANGE (id);"
	    "CREATE TABLE qb PARTITION OF qa FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id);"
	    "CREATE UNLOGGED TABLE qc PARTITION OF qb FOR VALUES FROM (0) TO (9);"
	    "CREATE TABLE ia (id int); CREATE TABLE ib () INHERITS (ia);"
	    "CREATE TABLE sec (id int); ALTER TABLE sec ENABLE ROW LEVEL SECURITY; CREATE SEQUENCE se;"
	    "CREATE TABLE de (id int PRIMARY KEY DEFERRABLE)");
	sql(s.db, "CREATE EXTENSION citext; CREATE TABLE x (c citext, a citext[], l pg_lsn)");
	sql(s.db, "CREATE FUNCTION lower(int) RETURNS int LANGUAGE sql AS 'SELECT 1';"
		  "CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';"
		  "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = plus)");
	site_watch(&s, 0);
	c = cache_catalog(s.cache);
	REQUIRE(c != NULL);
	r = relation(c, "public", "t");
	REQUIRE(r != NULL);
	EXPECT_EQ(r->oid, site_relid(&s, "t"));
	EXPECT(r->kind == 'r' && r->persistence == 'p' && r->replica_identity == 'd' && !r->row_security &&
	       !r->has_children);
	REQUIRE(r->ncolumns == 5 && r->nkey == 2);
	EXPECT(r->key[0] == 1 && r->key[1] == 4);
	EXPECT_STR(r->columns[2].name, "c");
	EXPECT(r->columns[2].attnum == 4 && r->columns[2].type_oid == 1043);
	EXPECT(r->columns[0].plain_equality && r->columns[1].plain_equality &&
	       !r->columns[3].plain_equality && r->columns[4].plain_equality && r->columns[0].builtin_type &&
	       r->columns[1].generated == 0);
	r = relation(c, "public", "l");
	REQUIRE(r != NULL && r->ncolumns == 6);
	EXPECT(!r->columns[0].plain_equality && !r->columns[1].plain_equality &&
	       !r->columns[1].builtin_type && !r->columns[2].builtin_type && r->columns[2].own_code &&
	       !r->columns[1].own_code && r->columns[3].plain_equality && r->columns[4].plain_equality);
	EXPECT(relation(c, "public", "un") != NULL && relation(c, "public", "un")->persistence == 'u');
	EXPECT(relation(c, "public", "te") == NULL);
	EXPECT(relation(c, "public", "vi") != NULL && relation(c, "public", "vi")->kind == 'v');
	EXPECT(relation(c, "public", "se") != NULL && relation(c, "public", "se")->kind == 'S');
	EXPECT(relation(c, "pg_catalog", "pg_class") != NULL);
	EXPECT(relation(c, "public", "sec") != NULL && relation(c, "public", "sec")->row_security);
	EXPECT(relation(c, "public", "de") != NULL && relation(c, "public", "de")->replica_identity == 'n');
	EXPECT(!relation(c, "public", "pa")->has_children && relation(c, "public", "pa")->nancestors == 0);
	EXPECT(!relation(c, "public", "pb")->has_children && relation(c, "public", "pb")->nancestors == 1);
	EXPECT(relation(c, "public", "pa")->kind == 'p' && relation(c, "public", "pa")->nkey == 1);
	/* One partition that is not logged, at any depth, is one too many. */
	EXPECT(relation(c, "public", "qa")->has_children && relation(c, "public", "qb")->has_children);
	EXPECT(relation(c, "public", "ia")->has_children && !relation(c, "public", "ib")->has_children);
	r = relation(c, "public", "pc");
	REQUIRE(r != NULL && r->nancestors == 2 && !r->has_children);
	EXPECT(r->ancestors[0] == site_relid(&s, "pa") || r->ancestors[1] == site_relid(&s, "pa"));
	r = relation(c, "public", "x");
	REQUIRE(r != NULL && r->ncolumns == 3);
	EXPECT(!r->columns[0].builtin_type && r->columns[0].own_code && r->columns[1].own_code &&
	       !r->columns[2].own_code);
	EXPECT_EQ(catalog_user_function(c, span_str("lower")), CATALOG_USERS_CODE);
	EXPECT_EQ(catalog_user_function(c, span_str("max")), CATALOG_OWN_CODE);
	EXPECT_EQ(catalog_user_function(c, span_str("replace")), CATALOG_USERS_CODE); /* citext's is in SQL */
	EXPECT_EQ(catalog_user_function(c, span_str("upper")), CATALOG_NONE);
	EXPECT_EQ(catalog_user_operator(c, span_str("===")), CATALOG_USERS_CODE);
	EXPECT_EQ(catalog_user_operator(c, span_str("=")), CATALOG_OWN_CODE);
	EXPECT_EQ(catalog_user_operator(c, span_str("#")), CATALOG_NONE);
	EXPECT(!catalog_users_equal(c));
	catalog_unref(c);
	site_stop(&s);
}

TEST(schema, empty_transactions_are_looked_into)
{
	struct site s;
	int64_t sum[NCOUNTERS] = {0};

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1); CREATE SEQUENCE q;"
	    "CREATE MATERIALIZED VIEW mv AS SELECT id FROM t; CREATE TABLE r (id int NOT NULL, x int)");
	site_watch(&s, 0);
	EXPECT(reloads(&s, "CREATE TABLE t2 (id int PRIMARY KEY)"));
	EXPECT(knows(&s, "t2"));
	EXPECT(reloads(&s, "ALTER TABLE t RENAME COLUMN v TO w"));
	EXPECT(reloads(&s, "ALTER TABLE t DROP COLUMN w"));
	EXPECT(reloads(&s, "GRANT SELECT ON t TO feed"));
	EXPECT(reloads(&s, "REVOKE ALL ON t FROM feed"));
	EXPECT(reloads(&s, "ALTER TABLE t ENABLE ROW LEVEL SECURITY"));
	EXPECT(reloads(&s, "CREATE TYPE mood AS ENUM ('a', 'b')"));
	EXPECT(reloads(&s, "ALTER TYPE mood RENAME VALUE 'a' TO 'c'"));
	EXPECT(reloads(&s, "CREATE FUNCTION f() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'"));
	EXPECT(reloads(&s,
		       "CREATE OR REPLACE FUNCTION f() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2'"));
	EXPECT(reloads(&s, "ALTER TABLE t ADD x int DEFAULT 5"));
	EXPECT(reloads(&s, "CREATE ROLE somebody"));
	EXPECT(reloads(&s, "GRANT feed TO somebody"));
	EXPECT(reloads(&s, "ALTER ROLE somebody SET timezone = 'UTC'"));
	EXPECT(reloads(&s, "ALTER TABLE r INHERIT t"));
	/* The server counts writes to shared catalogs up to a second late: they must not look like changes of what follows. */
	sql(s.db, "SELECT pg_stat_force_next_flush()");
	EXPECT(reloads(&s, "CREATE TABLE t3 (id int PRIMARY KEY)"));
	/* What changes nothing that an answer depends on costs a question, not the cache. */
	EXPECT(!reloads(&s, "CREATE TEMP TABLE tmp (a int PRIMARY KEY, b text)"));
	EXPECT(!reloads(&s, "DROP TABLE tmp"));
	EXPECT(!reloads(&s, "ANALYZE t"));
	EXPECT(!reloads(&s, "CREATE INDEX ON t (x)"));
	EXPECT(!reloads(&s, "REFRESH MATERIALIZED VIEW mv"));
	EXPECT(!reloads(&s, "VACUUM FULL t2"));
	EXPECT(!reloads(&s, "TRUNCATE t2"));
	EXPECT(!reloads(&s, "SELECT nextval('q')"));
	EXPECT(!reloads(&s, "COMMENT ON TABLE t IS 'x'"));
	/* A name that moves to another table: nothing may be resolved by the old catalog behind it. */
	sql(s.db, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)");
	site_catch_up(&s);
	uint32_t was_b = site_relid(&s, "b");
	sql(s.db,
	    "BEGIN; ALTER TABLE a RENAME TO x; ALTER TABLE b RENAME TO a; ALTER TABLE x RENAME TO b; COMMIT");
	EXPECT_EQ(site_relid(&s, "a"), was_b);
	EXPECT(kills(&s, "a", site_row(&s, "a", "7", NULL), "INSERT INTO a VALUES (7)"));
	origin_counters(s.origin, sum);
	EXPECT(sum[COUNTER_catalog_loads] >= 12);
	EXPECT_EQ(sum[COUNTER_feed_restarts], 0);
	site_stop(&s);
}

TEST(schema, ddl_messages_count_among_rows)
{
	struct site s;
	char command[512];
	FILE *file;
	static char text[16384];
	size_t n;

	site_start(&s, NULL);
	file = fopen("docs/setup.sql", "r");
	REQUIRE(file != NULL);
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	sql(s.db, "%s", text);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x')");
	site_watch(&s, 0);
	/* Rows of a table whose shape has not changed do not show that anything else did. */
	EXPECT(reloads(&s, "BEGIN; CREATE TABLE n (id int); INSERT INTO t VALUES (2, 'y'); COMMIT"));
	EXPECT(knows(&s, "n"));
	EXPECT(reloads(&s, "BEGIN; GRANT SELECT ON t TO feed; UPDATE t SET v = 'z'; COMMIT"));
	EXPECT(reloads(&s, "BEGIN; UPDATE t SET v = 'q'; DROP TABLE n; COMMIT"));
	EXPECT(!knows(&s, "n"));
	EXPECT(!reloads(&s, "BEGIN; UPDATE t SET v = 'q'; CREATE TEMP TABLE k (a int); COMMIT"));
	EXPECT(!reloads(&s, "BEGIN; CREATE TABLE n (id int); ROLLBACK"));
	snprintf(command, sizeof(command),
		 "SET session_replication_role = replica; BEGIN; UPDATE t SET v = 'r';"
		 "CREATE TABLE n (id int); COMMIT");
	EXPECT(reloads(&s, command));
	/* Anyone may send the word; outside the order of commits it means nothing, inside it is taken for what it says. */
	EXPECT(!reloads(&s, "SELECT pg_logical_emit_message(false, 'pgweir', 'ddl by hand')"));
	EXPECT(reloads(&s, "SELECT pg_logical_emit_message(true, 'pgweir', 'ddl by hand')"));
	site_stop(&s);
}

TEST(schema, without_messages_the_rows_or_the_poll_tell)
{
	struct site s;
	uint64_t epoch;

	site_start(&s, NULL);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x')");
	site_watch(&s, 50);
	/* A table that nobody knows, a column more, a column less: seen in the rows, at once. */
	EXPECT(reloads(&s, "BEGIN; CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n VALUES (1); COMMIT"));
	EXPECT(knows(&s, "n"));
	EXPECT(reloads(&s, "BEGIN; ALTER TABLE t ADD x int; UPDATE t SET x = 1; COMMIT"));
	EXPECT(reloads(&s, "BEGIN; ALTER TABLE t DROP x; UPDATE t SET v = 'y'; COMMIT"));
	/* Mixed with rows that tell nothing: by the poll. */
	epoch = cache_epoch(s.cache);
	sql(s.db, "BEGIN; GRANT SELECT ON t TO feed; UPDATE t SET v = 'z'; COMMIT");
	UNTIL(cache_epoch(s.cache) != epoch, 5);
	/* Roles are shared by all databases; changed from another one, they are not in our stream. */
	PGconn *other = cluster_connect(&s.cluster, "postgres", "postgres");
	epoch = cache_epoch(s.cache);
	sql(other, "CREATE ROLE somebody");
	UNTIL(cache_epoch(s.cache) != epoch, 5);
	PQfinish(other);
	site_stop(&s);
}

TEST(schema, a_suspicion_is_followed_up)
{
	struct site s;
	uint64_t epoch;

	site_start(&s, NULL);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x')");
	site_watch(&s, 0);
	sql(s.db, "BEGIN; GRANT SELECT ON t TO feed; UPDATE t SET v = 'z'; COMMIT");
	site_catch_up(&s);
	epoch = cache_epoch(s.cache);
	origin_suspect_ddl(s.origin);
	UNTIL(cache_epoch(s.cache) != epoch, 5);
	site_stop(&s);
}
