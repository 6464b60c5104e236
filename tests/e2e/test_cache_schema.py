"""What changes the meaning of a table without changing a row, and what decides how much of a changed row the feed shows: seen by the
very next read, by either decoder."""
import signal
import time

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import feed_plugins, pg_version, wait_for
from pgweir_test.wire import Wire, kinds, rows
from test_cache import PATIENT, Counted, never_hits, reads_twice, warm

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's"), pytest.mark.versions]
DB = "meaning"
ROLES = "app, team, crew"


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql("""
        CREATE ROLE app LOGIN; CREATE ROLE team; CREATE ROLE crew;
        CREATE TABLE item (id int PRIMARY KEY, name text);
        INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
    """, DB)
    yield DB
    cluster.drop_database(DB)
    cluster.sql(f"DROP ROLE {ROLES}")


def publish(cluster, plugin):
    """What is published needs an identity, or PostgreSQL refuses its UPDATEs: only where the feed is pgoutput."""
    cluster.sql("DROP PUBLICATION IF EXISTS pgweir", DB)
    if plugin == "pgoutput":
        # In PostgreSQL 18 an UPDATE under REPLICA IDENTITY FULL fails when it is without generated columns.
        cluster.sql("CREATE PUBLICATION pgweir FOR ALL TABLES" + (" WITH (publish_generated_columns = stored)" if pg_version() >= 18 else ""), DB)


@pytest.fixture(scope="module", params=feed_plugins())
def proxy(request, cluster, db):
    publish(cluster, request.param)
    made = Proxy(cluster, {**PATIENT, "feed_plugin": request.param, "catalog_poll": "100ms"}, users={"postgres": "", "app": ""})
    warm(made, db)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


TABLE = """
    DROP TABLE IF EXISTS t CASCADE; DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE t (id int PRIMARY KEY, m mood, v text, n int NOT NULL, twice int GENERATED ALWAYS AS (n * 2) STORED);
    CREATE UNIQUE INDEX t_n ON t (n);
    INSERT INTO t VALUES (1, 'happy', 'one', 10), (2, 'sad', 'two', 20); GRANT SELECT ON t TO app, team;
"""


def after(proxy, cluster, sql, *changes, user="postgres", table=TABLE):
    """Each change is seen by the next read, of a session that is there and of a new one; errors too."""
    cluster.sql(table, DB)
    with Wire(proxy.port).login(user=user, database=DB) as wire:
        reads_twice(proxy, lambda: wire.simple(sql), patience=10)
        for change in changes:
            cluster.sql(change, DB)
            with Wire(proxy.port).login(user=user, database=DB) as fresh, Wire(cluster.port).login(user=user, database=DB) as real:
                wanted = real.simple(sql)
                for one in (fresh, wire, wire, wire):
                    got = one.simple(sql)
                    assert rows(got) == rows(wanted) and kinds(got) == kinds(wanted), change


@pytest.mark.parametrize("sql,changes", [
    ("SELECT m, v FROM t WHERE id = 1", ["ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'", "ALTER TYPE mood RENAME VALUE 'glad' TO 'merry'"]),
    ("SELECT id FROM t ORDER BY m, id", ["ALTER TYPE mood ADD VALUE 'grim' BEFORE 'sad'", "UPDATE t SET m = 'grim' WHERE id = 1"]),
    ("SELECT * FROM t WHERE id = 1", ["ALTER TABLE t RENAME COLUMN v TO w", "ALTER TABLE t DROP COLUMN w", "ALTER TABLE t ADD COLUMN x int DEFAULT 4",
                                      "UPDATE t SET x = 5", "ALTER TABLE t ALTER x TYPE text USING 'five'"]),
    ("SELECT v FROM t WHERE id = 1", ["DROP TABLE t", "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'again')"]),
    ("SELECT v FROM t WHERE n = 10", ["UPDATE t SET n = 30 WHERE id = 1", "UPDATE t SET n = 10 WHERE id = 2"]),
    ("SELECT v FROM t WHERE twice = 20", ["UPDATE t SET n = 30 WHERE id = 1", "UPDATE t SET n = 10 WHERE id = 2", "DELETE FROM t WHERE id = 2"]),
    ("SELECT v FROM t WHERE id = 1", ["ALTER TABLE t SET UNLOGGED", "UPDATE t SET v = 'unseen'", "ALTER TABLE t SET LOGGED", "UPDATE t SET v = 'seen'"]),
    ("SELECT v FROM t WHERE id = 1", ["CREATE TABLE c (CHECK (id > 0)) INHERITS (t); INSERT INTO c (id, v, n) VALUES (1, 'child', 1)",
                                      "INSERT INTO c (id, v, n) VALUES (1, 'twin', 2)", "DROP TABLE c"]),
], ids=["enum rename", "enum value", "columns", "recreated", "unique", "generated", "unlogged", "inherited"])
def test_the_tables_meaning(proxy, cluster, sql, changes):
    after(proxy, cluster, sql, *changes)


