"""refresh_in_place: a row that somebody else has changed is answered from the cache again without having been asked for, with PostgreSQL's bytes;
and what may not go on is read anew."""
import threading

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import feed_plugins, wait_for
from pgweir_test.wire import SYNC, Wire, bind, describe, execute, parse

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
SETTINGS = {"probe_patience": "300ms", "refresh_in_place": "on"}
# Column, type, values one after the other. These go on in text, and those of BINARY also in binary.
TYPES = [
    ("i2", "int2", ["-32768", "7", "NULL", "32767"]), ("i4", "int4", ["-1", "2147483647", "NULL", "0"]),
    ("i8", "int8", ["-9223372036854775808", "1", "NULL", "256"]), ("o", "oid", ["4294967295", "0", "NULL", "1"]),
    ("b", "bool", ["true", "false", "NULL", "true"]), ("t", "text", ["'it''s \\ \"x\"'", "''", "NULL", "E'a\\nb\\u00e9'"]),
    ("vc", "varchar(20)", ["'  x  '", "''", "NULL", "'null'"]), ("u", "uuid", ["'00000000-0000-0000-0000-0000000000FF'", "gen_random_uuid()", "NULL", "gen_random_uuid()"]),
    ("n", "numeric", ["1.500", "'NaN'", "NULL", "-0.0001"]), ("j", "json", ["'{\"a\" :  1}'", "'[]'", "NULL", "'\"x\"'"]),
    ("jb", "jsonb", ["'{\"b\" :  1, \"a\": null}'", "'[]'", "NULL", "'\"x\"'"]),
]
BINARY = ("i2", "i4", "i8", "b", "t", "vc", "u", "j")


@pytest.fixture(scope="module")
def db(cluster):
    name = "refresh"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql(f"""
        CREATE TABLE item (id int PRIMARY KEY, {', '.join(f'{column} {kind}' for column, kind, _ in TYPES)});
        INSERT INTO item SELECT i FROM generate_series(1, 50) i;
        CREATE TABLE pair (a int, b text, v text, d date, PRIMARY KEY (a, b));
        INSERT INTO pair SELECT i, 'x', 'v', '2020-01-01' FROM generate_series(1, 20) i;
        CREATE TABLE big (id int PRIMARY KEY, n int, v text);
        ALTER TABLE big ALTER v SET STORAGE EXTERNAL;
        INSERT INTO big VALUES (1, 1, repeat('x', 10000)), (2, 1, repeat('x', 10000));
        CREATE TABLE wholly (id int PRIMARY KEY, v text);
        ALTER TABLE wholly REPLICA IDENTITY FULL;
        INSERT INTO wholly VALUES (1, 'v');
        CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
        CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO part VALUES (1, 'v');
        CREATE PUBLICATION pgweir FOR ALL TABLES;
    """, name)
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="module", params=feed_plugins())
def proxy(request, cluster, db):
    made = Proxy(cluster, {**SETTINGS, "feed_plugin": request.param})
    with made.connect(db) as conn:
        def hit():
            before = made.metrics().count("cache_hits")
            conn.execute("SELECT v FROM pair WHERE a = 20 AND b = 'x'")
            return made.metrics().count("cache_hits") > before
        wait_for("the cache to be on", hit)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def count(proxy, *names):
    metrics = proxy.metrics()
    return [metrics.count(name) for name in names]


def ask(wire, sql, params, formats):
    wire.send(parse("", sql), bind("", "", params, [0], formats), describe("P"), execute(), SYNC)
    return wire.until(b"Z")


def kept(proxy, read):
    """Its row is there: the cache answers."""
    def hit():
        before, = count(proxy, "cache_hits")
        read()
        return count(proxy, "cache_hits")[0] > before
    wait_for("a hit", hit, 10)


def goes_on(cluster, proxy, db, change, read, truth):
    """After `change` the next read is a hit without a fill, with PostgreSQL's bytes. A proof may come late on a busy machine: again then."""
    def once():
        kept(proxy, read)
        before, = count(proxy, "cache_refreshes")
        cluster.sql(change, db)
        wait_for("the row to go on", lambda: count(proxy, "cache_refreshes")[0] > before, 10)
        hits, fills = count(proxy, "cache_hits", "cache_fills")
        assert read() == truth()
        return count(proxy, "cache_hits", "cache_fills") == [hits + 1, fills]
    wait_for("a hit after a change", once, 20)


def ends(cluster, proxy, db, change, read, truth):
    """After `change` nothing goes on, and the next read has what PostgreSQL has."""
    kept(proxy, read)
    before = count(proxy, "cache_refreshes")
    cluster.sql(change, db)
    assert read() == truth()
    kept(proxy, read)
    assert read() == truth()
    assert count(proxy, "cache_refreshes") == before


@pytest.mark.parametrize("column, kind, values", TYPES, ids=[row[0] for row in TYPES])
def test_a_changed_row_goes_on(cluster, proxy, db, column, kind, values):
    key = 1 + [row[0] for row in TYPES].index(column)
    with Wire(proxy.port).login(database=db) as wire, Wire(cluster.port).login(database=db) as real:
        for formats in ([0], [1]) if column in BINARY else ([0],):
            question = (f"SELECT {column}, id FROM item WHERE id = $1", [str(key).encode()], formats)
            for value in values:
                goes_on(cluster, proxy, db, f"UPDATE item SET {column} = {value} WHERE id = {key}",
                        lambda: ask(wire, *question), lambda: ask(real, *question))


def point(proxy, cluster, db, sql):
    """Readers of one statement: through pgweir, and directly."""
    through, real = proxy.connect(db), cluster.connect(db)
    return lambda: through.execute(sql).fetchall(), lambda: real.execute(sql).fetchall()


