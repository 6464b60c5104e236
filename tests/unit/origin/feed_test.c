/* What the stream invalidates: by key where the key is certain, else by relation. */
#include "proxy/origin/link.h"
#include "tests/support/test.h"
#include "tests/unit/origin/site.h"

#include <stdio.h>

static void rows_count_by_their_key(bool pgoutput)
{
	struct site s;

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g, 'x' FROM generate_series(1, 50) g");
	if (pgoutput)
		site_publish(&s);
	site_watch(&s, 0);
	uint64_t one = site_row(&s, "t", "1", NULL), two = site_row(&s, "t", "2", NULL);
	uint64_t new = site_row(&s, "t", "99", NULL), moved = site_row(&s, "t", "77", NULL);

	EXPECT(kills(&s, "t", one, "UPDATE t SET v = 'y' WHERE id = 1"));
	EXPECT(!kills(&s, "t", two, "UPDATE t SET v = 'y' WHERE id = 1"));
	EXPECT(kills(&s, "t", site_any(&s, "t"), "UPDATE t SET v = 'z' WHERE id = 1"));
	EXPECT(!kills(&s, "t", site_whole(&s, "t"), "UPDATE t SET v = 'z' WHERE id = 1"));
	/* An absent row is something that an answer can depend on. */
	EXPECT(kills(&s, "t", new, "INSERT INTO t VALUES (99, 'new')"));
	EXPECT(!kills(&s, "t", two, "INSERT INTO t VALUES (98, 'new')"));
	EXPECT(kills(&s, "t", new, "DELETE FROM t WHERE id = 99"));
	EXPECT(!kills(&s, "t", two, "DELETE FROM t WHERE id = 98"));
	/* A key that moves touches both places. */
	EXPECT(kills(&s, "t", site_row(&s, "t", "3", NULL), "UPDATE t SET id = 77 WHERE id = 3"));
	EXPECT(kills(&s, "t", moved, "UPDATE t SET id = 78 WHERE id = 77"));
	EXPECT(kills(&s, "t", moved, "UPDATE t SET id = 77 WHERE id = 78"));
	EXPECT(!kills(&s, "t", two, "UPDATE t SET id = 79 WHERE id = 77"));
	/* More keys than max_change_keys: the relation. */
	EXPECT(kills(&s, "t", two, "INSERT INTO t SELECT g, 'bulk' FROM generate_series(1000, 1200) g"));
	EXPECT(kills(&s, "t", one, "TRUNCATE t"));
	site_stop(&s);
}

TEST(feed, rows_count_by_their_key)
{
	rows_count_by_their_key(false);
}

TEST(feed, rows_count_by_their_key_pgoutput)
{
	rows_count_by_their_key(true);
}

static void keys_of_several_types_and_names(bool pgoutput)
{
	struct site s;

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE SCHEMA \"Odd \"\"one\";"
	    "CREATE TABLE \"Odd \"\"one\".\"T.t, x\" (\"Id:[1]\" text, \"select\" int, v text, PRIMARY KEY (\"select\", \"Id:[1]\"));"
	    "INSERT INTO \"Odd \"\"one\".\"T.t, x\" VALUES ('it''s', 1, ''), ('b', 2, NULL);"
	    "CREATE TABLE u (id uuid PRIMARY KEY, v int);"
	    "INSERT INTO u VALUES ('00000000-0000-0000-0000-00000000000a', 1), ('00000000-0000-0000-0000-00000000000b', 1);"
	    "CREATE TABLE b (id bool PRIMARY KEY, v int); INSERT INTO b VALUES (true, 1), (false, 1);"
	    "CREATE TABLE y (id bytea PRIMARY KEY, v int); INSERT INTO y VALUES ('\\x00ff', 1), ('\\x', 1);"
	    "CREATE TABLE n (id numeric PRIMARY KEY, v int); INSERT INTO n VALUES (1.0, 1), (2, 1)");
	sql(s.db,
	    "CREATE TABLE c (v text, id bigint PRIMARY KEY); ALTER TABLE c DROP COLUMN v; ALTER TABLE c ADD v int;"
	    "INSERT INTO c VALUES (-5, 1), (5, 1)");
	if (pgoutput)
		site_publish(&s);
	site_watch(&s, 0);
	const char *odd = "\"Odd \"\"one\".\"T.t, x\"";
	uint64_t its = site_row(&s, odd, "it's", "1");

	EXPECT(kills(&s, odd, its,
		     "UPDATE \"Odd \"\"one\".\"T.t, x\" SET v = 'a: ''b''' WHERE \"select\" = 1"));
	EXPECT(!kills(&s, odd, its, "UPDATE \"Odd \"\"one\".\"T.t, x\" SET v = 'c' WHERE \"select\" = 2"));
	EXPECT(kills(&s, odd, its, "DELETE FROM \"Odd \"\"one\".\"T.t, x\" WHERE \"select\" = 1"));
	uint64_t a = site_row(&s, "u", "00000000-0000-0000-0000-00000000000A", NULL);
	EXPECT(kills(&s, "u", a, "UPDATE u SET v = 2 WHERE id = '00000000-0000-0000-0000-00000000000a'"));
	EXPECT(!kills(&s, "u", a, "UPDATE u SET v = 2 WHERE id = '00000000-0000-0000-0000-00000000000b'"));
	EXPECT(kills(&s, "b", site_row(&s, "b", "t", NULL), "UPDATE b SET v = 2 WHERE id"));
	EXPECT(!kills(&s, "b", site_row(&s, "b", "f", NULL), "UPDATE b SET v = 3 WHERE id"));
	EXPECT(kills(&s, "y", site_row(&s, "y", "\\x00FF", NULL), "UPDATE y SET v = 2 WHERE id = '\\x00ff'"));
	EXPECT(!kills(&s, "y", site_row(&s, "y", "\\x", NULL), "UPDATE y SET v = 3 WHERE id = '\\x00ff'"));
	EXPECT(kills(&s, "c", site_row(&s, "c", "-5", NULL), "UPDATE c SET v = 2 WHERE id = -5"));
	EXPECT(!kills(&s, "c", site_row(&s, "c", "5", NULL), "UPDATE c SET v = 3 WHERE id = -5"));
	/* Equality of numeric is not that of bytes. */
	EXPECT(kills(&s, "n", site_whole(&s, "n"), "UPDATE n SET v = 2 WHERE id = 2"));
	site_stop(&s);
}