@pytest.mark.parametrize("identity", ["FULL", "USING INDEX t_n", "NOTHING", "DEFAULT"])
def test_replica_identity(proxy, cluster, identity):
    if identity == "NOTHING" and proxy.settings["feed_plugin"] == "pgoutput":
        pytest.skip("PostgreSQL refuses to update what is published without identity")
    for sql in ("SELECT v FROM t WHERE id = 1", "SELECT id, v FROM t WHERE v = 'one'", "SELECT count(*) FROM t WHERE n = 10",
                "SELECT v FROM t WHERE id = 7"):
        after(proxy, cluster, sql, f"ALTER TABLE t REPLICA IDENTITY {identity}", "UPDATE t SET v = 'changed' WHERE id = 1",
              "UPDATE t SET v = 'one' WHERE id = 2", "UPDATE t SET id = 7 WHERE id = 1", "UPDATE t SET n = n + 100", "DELETE FROM t WHERE id = 7")


def test_a_table_without_key(proxy, cluster):
    if proxy.settings["feed_plugin"] == "pgoutput":
        pytest.skip("PostgreSQL refuses to update what is published without identity")
    for sql in ("SELECT v FROM t WHERE id = 1", "SELECT count(*) FROM t"):
        after(proxy, cluster, sql, "ALTER TABLE t DROP CONSTRAINT t_pkey", "UPDATE t SET v = 'keyless' WHERE id = 1",
              "INSERT INTO t (id, v, n) VALUES (1, 'twin', 50)", "DELETE FROM t WHERE v = 'keyless'", "ALTER TABLE t ADD PRIMARY KEY (id)",
              "UPDATE t SET v = 'keyed' WHERE id = 1")


@pytest.mark.parametrize("changes", [
    ["ALTER TABLE t ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON t USING (id = 2)", "ALTER POLICY p ON t USING (id = 1)", "ALTER TABLE t DISABLE ROW LEVEL SECURITY"],
    ["REVOKE SELECT ON t FROM app", "GRANT SELECT (id, v) ON t TO app", "REVOKE SELECT (v) ON t FROM app", "GRANT SELECT ON t TO app"],
    ["REVOKE USAGE ON SCHEMA public FROM PUBLIC", "GRANT USAGE ON SCHEMA public TO PUBLIC"],
    ["REVOKE SELECT ON t FROM app; BEGIN; GRANT SELECT ON t TO app; ROLLBACK", "GRANT ALL ON t TO PUBLIC", "REVOKE ALL ON t FROM PUBLIC"],
], ids=["row security", "columns", "schema", "public"])
def test_rights(proxy, cluster, changes):
    after(proxy, cluster, "SELECT v FROM t WHERE id = 1", *changes, user="app")


