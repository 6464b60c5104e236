"""A statement is parsed under the schema of its time: who parses it behind DDL does not get the one of those before."""
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse, rows

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="about the proxy's shared statements and its cache"), pytest.mark.sanitizer]
TEXT = "SELECT v FROM t WHERE k = $1"
# The table, what changes it, a value, what a session that parses behind it sees.
CHANGES = {
    "timestamp to timestamptz": ("k timestamp, v text", "INSERT INTO t VALUES ('2020-01-01 00:00', 'midnight'), ('2020-01-01 05:00', 'five')",
                                 "ALTER TABLE t ALTER k TYPE timestamptz USING k AT TIME ZONE 'UTC'", b"2020-01-01 05:00:00+05"),
    "real to double": ("k real, v text", "INSERT INTO t VALUES (0.5, 'half')",
                       "ALTER TABLE t ALTER k TYPE float8; INSERT INTO t VALUES (0.1, 'tenth')", b"0.1"),
    "char to text": ("k char(5), v text", "INSERT INTO t VALUES ('a', 'A')",
                     "ALTER TABLE t ALTER k TYPE text; INSERT INTO t VALUES ('a ', 'blank')", b"a "),
    "int to bigint": ("k int, v text", "INSERT INTO t VALUES (1, 'one')",
                      "ALTER TABLE t ALTER k TYPE bigint; INSERT INTO t VALUES (3000000000, 'many')", b"3000000000"),
    "made anew": ("k uuid, v text", "INSERT INTO t VALUES (gen_random_uuid(), 'x')",
                  "DROP TABLE t; CREATE TABLE t (k text, v text); INSERT INTO t VALUES ('abc', 'letters')", b"abc"),
}


@pytest.fixture(params=["cache", "no cache"])
def proxy(cluster, request):
    # Workers know texts for themselves.
    made = Proxy(cluster, {"default_pool_size": 1, "workers": 1, "coherence": "strict" if request.param == "cache" else "off"})
    made.cached = request.param == "cache"
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def ask(wire, value, name="s"):
    wire.send(bind("", name, [value]) + execute() + SYNC)
    got = wire.until(b"Z")
    return errors(got) or rows(got)


def prepare(wire, text=TEXT, name="s"):
    wire.send(parse(name, text) + SYNC)
    assert not errors(wire.until(b"Z"))


def of_a_new_client(proxy, database, value):
    with Wire(proxy.port).login(database=database) as wire:
        prepare(wire)
        return ask(wire, value)


@pytest.mark.parametrize("name", CHANGES)
def test_who_comes_behind_ddl(proxy, cluster, database, name):
    columns, fill, change, value = CHANGES[name]
    cluster.sql(f"CREATE TABLE t ({columns}); {fill}", database)
    with Wire(proxy.port).login(database=database) as before:
        prepare(before)
        ask(before, value)
        if proxy.cached:
            cluster.sql(change, database)  # by others: the feed tells
        else:
            before.simple(change)  # by one of ours: that is known at once
        with Wire(cluster.port).login(database=database) as real:
            prepare(real)
            right = ask(real, value)
        if proxy.cached:
            wait_for("the feed", lambda: of_a_new_client(proxy, database, value) == right)
        for _ in range(3):
            assert of_a_new_client(proxy, database, value) == right


def test_ddl_that_is_rolled_back(proxy, cluster, database):
    cluster.sql("CREATE TABLE t (k int, v text); INSERT INTO t VALUES (1, 'one')", database)
    with Wire(proxy.port).login(database=database) as one, Wire(proxy.port).login(database=database) as other:
        one.simple("BEGIN")
        one.simple("ALTER TABLE t ALTER k TYPE text")
        prepare(one)
        assert ask(one, b"1") == [[b"one"]]
        one.simple("ROLLBACK")
        prepare(other)
        assert ask(other, b"1") == [[b"one"]]


