"""What one transaction knows: repeatable_context."""
import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, describe, execute, parse, rows
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
    """Simple and extended are two questions; a row is the same in both."""
    with Wire(proxy.port).login(database=db) as wire:
        def extended():
            wire.send(parse("", "SELECT name FROM item WHERE id = $1", [23]), bind("", "", [b"60"]), describe("P"), execute(), SYNC)
            return rows(wire.until(b"Z"))

        def hit():
            with Counted(proxy) as counted:
                wire.simple("SELECT name FROM item WHERE id = 994")
            return counted.rise("cache_hits") == 1
        wait_for("the simple kind", hit)
        wire.simple("BEGIN")
        first = extended()
        falls(cluster, proxy, db, 60, "sixty")
        assert extended() == first
        assert rows(wire.simple("SELECT name FROM item WHERE id = 60")) == first
        assert rows(wire.simple("SELECT name || '' FROM item WHERE id = 60")) == [[b"sixty"]]
        wait_for("the count", lambda: rows(wire.simple("SHOW pgweir.context_changed"))[0][0] in (b"1", b"2"))
        wire.simple("ROLLBACK")
        assert extended() == [[b"sixty"]]


# --- rows: one version of a row in all statements that ask for it by key ---

LIST = "SELECT * FROM item WHERE id BETWEEN %s AND %s ORDER BY id"
ONE = "SELECT * FROM item WHERE id = %s"
NAME = "SELECT name FROM item WHERE id = %s"
NAME_ID = "SELECT name, id FROM item WHERE id = %s"
JOIN = "SELECT i.*, o.id, o.name FROM item i LEFT JOIN other o ON o.id = i.n WHERE i.id = %s"


def ask(conn, sql, *params, binary=False):
    return conn.execute(sql, params, prepare=False, binary=binary).fetchall()


def counted_changes(conn, number):
    """The feed has come so far; and no further change is counted."""
    wait_for("the count", lambda: changed(conn) >= number)
    assert changed(conn) == number


def known(proxy, db, *points, numbers=(998,), binary=False):
    """Statements of these kinds have been answered by PostgreSQL in this epoch."""
    with proxy.connect(db) as conn:
        for sql in points:
            def hit(sql=sql):
                with Counted(proxy) as counted:
                    ask(conn, sql, *numbers, binary=binary)
                return counted.rise("cache_hits") == 1
            wait_for("the kind of statement", hit)


@pytest.mark.parametrize("warmed", [True, False], ids=["hit", "fill"])
def test_a_row_of_a_list_is_found_in_its_version(cluster, proxy, db, warmed):
    number = 300 if warmed else 310
    known(proxy, db, ONE, NAME)
    with proxy.connect(db) as conn, proxy.connect(db) as other:
        if warmed:
            ask(other, LIST, number, number + 5)
            ask(other, LIST, number, number + 5)
        with Counted(proxy) as counted, conn.transaction():
            before = ask(conn, LIST, number, number + 5)
            falls(cluster, proxy, db, number + 2, f"list {warmed}")
            assert ask(conn, ONE, number + 2) == [before[2]] and ask(conn, NAME, number + 2) == [(before[2][1],)]
            assert ask(other, NAME, number + 2) == [(f"list {warmed}",)]
            counted_changes(conn, 1)
            # The list itself, asked in other words, is another question: it shows the row as it is, and the row is counted once.
            assert ask(conn, LIST.replace(" ORDER BY id", " ORDER BY 1"), number, number + 5)[2][1] == f"list {warmed}"
            assert ask(conn, ONE, number + 2) == [before[2]]
            counted_changes(conn, 2)
        assert counted.rise("context_answers") == 3 and counted.rise("context_changed") == 2
        assert ask(conn, ONE, number + 2)[0][1] == f"list {warmed}"


def test_without_it_a_row_of_a_list_is_read_again(cluster, proxy, db):
    known(proxy, db, ONE)
    with proxy.connect(db) as conn:
        conn.execute("SET pgweir.repeatable_context = off")
        with conn.transaction():
            ask(conn, LIST, 320, 325)
            falls(cluster, proxy, db, 322, "at once")
            assert ask(conn, ONE, 322)[0][1] == "at once"


def test_columns_of_a_point(cluster, proxy, db):
    known(proxy, db, NAME, NAME_ID, ONE)
    with proxy.connect(db) as conn, conn.transaction():
        before = ask(conn, "SELECT id, name FROM item WHERE id = %s", 330)
        falls(cluster, proxy, db, 330, "changed")
        assert ask(conn, NAME_ID, 330) == [before[0][::-1]] and ask(conn, NAME, 330) == [before[0][1:]]
        counted_changes(conn, 1)
        # A column that was not shown: the row as it is, never mixed with what was shown before.
        assert ask(conn, ONE, 330) == [(330, "changed", 0)] and ask(conn, NAME, 330) == [before[0][1:]]
        counted_changes(conn, 2)


