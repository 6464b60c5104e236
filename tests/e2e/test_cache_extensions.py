"""Types, operators and functions of extensions: those that are immutable and in C are as good as PostgreSQL's own, others are not."""
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, execute, parse, rows
from test_cache import PATIENT, Counted, warm

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's"), pytest.mark.slow]
DB = "extended"
TABLES = """
    CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION isn; CREATE EXTENSION cube; CREATE EXTENSION intarray;
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE u (id int PRIMARY KEY, email citext UNIQUE, name varchar(40), h hstore, p ltree, m mood, n numeric, j jsonb, a int[], ms mood[]);
    CREATE TABLE o (id int PRIMARY KEY, owner citext, total numeric);
    CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
"""
FILL = """
    TRUNCATE u, o;
    INSERT INTO u SELECT i, 'User' || i || '@x', 'n' || i, ('k=>' || i)::hstore, ('a.b' || i)::ltree, 'sad', i, jsonb_build_object('a', i), ARRAY[i, 2 * i] FROM generate_series(1, 9) i;
    INSERT INTO o SELECT i, 'USER' || i % 3 + 1 || '@X', i FROM generate_series(1, 9) i
"""
WRITES = ["UPDATE u SET email = 'q' || id WHERE id = 1", "UPDATE u SET email = 'USER1@x' WHERE id = 1", "UPDATE u SET h = 'k=>2', p = 'a.b2', m = 'happy', ms = '{happy,sad}', n = 2.0, j = '{\"a\": 2}', a = '{2}' WHERE id = 3",
          "UPDATE u SET name = 'n2' WHERE id = 5", "DELETE FROM u WHERE id = 2", "UPDATE o SET owner = 'user1@x', total = 100 WHERE id = 8",
          "INSERT INTO u (id, email, name, n, m) VALUES (20, 'user2@X', 'n2', 2, 'happy')"]
READS = ["SELECT id FROM u WHERE email = 'user1@X' ORDER BY id", "SELECT id, email FROM u WHERE email IN ('USER2@x', 'q1') ORDER BY id",
         "SELECT u.id, o.total FROM u JOIN o ON o.owner = u.email ORDER BY 1, 2", "SELECT email FROM u ORDER BY email DESC LIMIT 4",
         "SELECT count(DISTINCT owner), max(total) FROM o", "SELECT owner, sum(total) FROM o GROUP BY owner ORDER BY owner",
         "SELECT id FROM u WHERE h -> 'k' = '2' ORDER BY id", "SELECT id FROM u WHERE p <@ 'a.b2' ORDER BY id",
         "SELECT id FROM u WHERE m = 'happy' ORDER BY id", "SELECT id FROM u WHERE n = 2 ORDER BY id", "SELECT id FROM u WHERE j @> '{\"a\": 2}' ORDER BY id",
         "SELECT id FROM u WHERE a @> '{2}' ORDER BY id", "SELECT id FROM u WHERE name = 'n2' ORDER BY id", "SELECT lower(email), upper(name) FROM u ORDER BY id",
         "SELECT id FROM u WHERE m = CAST('happy'::text AS \"public\".\"mood\") ORDER BY id", "SELECT id FROM u WHERE m IN ('happy'::mood, 'happy'::public.mood) ORDER BY id",
         "SELECT id FROM u WHERE m = ANY ('{happy}'::mood[]) ORDER BY id", "SELECT id, email::text::citext FROM u WHERE email = 'user1@X'::citext ORDER BY id",
         "SELECT id FROM u WHERE 'happy' = ANY (ms) OR ms @> '{happy}' ORDER BY id", "SELECT id FROM u WHERE id::text::citext = '3'",
         "SELECT id FROM u WHERE email LIKE 'USER%' ORDER BY id", "SELECT id FROM u WHERE EXISTS (SELECT FROM o WHERE o.owner = u.email AND o.total > 7) ORDER BY id"]


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql(TABLES, DB)
    yield DB
    cluster.drop_database(DB)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, PATIENT)
    warm(made, db)
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def ask(wire, sql, values=()):
    if not values:
        return rows(wire.simple(sql))
    wire.send(parse("", sql) + bind("", "", values) + execute() + SYNC)
    return rows(wire.until(b"Z"))


def is_cached(proxy, wire, sql, values=()):
    for _ in range(8):
        with Counted(proxy) as counted:
            ask(wire, sql, values)
        if counted.rise("cache_hits") > 0:
            return True
    return False