TEST(feed, keys_of_several_types_and_names)
{
	keys_of_several_types_and_names(false);
}

TEST(feed, keys_of_several_types_and_names_pgoutput)
{
	keys_of_several_types_and_names(true);
}

TEST(feed, what_is_not_certain_is_the_relation)
{
	struct site s;

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE nopk (a int, v int); INSERT INTO nopk VALUES (1, 1), (2, 2);"
	    "CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, v int); INSERT INTO late VALUES (1, 1), (2, 2);"
	    "CREATE TABLE nothing (id int PRIMARY KEY, v int); ALTER TABLE nothing REPLICA IDENTITY NOTHING;"
	    "INSERT INTO nothing VALUES (1, 1), (2, 2);"
	    "CREATE TABLE other (id int PRIMARY KEY, o int NOT NULL UNIQUE); INSERT INTO other VALUES (1, 1), (2, 2);"
	    "ALTER TABLE other REPLICA IDENTITY USING INDEX other_o_key;"
	    "CREATE TABLE entire (id int PRIMARY KEY, v int); ALTER TABLE entire REPLICA IDENTITY FULL;"
	    "INSERT INTO entire VALUES (1, 1), (2, 2)");
	/* Both columns out of line: the key comes as unchanged-toast-datum in the new row. */
	sql(s.db,
	    "CREATE TABLE toast (id text PRIMARY KEY, big text, v int);"
	    "ALTER TABLE toast ALTER id SET STORAGE EXTERNAL, ALTER big SET STORAGE EXTERNAL;"
	    "INSERT INTO toast SELECT repeat(g::text, 2400), repeat('b', 9000), 1 FROM generate_series(1, 2) g");
	site_watch(&s, 0);
	EXPECT(kills(&s, "nopk", site_gone(&s, "nopk"), "UPDATE nopk SET v = 2 WHERE a = 1"));
	EXPECT(kills(&s, "nopk", site_gone(&s, "nopk"), "DELETE FROM nopk WHERE a = 1"));
	EXPECT(!kills(&s, "nopk", site_gone(&s, "nopk"), "INSERT INTO nopk VALUES (1, 1)"));
	EXPECT(kills(&s, "nopk", site_any(&s, "nopk"), "INSERT INTO nopk VALUES (1, 1)"));
	EXPECT(kills(&s, "late", site_row(&s, "late", "1", NULL), "UPDATE late SET id = 3 WHERE id = 1"));
	EXPECT(kills(&s, "nothing", site_whole(&s, "nothing"), "UPDATE nothing SET id = 5 WHERE id = 1"));
	EXPECT(kills(&s, "nothing", site_whole(&s, "nothing"), "DELETE FROM nothing WHERE id = 2"));
	EXPECT(!kills(&s, "nothing", site_whole(&s, "nothing"), "INSERT INTO nothing VALUES (9, 9)"));
	EXPECT(kills(&s, "other", site_whole(&s, "other"), "UPDATE other SET id = 5 WHERE id = 1"));
	EXPECT(kills(&s, "entire", site_row(&s, "entire", "1", NULL),
		     "UPDATE entire SET id = 5 WHERE id = 1"));
	EXPECT(!kills(&s, "entire", site_whole(&s, "entire"), "UPDATE entire SET v = 5 WHERE id = 5"));
	EXPECT(!kills(&s, "entire", site_gone(&s, "entire"), "UPDATE entire SET v = 6 WHERE id = 5"));
	EXPECT(!kills(&s, "entire", site_gone(&s, "entire"), "DELETE FROM entire WHERE id = 5"));
	EXPECT(kills(&s, "late", site_gone(&s, "late"), "UPDATE late SET v = 3 WHERE id = 3"));
	EXPECT(kills(&s, "toast", site_whole(&s, "toast"), "UPDATE toast SET v = 2 WHERE id LIKE '1%'"));
	EXPECT(kills(&s, "toast", site_any(&s, "toast"), "DELETE FROM toast WHERE id LIKE '1%'"));
	site_stop(&s);
}

