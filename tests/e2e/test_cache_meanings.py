"""What a text means may depend on a setting or on a cast that it does not show."""
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse, rows
from test_cache import PATIENT, Counted, warm

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
DB = "meanings"
TABLES = """
    DROP SCHEMA IF EXISTS w CASCADE; CREATE SCHEMA w;
    CREATE TYPE w.mood AS ENUM ('sad', 'happy');
    CREATE TABLE w.t (id int PRIMARY KEY, n int, s text, v text, m w.mood);
    INSERT INTO w.t SELECT i, i, i::text, 'one', 'sad' FROM generate_series(1, 20) i;
    CREATE TABLE w.o (id int PRIMARY KEY, tid int, v text); INSERT INTO w.o VALUES (1, 1, 'o1'), (2, 2, 'o2');
    CREATE TABLE w.k (id text PRIMARY KEY, v text); INSERT INTO w.k VALUES ('a', 'a'), ('NULL', 'n');
"""
ADD = "INSERT INTO w.t (id, n, s, v) VALUES (50, NULL, 'NULL', 'new')"
CHANGE = "UPDATE w.t SET v = 'changed' WHERE id = 50"
REMOVE = "DELETE FROM w.t WHERE id = 50"
NULL_EQUALS, ARRAY_NULLS = "SET transform_null_equals = on", "SET array_nulls = off"


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql(TABLES + "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;", DB)
    yield DB
    cluster.drop_database(DB)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, PATIENT)
    warm(made, db)
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def is_cached(proxy, wire, sql):
    """Until it is a hit, or not for long."""
    for _ in range(8):
        with Counted(proxy) as counted:
            wire.simple(sql)
        if counted.rise("cache_hits") > 0:
            return True
    return False


@pytest.mark.parametrize("sets, sql, changes", [
    (NULL_EQUALS, "SELECT id, v FROM w.t WHERE n = NULL", [ADD, CHANGE, "UPDATE w.t SET n = NULL WHERE id = 1", REMOVE]),
    (NULL_EQUALS, "SELECT count(*) FROM w.t WHERE NULL = n", [ADD, REMOVE]),
    (NULL_EQUALS, "SELECT o.id, t.id FROM w.o LEFT JOIN w.t ON t.id = o.tid WHERE t.id = NULL", ["DELETE FROM w.t WHERE id = 1", "INSERT INTO w.t (id) VALUES (1)"]),
    (ARRAY_NULLS, "SELECT id, v FROM w.t WHERE s = ANY ('{NULL,1}')", [ADD, CHANGE, REMOVE]),
    (ARRAY_NULLS, "SELECT count(*) FROM w.t WHERE s = ANY ('{NULL}'::text[])", [ADD, REMOVE]),
    (ARRAY_NULLS, "SELECT v FROM w.k WHERE id = ANY ('{a,NULL}') ORDER BY 1", ["UPDATE w.k SET v = 'z' WHERE id = 'NULL'", "DELETE FROM w.k WHERE id = 'NULL'"])])
def test_null_under_settings(proxy, cluster, db, sets, sql, changes):
    cluster.sql(TABLES, db)
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        ours.simple(sets)
        real.simple(sets)
        wait_for("the catalog to be known again", lambda: is_cached(proxy, ours, "SELECT v FROM w.o WHERE id = 1"))
        hits = 0
        for change in changes:
            hits += is_cached(proxy, ours, sql)
            cluster.sql(change, db)
            assert rows(ours.simple(sql)) == rows(real.simple(sql)), change
        assert hits > 0


def test_null_in_an_array_parameter(proxy, cluster, db):
    cluster.sql(TABLES, db)
    with Wire(proxy.port).login(database=db) as ours:
        ours.simple(ARRAY_NULLS)

        def ask():
            ours.send(parse("", "SELECT v FROM w.t WHERE s = ANY ($1::text[])") + bind("", "", [b"{NULL}"]) + execute() + SYNC)
            return rows(ours.until(b"Z"))
        wait_for("a hit", lambda: proxy.metrics().count("cache_hits") < (ask(), proxy.metrics().count("cache_hits"))[1])
        cluster.sql(ADD, db)
        assert ask() == [[b"new"]]


