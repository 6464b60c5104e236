"""Entity rows: what one statement has shown of a row answers another that asks for it by its key, and never with anything that PostgreSQL
would not have said."""
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, describe, execute, parse, rows

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
PATIENT = {"probe_patience": "300ms"}


@pytest.fixture(scope="module")
def db(cluster):
    name = "entities"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""
        CREATE TABLE author (id int PRIMARY KEY, name text, born date, score numeric(6,2), photo bytea);
        INSERT INTO author SELECT i, 'author ' || i, date '1970-01-01' + i, i / 4.0, decode('00ff', 'hex') FROM generate_series(1, 50) i;
        INSERT INTO author VALUES (90, NULL, NULL, NULL, NULL);
        CREATE TABLE book (id bigint PRIMARY KEY, author_id int, title varchar(40), price float8);
        INSERT INTO book SELECT i, 1 + i % 10, 'book ' || i, i * 1.1 FROM generate_series(1, 100) i;
        CREATE TABLE pair (a int, b text, v text, PRIMARY KEY (a, b));
        INSERT INTO pair SELECT i, x, i || x FROM generate_series(1, 20) i, unnest('{x,y,z}'::text[]) x;
        CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
        CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO part SELECT i, 'part ' || i FROM generate_series(1, 20) i;
        CREATE TABLE other (id int PRIMARY KEY, v text);
        INSERT INTO other SELECT i, 'other ' || i FROM generate_series(1, 20) i;
    """, name)
    yield name
    cluster.drop_database(name)


def started(cluster, db, **settings):
    made = Proxy(cluster, {**PATIENT, **settings})
    with made.connect(db) as conn:
        def hit():
            before = made.metrics().count("cache_hits")
            conn.execute("SELECT v FROM pair WHERE a = 20 AND b = 'z'")
            return made.metrics().count("cache_hits") > before
        wait_for("the cache to be on", hit)
    return made


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = started(cluster, db)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def row_hits(proxy):
    return proxy.metrics().count("cache_row_hits")


def simple(sql):
    def ask(wire):
        return wire.simple(sql)
    return ask


def extended(sql, params, *, formats=(0,), binary=0, types=(), describes="P"):
    def ask(wire):
        wire.send(parse("", sql, list(types)), *([describe("S", "")] if describes == "S" else []), bind("", "", params, [binary], list(formats)),
                  *([describe("P")] if describes == "P" else []), execute(), SYNC)
        return wire.until(b"Z")
    return ask


def made_of_rows(cluster, proxy, db, shape, brings, point):
    """`shape` makes the kind of statement known; `brings` shows the rows; then `point` is answered from them: the same bytes as PostgreSQL's."""
    with Wire(proxy.port).login(database=db) as wire, Wire(cluster.port).login(database=db) as real:
        truth = point(real)
        assert shape(wire) is not None

        def hit():
            # Anything that writes to the table makes what is there worth nothing.
            cluster.sql("UPDATE author SET id = id; UPDATE book SET id = id; UPDATE pair SET a = a; UPDATE part SET id = id", db)
            shape(wire)
            for ask in brings if isinstance(brings, list) else [brings]:
                ask(wire)
            before, hits = row_hits(proxy), proxy.metrics().count("cache_hits")
            got = point(wire)
            assert got == truth
            return row_hits(proxy) == before + 1 and proxy.metrics().count("cache_hits") == hits + 1
        wait_for("a hit from rows", hit, 10)
        return truth


