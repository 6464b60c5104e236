"""The cache: what it answers, what it must not answer, and that it is never behind PostgreSQL."""
import asyncio
import contextlib
import os
import threading
import time

import asyncpg
import psycopg
import psycopg2
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import SLOW, pg_version, wait_for
from pgweir_test.wire import SYNC, Wire, bind, describe, execute, kinds, parse, rows

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
TABLES = """
    CREATE TABLE item (id int PRIMARY KEY, name text, price numeric);
    INSERT INTO item SELECT i, 'item ' || i, i FROM generate_series(1, 1000) i;
    CREATE TABLE "Odd Name" ("Id" uuid PRIMARY KEY, "Value" text);
    INSERT INTO "Odd Name" VALUES ('00000000-0000-0000-0000-000000000001', 'first');
    CREATE TABLE pair (a int, b text, v text, PRIMARY KEY (a, b));
    INSERT INTO pair VALUES (1, 'x', 'one x'), (1, 'y', 'one y');
    CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, v text);
    INSERT INTO unlogged VALUES (1, 'a');
    CREATE VIEW item_view AS SELECT * FROM item;
    CREATE TABLE guarded (id int PRIMARY KEY, v text);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    INSERT INTO guarded VALUES (1, 'secret');
"""
PATIENT = {"probe_patience": "300ms"}  # so that a hit does not depend on how busy the machine is


@pytest.fixture(scope="module")
def db(cluster):
    """A database with the tables of these tests."""
    name = "cached"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql(TABLES, name)
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, PATIENT)
    warm(made, db)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def warm(proxy, db):
    """Waits until the change stream is connected and the cache answers in every worker: each takes one of the clients."""
    workers = int(proxy.settings.get("workers") or os.cpu_count())
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(proxy.connect(db)) for _ in range(workers)]

        def hit(conn):
            before = proxy.metrics().count("cache_hits")
            conn.execute("SELECT name FROM item WHERE id = 999")
            return proxy.metrics().count("cache_hits") > before

        for conn in conns:
            wait_for("the cache to be on", lambda: hit(conn))
        if pg_version() < 15:  # there the statistics, which tell of changes of roles and databases, come late, and with them all falls
            time.sleep(1.5)
            for conn in conns:
                wait_for("the cache to be on", lambda: hit(conn))


class Counted:
    """The counters' rise while a block runs."""

    def __init__(self, proxy):
        self.proxy = proxy

    def __enter__(self):
        self.before = self.proxy.metrics()
        return self

    def __exit__(self, *_):
        self.after = self.proxy.metrics()

    def rise(self, counter):
        return self.after.count(counter) - self.before.count(counter)


def reads_twice(proxy, read, patience=None):
    """Reads until the cache has answered; returns what it said. A busy machine may cost a proof or two."""
    first = read()

    def hit():
        with Counted(proxy) as counted:
            again = read()
        assert again == first
        return counted.rise("cache_hits") >= 1
    wait_for("a hit", hit, patience or 5)
    return first


def never_hits(proxy, read, times=5):
    with Counted(proxy) as counted:
        for _ in range(times):
            read()
    assert counted.rise("cache_hits") == 0


# --- what is answered --------------------------------------------------------------------------------------

@pytest.mark.parametrize("sql", [
    "SELECT * FROM item WHERE id = 1",
    "SELECT name, price FROM item WHERE id = 2",
    'SELECT "i"."name" AS "i_name" FROM "item" AS "i" WHERE "i"."id" = 3 LIMIT 1',
    "select price from public.item where item.id=4",
    "SELECT name FROM item WHERE id IN (5, 6, 7)",
    "SELECT name FROM item WHERE 8 = id",
    """SELECT "Value" FROM "Odd Name" WHERE "Id" = '00000000-0000-0000-0000-000000000001'""",
    "SELECT v FROM pair WHERE a = 1 AND b = 'x'",
    "SELECT name FROM item WHERE id = 100000",
], ids=lambda s: s[:40])
def test_simple_reads_by_key_hit(proxy, db, sql):
    with Wire(proxy.port).login(database=db) as wire:
        reads_twice(proxy, lambda: wire.simple(sql))