@pytest.mark.parametrize("sql", READS)
def test_what_is_compared_is_cached_and_falls(proxy, cluster, db, sql):
    cluster.sql(FILL, db)
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        for write in WRITES:
            wait_for("a hit", lambda: is_cached(proxy, ours, sql))
            assert ask(ours, sql) == ask(real, sql)
            cluster.sql(write, db)
            assert ask(ours, sql) == ask(real, sql), write


@pytest.mark.parametrize("sql, value, changed", [
    ("SELECT id FROM u WHERE email = $1", b"USER4@X", "UPDATE u SET email = 'gone' WHERE id = 4"),
    ("SELECT id FROM u WHERE name = $1", b"n4", "UPDATE u SET name = 'm' WHERE id = 4"),
    ("SELECT id FROM u WHERE m = $1 ORDER BY id", b"happy", "UPDATE u SET m = 'happy' WHERE id = 4"),
    ("SELECT id FROM u WHERE m = CAST($1::text AS \"public\".\"mood\") ORDER BY id", b"happy", "UPDATE u SET m = 'happy' WHERE id = 4"),
    ("SELECT id FROM u WHERE m = ANY ($1::mood[]) ORDER BY id", b"{happy}", "UPDATE u SET m = 'happy' WHERE id = 4"),
    ("SELECT id FROM u WHERE email = $1::citext ORDER BY id", b"USER4@x", "UPDATE u SET email = 'gone' WHERE id = 4"),
    ("SELECT id FROM u WHERE email = ANY ($1) ORDER BY id", b"{user4@x,user5@x}", "DELETE FROM u WHERE id = 5")])
def test_parameters(proxy, cluster, db, sql, value, changed):
    cluster.sql(FILL, db)
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        wait_for("a hit", lambda: is_cached(proxy, ours, sql, [value]))
        cluster.sql(changed, db)
        assert ask(ours, sql, [value]) == ask(real, sql, [value])
        assert not is_cached(proxy, ours, "SELECT id FROM u WHERE email = $1", [b"now"]) or ask(real, "SELECT id FROM u WHERE email = $1", [b"now"]) == []


@pytest.mark.parametrize("sql, type_, values", [("SELECT id FROM u WHERE m = $1 ORDER BY id", "mood", (b"happy", b"sad")),
                                                ("SELECT id FROM u WHERE email = $1", "citext", (b"USER4@X", b"user5@x"))])
def test_declared_parameters(proxy, cluster, db, sql, type_, values):
    """Npgsql declares those of enums."""
    cluster.sql(FILL, db)
    oid = int(cluster.sql(f"SELECT '{type_}'::regtype::oid", db))
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        def declared(wire, value):
            wire.send(parse("", sql, [oid]) + bind("", "", [value]) + execute() + SYNC)
            return rows(wire.until(b"Z"))

        def hit(value):
            with Counted(proxy) as counted:
                declared(ours, value)
            return counted.rise("cache_hits") > 0
        for value in values:
            wait_for("a hit", lambda: hit(value))
        for write in WRITES + ["UPDATE u SET m = 'happy', email = 'gone' WHERE id = 4"]:
            cluster.sql(write, db)
            assert [declared(ours, value) for value in values] == [declared(real, value) for value in values], write


