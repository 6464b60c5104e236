/* pgoutput: a table counts when its publication brings every change of it, and not before. */
#include "proxy/origin/link.h"
#include "tests/support/test.h"
#include "tests/unit/origin/site.h"

#include <stdlib.h>

static bool fed(struct site *s, const char *name)
{
	struct catalog *catalog = cache_catalog(s->cache);
	const struct catalog_relation *rel =
		catalog == NULL ? NULL : catalog_find_oid(catalog, site_relid(s, name));
	bool yes = rel != NULL && !rel->not_fed;

	catalog_unref(catalog);
	return yes;
}

static bool strict(struct site *s)
{
	struct catalog *catalog = cache_catalog(s->cache);
	bool yes = catalog != NULL && catalog_strict(catalog);

	catalog_unref(catalog);
	return yes;
}

static bool says(struct site *s, const char *part)
{
	struct origin_state state;

	origin_state(s->origin, &state);
	return strstr(state.last_error, part) != NULL;
}

TEST(publication, it_must_be_there_and_whole)
{
	struct site s;

	site_start(&s, NULL);
	s.pgoutput = true;
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY)");
	site_origin(&s, 50);
	UNTIL(says(&s, "publication \"pgweir\" does not exist"), 10);
	origin_stop(&s.origin);
	sql(s.db, "CREATE PUBLICATION pgweir FOR TABLE t WITH (publish = 'insert, update')");
	site_origin(&s, 50);
	UNTIL(says(&s, "leaves changes out"), 10);
	origin_stop(&s.origin);
	sql(s.db,
	    "ALTER PUBLICATION pgweir SET (publish = 'insert, update, delete, truncate', publish_via_partition_root)");
	site_origin(&s, 50);
	UNTIL(says(&s, "loses TRUNCATE"), 10);
	EXPECT(!cache_on(s.cache));
	origin_stop(&s.origin);
	sql(s.db, "ALTER PUBLICATION pgweir SET (publish_via_partition_root = false)");
	site_watch(&s, 50);
	EXPECT(fed(&s, "t"));
	/* It is seen while the feed runs as well. */
	sql(s.db, "ALTER PUBLICATION pgweir SET (publish = 'insert')");
	UNTIL(says(&s, "leaves changes out") && !cache_on(s.cache), 10);
	site_stop(&s);
}

TEST(publication, only_tables_that_it_carries_whole)
{
	struct site s;

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);"
	    "CREATE TABLE filtered (id int PRIMARY KEY); CREATE TABLE listed (id int PRIMARY KEY, v int);"
	    "CREATE TABLE pa (id int PRIMARY KEY) PARTITION BY RANGE (id);"
	    "CREATE TABLE p1 PARTITION OF pa FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id);"
	    "CREATE TABLE p11 PARTITION OF p1 FOR VALUES FROM (0) TO (9);"
	    "CREATE TABLE p2 PARTITION OF pa FOR VALUES FROM (10) TO (19);"
	    "CREATE TABLE qa (id int PRIMARY KEY) PARTITION BY RANGE (id);"
	    "CREATE TABLE q1 PARTITION OF qa FOR VALUES FROM (0) TO (9);"
	    "CREATE TABLE q2 PARTITION OF qa FOR VALUES FROM (10) TO (19);"
	    "CREATE TABLE fa (id int PRIMARY KEY) PARTITION BY RANGE (id);"
	    "CREATE TABLE f1 PARTITION OF fa FOR VALUES FROM (0) TO (9);"
	    "CREATE PUBLICATION pgweir FOR TABLE t, filtered WHERE (id > 5), listed (id), pa, q1, fa, f1 WHERE (id > 3)");
	s.pgoutput = true;
	site_watch(&s, 0);
	EXPECT(fed(&s, "t") && !fed(&s, "other") && !fed(&s, "filtered") && !fed(&s, "listed"));
	EXPECT(fed(&s, "pa") && fed(&s, "p1") && fed(&s, "p11") && fed(&s, "p2"));
	EXPECT(fed(&s, "q1") && !fed(&s, "q2") && !fed(&s, "qa") && !fed(&s, "f1") && !fed(&s, "fa"));
	/* Nothing tells of DDL in order: that is for bounded sessions only. */
	EXPECT(!strict(&s));
	EXPECT(kills(&s, "p11", site_row(&s, "p11", "1", NULL), "INSERT INTO pa VALUES (1)"));
	EXPECT(kills(&s, "pa", site_whole(&s, "pa"), "TRUNCATE p2"));
	site_stop(&s);
}