@pytest.mark.parametrize("result_format", [0, 1])
@pytest.mark.parametrize("parameter", [(0, b"11"), (1, b"\0\0\0\x0b")], ids=["text", "binary"])
def test_extended_reads_hit_in_both_formats(proxy, db, parameter, result_format):
    with Wire(proxy.port).login(database=db) as wire:
        def read():
            wire.send(parse("", "SELECT id, name FROM item WHERE id = $1", [23]),
                      bind("", "", [parameter[1]], [parameter[0]], [result_format]), describe("P"), execute(), SYNC)
            got = wire.until(b"Z")
            assert kinds(got) == "12TDCZ"
            return got
        got = reads_twice(proxy, read)
        assert rows(got)[0][0] == (b"\0\0\0\x0b" if result_format else b"11")


def test_named_statements_hit(proxy, db):
    with Wire(proxy.port).login(database=db) as wire:
        wire.send(parse("by_id", "SELECT name FROM item WHERE id = $1"), describe("S", "by_id"), SYNC)
        wire.until(b"Z")

        def read():
            wire.send(bind("", "by_id", [b"12"]), execute(), SYNC)
            return wire.until(b"Z")
        assert rows(reads_twice(proxy, read)) == [[b"item 12"]]


def test_sessions_of_different_settings_that_share_a_backend_hit_and_are_told_nothing(cluster, db):
    """PostgreSQL reports what our image commands change behind the client's own statement. It must not reach the client,
    and not spoil what is to be cached; least of all may the client see the other one's value."""
    proxy = Proxy(cluster, {**PATIENT, "default_pool_size": 1})
    warm(proxy, db)
    zones = ["Asia/Tokyo", "Europe/Berlin"]
    with Wire(proxy.port).login(database=db) as one, Wire(proxy.port).login(database=db) as two:
        wires = [one, two]
        for wire, zone in zip(wires, zones):
            assert (b"S", f"TimeZone\0{zone}\0".encode()) in wire.simple(f"SET TimeZone TO '{zone}'")

        def read():
            for wire in wires:  # an error first, so that the backend changes hands even when the reads hit
                assert [kind for kind, _ in wire.simple("SELECT 1/0")] == [b"E", b"Z"]
            got = [wire.simple("SELECT name FROM item WHERE id = 21") for wire in wires]
            assert [[kind for kind, _ in answer] for answer in got] == [[b"T", b"D", b"C", b"Z"]] * 2
            return got
        reads_twice(proxy, read)
    assert proxy.stop() == 0


def test_every_driver_hits(proxy, db):
    with proxy.connect(db) as conn:
        reads_twice(proxy, lambda: conn.execute("SELECT name FROM item WHERE id = %s", (13,)).fetchall())
        reads_twice(proxy, lambda: conn.execute("SELECT name FROM item WHERE id = %s", (13,), binary=True).fetchall())
    legacy = psycopg2.connect(proxy.dsn(db))
    legacy.autocommit = True
    with legacy.cursor() as cur:
        reads_twice(proxy, lambda: (cur.execute("SELECT name FROM item WHERE id = %s", (14,)), cur.fetchall())[1])
    legacy.close()

    async def modern():
        conn = await asyncpg.connect(proxy.url(db))
        for _ in range(50):
            with Counted(proxy) as counted:
                # not fetchval: it asks for one row of the portal, which only PostgreSQL can suspend
                assert (await conn.fetch("SELECT name FROM item WHERE id = $1", 15))[0][0] == "item 15"
            if counted.rise("cache_hits"):
                break
        else:
            raise AssertionError("asyncpg never hit")
        await conn.close()
    asyncio.run(modern())


def test_one_clients_fill_is_the_others_hit(proxy, db):
    with proxy.connect(db) as one, proxy.connect(db) as two:
        sql = "SELECT name FROM item WHERE id = 16"
        one.execute(sql)
        reads_twice(proxy, lambda: two.execute(sql).fetchall())