def test_a_temporary_table_of_another(proxy, cluster, database):
    cluster.sql("CREATE TABLE t (k int, v text); INSERT INTO t VALUES (1, 'one')", database)
    with Wire(proxy.port).login(database=database) as one, Wire(proxy.port).login(database=database) as other:
        one.simple("BEGIN")
        one.simple("CREATE TEMP TABLE t (k text, v text) ON COMMIT DROP")
        prepare(one)
        assert ask(one, b"1") == []
        one.simple("COMMIT")
        prepare(other)
        assert ask(other, b"1") == [[b"one"]]


def test_roles_with_schemas_of_their_own(proxy, cluster, database):
    cluster.sql("""CREATE ROLE r1; CREATE ROLE r2; CREATE SCHEMA r1 AUTHORIZATION r1; CREATE SCHEMA r2 AUTHORIZATION r2;
                   CREATE TABLE r1.t (k char(5), v text); INSERT INTO r1.t VALUES ('a', 'of r1');
                   CREATE TABLE r2.t (k text, v text); INSERT INTO r2.t VALUES ('a', 'of r2');
                   GRANT SELECT ON r1.t TO r1; GRANT SELECT ON r2.t TO r2""", database)
    try:
        with Wire(proxy.port).login(database=database) as one, Wire(proxy.port).login(database=database) as other:
            one.simple("SET ROLE r1")
            other.simple("SET ROLE r2")
            prepare(one)
            prepare(other)
            for _ in range(3):
                assert ask(one, b"a  ") == [[b"of r1"]]
                assert ask(other, b"a  ") == []
    finally:
        cluster.sql("DROP SCHEMA r1, r2 CASCADE; DROP ROLE r1; DROP ROLE r2", database)


def hit(proxy, wire, value):
    before = proxy.metrics().count("cache_hits")
    got = ask(wire, value)
    return got, proxy.metrics().count("cache_hits") > before


def new_client_hits(proxy, database, value):
    with Wire(proxy.port).login(database=database) as wire:
        prepare(wire)
        return any(hit(proxy, wire, value)[1] for _ in range(4))


def test_what_was_parsed_before_is_not_stale(cluster, database):
    """Its parameter keeps the type of then, and with it what rows it depends on."""
    proxy = Proxy(cluster, {"default_pool_size": 1, "workers": 1})
    cluster.sql("CREATE TABLE t (k char(5) PRIMARY KEY, v text); CREATE TABLE other (k int PRIMARY KEY); INSERT INTO t VALUES ('a', 'A')", database)
    with Wire(proxy.port).login(database=database) as wire, Wire(cluster.port).login(database=database) as real:
        prepare(wire)
        prepare(real)
        wait_for("a hit", lambda: hit(proxy, wire, b"a")[1])
        # Of another table: no matter.
        cluster.sql("ALTER TABLE other ADD COLUMN v int", database)
        wait_for("a hit", lambda: hit(proxy, wire, b"a")[1])
        cluster.sql("ALTER TABLE t ALTER k TYPE text", database)
        for value in (b"new", b"newer"):
            for _ in range(5):
                assert ask(wire, b"a  ") == ask(real, b"a  ")
            cluster.sql(f"UPDATE t SET v = '{value.decode()}'", database)
            assert ask(wire, b"a  ") == ask(real, b"a  ") == [[value]]
        assert proxy.metrics().one("pgweir_pass_total", reason="PARSED_BEFORE") > 0
    # Who parses it now is served again.
    wait_for("a hit of a new client", lambda: new_client_hits(proxy, database, b"a"))
    assert proxy.stop() == 0


def test_what_was_parsed_while_the_cache_was_off(cluster, database):
    """Nobody knew its tables: it is made again, and served."""
    proxy = Proxy(cluster, {"default_pool_size": 1, "workers": 1, "coherence": "off"})
    cluster.sql("CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'one')", database)
    with Wire(proxy.port).login(database=database) as wire:
        prepare(wire)
        assert ask(wire, b"1") == [[b"one"]]
        proxy.settings["coherence"] = "strict"
        proxy.reload()
        wait_for("a hit", lambda: hit(proxy, wire, b"1")[1])
    assert proxy.stop() == 0