def test_several_rows_each_as_it_was_seen(cluster, proxy, db):
    several = "SELECT id, name FROM item WHERE id IN (%s, %s)"
    known(proxy, db, ONE)
    known(proxy, db, several, numbers=(997, 998))
    with proxy.connect(db) as conn, conn.transaction():
        one, = ask(conn, ONE, 341)
        falls(cluster, proxy, db, 341, "changed")
        falls(cluster, proxy, db, 340, "changed")
        two, = ask(conn, ONE, 340)
        falls(cluster, proxy, db, 340, "again")
        assert ask(conn, several, 341, 340) == [two[:2], one[:2]] == [(340, "changed"), (341, "item 341")]


def test_rows_of_a_join_and_its_nulls(cluster, proxy, db):
    known(proxy, db, ONE)
    known(proxy, db, "SELECT name FROM other WHERE id = %s", numbers=(99,))
    cluster.sql("UPDATE item SET n = 60 WHERE id = 350", db)
    with proxy.connect(db) as conn, conn.transaction():
        joined, = ask(conn, JOIN, 350)
        assert ask(conn, JOIN, 351)[0][3:] == (None, None)  # no row of other is shown, so none is missing either
        falls(cluster, proxy, db, 60, "joined", "other")
        falls(cluster, proxy, db, 350, "joined")
        assert ask(conn, ONE, 350) == [joined[:3]]
        assert ask(conn, "SELECT name FROM other WHERE id = %s", 60) == [(joined[4],)] != [("joined",)]
        assert ask(conn, "SELECT name FROM other WHERE id = %s", 61) == [("other 61",)]


def test_a_missing_row_stays_missing(cluster, proxy, db):
    known(proxy, db, NAME, ONE)
    with proxy.connect(db) as conn, conn.transaction():
        assert ask(conn, NAME, 8000) == []
        cluster.sql("INSERT INTO item VALUES (8000, 'new')", db)
        with proxy.connect(db) as other:
            wait_for("the row", lambda: ask(other, NAME, 8000) == [("new",)])
        assert ask(conn, ONE, 8000) == []
        counted_changes(conn, 1)
        assert ask(conn, LIST, 8000, 8001) == [(8000, "new", 0)] and ask(conn, ONE, 8000) == []
        counted_changes(conn, 2)
    cluster.sql("DELETE FROM item WHERE id = 8000", db)


def test_own_writes_end_it_for_rows_of_their_table(cluster, proxy, db):
    known(proxy, db, ONE)
    known(proxy, db, "SELECT name, id FROM other WHERE id = %s", numbers=(99,))
    with proxy.connect(db) as conn, conn.transaction():
        items = ask(conn, LIST, 360, 362)
        others = ask(conn, "SELECT * FROM other WHERE id BETWEEN 70 AND 75")
        conn.execute("UPDATE item SET name = 'mine' WHERE id = 360")
        falls(cluster, proxy, db, 70, "theirs", "other")
        assert ask(conn, ONE, 360) == [(360, "mine", items[0][2])]
        assert ask(conn, "SELECT name, id FROM other WHERE id = %s", 70) == [others[0][::-1]] != [("theirs", 70)]
        # A list that is read behind the write of another table.
        later = ask(conn, "SELECT * FROM other WHERE id BETWEEN 76 AND 78")
        falls(cluster, proxy, db, 77, "theirs", "other")
        assert ask(conn, "SELECT name, id FROM other WHERE id = %s", 77) == [later[1][::-1]]
        conn.execute("UPDATE other SET name = 'mine' WHERE id = 71")
        assert ask(conn, "SELECT name, id FROM other WHERE id = %s", 70) == [("theirs", 70)]


def test_rows_stay_behind_a_savepoint(cluster, proxy, db):
    known(proxy, db, ONE)
    with proxy.connect(db) as conn, conn.transaction():
        with conn.transaction(force_rollback=True):
            rows_then = ask(conn, LIST, 370, 372)
        falls(cluster, proxy, db, 371, "new")
        assert ask(conn, ONE, 371) == [rows_then[1]]


def test_formats_do_not_mix(cluster, proxy, db):
    known(proxy, db, NAME_ID)
    known(proxy, db, NAME_ID, binary=True)
    with proxy.connect(db) as conn, conn.transaction():
        before = ask(conn, LIST, 380, 381)
        falls(cluster, proxy, db, 380, "changed")
        with Counted(proxy) as counted:
            assert ask(conn, NAME_ID, 380) == [before[0][1::-1]]
            assert ask(conn, NAME_ID, 380, binary=True) == [("changed", 380)]  # not known in this format
        assert counted.rise("context_answers") == 1