def test_a_hit_looks_exactly_like_the_real_answer(proxy, db, cluster):
    """Byte for byte, against a connection straight to PostgreSQL."""
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        for sql in ("SELECT * FROM item WHERE id = 17", "SELECT * FROM item WHERE id = -1",
                    "SELECT price, name AS n FROM item WHERE id IN (18, 19)"):
            wanted = real.simple(sql)
            for _ in range(5):
                assert ours.simple(sql) == wanted


def test_transaction_reads_hit_and_use_no_backend(cluster, db):
    proxy = Proxy(cluster, {"default_pool_size": 1, **PATIENT})
    warm(proxy, db)
    with proxy.connect(db) as reader, proxy.connect(db, autocommit=False) as holder:
        reader.prepare_threshold = None  # else a busy machine has it prepare, which asks the backend
        sql = "SELECT name FROM item WHERE id = 20"
        reads_twice(proxy, lambda: reader.execute(sql).fetchall())
        holder.execute("SELECT pg_backend_pid()")  # the only backend is taken now

        def in_transaction():
            with reader.transaction():
                return reader.execute(sql).fetchall()
        with Counted(proxy) as counted:
            assert in_transaction() == [("item 20",)]
        assert counted.rise("cache_hits") == 1 and counted.rise("begins_saved") == 1
    assert proxy.stop() == 0


# --- never stale -------------------------------------------------------------------------------------------

@pytest.mark.release
def test_a_direct_write_is_seen_at_once(proxy, db, cluster):
    with proxy.connect(db) as reader, cluster.connect(db) as writer:
        for i in range(30 if SLOW else 200):
            writer.execute("UPDATE item SET name = %s WHERE id = 21", (f"v{i}",))
            for _ in range(3):
                assert reader.execute("SELECT name FROM item WHERE id = 21").fetchone() == (f"v{i}",)


@pytest.mark.release
@pytest.mark.parametrize("sync", ["on", "off", "local"])
def test_every_kind_of_commit_is_seen(proxy, db, cluster, sync):
    with proxy.connect(db) as reader, cluster.connect(db) as writer:
        writer.execute(f"SET synchronous_commit = {sync}")
        for i in range(30 if SLOW else 200):
            writer.execute("UPDATE item SET price = %s WHERE id = 22", (i,))
            assert int(reader.execute("SELECT price FROM item WHERE id = 22").fetchone()[0]) == i


@pytest.mark.release
def test_a_write_through_the_proxy_is_seen_by_others(proxy, db):
    with proxy.connect(db) as writer, proxy.connect(db) as reader:
        for i in range(30 if SLOW else 200):
            writer.execute("UPDATE item SET name = %s WHERE id = 23", (f"w{i}",))
            assert reader.execute("SELECT name FROM item WHERE id = 23").fetchone() == (f"w{i}",)


def test_own_uncommitted_writes_are_seen(proxy, db):
    with proxy.connect(db) as conn, proxy.connect(db) as other:
        sql = "SELECT name FROM item WHERE id = 24"
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
        with conn.transaction(force_rollback=True):
            conn.execute("UPDATE item SET name = 'mine' WHERE id = 24")
            assert conn.execute(sql).fetchone() == ("mine",)
            assert other.execute(sql).fetchone() == ("item 24",)
        assert conn.execute(sql).fetchone() == ("item 24",)


def test_insert_and_delete_change_an_empty_answer(proxy, db, cluster):
    with proxy.connect(db) as conn:
        sql = "SELECT name FROM item WHERE id = 5000"
        for _ in range(10):
            assert reads_twice(proxy, lambda: conn.execute(sql).fetchall()) == []
            cluster.sql("INSERT INTO item VALUES (5000, 'new', 1)", db)
            assert reads_twice(proxy, lambda: conn.execute(sql).fetchall()) == [("new",)]
            cluster.sql("DELETE FROM item WHERE id = 5000", db)
            assert conn.execute(sql).fetchall() == []