LISTS = [
    ("by another column", simple("SELECT id, name, born FROM author WHERE name = 'author 7'"),
     simple("SELECT id, name, born FROM author WHERE id = 8"), simple("SELECT id, name, born FROM author WHERE id = 7")),
    ("other columns, other order, other names", simple("SELECT * FROM author WHERE name = 'author 9'"),
     simple("""SELECT "a"."score" AS s, "a".name AS "a_name" FROM author AS "a" WHERE "a"."id" = 8 LIMIT 1"""),
     simple("""SELECT "a"."score" AS s, "a".name AS "a_name" FROM author AS "a" WHERE "a"."id" = 9 LIMIT 1""")),
    ("from a whole list", simple("SELECT * FROM author ORDER BY name LIMIT 60"),
     simple("SELECT name FROM author WHERE id = 8"), simple("SELECT name FROM author WHERE id = 20")),
    ("from a page", simple("SELECT id, title FROM book ORDER BY id DESC OFFSET 3 LIMIT 5"),
     simple("SELECT title FROM book WHERE id = 8"), simple("SELECT title FROM book WHERE id = 95")),
    ("from a join", simple("SELECT b.*, a.* FROM book b LEFT JOIN author a ON a.id = b.author_id WHERE b.id = 19"),
     simple("SELECT born, name FROM author WHERE id = 8"), simple("SELECT born, name FROM author WHERE id = 10")),
    ("several keys", simple("SELECT id, title FROM book WHERE author_id = 3"),
     simple("SELECT id, title FROM book WHERE id IN (8, 9)"), simple("SELECT id, title FROM book WHERE id IN (22, 2, 12)")),
    ("NULLs", simple("SELECT * FROM author WHERE id > 50"), simple("SELECT score, name FROM author WHERE id = 8"),
     simple("SELECT score, name FROM author WHERE id = 90")),
    ("a key of two columns", simple("SELECT * FROM pair WHERE a = 3"), simple("SELECT v, b FROM pair WHERE b = 'x' AND a = 8"),
     simple("SELECT v, b FROM pair WHERE b = 'y' AND a = 3")),
    ("parts of a key", simple("SELECT * FROM pair WHERE a = 4"), simple("SELECT * FROM pair WHERE a IN (8, 9) AND b = ANY ('{x}')"),
     simple("SELECT * FROM pair WHERE a IN (4) AND b = ANY ('{z,x}')")),
    ("a partitioned table", simple("SELECT * FROM part WHERE v = 'part 5'"), simple("SELECT v FROM part WHERE id = 8"),
     simple("SELECT v FROM part WHERE id = 5")),
    ("ORDER BY of one row", simple("SELECT id, name FROM author WHERE name = 'author 7'"),
     simple("SELECT name FROM author WHERE id = 8 ORDER BY name LIMIT 1"), simple("SELECT name FROM author WHERE id = 7 ORDER BY name LIMIT 1")),
    ("a parameter, text", extended("SELECT * FROM author WHERE name = $1", [b"author 11"]),
     extended("SELECT id, born FROM author WHERE id = $1", [b"8"]), extended("SELECT id, born FROM author WHERE id = $1", [b"11"])),
    ("binary results", extended("SELECT * FROM author WHERE name = $1", [b"author 12"], formats=(1,)),
     extended("SELECT photo, score, id FROM author WHERE id = $1", [b"8"], formats=(1,)),
     extended("SELECT photo, score, id FROM author WHERE id = $1", [b"12"], formats=(1,))),
    ("described as a statement", extended("SELECT * FROM author WHERE name = $1", [b"author 13"], describes="S"),
     extended("SELECT name FROM author WHERE id = $1 LIMIT $2", [b"8", b"1"], describes="S"),
     extended("SELECT name FROM author WHERE id = $1 LIMIT $2", [b"13", b"2"], describes="S")),
    ("an array", simple("SELECT id, title FROM book WHERE author_id = 4"),
     extended("SELECT title FROM book WHERE id = ANY ($1)", [b"{8}"], types=[1016]),
     extended("SELECT title FROM book WHERE id = ANY ($1)", [b"{33}"], types=[1016])),
    ("from two answers", [simple("SELECT id, name FROM author WHERE name = 'author 14'"), simple("SELECT id, born FROM author WHERE born = '1970-01-15'")],
     simple("SELECT born, name FROM author WHERE id = 8"), simple("SELECT born, name FROM author WHERE id = 14")),
    ("from answers by key", [simple("SELECT name FROM author WHERE id = 15"), simple("SELECT id, name FROM author WHERE id IN (16, 17)")],
     simple("SELECT name FROM author WHERE id IN (8, 9)"), simple("SELECT name FROM author WHERE id IN (15, 17)")),
    ("a row that is not there", [simple("SELECT name FROM author WHERE id = 1000"), simple("SELECT name FROM author WHERE id IN (18, 1000)")],
     simple("SELECT id FROM author WHERE id IN (8, 2000)"), simple("SELECT id FROM author WHERE id IN (1000, 1000)")),
]


@pytest.mark.parametrize("brings, shape, point", [row[1:] for row in LISTS], ids=[row[0] for row in LISTS])
def test_rows_answer(cluster, proxy, db, brings, shape, point):
    made_of_rows(cluster, proxy, db, shape, brings, point)


