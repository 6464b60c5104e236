"""Custom settings (app.x): kept for who has set them by whatever way, unknown to who has not."""
import psycopg
import pytest

from pgweir_test.proxy import Proxy, PGBOUNCER
from pgweir_test.wire import Wire

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer knows nothing of them")
UNKNOWN = "42704"


@pytest.fixture(scope="module")
def proxy(cluster):
    """One backend for all."""
    cluster.sql("CREATE FUNCTION be(v text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config('app.user_id', v, false); END $$;"
                "CREATE PROCEDURE become(v text) LANGUAGE plpgsql AS $$ BEGIN SET app.role_name = 'x'; PERFORM set_config('app.role_name', v, false); END $$;"
                "CREATE FUNCTION put(n text, v text) RETURNS text LANGUAGE sql AS 'SELECT set_config(n, v, false)'")
    made = Proxy(cluster, {"default_pool_size": 1})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def value(conn, text, *values):
    """The value, or the SQLSTATE."""
    try:
        return conn.execute(text, *values).fetchone()[0]
    except psycopg.Error as error:
        return error.sqlstate


@pytest.mark.parametrize("name, sets", [
    ("app.user_id", "SELECT be('7')"), ("app.role_name", "CALL become('7')"), ("app.named", "SELECT put('app.named', '7')"),
    ("app.quoted", "DO $$ BEGIN PERFORM set_config('app.quoted', '7', false); END $$"), ("app.plain", "DO $$ BEGIN SET app.plain = 7; END $$"),
    ("app.local", "DO $$ BEGIN SET LOCAL app.local = 1; SET SESSION app.local = 7; END $$")])
def test_what_code_has_set_is_kept_and_nobody_elses(proxy, name, sets):
    with proxy.connect() as one, proxy.connect() as two:
        one.execute(sets)
        assert value(two, f"SHOW {name}") == UNKNOWN
        assert value(two, f"SELECT current_setting('{name}', true)") is None
        assert value(two, "SELECT current_setting(%s, true)", [name]) is None
        assert value(one, f"SHOW {name}") == "7"
        assert value(one, "SELECT current_setting(%s)", [name]) == "7"


def test_a_name_by_parameter(proxy):
    with proxy.connect() as one, proxy.connect() as two:
        one.execute("SELECT put(%s, %s)", ["app.by_parameter", "7"])
        assert value(two, "SHOW app.by_parameter") == UNKNOWN
        assert value(one, "SHOW app.by_parameter") == "7"


# Statements, and then the name that is asked for, by a client that gets another server connection each time.
SPELLED = {
    "SET": (['SET "My.Setting" = 1'], "my.setting"), "another way later": (['SET "My.Again" = 1', "SET my.again = 2"], "MY.again"),
    "set_config": (["SELECT set_config('My.Called', '1', false)"], "my.called"),
    "RESET": (['SET "My.Reset" = 1', "RESET my.reset"], "my.reset"), "RESET and SET": (['SET "My.Back" = 1', "RESET my.back", "SET my.back = 3"], "my.back"),
    "local": (["BEGIN", 'SET LOCAL "My.Local" = 1', "COMMIT"], "my.local"), "rolled back": (["BEGIN", 'SET "My.Undone" = 1', "ROLLBACK"], "my.undone"),
}
# What is undone is known all the same, and empty.
UNDONE = {
    "a procedure": (["CALL undone_by_rollback()"], "undone.a"), "DO": (["DO $$BEGIN SET undone.b = 1; ROLLBACK; END$$"], "undone.b"),
    "DO, set_config": (["DO $$BEGIN PERFORM set_config('undone.c', '1', false); ROLLBACK; END$$"], "undone.c"),
    "kept once": (["DO $$BEGIN SET undone.d = 1; COMMIT; SET undone.d = 2; ROLLBACK; END$$"], "undone.d"),
    "an error": (["DO $$BEGIN SET undone.e = 1; RAISE 'x'; END$$"], "undone.e"),
    "an exception": (["DO $$BEGIN BEGIN SET undone.f = 1; RAISE 'x'; EXCEPTION WHEN OTHERS THEN NULL; END; END$$"], "undone.f"),
    "a transaction": (["BEGIN", "CALL undone_by_client()", "ROLLBACK"], "undone.g"),
}