def test_a_changed_key_moves_both_answers(proxy, db, cluster):
    with proxy.connect(db) as conn:
        old, new = ("SELECT name FROM item WHERE id = %d" % i for i in (6000, 6001))
        cluster.sql("INSERT INTO item VALUES (6000, 'mover', 1)", db)
        reads_twice(proxy, lambda: conn.execute(old).fetchall())
        reads_twice(proxy, lambda: conn.execute(new).fetchall())
        cluster.sql("UPDATE item SET id = 6001 WHERE id = 6000", db)
        assert conn.execute(old).fetchall() == [] and conn.execute(new).fetchall() == [("mover",)]
        cluster.sql("DELETE FROM item WHERE id = 6001", db)


@pytest.mark.parametrize("change", [
    "TRUNCATE thing", "DELETE FROM thing", "UPDATE thing SET v = 'all'",
    "BEGIN; DELETE FROM thing WHERE id = 1; INSERT INTO thing VALUES (1, 'again'); COMMIT",
    "COPY thing FROM PROGRAM 'echo 9,nine' WITH (FORMAT csv)",
    "INSERT INTO thing VALUES (1, 'up') ON CONFLICT (id) DO UPDATE SET v = excluded.v",
    "ALTER TABLE thing ALTER COLUMN v TYPE varchar(3) USING left(v, 3)",
    "ALTER TABLE thing RENAME COLUMN v TO w; ALTER TABLE thing ADD COLUMN v text DEFAULT 'fresh'",
    "ALTER TABLE thing RENAME TO thing_old; CREATE TABLE thing (id int PRIMARY KEY, v text)",
    "DROP TABLE thing; CREATE TABLE thing (id int PRIMARY KEY, v text); INSERT INTO thing VALUES (1, 'reborn')",
    "SET session_replication_role = replica; UPDATE thing SET v = 'replica' WHERE id = 1",
    "BEGIN; UPDATE thing SET v = 'a' WHERE id = 1; SAVEPOINT s; UPDATE thing SET v = 'b' WHERE id = 1; ROLLBACK TO s; COMMIT",
    "DO $$ BEGIN UPDATE thing SET v = 'from a block' WHERE id = 1; END $$",
    "VACUUM FULL thing", "CLUSTER thing USING thing_pkey",
], ids=lambda c: c[:30])
def test_any_change_is_seen_at_once(proxy, db, cluster, change):
    cluster.sql("DROP TABLE IF EXISTS thing, thing_old; CREATE TABLE thing (id int PRIMARY KEY, v text);"
                "INSERT INTO thing VALUES (1, 'one'), (2, 'two')", db)
    sql = "SELECT v FROM thing WHERE id = 1"
    with Wire(proxy.port).login(database=db) as wire:
        reads_twice(proxy, lambda: wire.simple(sql), patience=10)
        cluster.sql(change, db)
        with Wire(proxy.port).login(database=db) as fresh, Wire(cluster.port).login(database=db) as real:
            wanted = real.simple(sql)
            assert fresh.simple(sql) == wanted
            assert wire.simple(sql) == wanted


def test_a_revoked_right_counts_at_once(cluster, db):
    cluster.sql("CREATE ROLE reader LOGIN; GRANT SELECT ON item TO reader", db)
    proxy = Proxy(cluster, users={"reader": "", "postgres": ""})
    warm(proxy, db)
    with Wire(proxy.port).login(user="reader", database=db) as wire:
        sql = "SELECT name FROM item WHERE id = 25"
        reads_twice(proxy, lambda: wire.simple(sql))
        cluster.sql("REVOKE SELECT ON item FROM reader", db)
        got = wire.simple(sql)
        assert not rows(got) and kinds(got) == "EZ"
        cluster.sql("GRANT SELECT ON item TO reader", db)
        assert rows(wire.simple(sql)) == [[b"item 25"]]
    assert proxy.stop() == 0
    cluster.sql("DROP OWNED BY reader; DROP ROLE reader", db)