CASTS = {
    "explicit": ("CREATE CAST (text AS int) WITH FUNCTION w.number(text)", "SELECT id, s::int FROM w.t WHERE id = 1"),
    "implicit": ("CREATE CAST (int AS text) WITH FUNCTION w.words(int) AS IMPLICIT", "SELECT id FROM w.t WHERE s = n"),
    "to json": ("CREATE CAST (w.mood AS json) WITH FUNCTION w.tojson(w.mood)", "SELECT id, to_json(m) FROM w.t WHERE id = 1"),
    "in an object": ("CREATE CAST (w.mood AS json) WITH FUNCTION w.tojson(w.mood)", "SELECT json_build_object('m', m) FROM w.t WHERE id = 1"),
    "to text": ("CREATE CAST (w.mood AS text) WITH FUNCTION w.mooded(w.mood) AS IMPLICIT", "SELECT lower(m) FROM w.t WHERE id = 1"),
    "operator class": ("CREATE OPERATOR CLASS w.moods DEFAULT FOR TYPE w.mood USING btree AS FUNCTION 1 w.compared(w.mood, w.mood)",
                       "SELECT id, m FROM w.t ORDER BY m, id DESC LIMIT 3"),
}
FUNCTIONS = """
    CREATE FUNCTION w.number(text) RETURNS int LANGUAGE sql AS 'SELECT tid + 1000 FROM w.o WHERE id = 1';
    CREATE FUNCTION w.words(int) RETURNS text LANGUAGE sql AS 'SELECT tid::oid::text FROM w.o WHERE id = 1';
    CREATE FUNCTION w.tojson(w.mood) RETURNS json LANGUAGE sql AS 'SELECT json_build_object(''is'', v) FROM w.o WHERE id = 1';
    CREATE FUNCTION w.mooded(w.mood) RETURNS text LANGUAGE sql AS 'SELECT v FROM w.o WHERE id = 1';
    CREATE FUNCTION w.compared(w.mood, w.mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 0';
"""


@pytest.mark.parametrize("name", CASTS)
def test_a_cast_runs_code_that_no_text_shows(proxy, cluster, db, name):
    cast, sql = CASTS[name]
    cluster.sql(TABLES + FUNCTIONS + cast, db)
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        for change in ("UPDATE w.o SET tid = 7, v = 'q' WHERE id = 1", "UPDATE w.o SET tid = 8, v = 'r' WHERE id = 1"):
            is_cached(proxy, ours, sql)
            cluster.sql(change, db)
            assert rows(ours.simple(sql)) == rows(real.simple(sql)), change
        before = proxy.metrics().one("pgweir_pass_total", reason="CAST")

        def passed():
            ours.simple(sql)
            return proxy.metrics().one("pgweir_pass_total", reason="CAST") > before
        wait_for("a pass for its CAST", passed)  # the change may still be on its way: another reason


def test_a_cast_that_writes(proxy, cluster, db):
    cluster.sql(TABLES + """CREATE FUNCTION w.writes(text) RETURNS int LANGUAGE sql AS $$UPDATE w.o SET v = 'written' WHERE id = 1 RETURNING 1$$;
                            CREATE CAST (text AS int) WITH FUNCTION w.writes(text)""", db)
    with Wire(proxy.port).login(database=db) as ours:
        is_cached(proxy, ours, "SELECT v FROM w.o WHERE id = 1")
        ours.simple("BEGIN")
        ours.simple("SELECT id, s::int FROM w.t WHERE id = 1")
        assert rows(ours.simple("SELECT v FROM w.o WHERE id = 1")) == [[b"written"]]
        ours.simple("COMMIT")