NOT = [
    ("another condition", "SELECT name FROM author WHERE id = 8 AND name = 'author 8'"),
    ("an expression", "SELECT upper(name) FROM author WHERE id = 8"),
    ("a count", "SELECT count(*) FROM author WHERE id = 8"),
    ("several rows in order", "SELECT name FROM author WHERE id IN (8, 9) ORDER BY name"),
    ("a limit that cuts", "SELECT name FROM author WHERE id IN (8, 9) LIMIT 1"),
    ("an offset", "SELECT name FROM author WHERE id = 8 OFFSET 1"),
    ("a system column", "SELECT xmin, name FROM author WHERE id = 8"),
    ("an OR", "SELECT name FROM author WHERE id = 8 OR id = 9"),
    ("distinct", "SELECT DISTINCT name FROM author WHERE id = 8"),
    ("a column that was not shown", "SELECT photo FROM author WHERE id = 8"),
    ("another format", None),
]


@pytest.mark.parametrize("sql", [row[1] for row in NOT], ids=[row[0] for row in NOT])
def test_these_are_not_made_of_rows(cluster, proxy, db, sql):
    ask = simple(sql) if sql else extended("SELECT name FROM author WHERE id = $1", [b"8"], formats=(1,))
    with Wire(proxy.port).login(database=db) as wire, Wire(cluster.port).login(database=db) as real:
        ask(wire)
        for _ in range(3):
            cluster.sql("UPDATE author SET id = id", db)
            wire.simple("SELECT id, name, born, score FROM author WHERE id = 7")
            wire.simple("SELECT id, name, born, score FROM author WHERE name LIKE 'author%'")
            before = row_hits(proxy)
            assert ask(wire) == ask(real)
            assert row_hits(proxy) == before


@pytest.mark.parametrize("change", [
    "UPDATE author SET name = name || '!' WHERE id = 30", "DELETE FROM author WHERE id = 30",
    "UPDATE author SET id = 3000 WHERE id = 30",
    "BEGIN; DELETE FROM author WHERE id = 30; INSERT INTO author (id, name) VALUES (30, 'again'); COMMIT",
    "TRUNCATE author; INSERT INTO author SELECT i, 'new ' || i FROM generate_series(1, 50) i",
    "ALTER TABLE author ALTER name TYPE varchar(60) USING name || '?'", "ALTER TABLE author RENAME name TO called; ALTER TABLE author ADD name text DEFAULT 'x'",
], ids=lambda change: change[:40])
def test_every_change_is_seen(cluster, proxy, db, change):
    cluster.sql("DROP TABLE author; CREATE TABLE author (id int PRIMARY KEY, name text, born date, score numeric(6,2), photo bytea);"
                "INSERT INTO author SELECT i, 'author ' || i, date '1970-01-01' + i, i / 4.0, decode('00ff', 'hex') FROM generate_series(1, 50) i;"
                "INSERT INTO author VALUES (90, NULL, NULL, NULL, NULL)", db)
    point = simple("SELECT name, id FROM author WHERE id IN (31, 30)")
    made_of_rows(cluster, proxy, db, simple("SELECT name, id FROM author WHERE id IN (8, 9)"),
                 simple("SELECT * FROM author WHERE id < 40"), point)
    cluster.sql(change, db)
    with Wire(proxy.port).login(database=db) as wire, Wire(cluster.port).login(database=db) as real:
        assert sorted(map(str, rows(point(wire)))) == sorted(map(str, rows(point(real))))


def test_a_missing_row_comes(cluster, proxy, db):
    cluster.sql("DELETE FROM other WHERE id > 20", db)
    with Wire(proxy.port).login(database=db) as wire:
        def known_to_be_missing():
            wire.simple("SELECT v FROM other WHERE id IN (21, 22)")
            wire.simple("SELECT id, v FROM other WHERE id = 31")
            before = row_hits(proxy)
            assert rows(wire.simple("SELECT id, v FROM other WHERE id = 21")) == []
            return row_hits(proxy) > before
        wire.simple("SELECT id, v FROM other WHERE id = 30")
        wait_for("a hit from rows", known_to_be_missing)
        cluster.sql("INSERT INTO other VALUES (21, 'late')", db)
        assert rows(wire.simple("SELECT id, v FROM other WHERE id = 21")) == [[b"21", b"late"]]