def test_one_role_never_sees_anothers_rights(cluster, db):
    cluster.sql("CREATE ROLE poor LOGIN", db)
    proxy = Proxy(cluster, users={"poor": "", "postgres": ""})
    warm(proxy, db)
    with Wire(proxy.port).login(database=db) as rich, Wire(proxy.port).login(user="poor", database=db) as poor:
        sql = "SELECT name FROM item WHERE id = 26"
        reads_twice(proxy, lambda: rich.simple(sql))
        assert kinds(poor.simple(sql)) == "EZ"
        rich.simple("SET ROLE poor")
        assert kinds(rich.simple(sql)) == "EZ"
        rich.simple("RESET ROLE")
        assert rows(rich.simple(sql)) == [[b"item 26"]]
    assert proxy.stop() == 0
    cluster.sql("DROP ROLE poor", db)


def test_settings_that_change_answers_are_part_of_the_key(proxy, db, cluster):
    cluster.sql("CREATE TABLE IF NOT EXISTS times (id int PRIMARY KEY, t timestamptz, d float8, b bytea);"
                r"INSERT INTO times VALUES (1, '2024-01-02 03:04:05+00', 1.0/3, '\x01') ON CONFLICT DO NOTHING", db)
    sql = "SELECT t, d, b FROM times WHERE id = 1"
    with Wire(proxy.port).login(database=db) as wire, Wire(cluster.port).login(database=db) as real:
        for setting in ("TimeZone = 'Asia/Tokyo'", "DateStyle = 'German'", "extra_float_digits = -5",
                        "bytea_output = 'escape'", "TimeZone = 'UTC'"):
            wire.simple("SET " + setting), real.simple("SET " + setting)
            for _ in range(4):
                assert rows(wire.simple(sql)) == rows(real.simple(sql)), setting


def test_search_path_is_part_of_the_key(proxy, db, cluster):
    cluster.sql("CREATE SCHEMA IF NOT EXISTS a; CREATE SCHEMA IF NOT EXISTS b;"
                "DROP TABLE IF EXISTS a.same, b.same;"
                "CREATE TABLE a.same (id int PRIMARY KEY, v text); CREATE TABLE b.same (id int PRIMARY KEY, v text);"
                "INSERT INTO a.same VALUES (1, 'a'); INSERT INTO b.same VALUES (1, 'b')", db)
    with Wire(proxy.port).login(database=db) as one, Wire(proxy.port).login(database=db) as two:
        one.simple("SET search_path = a"), two.simple("SET search_path = b")
        for _ in range(10):
            assert rows(one.simple("SELECT v FROM same WHERE id = 1")) == [[b"a"]]
            assert rows(two.simple("SELECT v FROM same WHERE id = 1")) == [[b"b"]]


def test_a_temporary_table_hides_the_cached_one(proxy, db):
    with Wire(proxy.port).login(database=db) as wire:
        sql = "SELECT name FROM item WHERE id = 27"
        reads_twice(proxy, lambda: wire.simple(sql))
        wire.simple("BEGIN")
        wire.simple("CREATE TEMP TABLE item ON COMMIT DROP AS SELECT 27 AS id, 'temporary' AS name")
        assert rows(wire.simple(sql)) == [[b"temporary"]]
        wire.simple("COMMIT")
        assert rows(wire.simple(sql)) == [[b"item 27"]]


# --- what is not answered ----------------------------------------------------------------------------------

@pytest.mark.parametrize("sql", [
    "SELECT name FROM item WHERE id = 30 FOR UPDATE", "SELECT now(), name FROM item WHERE id = 30",
    "SELECT random() FROM item WHERE id = 30", "SELECT v FROM unlogged WHERE id = 1",
    "SELECT name FROM item_view WHERE id = 30", "SELECT v FROM guarded WHERE id = 1",
    "SELECT relname FROM pg_class WHERE oid = 1259", "SELECT 1",
    "SELECT nextval('s') FROM item WHERE id = 30", "SELECT name FROM item WHERE id = 30; SELECT 1",
    "WITH w AS (UPDATE item SET price = price WHERE id = 30 RETURNING name) SELECT name FROM w"],
    ids=lambda s: s[:40])
