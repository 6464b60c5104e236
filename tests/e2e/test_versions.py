"""What other versions of PostgreSQL than 15 do otherwise (tests/versions/run has them)."""
import psycopg
import pytest

from pgweir_test.proxy import BINARY, PGWEIR, Proxy
from pgweir_test.tools import pg_version, run, wait_for
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse, query, rows
from test_cache import PATIENT, Counted, never_hits, reads_twice, warm

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="pgweir's own"), pytest.mark.versions]
supported = pytest.mark.skipif(pg_version() < 14, reason="such a server is refused")
DB = "versions"


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;"
                "CREATE TABLE note (i int, id serial)", DB)
    yield DB
    cluster.drop_database(DB)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, {**PATIENT, "default_pool_size": 1, "refresh_in_place": "on"})
    warm(made, db)
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@supported
def test_a_simple_query_behind_what_stands_in_front_of_it_is_committed(proxy, cluster, db):
    """PostgreSQL 18 keeps the transaction of an Execute without a Sync open, also behind a simple query, and loses it then."""
    with Wire(proxy.port).login(database=db) as one, Wire(proxy.port).login(database=db) as two:
        for i in range(1, 6):
            for wire in (one, two):  # each has sequences of its own to be kept apart, and reads that are filled
                assert wire.simple(f"SELECT name FROM item WHERE id = {i}")[-1] == (b"Z", b"I")
                assert wire.simple(f"INSERT INTO note (i) VALUES ({i})")[-1] == (b"Z", b"I")
                assert wire.simple("SELECT lastval() > 0")[-1] == (b"Z", b"I")
        one.send(query("INSERT INTO note (i) VALUES (6)") * 3 + query("SELECT name FROM item WHERE id = 6"))
        for _ in range(4):
            assert one.until(b"Z")[-1] == (b"Z", b"I")
        cluster.sql("CREATE TABLE fresh (id int PRIMARY KEY, v text); INSERT INTO fresh VALUES (1, 'one')", db)
        answer = reads_twice(proxy, lambda: one.simple("SELECT v FROM fresh WHERE id = 1"), patience=10)
        assert rows(answer) == [[b"one"]] and answer[-1] == (b"Z", b"I")
    assert cluster.sql("SELECT count(*) FROM note", db) == "13"
    cluster.sql("TRUNCATE note", db)


@supported
def test_a_simple_query_that_is_checked_is_committed(cluster, db):
    """The snapshot of row_version_check stands in front as well: of a text that is not parsed, and in a pipeline."""
    proxy = Proxy(cluster, {**PATIENT, "default_pool_size": 1, "row_version_check": "on"})
    warm(proxy, db)
    texts = ["MERGE INTO note USING (VALUES (10)) v (i) ON note.i = v.i WHEN NOT MATCHED THEN INSERT (i) VALUES (v.i)"] if pg_version() >= 15 else []
    texts += ["INSERT INTO note (i) VALUES (11)", "UPDATE note SET i = 12 WHERE i = 11", "INSERT INTO note (i) VALUES (13); SELECT 1"]
    with Wire(proxy.port).login(database=db) as one, Wire(proxy.port).login(database=db) as two:
        for text in texts:
            assert one.simple(text)[-1] == (b"Z", b"I"), text
            assert two.simple("SELECT 1")[-1] == (b"Z", b"I")
        for part in (texts, ["BEGIN", *texts, "COMMIT"], texts):
            one.send(*map(query, part))
            for text in part:
                got = one.until(b"Z")
                assert errors(got) == [] and got[-1] == (b"Z", b"T" if part[0] == "BEGIN" and text != "COMMIT" else b"I"), text
        for sql, status in (("BEGIN", b"T"), ("SELECT count(*) FROM note", b"T"), ("COMMIT", b"I")):
            got = two.simple(sql)
            assert errors(got) == [] and got[-1] == (b"Z", status), sql
    assert cluster.sql("SELECT count(*) FILTER (WHERE i = 12), count(*) FILTER (WHERE i = 13) FROM note", db) == "4|4"
    assert proxy.stop() == 0, proxy.log_text()[-2000:]
    cluster.sql("TRUNCATE note", db)


