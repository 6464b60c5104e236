"""The kinds of promise: coherence = strict, bounded, off, by database and by session."""
import asyncio
import threading
import time

import asyncpg
import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import pg_version, wait_for
from pgweir_test.wire import SYNC, Wire, bind, describe, execute, kinds, parse, rows
from test_cache import PATIENT, Counted, never_hits, proxy, reads_twice, warm  # noqa: F401 its proxy, with our db

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")


@pytest.fixture(scope="module")
def db(cluster):
    name = "promised"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""CREATE TABLE item (id int PRIMARY KEY, name text);
        INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i""", name)
    yield name
    cluster.drop_database(name)


def shown(conn, name="coherence"):
    return conn.execute(f"SHOW pgweir.{name}", prepare=False).fetchone()[0]


SQL = "SELECT name FROM item WHERE id = 1"


# --- how it is said ----------------------------------------------------------------------------------------

def test_set_show_reset(proxy, db):
    with proxy.connect(db) as conn, proxy.connect(db) as other:
        assert shown(conn) == "strict" and shown(conn, "max_staleness") == "100ms"
        conn.execute("SET pgweir.coherence = 'off'")
        assert shown(conn) == "off" and shown(other) == "strict"
        never_hits(proxy, lambda: conn.execute(SQL))
        conn.execute("SET SESSION pgweir.coherence TO bounded")
        conn.execute("SET pgweir.max_staleness = 2")
        assert shown(conn) == "bounded" and shown(conn, "max_staleness") == "2s"
        conn.execute("RESET pgweir.coherence")
        assert shown(conn) == "strict" and shown(conn, "max_staleness") == "2s"
        conn.execute("SET PgWeir.Coherence = off")
        conn.execute("RESET ALL")
        assert shown(conn) == "strict" and shown(conn, "max_staleness") == "100ms"
        conn.execute("SET pgweir.coherence = off")
        conn.execute("SET pgweir.coherence TO DEFAULT")
        assert shown(conn) == "strict"
        conn.execute("SET pgweir.coherence = off")
        conn.execute("DISCARD ALL")
        assert shown(conn) == "strict"
        reads_twice(proxy, lambda: conn.execute(SQL).fetchall())


def test_it_goes_with_its_transaction(proxy, db):
    with proxy.connect(db) as conn:
        for first in ("SELECT 1", "UPDATE item SET name = name WHERE id = 2", None):
            def begin():
                conn.execute("BEGIN")
                if first:
                    conn.execute(first)
            begin()
            conn.execute("SET pgweir.coherence = off")
            assert shown(conn) == "off"
            conn.execute("ROLLBACK")
            assert shown(conn) == "strict"
            begin()
            conn.execute("SET LOCAL pgweir.coherence = off")
            conn.execute("SET pgweir.max_staleness = '5ms'")
            assert shown(conn) == "off"
            conn.execute("COMMIT")
            assert shown(conn) == "strict" and shown(conn, "max_staleness") == "5ms"
            conn.execute("RESET pgweir.max_staleness")
            # Savepoints, also of equal names; a failed COMMIT is a ROLLBACK.
            begin()
            conn.execute("SET pgweir.coherence = bounded")
            conn.execute("SAVEPOINT a")
            conn.execute("SET pgweir.coherence = off")
            conn.execute("SAVEPOINT a")
            conn.execute("SET pgweir.coherence = strict")
            conn.execute("ROLLBACK TO a")
            assert shown(conn) == "off"
            conn.execute("RELEASE a")
            conn.execute("ROLLBACK TO SAVEPOINT a")
            assert shown(conn) == "bounded"
            with pytest.raises(psycopg.errors.UndefinedTable):
                conn.execute("SELECT * FROM nowhere")
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                conn.execute("SET pgweir.coherence = off")
            conn.execute("COMMIT")
            assert shown(conn) == "strict"


def test_set_local_serves_inside_of_the_transaction(cluster, db):
    proxy = Proxy(cluster, {**PATIENT, "coherence": "strict"})
    warm(proxy, db)
    with proxy.connect(db) as conn:
        conn.execute("SET pgweir.coherence = off")

        def in_transaction():
            with conn.transaction():
                conn.execute("SET LOCAL pgweir.coherence = bounded")
                return conn.execute(SQL).fetchall()
        reads_twice(proxy, in_transaction)
        never_hits(proxy, lambda: conn.execute(SQL))
        # Outside it does nothing, as in PostgreSQL.
        notices = []
        conn.add_notice_handler(lambda d: notices.append(d.sqlstate))
        conn.execute("SET LOCAL pgweir.coherence = strict")
        assert notices == ["25P01"] and shown(conn) == "off"
    assert proxy.stop() == 0


@pytest.mark.parametrize("sql,state", [
    ("SET pgweir.coherence = 'sometimes'", "22023"), ("SET pgweir.coherence = 5", "22023"),
    ("SET pgweir.coherence = a, b", "22023"), ("SET pgweir.max_staleness = '1us'", "22023"),
    ("SET pgweir.max_staleness = 'soon'", "22023"), ("SET pgweir.max_staleness = '2h'", "22023"),
    ("SET pgweir.nonsense = 1", "42704"), ("SHOW pgweir.nonsense", "42704"), ("RESET pgweir.nonsense", "42704"),
    ("SELECT 1; SET pgweir.coherence = off", "0A000"), ("SET pgweir.coherence = off; SELECT 1", "0A000"),
    ("SET pgweir.coherence = 'it''s $pgweir$ \\ odd'", "22023"),
], ids=lambda s: s[:34])
def test_what_is_refused(proxy, db, sql, state):
    with Wire(proxy.port).login(database=db) as wire:
        def code(got):
            return [f[1:] for kind, body in got if kind == b"E" for f in [body] if True and b"C" + state.encode() + b"\0" in body]
        got = wire.simple(sql)
        assert kinds(got) == "EZ" and code(got)
        # A transaction on the server fails with it, one that is only begun here as well.
        for begin in ("BEGIN; SELECT 1", "BEGIN"):
            for part in begin.split("; "):
                wire.simple(part)
            got = wire.simple(sql)
            assert kinds(got) == "EZ" and code(got) and got[-1][1] == b"E"
            assert b"C25P02" in wire.simple("SELECT 1")[0][1]
            wire.simple("ROLLBACK")
        if ";" not in sql:
            wire.simple("BEGIN")
            wire.simple("SELECT 1")
            wire.send(parse("", sql), bind("", ""), describe("P"), execute(), SYNC)
            got = wire.until(b"Z")
            assert kinds(got)[-2:] == "EZ" and got[-1][1] == b"E" and code(got)
            wire.simple("ROLLBACK")
        assert rows(wire.simple("SHOW pgweir.coherence")) == [[b"strict"]]


def test_the_startup_packet(proxy, db, cluster):
    with proxy.connect(db, dsn={"options": "'-c pgweir.coherence=off -c work_mem=5MB'"}) as conn:
        assert shown(conn) == "off"
        conn.execute("SET pgweir.coherence = strict")
        conn.execute("RESET pgweir.coherence")
        assert shown(conn) == "off" and conn.execute("SHOW work_mem").fetchone()[0] == "5MB"
        never_hits(proxy, lambda: conn.execute(SQL))
        # It never reaches the server.
        assert conn.execute("SELECT current_setting('pgweir.coherence', true)").fetchone()[0] in (None, "")
    with proxy.connect(db) as conn:
        assert shown(conn) == "strict"
    with pytest.raises(psycopg.OperationalError, match="invalid value for parameter"):
        proxy.connect(db, dsn={"options": "'-c pgweir.coherence=never'"})


def test_drivers_and_pipelines(proxy, db):
    async def modern():
        conn = await asyncpg.connect(proxy.url(db))
        await conn.execute("SET pgweir.coherence = 'off'")
        assert await conn.fetchval("SHOW pgweir.coherence") == "off"
        stmt = await conn.prepare("SET pgweir.coherence = bounded")
        await stmt.fetch()
        assert (await conn.fetch("SHOW pgweir.coherence"))[0][0] == "bounded"
        await conn.close()
    asyncio.run(modern())
    with Wire(proxy.port).login(database=db) as wire:
        # Behind queries that are not answered yet: it waits for its turn.
        wire.send(b"".join(query(sql) for sql in ("SELECT pg_sleep(0.05)", "SET pgweir.coherence = off", "SHOW pgweir.coherence",
                                                  "BEGIN", "SELECT 1", "SET LOCAL pgweir.coherence = bounded",
                                                  "SHOW pgweir.coherence", "ROLLBACK", "SHOW pgweir.coherence")))
        got = [rows(wire.until(b"Z")) for _ in range(9)]
        assert got[2] == [[b"off"]] and got[6] == [[b"bounded"]] and got[8] == [[b"off"]]
        # In one pipeline with statements that the server runs it is refused, not ignored.
        wire.send(parse("", "SELECT 1"), bind("", ""), execute(), parse("", "SET pgweir.coherence = strict"), bind("", ""), execute(),
                  SYNC)
        got = wire.until(b"Z")
        assert any(kind == b"E" and b"C0A000" in body for kind, body in got)
        assert rows(wire.simple("SHOW pgweir.coherence")) == [[b"off"]]
        # In front of them it counts.
        wire.send(parse("", "SET pgweir.coherence = strict"), bind("", ""), execute(), parse("", "SELECT 1"), bind("", ""), execute(),
                  SYNC)
        assert kinds(wire.until(b"Z")) == "12C12DCZ"
        assert rows(wire.simple("SHOW pgweir.coherence")) == [[b"strict"]]


def query(sql):
    body = sql.encode() + b"\0"
    return b"Q" + (len(body) + 4).to_bytes(4, "big") + body


def test_it_never_reaches_another_client(cluster, db):
    proxy = Proxy(cluster, {"default_pool_size": 1, **PATIENT})
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("SET pgweir.coherence = off")
        one.execute("UPDATE item SET name = name WHERE id = 3")
        assert shown(two) == "strict"
        assert two.execute("SELECT count(*) FROM pg_settings WHERE name LIKE 'pgweir%'").fetchone() == (0,)
    assert proxy.stop() == 0


# --- what it means -----------------------------------------------------------------------------------------

def test_off_for_the_database_and_on_for_the_session(cluster, db):
    """What a user is given, a session may change; what a database has not, nobody gets."""
    proxy = Proxy(cluster, PATIENT, databases={"*": f"host=127.0.0.1 port={cluster.port}",
                                               "none": f"host=127.0.0.1 port={cluster.port} dbname={db} coherence=off"})
    warm(proxy, db)
    with proxy.connect("none") as conn:
        conn.execute("SET pgweir.coherence = strict")
        never_hits(proxy, lambda: conn.execute(SQL))
    assert proxy.stop() == 0


def test_bounded_hits_need_no_question_each(proxy, db):
    with proxy.connect(db) as conn:
        conn.execute("SET pgweir.coherence = bounded")
        conn.execute("SET pgweir.max_staleness = '10s'")
        reads_twice(proxy, lambda: conn.execute(SQL).fetchall())
        with Counted(proxy) as counted:
            for _ in range(500):
                conn.execute(SQL)
        assert counted.rise("cache_hits") > 450 and counted.rise("probes") < 200


def test_bounded_is_bounded(cluster, db):
    """The stream stands still: answers may be old, but only as old as was agreed."""
    import os
    import signal
    proxy = Proxy(cluster, {**PATIENT, "coherence": "bounded", "max_staleness": "400ms"})
    warm(proxy, db)
    with proxy.connect(db) as reader, cluster.connect(db) as writer:
        sql = "SELECT name FROM item WHERE id = 4"
        for turn in range(3):
            reads_twice(proxy, lambda: reader.execute(sql).fetchall())
            stream = writer.execute("SELECT active_pid FROM pg_replication_slots WHERE database = current_database()").fetchone()[0]
            os.kill(stream, signal.SIGSTOP)
            try:
                writer.execute("UPDATE item SET name = %s WHERE id = 4", (f"turn {turn}",))
                written = time.monotonic()
                old = 0
                while time.monotonic() < written + 1.5:
                    began = time.monotonic()
                    seen = reader.execute(sql).fetchone()[0]
                    if seen != f"turn {turn}":
                        old += 1
                        assert began - written < 0.4
                    elif began - written > 0.5:
                        break
                else:
                    raise AssertionError("never new")
            finally:
                os.kill(stream, signal.SIGCONT)
            print("old answers", old)
    assert proxy.stop() == 0


def test_own_writes_are_seen_when_bounded(cluster, db):
    """Directly, by a trigger, by a cascade; also while the stream stands still."""
    cluster.sql("""CREATE TABLE parent (id int PRIMARY KEY, v int, UNIQUE (id, v)); CREATE TABLE copy (id int PRIMARY KEY, v int);
        CREATE TABLE child (id int PRIMARY KEY, pid int, v int, FOREIGN KEY (pid, v) REFERENCES parent (id, v) ON UPDATE CASCADE);
        CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE copy SET v = NEW.v WHERE id = NEW.id; RETURN NULL; END$$;
        CREATE TRIGGER copy AFTER UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION copy();
        INSERT INTO parent SELECT i, 0 FROM generate_series(1, 4) i; INSERT INTO copy SELECT i, 0 FROM generate_series(1, 4) i;
        INSERT INTO child SELECT i, i, 0 FROM generate_series(1, 4) i""", db)
    proxy = Proxy(cluster, {**PATIENT, "coherence": "bounded", "max_staleness": "10s"})
    warm(proxy, db)
    problems = []

    def cycle(number):
        with proxy.connect(db) as conn:
            for i in range(1, 150):
                conn.execute("UPDATE parent SET v = %s WHERE id = %s", (i, number))
                for table in ("parent", "copy", "child"):
                    for _ in range(2):
                        seen = conn.execute(f"SELECT v FROM {table} WHERE id = %s", (number,)).fetchone()[0]
                        if seen != i:
                            problems.append((table, i, seen))
    threads = [threading.Thread(target=cycle, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:5]
    assert proxy.metrics().count("cache_hits") > 20
    assert proxy.stop() == 0


@pytest.mark.skipif(pg_version() < 15, reason="pgoutput is refused")
def test_bounded_without_the_event_trigger_of_pgoutput(cluster, db):
    """Strict is refused there (test_cache_pgoutput.py); bounded is not."""
    cluster.sql("CREATE PUBLICATION pgweir FOR ALL TABLES; ALTER EVENT TRIGGER pgweir_ddl DISABLE", db)
    try:
        proxy = Proxy(cluster, {**PATIENT, "feed_plugin": "pgoutput", "coherence": "bounded", "catalog_poll": "50ms"})
        warm(proxy, db)
        with proxy.connect(db) as conn:
            reads_twice(proxy, lambda: conn.execute(SQL).fetchall())
            cluster.sql("ALTER TABLE item RENAME COLUMN name TO name_now", db)

            def renamed():
                try:
                    conn.execute(SQL)
                except psycopg.errors.UndefinedColumn:
                    return True
            wait_for("the poll to see it", renamed)
            cluster.sql("ALTER TABLE item RENAME COLUMN name_now TO name", db)
            conn.execute("SET pgweir.coherence = strict")
            never_hits(proxy, lambda: conn.execute(SQL))
        assert proxy.stop() == 0
    finally:
        cluster.sql("ALTER EVENT TRIGGER pgweir_ddl ENABLE ALWAYS; DROP PUBLICATION pgweir", db)