def test_these_always_go_to_postgresql(proxy, db, cluster, sql):
    cluster.sql("CREATE SEQUENCE IF NOT EXISTS s", db)
    with Wire(proxy.port).login(database=db) as wire:
        never_hits(proxy, lambda: wire.simple(sql))


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_snapshot_transactions_are_postgresqls(proxy, db, cluster, level):
    sql = "SELECT name FROM item WHERE id = 31"
    with proxy.connect(db) as conn:
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
        conn.execute(f"BEGIN ISOLATION LEVEL {level}")
        before = conn.execute(sql).fetchone()
        cluster.sql("UPDATE item SET name = name || '!' WHERE id = 31", db)
        assert conn.execute(sql).fetchone() == before
        conn.execute("COMMIT")
        assert conn.execute(sql).fetchone() == (before[0] + "!",)


@pytest.mark.parametrize("between", ["", "SHOW work_mem"])
def test_the_level_is_not_changed_behind_a_hit(proxy, db, between):
    """PostgreSQL refuses SET TRANSACTION behind the first read of a block, also when it did not see that read."""
    sql = "SELECT name FROM item WHERE id = 33"
    with proxy.connect(db) as conn:
        conn.prepare_threshold = None

        def in_transaction():
            conn.execute("BEGIN")
            before = conn.execute(sql).fetchone()
            conn.execute(between)
            with pytest.raises(psycopg.errors.ActiveSqlTransaction):
                conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            conn.execute("ROLLBACK")
            return before
        reads_twice(proxy, in_transaction)
        conn.execute("BEGIN")
        conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")  # nothing is owed from before
        conn.execute("COMMIT")


def test_default_transaction_isolation_counts(proxy, db, cluster):
    sql = "SELECT name FROM item WHERE id = 32"
    with proxy.connect(db) as conn:
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
        conn.execute("SET default_transaction_isolation = 'repeatable read'")
        conn.execute("BEGIN")
        before = conn.execute(sql).fetchone()
        cluster.sql("UPDATE item SET name = name || '!' WHERE id = 32", db)
        assert conn.execute(sql).fetchone() == before
        conn.execute("COMMIT")


def test_reasons_are_counted(proxy, db):
    with proxy.connect(db) as conn:
        conn.execute("SELECT now()")
    names = {name for name, labels, _ in proxy.metrics().rows if "reason" in labels}
    assert names, "no metric has a label `reason`"


def test_coherence_off_caches_nothing(cluster, db):
    proxy = Proxy(cluster, {"coherence": "off"})
    with proxy.connect(db) as conn:
        never_hits(proxy, lambda: conn.execute("SELECT name FROM item WHERE id = 33"), times=20)
    assert proxy.stop() == 0


def test_cache_size_is_a_bound(cluster, db):
    cluster.sql("CREATE TABLE wide AS SELECT i AS id, repeat('x', 4000) AS v FROM generate_series(1, 2000) i;"
                "ALTER TABLE wide ADD PRIMARY KEY (id)", db)
    proxy = Proxy(cluster, {"cache_size": "1MB"})
    warm(proxy, db)
    with proxy.connect(db) as conn:
        for i in range(1, 2001):
            conn.execute("SELECT v FROM wide WHERE id = %s", (i,))
    now = proxy.metrics()
    assert now.get("pgweir_cache_bytes") <= 1.1 * 1024 * 1024 and now.count("cache_evictions") > 0
    assert proxy.stop() == 0


# --- trouble -----------------------------------------------------------------------------------------------