@pytest.mark.parametrize("what", [*SPELLED, *UNDONE])
def test_it_is_shown_as_it_was_first_set(two_servers, cluster, what):
    texts, name = {**SPELLED, **UNDONE}[what]
    got = []
    for port in (cluster.port, two_servers.port):
        with Wire(port).login() as one, Wire(port).login() as two, Wire(port).login() as three:
            told = [kind for text in texts for kind, _ in one.simple(text)]
            two.simple("BEGIN")
            two.simple("SELECT 1")  # keeps the server connection that `one` had last
            told += [answer for answer in one.simple(f"SHOW {name}") if answer[0] in b"TDC"]
            three.simple(f"SELECT current_setting('{name}', true)")
            two.simple("COMMIT")
            told += [answer for answer in one.simple(f"SHOW {name}") if answer[0] in b"TDC"]
            got.append(told)
    assert got[1] == got[0]


LONG = {"long": 70_000, "streamed": 130_000, "most": 900_000, "too long to be kept apart": 3_000_000}


@pytest.fixture(scope="module")
def two_servers(cluster):
    cluster.sql("CREATE PROCEDURE undone_by_rollback() LANGUAGE plpgsql AS $$BEGIN SET undone.a = 1; ROLLBACK; END$$;"
                "CREATE PROCEDURE undone_by_client() LANGUAGE plpgsql AS $$BEGIN SET undone.g = 1; END$$")
    made = Proxy(cluster, {"default_pool_size": 2})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.mark.parametrize("size", LONG.values(), ids=LONG)
@pytest.mark.parametrize("number, sets", enumerate([
    "SET long.{name} = '{value}'", "SELECT 1; SET SESSION long.{name} = '{value}'", "SELECT set_config('long.{name}', '{value}', false)",
    "DO $$ BEGIN PERFORM set_config('long.{name}', repeat('x', {size}), false); END $$", "SELECT '{value}'; SET long.{name} = '{value}'",
    "INSERT INTO pg_temp.none VALUES ('www.example.com'); SET long.{name} = '{value}'"]))
def test_long_values(two_servers, number, sets, size):
    """More than a text may have to be analysed, more than is held whole, more than is kept for a session: then it keeps its server connection."""
    name = f"of_{number}_{size}"
    text = sets.format(name=name, value="x" * size, size=size)
    with two_servers.connect() as one, two_servers.connect() as two:
        if "none" in sets:
            assert value(one, text) == "42P01"
            assert value(one, f"SHOW long.{name}") == UNKNOWN
            text = text.partition("; ")[2]
        one.execute(text)
        assert value(two, f"SHOW long.{name}") == UNKNOWN
        for _ in range(3):
            assert value(one, f"SELECT length(current_setting('long.{name}'))") == size
            assert value(two, f"SELECT current_setting('long.{name}', true)") is None
        with two_servers.connect("pgbouncer") as console:
            pins = console.execute("SHOW PINS").fetchall()
        assert ["settings" in row for row in pins] == [True] * (size > 1_000_000)
    with two_servers.connect() as three, two_servers.connect() as four:
        for other in (three, four):
            with other.transaction():
                assert value(other, f"SELECT coalesce(length(current_setting('long.{name}', true)), 0)") == 0


def test_more_settings_than_are_kept_apart(two_servers):
    with two_servers.connect() as one, two_servers.connect() as two:
        one.execute("".join(f"SET many.of_{i} = '{i}';" for i in range(700)))
        two.execute("SELECT 1")
        for i in (0, 300, 699):
            assert value(one, f"SHOW many.of_{i}") == str(i)
            assert value(two, f"SHOW many.of_{i}") == UNKNOWN


def test_what_was_set_locally_is_known_and_empty(proxy):
    """As in PostgreSQL, where a custom setting never becomes unknown again."""
    with proxy.connect() as one, proxy.connect() as two:
        for sets in ("SET LOCAL app.gone = '1'", "SELECT set_config('app.kept', '1', true)"):
            with one.transaction():
                one.execute(sets)
        with pytest.raises(ZeroDivisionError), one.transaction():
            one.execute("SET app.undone = '1'")
            raise ZeroDivisionError
        for name in ("app.gone", "app.kept", "app.undone"):
            assert value(two, f"SHOW {name}") == UNKNOWN
            assert value(one, f"SHOW {name}") == ""
        one.execute("SET app.gone = '2'")
        one.execute("DISCARD ALL")
        two.execute("SELECT 1")
        assert value(one, "SHOW app.gone") == ""