# What a user made, and a read that it changes the meaning of; the writes are of rows that the read does not seem to look at.
OTHERS = {
    "an equality of varchar that means another thing": (
        """CREATE FUNCTION s.differs(varchar, varchar) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'textne';
           CREATE OPERATOR s.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = s.differs)""",
        "SELECT id FROM u WHERE name = 'n1' ORDER BY id"),
    "a type that varchar becomes": (
        """CREATE TYPE s.v; CREATE FUNCTION s.v_in(cstring) RETURNS s.v LANGUAGE internal IMMUTABLE STRICT AS 'textin';
           CREATE FUNCTION s.v_out(s.v) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout'; CREATE TYPE s.v (INPUT = s.v_in, OUTPUT = s.v_out, LIKE = text);
           CREATE FUNCTION s.differs(s.v, varchar) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'textne';
           CREATE CAST (varchar AS s.v) WITHOUT FUNCTION AS IMPLICIT; CREATE OPERATOR s.= (LEFTARG = s.v, RIGHTARG = varchar, FUNCTION = s.differs)""",
        "SELECT id FROM u WHERE name = 'n1'::varchar ORDER BY id"),
    "an equality in SQL": (
        """CREATE FUNCTION s.same(citext, citext) RETURNS bool LANGUAGE sql STABLE AS 'SELECT $1::text <> $2::text OR EXISTS (SELECT FROM item WHERE id = -1)';
           CREATE OPERATOR s.= (LEFTARG = citext, RIGHTARG = citext, FUNCTION = s.same)""",
        "SELECT id FROM u WHERE email = 'n1' ORDER BY id"),
    "a domain's CHECK": (
        """CREATE FUNCTION s.asks(text) RETURNS bool LANGUAGE sql AS 'SELECT NOT EXISTS (SELECT FROM item WHERE id = -1)';
           CREATE DOMAIN s.d AS text CHECK (s.asks(VALUE)); CREATE FUNCTION s.same(s.d, s.d) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'texteq';
           CREATE OPERATOR s.&& (LEFTARG = s.d, RIGHTARG = s.d, FUNCTION = s.same)""",
        "SELECT id FROM u WHERE lower(name) && 'n1' ORDER BY id"),
    "an aggregate in SQL": (
        """CREATE FUNCTION s.more(numeric, mood) RETURNS numeric LANGUAGE sql AS 'SELECT $1 + count(*) FROM item WHERE id = -1';
           CREATE AGGREGATE s.sum(mood) (SFUNC = s.more, STYPE = numeric, INITCOND = '0')""",
        "SELECT sum(m) FROM u"),
    "a domain of the same name": (
        """CREATE FUNCTION s.asks(text) RETURNS bool LANGUAGE sql AS 'SELECT NOT EXISTS (SELECT FROM item WHERE id = -1)';
           CREATE DOMAIN s.hstore AS text CHECK (s.asks(VALUE))""",
        "SELECT id FROM u WHERE name = 'n1'::hstore ORDER BY id"),
    "a function in SQL": (
        "CREATE FUNCTION s.lower(citext) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT count(*)::text FROM item WHERE id = -1'",
        "SELECT lower(email) FROM u ORDER BY id"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_users_made_is_not(proxy, cluster, db, name):
    made, sql = OTHERS[name]
    cluster.sql(FILL + "; DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s; DELETE FROM item WHERE id < 0;" + made, db)
    try:
        with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
            for wire in (ours, real):
                wire.simple("SET search_path = " + ("s, public" if name == "a domain of the same name" else "public, s"))
            wait_for("the catalog to be known again", lambda: is_cached(proxy, ours, "SELECT id FROM o WHERE id = 1"))
            for write in ("INSERT INTO u (id, name) VALUES (30, 'new')", "UPDATE u SET name = 'other' WHERE id = 7", "UPDATE u SET name = 'n1' WHERE id = 8", "INSERT INTO item VALUES (-1)", "DELETE FROM item WHERE id = -1"):
                is_cached(proxy, ours, sql)
                cluster.sql(write, db)
                assert ask(ours, sql) == ask(real, sql), write
    finally:
        cluster.sql("DROP SCHEMA s CASCADE; DELETE FROM item WHERE id < 0", db)


def test_a_temporary_domain_of_the_same_name(proxy, cluster, db):
    cluster.sql(FILL + "; DELETE FROM item WHERE id < 0", db)
    sql = "SELECT id FROM u WHERE name = ('n1'::text)::ltree::text ORDER BY id"
    try:
        with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real, Wire(proxy.port).login(database=db) as other:
            wait_for("a hit", lambda: is_cached(proxy, other, sql))
            for wire in (ours, real):
                wire.simple("CREATE FUNCTION pg_temp.asks(text) RETURNS bool LANGUAGE sql AS 'SELECT NOT EXISTS (SELECT FROM public.item WHERE id = -1)';"
                            "CREATE DOMAIN pg_temp.ltree AS text CHECK (pg_temp.asks(VALUE))")
            for write in ("INSERT INTO item VALUES (-1)", "DELETE FROM item WHERE id = -1"):
                assert [ours.simple(sql) for _ in range(4)][-1][0] == real.simple(sql)[0]
                cluster.sql(write, db)
                assert ours.simple(sql)[0] == real.simple(sql)[0], write
            wait_for("a hit", lambda: is_cached(proxy, other, sql))
    finally:
        cluster.sql("DELETE FROM item WHERE id < 0", db)
