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


TENANTS = """
    DROP ROLE IF EXISTS tenant; CREATE ROLE tenant LOGIN; CREATE TABLE orders (tenant int, what text); GRANT SELECT, INSERT ON orders TO tenant;
    INSERT INTO orders VALUES (1, 'one'), (2, 'two'); ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON orders USING (tenant = current_setting('app.tenant')::int);
    CREATE FUNCTION mine() RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_setting('app.tenant') $$;
    CREATE FUNCTION mine_too() RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN current_setting('app.tenant'); END $$;
    CREATE VIEW seen AS SELECT mine_too() AS tenant; GRANT SELECT ON seen TO tenant;
"""


@pytest.mark.parametrize("sets", ["SET app.tenant = '{}'", "SELECT set_config('app.tenant', '{}', false)", "DO $$ BEGIN SET app.tenant = '{}'; END $$",
                                  "startup"])
def test_policies_and_functions_see_the_clients_setting(cluster, database, sets):
    """Set once, outside of the transactions that read it, by two clients who take turns on two server connections."""
    cluster.sql(TENANTS, database)
    proxy = Proxy(cluster, {"default_pool_size": 2, "ignore_startup_parameters": None}, users={"tenant": "", "postgres": ""})
    conns = {}
    for number in ("1", "2"):
        more = {"options": f"-c app.tenant={number}"} if sets == "startup" else {}
        conns[number] = proxy.connect(database, "tenant", prepare_threshold=0, **more)
        if not more:
            conns[number].execute(sets.format(number))
    for turn in range(4):
        with proxy.connect(database, "tenant", autocommit=False) as other:
            other.execute("SELECT 1")  # one of the server connections is taken
            for number, conn in conns.items():
                words = {"1": "one", "2": "two"}
                assert conn.execute("SELECT what FROM orders").fetchall() == [(words[number],)]
                for question in ("SELECT mine()", "SELECT mine_too()", "SELECT tenant FROM seen"):
                    assert conn.execute(question).fetchone() == (number,)
                with conn.transaction():
                    conn.execute("SELECT 1")
                    assert conn.execute("SELECT what FROM orders WHERE what <> %s", ["x"]).fetchall() == [(words[number],)]
                    conn.execute("SELECT set_config('app.tenant', %s, true)", ["2" if number == "1" else "1"])
                    assert conn.execute("SELECT mine()").fetchone() != (number,)
    for conn in conns.values():
        conn.close()
    cluster.sql("DROP OWNED BY tenant", database)
    assert proxy.stop() == 0


@pytest.mark.parametrize("code", [
    "ALTER TABLE plain ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON plain USING (true) WITH CHECK (set_config('work_mem', '7MB', false) <> '');"
    "ALTER TABLE plain FORCE ROW LEVEL SECURITY; ALTER TABLE plain OWNER TO hidden_owner",
    "ALTER TABLE plain ADD CHECK (set_config('work_mem', '7MB', false) <> '')",
    "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    "CREATE TRIGGER g AFTER INSERT ON plain FOR EACH ROW WHEN (set_config('work_mem', '7MB', false) <> '') EXECUTE FUNCTION nothing()",
], ids=["policy", "constraint", "condition"])
def test_settings_that_expressions_of_the_catalog_change(cluster, database, code):
    cluster.sql("DROP ROLE IF EXISTS hidden_owner; CREATE ROLE hidden_owner LOGIN; CREATE TABLE plain (i int); GRANT ALL ON plain TO hidden_owner;" + code, database)
    proxy = Proxy(cluster, {"default_pool_size": 1}, users={"hidden_owner": "", "postgres": ""})
    with proxy.connect(database, "hidden_owner") as one, proxy.connect(database, "hidden_owner") as two:
        one.execute("INSERT INTO plain VALUES (1)")
        assert two.execute("SHOW work_mem").fetchone() == ("4MB",)
        assert one.execute("SHOW work_mem").fetchone() == ("7MB",)
    cluster.sql("DROP OWNED BY hidden_owner", database)
    assert proxy.stop() == 0