def test_a_cast_of_an_extensions_kind_is_no_matter(proxy, cluster, db):
    cluster.sql(TABLES + """CREATE FUNCTION w.own(w.mood) RETURNS text LANGUAGE internal IMMUTABLE STRICT AS 'enum_out';
                            CREATE CAST (w.mood AS text) WITH FUNCTION w.own(w.mood)""", db)
    with Wire(proxy.port).login(database=db) as ours:
        wait_for("a hit", lambda: is_cached(proxy, ours, "SELECT v FROM w.o WHERE id = 1"))


def test_an_index_of_an_extension_is_no_matter(proxy, cluster, db):
    """pg_trgm's operators and those of others are stable; they run only where a text names them."""
    cluster.sql(TABLES + "CREATE EXTENSION pg_trgm; CREATE INDEX ON w.o USING gin (v gin_trgm_ops)", db)
    with Wire(proxy.port).login(database=db) as ours:
        wait_for("a hit", lambda: is_cached(proxy, ours, "SELECT v FROM w.o WHERE id = 1"))
        wait_for("a hit", lambda: is_cached(proxy, ours, "SELECT id FROM w.o WHERE v LIKE 'a%'"))
        assert not is_cached(proxy, ours, "SELECT id FROM w.o WHERE v % 'a'")


ESCAPED_CLOCKS = [
    ("SELECT id FROM w.ck WHERE ts < ANY ('{n\\ow}'::timestamptz[])", None, 0),
    ("SELECT id FROM w.ck WHERE ts < ANY ('{\"n\\ow\"}')", None, 0),
    ("SELECT id FROM w.ck WHERE '[-infinity,n\"o\"w]'::tstzrange @> ts", None, 0),
    ("SELECT id FROM w.ck WHERE '{[-infinity,n\\ow]}'::tstzmultirange @> ts", None, 0),
    ("SELECT id FROM w.ck WHERE ts < ANY ($1)", b"{n\\ow}", 0),
    ("SELECT id FROM w.ck WHERE ts < ANY ($1)", b"{n\\ow}", 1185),
    ("SELECT id FROM w.ck WHERE $1::tstzrange @> ts", b"[-infinity,n\"o\"w]", 0),
]


def test_a_clock_behind_escapes(proxy, cluster, db):
    """Arrays and ranges drop backslashes and quotes; what is in them then is 'now', each time another one."""
    cluster.sql(TABLES + "CREATE TABLE w.ck (id int PRIMARY KEY, ts timestamptz)", db)
    cluster.sql("INSERT INTO w.ck VALUES (1, now() + interval '3 seconds')", db)
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        def ask(wire, sql, value, oid):
            if value is None:
                return rows(wire.simple(sql))
            wire.send(parse("", sql, [oid]) + bind("", "", [value]) + execute() + SYNC)
            return rows(wire.until(b"Z"))
        wait_for("the catalog to be known again", lambda: is_cached(proxy, ours, "SELECT id FROM w.ck WHERE id = 1"))
        with Counted(proxy) as counted:
            for clock in ESCAPED_CLOCKS * 3:
                ask(ours, *clock)
        assert counted.rise("cache_hits") == 0
        wait_for("the moment to pass", lambda: ask(real, *ESCAPED_CLOCKS[0]) == [[b"1"]])
        for clock in ESCAPED_CLOCKS:
            assert ask(ours, *clock) == [[b"1"]], clock


CHECKED = TABLES + """
    CREATE TABLE w.acc (id int PRIMARY KEY, n int); INSERT INTO w.acc VALUES (1, 0);
    CREATE FUNCTION w.counts(text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN UPDATE w.acc SET n = n + 1 WHERE id = 1; RETURN true; END$$;
    CREATE DOMAIN w.dom AS text CHECK (w.counts(VALUE)); CREATE TYPE w.comp AS (d w.dom);
    CREATE TABLE w.dtab (id int PRIMARY KEY, d w.dom, a w.dom[]); INSERT INTO w.dtab VALUES (1, 'z', '{a}');
"""


