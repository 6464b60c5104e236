"""What one transaction knows: repeatable_context."""
import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, execute, parse, rows
from test_cache import PATIENT, Counted, warm

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the context is pgweir's")


@pytest.fixture(scope="module")
def db(cluster):
    name = "contexts"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""CREATE TABLE item (id int PRIMARY KEY, name text, n int DEFAULT 0);
        INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
        CREATE TABLE other (id int PRIMARY KEY, name text); INSERT INTO other SELECT i, 'other ' || i FROM generate_series(1, 100) i;
        CREATE TABLE link (item int REFERENCES item, other int REFERENCES other); -- its triggers only look
        CREATE TABLE boss (id int PRIMARY KEY); INSERT INTO boss VALUES (1);
        CREATE TABLE led (id int PRIMARY KEY, boss int REFERENCES boss ON UPDATE CASCADE); INSERT INTO led VALUES (1, 1);
        CREATE FUNCTION log() RETURNS int LANGUAGE sql AS $$UPDATE other SET name = 'by trigger' WHERE id = 50 RETURNING 1$$;
        CREATE TABLE logged (id int DEFAULT log(), v int);
        CREATE TABLE noisy (id int PRIMARY KEY, v int); INSERT INTO noisy VALUES (1, 0);
        CREATE FUNCTION noise() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN UPDATE other SET name = 'by trigger' WHERE id = 50; RETURN NULL; END$$;
        CREATE TRIGGER noise AFTER UPDATE ON noisy FOR EACH ROW EXECUTE FUNCTION noise()""", name)
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, {**PATIENT, "repeatable_context": "on"})
    warm(made, db)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def name_of(conn, number, table="item", column="name"):
    return conn.execute(f"SELECT {column} FROM {table} WHERE id = %s", (number,)).fetchone()[0]


def changed(conn):
    return int(conn.execute("SHOW pgweir.context_changed", prepare=False).fetchone()[0])


def falls(cluster, proxy, db, number, name, table="item"):
    """Changes a row directly, and waits until the cache has heard of it."""
    cluster.sql(f"UPDATE {table} SET name = '{name}' WHERE id = {number}", db)
    with proxy.connect(db) as conn:
        wait_for("the change", lambda: name_of(conn, number, table) == name)


@pytest.mark.parametrize("warmed", [True, False], ids=["hit", "fill"])
def test_an_entity_keeps_its_version(cluster, proxy, db, warmed):
    number = 10 if warmed else 11
    with proxy.connect(db) as conn, proxy.connect(db) as other:
        if warmed:
            name_of(other, number)
        with Counted(proxy) as counted, conn.transaction():
            before = name_of(conn, number)
            falls(cluster, proxy, db, number, f"changed {warmed}")
            assert name_of(other, number) == f"changed {warmed}"
            assert name_of(conn, number) == before and name_of(conn, number) == before
            wait_for("the count", lambda: changed(conn) == 1)
        assert counted.rise("context_answers") == 2 and counted.rise("context_changed") == 1
        assert changed(conn) == 1
        assert name_of(conn, number) == f"changed {warmed}"  # never into the next one
        with conn.transaction():
            assert name_of(conn, number) == f"changed {warmed}" and changed(conn) == 0


def test_without_it_the_version_changes(cluster, proxy, db):
    """The test above can see what it looks for."""
    with proxy.connect(db) as conn:
        conn.execute("SET pgweir.repeatable_context = off")
        with conn.transaction():
            name_of(conn, 12)
            falls(cluster, proxy, db, 12, "at once")
            assert name_of(conn, 12) == "at once"


def test_also_lists_counts_and_what_is_not_there(cluster, proxy, db):
    with proxy.connect(db) as conn, conn.transaction():
        asks = ["SELECT count(*) FROM item WHERE n = 7", "SELECT id FROM item WHERE id = 5000", "SELECT id, n FROM item WHERE n = 8"]
        before = [conn.execute(sql).fetchall() for sql in asks]
        cluster.sql("INSERT INTO item VALUES (5000, 'new', 7), (5001, 'new', 8)", db)
        with proxy.connect(db) as other:
            wait_for("the rows", lambda: other.execute(asks[1]).fetchall() == [(5000,)])
        assert [conn.execute(sql).fetchall() for sql in asks] == before
        wait_for("the count", lambda: changed(conn) == 3)
    cluster.sql("DELETE FROM item WHERE id >= 5000", db)


def test_own_writes_are_seen_and_others_stay(cluster, proxy, db):
    with proxy.connect(db) as conn, conn.transaction():
        mine, theirs, far = name_of(conn, 20), name_of(conn, 21), name_of(conn, 20, "other")
        conn.execute("UPDATE item SET name = 'mine' WHERE id = 20")
        falls(cluster, proxy, db, 20, "changed", "other")
        assert name_of(conn, 20) == "mine" != mine
        assert name_of(conn, 20, "other") == far  # another table: still as it was
        assert name_of(conn, 21) == theirs
        # What is read for the first time behind the write is kept as well, in the context alone.
        first = name_of(conn, 22, "other")
        falls(cluster, proxy, db, 22, "later", "other")
        assert name_of(conn, 22, "other") == first
        conn.execute("UPDATE other SET name = 'mine too' WHERE id = 20")
        assert name_of(conn, 20, "other") == "mine too" and name_of(conn, 22, "other") == "later"
    with proxy.connect(db) as conn:
        assert name_of(conn, 20) == "mine" and name_of(conn, 22, "other") == "later"


@pytest.mark.parametrize("write", [
    "UPDATE noisy SET v = v + 1 WHERE id = 1",  # its trigger writes to other
    "INSERT INTO logged (v) VALUES (1)",
    "DO $$BEGIN UPDATE other SET name = 'by trigger' WHERE id = 50; END$$",
    "WITH w AS (UPDATE other SET name = 'by trigger' WHERE id = 50 RETURNING 1) INSERT INTO item SELECT 7000, 'x' FROM w",
    "SELECT * FROM other WHERE id = 50 FOR UPDATE; UPDATE other SET name = 'by trigger' WHERE id = 50",
], ids=["trigger", "default", "do", "cte", "several"])
def test_a_write_that_may_go_anywhere_ends_it(cluster, proxy, db, write):
    cluster.sql("UPDATE other SET name = 'before' WHERE id = 50; DELETE FROM item WHERE id = 7000", db)
    with proxy.connect(db) as conn:
        wait_for("the row", lambda: name_of(conn, 50, "other") == "before")
        with conn.transaction(force_rollback=True):
            assert name_of(conn, 50, "other") == "before"
            conn.execute(write, prepare=False)
            assert name_of(conn, 50, "other") == "by trigger"


def test_a_cascade_ends_it(cluster, proxy, db):
    with proxy.connect(db) as conn, conn.transaction(force_rollback=True):
        assert name_of(conn, 1, "led", "boss") == 1
        conn.execute("UPDATE boss SET id = 2 WHERE id = 1")
        assert name_of(conn, 1, "led", "boss") == 2


def test_savepoints(cluster, proxy, db):
    with proxy.connect(db) as conn, conn.transaction():
        first = name_of(conn, 30)
        with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
            second = name_of(conn, 31)
            conn.execute("SELECT 1 / 0")
        falls(cluster, proxy, db, 30, "new")
        falls(cluster, proxy, db, 31, "new")
        assert name_of(conn, 30) == first and name_of(conn, 31) == second  # reads stay
        with conn.transaction(force_rollback=True):
            conn.execute("UPDATE item SET name = 'gone' WHERE id = 31")
            assert name_of(conn, 31) == "gone"
        assert name_of(conn, 31) == "new"  # a write that is rolled back still counts


def test_it_goes_with_its_transaction_and_its_settings(cluster, proxy, db):
    with proxy.connect(db) as conn:
        conn.execute("SET pgweir.repeatable_context = off")
        for _ in range(2):
            with conn.transaction():
                conn.execute("SET LOCAL pgweir.repeatable_context = on")
                before = name_of(conn, 40)
                falls(cluster, proxy, db, 40, before + "!")
                assert name_of(conn, 40) == before
                # Under other settings it is another question.
                conn.execute("SET LOCAL DateStyle = german")
                assert name_of(conn, 40) == before + "!"
        assert conn.execute("SHOW pgweir.repeatable_context", prepare=False).fetchone()[0] == "off"
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            conn.execute("SET pgweir.repeatable_context = maybe", prepare=False)
        with pytest.raises(psycopg.errors.UndefinedObject):
            conn.execute("SET pgweir.context_changed = 1", prepare=False)
    with proxy.connect(db, dsn={"options": "'-c pgweir.repeatable_context=off'"}) as conn:
        assert conn.execute("SHOW pgweir.repeatable_context", prepare=False).fetchone()[0] == "off"


def test_serializable_is_postgresqls(proxy, db):
    with proxy.connect(db) as conn, Counted(proxy) as counted:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with conn.transaction():
            name_of(conn, 41), name_of(conn, 41)
    assert counted.rise("context_answers") == 0


def test_memory_is_bounded(cluster, db):
    proxy = Proxy(cluster, {**PATIENT, "repeatable_context": "on", "repeatable_context_size": "20kB"})
    warm(proxy, db)
    with proxy.connect(db) as conn, Counted(proxy) as counted:
        with conn.transaction():
            before = [name_of(conn, i) for i in range(100, 250)]
            cluster.sql("UPDATE item SET name = 'all new' WHERE id BETWEEN 100 AND 249", db)
            with proxy.connect(db) as other:
                wait_for("the change", lambda: name_of(other, 249) == "all new")
            after = [name_of(conn, i) for i in range(100, 250)]
            kept = sum(a == b for a, b in zip(before, after))
            assert 10 < kept < 120 and set(after) - set(before) == {"all new"}
    assert counted.rise("context_full") > 30
    assert proxy.stop() == 0


def test_by_the_wire(cluster, proxy, db):
    """Simple and extended are two questions, each with its own answer."""
    with Wire(proxy.port).login(database=db) as wire:
        def extended():
            wire.send(parse("", "SELECT name FROM item WHERE id = $1", [23]), bind("", "", [b"60"]), execute(), SYNC)
            return rows(wire.until(b"Z"))
        wire.simple("BEGIN")
        first = extended()
        falls(cluster, proxy, db, 60, "sixty")
        assert extended() == first
        assert rows(wire.simple("SELECT name FROM item WHERE id = 60")) == [[b"sixty"]]
        # The second answer shows the change, but the feed may have brought it while that was on its way.
        wait_for("the count", lambda: rows(wire.simple("SHOW pgweir.context_changed"))[0][0] in (b"1", b"2"))
        wire.simple("ROLLBACK")
        assert extended() == [[b"sixty"]]