def test_columns_have_rights_of_their_own(cluster, db):
    """A role sees only what it has been shown: a column that others may read is no part of its rows; and a revoked right counts at once."""
    cluster.sql("""CREATE ROLE clerk LOGIN; GRANT SELECT (id, name) ON author TO clerk;
                   CREATE TABLE IF NOT EXISTS secret (id int PRIMARY KEY, open text, closed text);
                   INSERT INTO secret SELECT i, 'open ' || i, 'closed ' || i FROM generate_series(1, 9) i;
                   GRANT SELECT (id, open) ON secret TO clerk""", db)
    proxy = Proxy(cluster, PATIENT, users={"postgres": "", "clerk": ""})
    try:
        with proxy.connect(db) as chief, Wire(proxy.port).login(user="clerk", database=db) as clerk:
            def hit(one):
                chief.execute("SELECT closed FROM secret WHERE id = 8")
                chief.execute("SELECT * FROM secret WHERE open LIKE 'open%'")
                clerk.simple("SELECT open FROM secret WHERE id = 8")
                clerk.simple("SELECT id, open FROM secret WHERE open = 'open %d'" % one)
                before = row_hits(proxy)
                assert rows(clerk.simple("SELECT open FROM secret WHERE id = %d" % one)) == [[b"open %d" % one]]
                return row_hits(proxy) > before
            keys = iter([1, 2, 3, 4, 5, 6] * 100)
            wait_for("a hit from rows", lambda: hit(next(keys)))
            for sql in ("SELECT closed FROM secret WHERE id = 1", "SELECT * FROM secret WHERE id = 1"):
                for _ in range(3):
                    assert clerk.simple(sql)[0][0] == b"E"
            cluster.sql("REVOKE SELECT (open) ON secret FROM clerk", db)
            for one in range(1, 9):
                assert clerk.simple("SELECT open FROM secret WHERE id = %d" % one)[0][0] == b"E"
    finally:
        assert proxy.stop() == 0
        cluster.sql("DROP TABLE secret; DROP OWNED BY clerk; DROP ROLE clerk", db)


def test_settings_are_kept_apart(cluster, proxy, db):
    """Rows that came as text under one DateStyle are no answer under another."""
    with Wire(proxy.port).login(database=db) as wire, Wire(cluster.port).login(database=db) as real:
        for style in ("ISO, DMY", "German", "SQL, MDY", "ISO, DMY"):
            for one in (wire, real):
                one.simple(f"SET DateStyle = '{style}'")
            wire.simple("SELECT born, id FROM author WHERE id = 8")
            for _ in range(3):
                wire.simple("SELECT * FROM author WHERE id BETWEEN 40 AND 45")
                for i in range(40, 46):
                    assert wire.simple(f"SELECT born, id FROM author WHERE id = {i}") == real.simple(f"SELECT born, id FROM author WHERE id = {i}")


def test_off(cluster, db):
    proxy = started(cluster, db, entity_rows="0")
    with proxy.connect(db) as conn:
        for _ in range(5):
            conn.execute("SELECT v FROM other WHERE id = 1")
            conn.execute("SELECT * FROM other ORDER BY id")
            for i in range(1, 6):
                conn.execute(f"SELECT v FROM other WHERE id = {i}")
    now = proxy.metrics()
    assert now.count("cache_row_hits") == now.count("cache_rows") == 0 and now.count("cache_hits") > 0
    assert proxy.stop() == 0


def test_one_kind_of_statement_keeps_no_rows(cluster, db):
    """Reads by key alone, and lists that nobody reads by key, cost what they cost without."""
    proxy = started(cluster, db)

    def filled(conn, number):
        before = proxy.metrics()
        for i in range(1, 10):
            conn.execute(f"SELECT v, {number} FROM other WHERE id = {i}")
            conn.execute(f"SELECT v FROM other WHERE id = {10 * number + i}")
            conn.execute(f"SELECT * FROM book WHERE author_id = {10 * number + i}")
        return proxy.metrics().count("cache_fills") - before.count("cache_fills") == 27
    with proxy.connect(db) as conn:
        numbers = iter(range(1, 100))
        wait_for("all to be stored", lambda: filled(conn, next(numbers)))
        assert proxy.metrics().count("cache_rows") == 0

        def kept():
            conn.execute("SELECT title FROM book WHERE id = 1")
            cluster.sql("UPDATE book SET id = id", db)
            for i in range(1, 10):
                conn.execute(f"SELECT id, title FROM book WHERE author_id = {i}")
            return proxy.metrics().count("cache_rows") > 50
        wait_for("rows to be kept", kept)
    assert proxy.stop() == 0