static void what_the_statement_does_not_name(bool pgoutput)
{
	struct site s;

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE ch (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE);"
	    "INSERT INTO p VALUES (1), (2); INSERT INTO ch VALUES (10, 1), (20, 2);"
	    "CREATE TABLE top (id int, k int, PRIMARY KEY (id, k)) PARTITION BY RANGE (id);"
	    "CREATE TABLE mid PARTITION OF top FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (k);"
	    "CREATE TABLE leaf PARTITION OF mid FOR VALUES FROM (0) TO (100);"
	    "CREATE TABLE leaf2 PARTITION OF mid FOR VALUES FROM (100) TO (200); INSERT INTO top VALUES (1, 1), (2, 1);"
	    "CREATE TABLE base (id int PRIMARY KEY); CREATE TABLE heir (x int) INHERITS (base);"
	    "CREATE TABLE log (id int PRIMARY KEY);"
	    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (NEW.id); RETURN NEW; END';"
	    "CREATE TRIGGER tr AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f()");
	if (pgoutput)
		site_publish(&s);
	site_watch(&s, 0);
	uint64_t ten = site_row(&s, "ch", "10", NULL), twenty = site_row(&s, "ch", "20", NULL);

	EXPECT(!kills(&s, "ch", twenty, "DELETE FROM p WHERE id = 1"));
	EXPECT(kills(&s, "ch", ten, "INSERT INTO p VALUES (1); INSERT INTO ch VALUES (10, 1)"));
	EXPECT(kills(&s, "ch", ten, "DELETE FROM p WHERE id = 1"));
	EXPECT(kills(&s, "ch", twenty, "TRUNCATE p CASCADE"));
	EXPECT(kills(&s, "log", site_row(&s, "log", "5", NULL), "INSERT INTO p VALUES (5)"));
	EXPECT(kills(&s, "top", site_row(&s, "top", "1", "1"), "UPDATE top SET k = 2 WHERE id = 1"));
	EXPECT(kills(&s, "top", site_row(&s, "top", "1", "1"), "UPDATE leaf SET k = 1 WHERE id = 1"));
	EXPECT(!kills(&s, "top", site_row(&s, "top", "2", "1"), "UPDATE leaf SET k = 2 WHERE id = 1"));
	EXPECT(kills(&s, "mid", site_row(&s, "mid", "1", "2"), "UPDATE leaf SET k = 3 WHERE id = 1"));
	EXPECT(kills(&s, "leaf", site_row(&s, "leaf", "1", "3"), "UPDATE top SET k = 4 WHERE id = 1"));
	EXPECT(!kills(&s, "leaf", site_row(&s, "leaf", "2", "1"), "UPDATE top SET k = 5 WHERE id = 1"));
	EXPECT(kills(&s, "leaf2", site_row(&s, "leaf2", "1", "150"), "UPDATE top SET k = 150 WHERE id = 1"));
	EXPECT(kills(&s, "top", site_whole(&s, "top"), "TRUNCATE leaf2"));
	EXPECT(kills(&s, "base", site_whole(&s, "base"), "INSERT INTO heir VALUES (1, 1)"));
	site_stop(&s);
}

TEST(feed, what_the_statement_does_not_name)
{
	what_the_statement_does_not_name(false);
}

TEST(feed, what_the_statement_does_not_name_pgoutput)
{
	what_the_statement_does_not_name(true);
}