@pytest.mark.release
def test_readers_and_writers_together(proxy, db, cluster):
    """A counter that only rises: no reader may ever see it fall or lag behind a finished write."""
    cluster.sql("INSERT INTO item VALUES (7000, 'counter', 0) ON CONFLICT (id) DO UPDATE SET price = 0", db)
    finished, problems, stop = [0], [], threading.Event()

    def write():
        with cluster.connect(db) as conn:
            for i in range(1, (100 if SLOW else 600)):
                conn.execute("UPDATE item SET price = %s WHERE id = 7000", (i,))
                finished[0] = i
        stop.set()

    def read():
        with proxy.connect(db) as conn:
            last = 0
            while not stop.is_set():
                floor = finished[0]
                seen = int(conn.execute("SELECT price FROM item WHERE id = 7000").fetchone()[0])
                if seen < max(floor, last):
                    problems.append((seen, floor, last))
                last = seen

    threads = [threading.Thread(target=read) for _ in range(4)] + [threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:5]


def test_the_walsender_is_ended(cluster, db):
    proxy = Proxy(cluster)
    warm(proxy, db)
    with proxy.connect(db) as conn:
        sql = "SELECT name FROM item WHERE id = 34"
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
        for i in range(3):
            cluster.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL")
            cluster.sql(f"UPDATE item SET name = 'after {i}' WHERE id = 34", db)
            for _ in range(20):
                assert conn.execute(sql).fetchone() == (f"after {i}",)
            warm(proxy, db)
    assert proxy.metrics().count("feed_restarts") >= 1
    assert proxy.stop() == 0


@pytest.mark.release
def test_a_stopped_proxy_wakes_up_fresh(cluster, db):
    import signal
    proxy = Proxy(cluster)
    warm(proxy, db)
    with proxy.connect(db) as conn:
        sql = "SELECT name FROM item WHERE id = 35"
        for i in range(2):
            reads_twice(proxy, lambda: conn.execute(sql).fetchall())
            proxy.signal(signal.SIGSTOP)
            cluster.sql(f"UPDATE item SET name = 'while stopped {i}' WHERE id = 35", db)
            threading.Event().wait(2 if SLOW else 5)  # the stop itself is what is tested
            proxy.signal(signal.SIGCONT)
            assert conn.execute(sql).fetchone() == (f"while stopped {i}",)
    assert proxy.stop() == 0


@pytest.mark.slow
def test_postgresql_is_killed_and_comes_back():
    from pgweir_test.cluster import Cluster
    fragile = Cluster()
    fragile.sql("CREATE DATABASE cached")
    fragile.sql("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM "
                "generate_series(1, 1000) i", "cached")
    proxy = Proxy(fragile, {"server_login_retry": 0.2, "query_wait_timeout": 3})
    warm(proxy, "cached")
    sql = "SELECT name FROM item WHERE id = 1"
    with proxy.connect("cached") as conn:
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
    fragile.kill9()
    assert proxy.psql(sql, dbname="cached", check=False).returncode != 0, "an answer without a database"
    fragile.start_again()
    fragile.sql("UPDATE item SET name = 'after the crash' WHERE id = 1", "cached")
    wait_for("the service", lambda: proxy.psql(sql, dbname="cached").stdout.strip() == "after the crash")
    warm(proxy, "cached")
    assert proxy.stop() == 0
    fragile.remove()


def test_without_logical_wal_it_is_a_plain_pooler():
    from pgweir_test.cluster import Cluster
    plain = Cluster(settings={"wal_level": "replica"})
    plain.sql("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a')")
    proxy = Proxy(plain)
    with proxy.connect() as conn:
        never_hits(proxy, lambda: conn.execute("SELECT name FROM item WHERE id = 1"), times=20)
    wait_for("the log to say why", lambda: "wal_level" in proxy.log_text())
    assert proxy.stop() == 0
    plain.remove()


def test_no_slot_is_left_behind(cluster, db):
    before = int(cluster.sql("SELECT count(*) FROM pg_replication_slots"))
    proxy = Proxy(cluster)
    warm(proxy, db)
    assert int(cluster.sql("SELECT count(*) FROM pg_replication_slots")) > before
    assert proxy.stop() == 0
    wait_for("the slot to go", lambda: int(cluster.sql("SELECT count(*) FROM pg_replication_slots")) <= before)