@pytest.mark.parametrize("before,change,back", [
    ("REVOKE SELECT ON t FROM app; GRANT team TO app", "REVOKE team FROM app", "GRANT team TO app"),
    ("REVOKE SELECT ON t FROM app; GRANT crew TO app; GRANT team TO crew", "REVOKE team FROM crew", "GRANT team TO crew"),
    ("REVOKE SELECT ON t FROM app; GRANT team TO app", "ALTER ROLE app NOINHERIT", "ALTER ROLE app INHERIT") if pg_version() < 16 else
    ("REVOKE SELECT ON t FROM app; GRANT team TO app", "GRANT team TO app WITH INHERIT FALSE", "GRANT team TO app WITH INHERIT TRUE"),
], ids=["member", "member of a member", "inherit"])
def test_roles_are_seen_by_the_poll(proxy, cluster, before, change, back):
    """The one part that is bounded: roles leave no trace in a database's stream."""
    sql = "SELECT v FROM t WHERE id = 1"
    cluster.sql(TABLE + before, DB)
    try:
        with Wire(proxy.port).login(user="app", database=DB) as wire:
            reads_twice(proxy, lambda: wire.simple(sql), patience=10)
            cluster.sql(change)
            wait_for("the poll", lambda: kinds(wire.simple(sql)) == "EZ")
            never_hits(proxy, lambda: wire.simple(sql))
            cluster.sql(back)
            wait_for("the right to be back", lambda: rows(wire.simple(sql)) == [[b"one"]])
    finally:
        cluster.sql("REVOKE team, crew FROM app; REVOKE team FROM crew; ALTER ROLE app INHERIT")


def test_triggers_and_cascades_write_elsewhere(proxy, cluster):
    cluster.sql(TABLE + """
        DROP TABLE IF EXISTS log, child CASCADE;
        CREATE TABLE log (id int PRIMARY KEY, v text); INSERT INTO log VALUES (1, 'nothing');
        CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, o int REFERENCES t ON DELETE SET NULL ON UPDATE CASCADE);
        INSERT INTO child VALUES (1, 1, 2), (2, 2, 1);
        CREATE OR REPLACE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE log SET v = NEW.v; RETURN NEW; END $$;
        CREATE TRIGGER noted AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noted()""", DB)
    reads = ["SELECT v FROM log WHERE id = 1", "SELECT id, o FROM child WHERE t = 1", "SELECT count(*) FROM child WHERE o = 1",
             "SELECT c.id FROM t JOIN child c ON c.t = t.id WHERE t.id = 1"]
    with Wire(proxy.port).login(database=DB) as wire, Wire(cluster.port).login(database=DB) as real:
        for write in ("UPDATE t SET v = 'noted' WHERE id = 2", "SET session_replication_role = replica; UPDATE t SET v = 'unnoted' WHERE id = 2",
                      "UPDATE t SET id = 9 WHERE id = 1", "UPDATE t SET id = 1 WHERE id = 9", "DELETE FROM t WHERE id = 1"):
            for sql in reads:
                reads_twice(proxy, lambda sql=sql: wire.simple(sql), patience=10)
            cluster.sql(write, DB)
            for sql in reads:
                assert rows(wire.simple(sql)) == rows(real.simple(sql)), (write, sql)


def test_more_rows_than_are_told_apart(proxy, cluster):
    """COPY of more rows than max_change_keys: the table as a whole, and nothing else."""
    cluster.sql("DROP TABLE IF EXISTS bulk; CREATE TABLE bulk (id int PRIMARY KEY, owner int); INSERT INTO bulk VALUES (0, 1)", DB)
    reads = ["SELECT owner FROM bulk WHERE id = 0", "SELECT count(*) FROM bulk WHERE owner = 1", "SELECT id FROM bulk WHERE owner = 2 AND id < 0"]
    other = "SELECT name FROM item WHERE id = 5"
    if pg_version() < 15:
        time.sleep(2)  # there the statistics, which tell of changes of roles, come late, and with them all falls
    with Wire(proxy.port).login(database=DB) as wire, Wire(cluster.port).login(database=DB) as real:
        for write in ("COPY bulk FROM PROGRAM 'seq -f \"%.0f,1\" 1 30000' WITH (FORMAT csv)", "UPDATE bulk SET owner = 2", "DELETE FROM bulk WHERE id > 3"):
            for sql in [*reads, other]:
                reads_twice(proxy, lambda sql=sql: wire.simple(sql), patience=10)
            cluster.sql(write, DB)
            for sql in reads:
                assert rows(wire.simple(sql)) == rows(real.simple(sql)), (write, sql)
            with Counted(proxy) as counted:
                wire.simple(other)
            assert counted.rise("cache_misses") == 0, write