static void only_what_commits_counts(bool pgoutput)
{
	struct site s;

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, 1 FROM generate_series(1, 5) g");
	if (pgoutput)
		site_publish(&s);
	site_watch(&s, 0);
	uint64_t one = site_row(&s, "t", "1", NULL), two = site_row(&s, "t", "2", NULL);

	EXPECT(!kills(&s, "t", one, "BEGIN; UPDATE t SET v = 2 WHERE id = 1; ROLLBACK"));
	EXPECT(!kills(&s, "t", one,
		      "BEGIN; SAVEPOINT a; UPDATE t SET v = 2 WHERE id = 1; ROLLBACK TO a;"
		      "UPDATE t SET v = 2 WHERE id = 2; COMMIT"));
	EXPECT(kills(&s, "t", two, "BEGIN; SAVEPOINT a; UPDATE t SET v = 2 WHERE id = 2; RELEASE a; COMMIT"));
	EXPECT(!kills(&s, "t", one, "BEGIN; UPDATE t SET v = 4 WHERE id = 1"));
	EXPECT(!kills(&s, "t", one, "PREPARE TRANSACTION 'two'"));
	EXPECT(kills(&s, "t", one, "COMMIT PREPARED 'two'"));
	EXPECT(!kills(&s, "t", one, "BEGIN; UPDATE t SET v = 5 WHERE id = 1"));
	EXPECT(!kills(&s, "t", one, "PREPARE TRANSACTION 'no'"));
	EXPECT(!kills(&s, "t", one, "ROLLBACK PREPARED 'no'"));
	EXPECT(kills(&s, "t", one, "SET synchronous_commit = off; UPDATE t SET v = 6 WHERE id = 1"));
	EXPECT(kills(&s, "t", one,
		     "SET session_replication_role = replica; UPDATE t SET v = 7 WHERE id = 1"));
	site_stop(&s);
}

TEST(feed, only_what_commits_counts)
{
	only_what_commits_counts(false);
}

TEST(feed, only_what_commits_counts_pgoutput)
{
	only_what_commits_counts(true);
}

static void position_reaches_the_end_of_the_log(bool pgoutput)
{
	struct site s;
	int64_t sum[NCOUNTERS] = {0};

	site_start(&s, NULL);
	sql(s.db,
	    "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNLOGGED TABLE u (v text); INSERT INTO t VALUES (1, 'x')");
	if (pgoutput)
		site_publish(&s);
	site_watch(&s, 0);
	sql(s.db, "BEGIN; UPDATE t SET v = 'gone'; ROLLBACK");
	EXPECT(site_reaches(&s, 10));
	sql(s.db, "INSERT INTO u VALUES ('x')");
	EXPECT(site_reaches(&s, 10));
	sql(s.db, "SET synchronous_commit = off");
	for (int i = 0; i < 20; i++)
		sql(s.db, "UPDATE t SET v = '%d'", i);
	EXPECT(site_reaches(&s, 10));
	/* An open writer's records are flushed by nobody. */
	sql(s.db, "BEGIN; INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(100, 3000) g");
	EXPECT(site_reaches(&s, 10));
	sql(s.db, "ROLLBACK; SET synchronous_commit = on");
	/* Commits of all sizes, so that some end where a page ends: the log's end is then behind the next page's header. */
	for (int i = 0; i < 600; i++) {
		sql(s.db, "SELECT pg_logical_emit_message(true, 'other', repeat('x', %d))", i * 13 % 1000);
		if (i % 10 == 0)
			EXPECT(site_reaches(&s, 10));
	}
	origin_counters(s.origin, sum);
	EXPECT(sum[COUNTER_nudges] > 0);
	EXPECT(sum[COUNTER_feed_transactions] >= 621);
	EXPECT_EQ(sum[COUNTER_feed_restarts], 0);
	/* Nobody waits: nothing is written. */
	int64_t later[NCOUNTERS] = {0};
	pause_ms(50); /* what was wished for last may still be under way */
	memset(sum, 0, sizeof(sum));
	origin_counters(s.origin, sum);
	sql(s.db, "BEGIN; UPDATE t SET v = 'gone'; ROLLBACK");
	pause_ms(300);
	origin_counters(s.origin, later);
	EXPECT_EQ(later[COUNTER_nudges], sum[COUNTER_nudges]);
	site_stop(&s);
}

TEST(feed, position_reaches_the_end_of_the_log)
{
	position_reaches_the_end_of_the_log(false);
}

TEST(feed, position_reaches_the_end_of_the_log_pgoutput)
{
	position_reaches_the_end_of_the_log(true);
}