@supported
def test_a_query_behind_messages_without_a_sync_breaks_nobody_elses_connection(proxy, cluster, db):
    for port in (cluster.port, proxy.port):
        with Wire(port).login(database=db) as wire:
            wire.send(parse("", "INSERT INTO note (i) VALUES (1)") + bind("", "") + execute("") + query("SELECT 5"))
            got = wire.until(b"Z")
            assert errors(got) == [] and got[-1] == (b"Z", b"T" if pg_version() >= 18 else b"I")
            wire.send(SYNC)
            assert wire.until(b"Z") == [(b"Z", b"I")]
    with Wire(proxy.port).login(database=db) as other:
        for sql, status in (("BEGIN", b"T"), ("INSERT INTO note (i) VALUES (2)", b"T"), ("COMMIT", b"I")):
            got = other.simple(sql)
            assert errors(got) == [] and got[-1] == (b"Z", status)
    assert cluster.sql("SELECT count(*) FROM note WHERE i = 2", db) == "1"
    cluster.sql("TRUNCATE note", db)


@supported
@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_virtual_columns(proxy, cluster, db, identity):
    """Their values are in no change: whatever depends on one falls with the columns that it is made of."""
    kind = "VIRTUAL" if pg_version() >= 18 else "STORED"
    cluster.sql("DROP TABLE IF EXISTS made; CREATE TABLE made (id int PRIMARY KEY, a int, g int,"
                f" v int GENERATED ALWAYS AS (a * 10) {kind}, n text GENERATED ALWAYS AS (CASE WHEN a > 1 THEN 'x' END) {kind});"
                f"INSERT INTO made (id, a, g) VALUES (1, 1, 1), (2, 2, 1), (3, 3, 2); ALTER TABLE made REPLICA IDENTITY {identity}", db)
    reads = ["SELECT v FROM made WHERE id = 1", "SELECT * FROM made WHERE id = 1", "SELECT id, n FROM made WHERE id IN (1, 2)",
             "SELECT id FROM made WHERE v = 10", "SELECT id FROM made WHERE v = 20 ORDER BY id", "SELECT count(*) FROM made WHERE n IS NULL",
             "SELECT id, v FROM made WHERE g = 1 AND v > 10 ORDER BY id", "SELECT id, v FROM made WHERE g = 1 ORDER BY v DESC LIMIT 1",
             "SELECT sum(v) FROM made WHERE g = 1", "SELECT m.v, i.name FROM made m JOIN item i ON i.id = m.v ORDER BY m.id"]
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        cached = 0
        for change in ("UPDATE made SET a = 2 WHERE id = 1", "UPDATE made SET a = 1 WHERE id = 2", "UPDATE made SET a = a + 1 WHERE id = 1",
                       "INSERT INTO made (id, a, g) VALUES (4, 1, 1)", "DELETE FROM made WHERE id = 4", "UPDATE made SET a = NULL WHERE id = 1",
                       "ALTER TABLE made ADD COLUMN z int" if pg_version() < 18 else "ALTER TABLE made ALTER COLUMN v SET EXPRESSION AS (a * 20)",
                       "UPDATE made SET a = 1"):
            for _ in range(3):
                for sql in reads:
                    with Counted(proxy) as counted:
                        assert rows(ours.simple(sql)) == rows(real.simple(sql)), (change, sql)
                    cached += counted.rise("cache_hits")
            cluster.sql(change, db)
            for sql in reads:
                assert rows(ours.simple(sql)) == rows(real.simple(sql)), (change, sql)
        assert cached > 20


@pytest.mark.skipif(pg_version() >= 14, reason="new enough")
def test_a_server_that_is_too_old_is_refused(cluster):
    proxy = Proxy(cluster)
    with pytest.raises(psycopg.OperationalError, match="PostgreSQL 13 is too old: pgweir needs 14 or later"):
        proxy.connect()
    assert proxy.stop() == 0, proxy.log_text()[-2000:]


@pytest.mark.skipif(pg_version() != 14, reason="15 and later publish what is attached")
def test_pgoutput_is_refused_where_it_leaves_rows_out(cluster, db):
    proxy = Proxy(cluster, {"feed_plugin": "pgoutput"}, databases={db: f"host=127.0.0.1 port={cluster.port}"})
    with proxy.connect(db) as conn:
        never_hits(proxy, lambda: conn.execute("SELECT name FROM item WHERE id = 1").fetchall())
    wait_for("the reason", lambda: "feed_plugin = pgoutput needs PostgreSQL 15 or later" in proxy.log_text())
    doctor = run([BINARY, "doctor", proxy.ini], check=False)
    assert doctor.returncode == 2 and "feed_plugin = pgoutput needs PostgreSQL 15 or later" in doctor.stdout
    assert proxy.stop() == 0, proxy.log_text()[-2000:]