@pytest.mark.slow
@pytest.mark.parametrize("plugin,many", [("test_decoding", 1000000), ("pgoutput", 200000)][:len(feed_plugins())])
def test_a_million_rows(cluster, db, plugin, many):
    """Who reads while the feed works through them is served by PostgreSQL, never late and never with an older answer."""
    cluster.sql("DROP TABLE IF EXISTS million; CREATE TABLE million (id int PRIMARY KEY, v int); INSERT INTO million VALUES (0, 0)", DB)
    publish(cluster, plugin)
    proxy = Proxy(cluster, {**PATIENT, "feed_plugin": plugin})
    warm(proxy, DB)
    with proxy.connect(DB) as reader, cluster.connect(DB) as writer:
        mine, other = "SELECT v FROM million WHERE id = 7", "SELECT name FROM item WHERE id = 6"
        assert reads_twice(proxy, lambda: reader.execute(mine).fetchall()) == []
        reads_twice(proxy, lambda: reader.execute(other).fetchall())
        writer.execute(f"COPY million FROM PROGRAM 'seq -f \"%.0f,1\" 1 {many}' WITH (FORMAT csv)")
        assert reader.execute(mine).fetchone() == (1,)
        writer.execute("UPDATE item SET name = 'behind it' WHERE id = 6")
        assert reader.execute(other).fetchone() == ("behind it",)
        # Once the feed has come through, all is as before.
        assert reads_twice(proxy, lambda: reader.execute(other).fetchall(), patience=150) == [("behind it",)]
        assert reads_twice(proxy, lambda: reader.execute(mine).fetchall(), patience=30) == [(1,)]
    assert proxy.stop() == 0
    cluster.sql("DROP TABLE million; UPDATE item SET name = 'item 6' WHERE id = 6", DB)


@pytest.mark.slow
def test_a_slot_that_is_lost():
    """PostgreSQL keeps no more log for a reader that is too slow: it ends the slot, and the cache begins anew."""
    from pgweir_test.cluster import Cluster
    tight = Cluster(settings={"max_slot_wal_keep_size": "'1MB'", "min_wal_size": "'32MB'", "max_wal_size": "'32MB'"})
    tight.sql("CREATE DATABASE cached")
    tight.sql("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i; "
              "CREATE TABLE junk (v text)", "cached")
    proxy = Proxy(tight)
    warm(proxy, "cached")
    sql = "SELECT name FROM item WHERE id = 1"
    with proxy.connect("cached") as conn:
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
        proxy.signal(signal.SIGSTOP)
        try:
            tight.sql("UPDATE item SET name = 'while it was lost' WHERE id = 1", "cached")

            def gone():
                tight.sql("INSERT INTO junk SELECT repeat(md5(i::text), 40) FROM generate_series(1, 20000) i", "cached")
                tight.sql("SELECT pg_switch_wal(); CHECKPOINT")
                return "invalidating" in tight.log.read_text() or "terminating process" in tight.log.read_text()
            wait_for("PostgreSQL to give the slot up", gone)
        finally:
            proxy.signal(signal.SIGCONT)
        assert conn.execute(sql).fetchone() == ("while it was lost",)
        warm(proxy, "cached")
        assert reads_twice(proxy, lambda: conn.execute(sql).fetchall()) == [("while it was lost",)]
    assert proxy.metrics().count("feed_restarts") >= 1
    assert proxy.stop() == 0
    tight.remove()