def test_rows_go_with_their_settings(cluster, proxy, db):
    known(proxy, db, ONE)
    with proxy.connect(db) as conn:
        with conn.transaction():
            before = ask(conn, LIST, 390, 391)
            falls(cluster, proxy, db, 390, "changed")
            assert ask(conn, ONE, 390) == before[:1]
            conn.execute("SET LOCAL DateStyle = german")
            assert ask(conn, ONE, 390)[0][1] == "changed"


def test_rows_by_the_simple_protocol(cluster, proxy, db):
    known_text = "SELECT name FROM item WHERE id = {}"
    with Wire(proxy.port).login(database=db) as wire:
        def hit():
            with Counted(proxy) as counted:
                wire.simple(known_text.format(996))
            return counted.rise("cache_hits") == 1
        wait_for("the kind of statement", hit)
        wire.simple("BEGIN")
        before = rows(wire.simple("SELECT id, name FROM item WHERE id IN (400, 401)"))
        falls(cluster, proxy, db, 400, "changed")
        assert rows(wire.simple(known_text.format(400))) == [before[0][1:]]
        wire.simple("COMMIT")
        assert rows(wire.simple(known_text.format(400))) == [[b"changed"]]


def test_rows_that_nobody_described_answer_after_a_proof(cluster, proxy, db):
    """Whether an answer without RowDescription is what the catalog says is certain only when the change feed has passed it."""
    point, several = "SELECT id, name FROM item WHERE id = $1", "SELECT id, name FROM item WHERE id BETWEEN $1 AND $2"
    with Wire(proxy.port).login(database=db) as wire:
        def extended(sql, *params):
            wire.send(parse("", sql, [23] * len(params)), bind("", "", [str(p).encode() for p in params]), execute(), SYNC)
            return rows(wire.until(b"Z"))

        def hit():
            with Counted(proxy) as counted:
                extended(point, 995)
            return counted.rise("cache_hits") == 1
        wait_for("the kind of statement", hit)
        wire.simple("BEGIN")
        before, numbers = extended(several, 410, 449), iter(range(410, 450))
        cluster.sql("UPDATE item SET name = 'changed' WHERE id BETWEEN 410 AND 449", db)
        falls(cluster, proxy, db, 449, "changed")

        def as_it_was():
            number = next(numbers)
            row, = extended(point, number)
            assert row in (before[number - 410], [b"%d" % number, b"changed"])
            return row == before[number - 410]
        wait_for("a proof", as_it_was)  # the list's answer has asked for one
        wire.simple("COMMIT")


def test_a_new_catalog_ends_it_for_rows(cluster, proxy, db):
    cluster.sql("CREATE TABLE turned (id int PRIMARY KEY, a text, b text); INSERT INTO turned VALUES (1, 'a', 'b'), (2, 'a', 'b')", db)
    cluster.sql("CREATE TABLE elsewhere (id int)", db)
    point = "SELECT a, id FROM turned WHERE id = %s"
    known(proxy, db, point, numbers=(2,))
    with proxy.connect(db) as conn, conn.transaction():
        with proxy.connect(db) as other:  # so that this transaction's list is a hit: PostgreSQL holds no lock for it
            for _ in range(2):
                ask(other, "SELECT * FROM turned WHERE id BETWEEN 1 AND 2")
        assert ask(conn, "SELECT * FROM turned WHERE id BETWEEN 1 AND 2")[0] == (1, "a", "b")
        cluster.sql("UPDATE turned SET a = 'new'", db)
        cluster.sql("ALTER TABLE elsewhere ADD x int", db)
        known(proxy, db, point, numbers=(2,))
        assert ask(conn, point, 1) == [("new", 1)]


def test_rows_over_the_size(cluster, db):
    """What does not fit is asked again: the row as it is. And the cache's own rows are no part of it."""
    proxy = Proxy(cluster, {**PATIENT, "repeatable_context": "on", "repeatable_context_size": "12kB", "entity_rows": "off"})
    warm(proxy, db)
    known(proxy, db, NAME)
    with proxy.connect(db) as conn, Counted(proxy) as counted, conn.transaction():
        before = ask(conn, LIST, 500, 699)
        cluster.sql("UPDATE item SET name = 'other ' || id WHERE id BETWEEN 500 AND 699", db)
        with proxy.connect(db) as other:
            wait_for("the change", lambda: ask(other, NAME, 699) == [("other 699",)])
        after = [ask(conn, NAME, i)[0][0] for i in range(500, 700)]
        same = sum(a == b[1] for a, b in zip(after, before))
        assert 10 < same < 150 and all(a in (b[1], f"other {b[0]}") for a, b in zip(after, before))
    assert counted.rise("context_full") > 0
    assert proxy.stop() == 0