TEST(publication, the_event_trigger_makes_it_strict)
{
	struct site s;

	site_start(&s, NULL);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE g (id int PRIMARY KEY, v int,"
		  " twice int GENERATED ALWAYS AS (v * 2) STORED); INSERT INTO g VALUES (1, 1)");
	site_publish(&s);
	site_watch(&s, 50);
	EXPECT(strict(&s));
	/* Generated columns do not come, which is no sign of DDL. */
	uint64_t epoch = cache_epoch(s.cache);
	EXPECT(kills(&s, "g", site_row(&s, "g", "1", NULL), "UPDATE g SET v = 2"));
	EXPECT(!kills(&s, "g", site_row(&s, "g", "2", NULL), "UPDATE g SET v = 3"));
	EXPECT_EQ(cache_epoch(s.cache), epoch);
	/* DDL is told in order; so is what leaves the publication. */
	sql(s.db, "BEGIN; ALTER TABLE t ADD v int; INSERT INTO g VALUES (2, 2); COMMIT");
	site_catch_up(&s);
	EXPECT(cache_epoch(s.cache) != epoch);
	sql(s.db, "ALTER PUBLICATION pgweir DROP TABLE t");
	site_catch_up(&s);
	EXPECT(!fed(&s, "t") && fed(&s, "g"));
	sql(s.db, "ALTER EVENT TRIGGER pgweir_drop ENABLE");
	UNTIL(!strict(&s), 5);
	site_stop(&s);
}

/* A change made before the table was added is never sent, however late its transaction commits. */
TEST(publication, a_table_counts_when_all_that_ran_have_ended)
{
	struct site s;
	PGconn *writer, *late;

	site_start(&s, NULL);
	sql(s.db, "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE u (id int PRIMARY KEY);"
		  "INSERT INTO t VALUES (1, 1)");
	sql(s.db, "CREATE PUBLICATION pgweir FOR TABLE u");
	s.pgoutput = true;
	site_watch(&s, 20);
	EXPECT(fed(&s, "u") && !fed(&s, "t"));
	writer = cluster_connect(&s.cluster, "app", "postgres");
	late = cluster_connect(&s.cluster, "app", "postgres");
	for (int turn = 0; turn < 2; turn++) {
		uint64_t epoch = cache_epoch(s.cache);

		sql(writer, "BEGIN; UPDATE t SET v = v + 1 WHERE id = 1");
		if (turn == 1) /* taken out and put back between two looks */
			sql(s.db,
			    "BEGIN; ALTER PUBLICATION pgweir DROP TABLE t; ALTER PUBLICATION pgweir ADD TABLE t; COMMIT");
		else
			sql(s.db, "ALTER PUBLICATION pgweir ADD TABLE t");
		UNTIL(cache_epoch(s.cache) != epoch, 5);
		sql(late, "BEGIN; INSERT INTO u VALUES (%d)", turn + 1); /* began after it: not waited for */
		site_catch_up(&s);
		EXPECT(!fed(&s, "t") && fed(&s, "u"));
		sql(writer, "COMMIT");
		UNTIL(fed(&s, "t"), 5);
		sql(late, "COMMIT");
		EXPECT(kills(&s, "t", site_row(&s, "t", "1", NULL), "UPDATE t SET v = v + 1 WHERE id = 1"));
	}
	PQfinish(writer);
	PQfinish(late);
	site_stop(&s);
}