def test_server_connections_are_replaced_only_for_who_asks(proxy):
    with proxy.connect() as one, proxy.connect() as two:
        one.execute("SET app.tenant = '1'")
        opened = proxy.metrics()["pgweir_backends_opened_total"]
        for _ in range(5):
            assert value(two, "SELECT 1") == 1
            assert value(one, "SHOW app.tenant") == "1"
            two.execute("BEGIN")
            assert value(two, "SELECT 2") == 2
            two.execute("COMMIT")
        assert proxy.metrics()["pgweir_backends_opened_total"] == opened
        assert value(two, "SELECT current_setting('app.tenant', true)") is None
        assert proxy.metrics()["pgweir_backends_opened_total"] == opened + 1


@pytest.mark.parametrize("size", [1, 3])
def test_who_has_set_one_may_ask_for_another(cluster, size):
    """A server connection that knows neither will do: it was refused like all others, and they were closed and opened without end."""
    proxy = Proxy(cluster, {"default_pool_size": size, "query_wait_timeout": 5, "coherence": "off"})
    with proxy.connect() as one:
        one.execute("SET ask.theirs = 1")
        for _ in range(3):
            with proxy.connect() as two:
                two.execute("SET ask.mine = 2")
                assert value(two, "SELECT current_setting('ask.theirs', true)") is None
                assert value(two, "SHOW ask.theirs") == UNKNOWN
                assert value(two, "SHOW ask.mine") == "2"
            assert value(one, "SHOW ask.theirs") == "1"
            assert value(one, "SHOW ask.mine") == UNKNOWN
    assert proxy.metrics().get("pgweir_backends_opened_total") < 20
    assert proxy.stop() == 0


@pytest.mark.parametrize("read", ["SELECT count(*) FROM orders", "SELECT count(*) FROM public.notes", "SELECT whose()"])
def test_code_that_reads_a_setting_which_its_client_has_not_set(cluster, database, read):
    """A policy, one that calls a function, a function: to them as well a setting is unknown until their client has set it, whatever other
    clients have made known to the server connection."""
    cluster.sql("CREATE TABLE orders (tenant int, what text); INSERT INTO orders VALUES (1, 'one'); ALTER TABLE orders ENABLE ROW LEVEL SECURITY;"
                "CREATE FUNCTION whose() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('app.tenant', true); END $$;"
                "CREATE POLICY own ON orders USING (tenant = current_setting('app.tenant', true)::int);"
                "CREATE TABLE notes AS SELECT * FROM orders; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
                "CREATE POLICY own ON notes USING (tenant = whose()::int);"
                "DROP ROLE IF EXISTS orders_reader; CREATE ROLE orders_reader LOGIN; GRANT ALL ON orders, notes TO orders_reader;", database)
    proxy = Proxy(cluster, {"default_pool_size": 1}, users={"orders_reader": "", "postgres": ""})
    right = {None: cluster.connect(database, "orders_reader").execute(read).fetchall()}
    with cluster.connect(database, "orders_reader") as direct:
        direct.execute("SET app.tenant = '1'")
        right[1] = direct.execute(read).fetchall()
    with proxy.connect(database, "orders_reader") as one, proxy.connect(database, "orders_reader") as two:
        for turn in range(3):
            one.execute("SET app.tenant = '1'")
            assert one.execute(read).fetchall() == right[1]
            assert two.execute(read).fetchall() == right[None]
        opened = proxy.metrics()["pgweir_backends_opened_total"]
        for turn in range(3):
            assert one.execute("SELECT 1").fetchone() == (1,) and two.execute("SELECT 2").fetchone() == (2,)
            with one.transaction():
                one.execute("SELECT set_config('app.tenant', '1', true)")
                assert one.execute(read).fetchall() == right[1]
        assert proxy.metrics()["pgweir_backends_opened_total"] == opened
    cluster.sql("DROP OWNED BY orders_reader", database)
    assert proxy.stop() == 0