def test_what_goes_on(cluster, proxy, db):
    for sql, change in [
        ("SELECT v, a FROM pair WHERE a = 1 AND b = 'x'", "UPDATE pair SET v = v || 'y' WHERE a = 1"),
        ("SELECT v FROM pair WHERE a = 2 AND b = 'x'", "BEGIN; UPDATE pair SET v = v || 'y' WHERE a = 2; UPDATE pair SET v = v || 'z' WHERE a = 2; COMMIT"),
        ("SELECT v FROM pair WHERE a = 3 AND b = 'x'", "BEGIN; UPDATE pair SET v = v || 'y' WHERE a = 3; SAVEPOINT s; UPDATE pair SET v = 'no' WHERE a = 3;"
                                                       " ROLLBACK TO s; COMMIT"),
        ("SELECT v FROM pair WHERE a = 4 AND b = 'x'", "BEGIN; SAVEPOINT s; UPDATE pair SET v = v || 'y' WHERE a = 4; RELEASE s; COMMIT"),
        ("SELECT v FROM wholly WHERE id = 1", "UPDATE wholly SET v = v || 'y'"),
        ("SELECT n FROM big WHERE id = 1", "UPDATE big SET n = n + 1 WHERE id = 1"),
        ("SELECT v FROM big WHERE id = 1", "UPDATE big SET v = v || 'y' WHERE id = 1"),
    ]:
        goes_on(cluster, proxy, db, change, *point(proxy, cluster, db, sql))
    # A second change, at once.
    read, truth = point(proxy, cluster, db, "SELECT v FROM pair WHERE a = 5 AND b = 'x'")
    kept(proxy, read)
    for _ in range(20):
        cluster.sql("UPDATE pair SET v = v || 'y' WHERE a = 5", db)
        cluster.sql("UPDATE pair SET v = v || 'z' WHERE a = 5", db)
        assert read() == truth()


def test_what_does_not(cluster, proxy, db):
    for sql, change in [
        ("SELECT v, n FROM big WHERE id = 2", "UPDATE big SET n = n + 1 WHERE id = 2"),
        ("SELECT v, d FROM pair WHERE a = 6 AND b = 'x'", "UPDATE pair SET v = v || 'y' WHERE a = 6"),
        ("SELECT v FROM pair WHERE a = 7 AND b = 'x'", "UPDATE pair SET a = 107 WHERE a = 7"),
        ("SELECT v FROM pair WHERE a = 8 AND b = 'x'", "DELETE FROM pair WHERE a = 8"),
        ("SELECT v FROM pair WHERE a = 9 AND b = 'x'", "BEGIN; UPDATE pair SET v = 'y' WHERE a = 9; DELETE FROM pair WHERE a = 9; COMMIT"),
        ("SELECT v FROM pair WHERE a = 10 AND b = 'x'", "BEGIN; UPDATE pair SET v = 'no' WHERE a = 10; ROLLBACK"),
        ("SELECT v FROM pair WHERE a = 11 AND b = 'x'", "BEGIN; UPDATE pair SET v = 'y' WHERE a = 11; TRUNCATE pair; COMMIT"),
        ("SELECT v FROM pair WHERE a = 112 AND b = 'x'", "INSERT INTO pair VALUES (112, 'x', 'new')"),
        ("SELECT v FROM part WHERE id = 1", "UPDATE part SET v = v || 'y'"),
    ]:
        ends(cluster, proxy, db, change, *point(proxy, cluster, db, sql))
    cluster.sql("TRUNCATE pair; INSERT INTO pair SELECT i, 'x', 'v', '2020-01-01' FROM generate_series(1, 20) i", db)


def test_not_before_it_can_be_seen(cluster, proxy, db):
    """A commit that waits for a synchronous standby has been streamed, and nobody sees it yet."""
    read, truth = point(proxy, cluster, db, "SELECT v FROM pair WHERE a = 13 AND b = 'x'")
    kept(proxy, read)
    old, (before, received) = read(), count(proxy, "cache_refreshes", "feed_transactions")
    cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    cluster.reload()
    wait_for("the setting", lambda: cluster.sql("SHOW synchronous_standby_names") == "nobody")
    writer = threading.Thread(target=cluster.sql, args=("UPDATE pair SET v = v || 'y' WHERE a = 13", db))
    writer.start()
    try:
        wait_for("the commit to wait", lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1")
        wait_for("the feed", lambda: count(proxy, "feed_transactions")[0] > received)
        for _ in range(20):
            assert truth() == read() == truth() == old
        assert count(proxy, "cache_refreshes") == [before]
    finally:
        cluster.sql("ALTER SYSTEM RESET synchronous_standby_names")
        cluster.reload()
        writer.join()
    assert read() == truth() != old


def test_the_schema_changes_between(cluster, proxy, db):
    cluster.sql("CREATE TABLE moving (id int PRIMARY KEY, v int); INSERT INTO moving VALUES (1, 1)", db)
    read, truth = point(proxy, cluster, db, "SELECT v FROM moving WHERE id = 1")
    kept(proxy, read)
    cluster.sql("BEGIN; ALTER TABLE moving ALTER v TYPE text; UPDATE moving SET v = 'one'; COMMIT", db)
    wait_for("the new type", lambda: read() == truth() == [("one",)], 10)
    cluster.sql("DROP TABLE moving", db)


def test_off_is_off(cluster, db):
    made = Proxy(cluster, {"probe_patience": "300ms"})
    read, truth = point(made, cluster, db, "SELECT v FROM wholly WHERE id = 1")
    kept(made, read)
    cluster.sql("UPDATE wholly SET v = v || 'y'", db)
    assert read() == truth()
    assert count(made, "cache_refreshes", "cache_rows") == [0, 0]
    assert made.stop() == 0