def test_a_domains_check_that_writes(proxy, cluster, db):
    """What runs a domain's CHECK may write, though no text shows it: the own transaction sees it, and it runs each time."""
    cluster.sql(CHECKED, db)
    dom, comp = (int(cluster.sql(f"SELECT 'w.{name}'::regtype::oid", db)) for name in ("dom", "comp"))
    statements = [
        ("SELECT $1", dom), ("SELECT 1", dom), ("SELECT v FROM w.o WHERE v = $1", dom), ("SELECT v FROM w.o WHERE id = 1", dom),
        (f"SELECT array_in('{{x}}', {dom}, -1)", None), (f"SELECT domain_in('x', {dom}, -1) IS NULL", None), (f"SELECT record_in('(x)', {comp}, -1)", None),
        ("SELECT jsonb_populate_record(dtab, '{\"d\": \"q\"}') FROM w.dtab", None),
        ("SELECT j.* FROM w.dtab, json_populate_recordset(dtab, '[{\"d\": \"q\"}]') j", None),
        ("SELECT * FROM json_to_record('{\"d\": \"q\"}') AS x(d w.dom)", None),
        ("SELECT id FROM w.dtab WHERE a = '{x}'", None), ("SELECT coalesce(a, '{x}') FROM w.dtab", None),
        ("SELECT lag(d, 1, 'x') OVER () FROM w.dtab", None), ("SELECT a FROM w.dtab UNION ALL SELECT '{x}'", None),
        ("SELECT coalesce(dtab, '(1,x,)') FROM w.dtab", None), ("SELECT ARRAY(SELECT d FROM w.dtab) = '{x}'", None)]
    read = "SELECT n FROM w.acc WHERE id = 1"
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        def ask(wire, sql, oid):
            if oid is None:
                return errors(wire.simple(sql))
            wire.send(parse("", sql, [oid]) + bind("", "", [b"x"]) + execute() + SYNC)
            return errors(wire.until(b"Z"))
        wait_for("a hit", lambda: is_cached(proxy, ours, read))
        for statement in statements:
            seen = []
            for wire in (ours, real):
                wire.simple("BEGIN")
                before = rows(wire.simple(read))
                assert ask(wire, *statement) == [] and ask(wire, *statement) == []
                seen.append((before, rows(wire.simple(read))))
                wire.simple("ROLLBACK")
            assert seen[0] == seen[1] and seen[1][0] != seen[1][1], statement
        before = rows(real.simple(read))
        for _ in range(5):
            ask(ours, "SELECT v FROM w.o WHERE id = 1", dom)
        assert int(rows(real.simple(read))[0][0]) == int(before[0][0]) + 5


def test_a_domains_check_that_writes_ends_a_context(proxy, cluster, db):
    cluster.sql(CHECKED, db)
    dom = int(cluster.sql("SELECT 'w.dom'::regtype::oid", db))
    read = "SELECT n FROM w.acc WHERE id = 1"
    with Wire(proxy.port).login(database=db) as ours:
        ours.simple("SET pgweir.repeatable_context = on")
        wait_for("a hit", lambda: is_cached(proxy, ours, read))
        for sql, oid in (("INSERT INTO w.dtab (id, d) VALUES (2, 'x')", 0), ("DELETE FROM w.dtab WHERE a = '{x}'", 0),
                         ("UPDATE w.o SET v = 'x' FROM w.dtab d WHERE d.a = '{x}'", 0), ("UPDATE w.o SET v = 'x' WHERE v <> $1", dom)):
            ours.simple("BEGIN")
            before = int(rows(ours.simple(read))[0][0])
            ours.send(parse("", sql, [oid] if oid else []) + bind("", "", [b"x"] if oid else []) + execute() + SYNC)
            assert errors(ours.until(b"Z")) == []
            assert int(rows(ours.simple(read))[0][0]) > before, sql
            ours.simple("ROLLBACK")
