"""Code that the text of a statement does not show - DO, functions, triggers, policies - and what it does to prepared statements, channels
and custom settings: its session sees what PostgreSQL says, and nobody else notices."""
import pytest

from pgweir_test.proxy import Proxy, PGBOUNCER
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer does not look")

WAYS = {
    "DO": "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
    "DO, without EXECUTE": "DO $$ BEGIN DEALLOCATE ALL; END $$",
    "function": "SELECT forget()",
    "trigger": "INSERT INTO watched VALUES (1)",
    "DO, behind it the settings": "DO $$ BEGIN SET app.tenant = '5'; DEALLOCATE ALL; SET work_mem = '9MB'; END $$",
}


@pytest.fixture(scope="module")
def db(cluster):
    name = "hidden"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""
        CREATE FUNCTION forget() RETURNS void LANGUAGE plpgsql AS 'BEGIN DEALLOCATE ALL; END';
        CREATE FUNCTION forget_too() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DEALLOCATE ALL; RETURN NULL; END';
        CREATE FUNCTION hush() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UNLISTEN news; RETURN NULL; END';
        CREATE TABLE watched (i int); CREATE TRIGGER forget AFTER INSERT ON watched EXECUTE FUNCTION forget_too();
        CREATE TABLE quiet (i int); CREATE TRIGGER hush AFTER INSERT ON quiet EXECUTE FUNCTION hush();
    """, name)
    yield name
    cluster.drop_database(name)


@pytest.fixture
def proxy(cluster, db):
    """One server connection for all."""
    made = Proxy(cluster, {"default_pool_size": 1, "ignore_startup_parameters": None})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def run(wire, name, *values):
    wire.send(bind("", name, values) + execute() + SYNC)
    got = wire.until(b"Z")
    return rows(got) or errors(got)


def prepare(wire, name, text):
    wire.send(parse(name, text) + SYNC)
    assert errors(wire.until(b"Z")) == []


@pytest.mark.parametrize("way", WAYS)
def test_statements_that_hidden_code_deallocates(proxy, db, way):
    with Wire(proxy.port).login(database=db, options="-c app.tenant=1 -c statement_timeout=80s") as one, \
            Wire(proxy.port).login(database=db) as two:
        prepare(one, "s", "SELECT 'one'"), prepare(two, "s", "SELECT 'two'")
        for turn in range(3):
            assert (run(one, "s"), run(two, "s")) == ([[b"one"]], [[b"two"]])
            assert errors(one.simple(WAYS[way])) == []
            assert run(two, "s") == [[b"two"]]
            assert run(one, "s") == ["26000"], "as in PostgreSQL"
            prepare(one, "s", "SELECT 'one'")
            assert rows(one.simple("SHOW app.tenant")) == [[b"5" if "settings" in way else b"1"]]
            assert rows(two.simple("SHOW work_mem")) == [[b"4MB"]]


def test_hidden_code_deallocates_in_the_middle_of_a_transaction(proxy, db):
    """What is prepared behind it stays, what stands in front of it is gone; what we need ourselves is made again."""
    with Wire(proxy.port).login(database=db, options="-c work_mem=6MB") as one, Wire(proxy.port).login(database=db) as two:
        prepare(one, "a", "SELECT 'a'"), prepare(two, "t", "SELECT 'two'")
        assert run(two, "t") == [[b"two"]]
        one.simple("BEGIN")
        assert run(one, "a") == [[b"a"]]
        one.simple(WAYS["DO"])
        prepare(one, "b", "SELECT 'b'")
        assert run(one, "b") == [[b"b"]]
        one.simple("SET work_mem = '9MB'")
        one.simple("RESET work_mem")
        assert rows(one.simple("SHOW work_mem")) == [[b"6MB"]]
        one.simple("COMMIT")
        assert run(two, "t") == [[b"two"]]
        assert (run(one, "b"), run(one, "a")) == ([[b"b"]], ["26000"])
        prepare(one, "a", "SELECT 'a again'")
        assert run(one, "a") == [[b"a again"]]


def test_nothing_is_made_again_when_nothing_was_deallocated(proxy, db):
    with Wire(proxy.port).login(database=db) as one:
        prepare(one, "s", "SELECT 'one'")
        for _ in range(3):
            one.simple("DO $$ BEGIN PERFORM 1; END $$")
            run(one, "s")
        before = proxy.metrics()["pgweir_reparses_total"]
        for _ in range(5):
            one.simple("DO $$ BEGIN PERFORM 1; END $$")
            assert run(one, "s") == [[b"one"]]
        assert proxy.metrics()["pgweir_reparses_total"] == before and proxy.metrics().count("inventories") == 0


def test_a_statement_that_is_gone_for_no_reason_we_know_is_made_again(cluster, database):
    """A plain pooler does not hear of code that is brought in beside it: others meet what it has taken away, and do not notice."""
    proxy = Proxy(cluster, {"default_pool_size": 1, "coherence": "off", "workers": 1})
    cluster.sql("CREATE TABLE watched (i int)", database)
    with Wire(proxy.port).login(database=database) as one, Wire(proxy.port).login(database=database) as two:
        prepare(one, "s", "SELECT 'one', $1::int"), prepare(two, "i", "INSERT INTO watched VALUES (1)")
        assert (run(one, "s", b"1"), run(two, "i")) == ([[b"one", b"1"]], [])
        cluster.sql("CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DEALLOCATE ALL; RETURN NULL; END';"
                    "CREATE TRIGGER forget AFTER INSERT ON watched EXECUTE FUNCTION forget()", database)
        for begin in (None, "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"):
            assert run(two, "i") == []
            if begin:
                one.simple(begin)
            assert run(one, "s", b"2") == [[b"one", b"2"]]
            if begin:
                one.simple("COMMIT")
        assert proxy.metrics().count("replays") >= 3
    assert proxy.stop() == 0


def test_a_trigger_that_unlistens(cluster, proxy, db):
    """The channels of a session are on no server connection: its code finds them all the same."""
    with proxy.connect(db) as one, cluster.connect(db) as other:
        one.execute("LISTEN news"), one.execute("LISTEN other")
        one.execute("INSERT INTO quiet VALUES (1)")
        assert one.execute("SELECT * FROM pg_listening_channels()").fetchall() == [("other",)]
        other.execute("NOTIFY news, 'a'"), other.execute("NOTIFY other, 'b'")
        assert next(one.notifies()).channel == "other"
