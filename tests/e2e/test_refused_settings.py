"""Settings that one server connection takes and another refuses: the client goes on."""
import contextlib
import random

import psycopg
import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.tools import pg_version
from pgweir_test.wire import SYNC, Wire, bind, error_fields, execute, parse, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing")
LOADS = "DO $$ BEGIN PERFORM 1; END $$"  # plpgsql, on the server connection that runs it
PID = "SELECT pg_backend_pid()"


@pytest.fixture(scope="module", autouse=True)
def extensions(cluster):
    cluster.sql("CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE ROLE lowly LOGIN; GRANT CREATE ON SCHEMA public TO lowly")


@contextlib.contextmanager
def proxy_of(cluster, size=1, **more):
    made = Proxy(cluster, {"default_pool_size": size, "ignore_startup_parameters": None}, users={"postgres": "", "lowly": ""}, **more)
    try:
        yield made
    finally:
        code = made.stop()
    assert code == 0, made.log_text()[-2000:]


def connect(proxy, **more):
    conn = proxy.connect(**more)
    conn.warnings = []
    conn.add_notice_handler(lambda notice: conn.warnings.append((notice.severity, notice.sqlstate, notice.message_primary)))
    return conn


def show(conn, name):
    return conn.execute(f"SHOW {name}").fetchone()[0]


def test_temp_buffers_where_temporary_tables_were(cluster):
    """It finds, or gets, a server connection that can have it."""
    for size in (1, 2):
        with proxy_of(cluster, size) as proxy, connect(proxy) as one, connect(proxy) as two:
            one.execute("SET temp_buffers = '2MB'")
            for _ in range(2):
                two.execute("CREATE TEMP TABLE mine (v int); INSERT INTO mine VALUES (1)")
                two.execute("DROP TABLE mine")
                two.execute(LOADS)
                assert show(two, "temp_buffers") == "8MB"
                assert show(one, "temp_buffers") == "2MB" and show(two, "temp_buffers") == "8MB"
            two.execute("DO $$ BEGIN CREATE TEMP TABLE t (); DROP TABLE t; END $$")
            with connect(proxy, dsn={"options": "'-c temp_buffers=3MB'"}) as three:
                assert show(three, "temp_buffers") == "3MB" and show(one, "temp_buffers") == "2MB" and show(two, "temp_buffers") == "8MB"
                assert not one.warnings + two.warnings + three.warnings
            one.execute("CREATE TEMP TABLE own (v int); INSERT INTO own VALUES (1)")
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                one.execute("SET temp_buffers = '4MB'")
            one.execute("DROP TABLE own")
            assert show(one, "temp_buffers") == "2MB"


# What the client sets while the library is not there, its SQLSTATE where it is.
REFUSED = [*([("plpgsql.no_such", "x", "42602")] if pg_version() >= 15 else []), ("plpgsql.variable_conflict", "nonsense", "22023"), ("pg_trgm.similarity_threshold", "7", "22023")]


@pytest.mark.parametrize("startup", [False, True])
@pytest.mark.parametrize("name, value, state", REFUSED)
def test_one_that_a_library_refuses(cluster, name, value, state, startup):
    """It is dropped with a warning, as by PostgreSQL when the library comes to a session that has it; all else is kept."""
    options = {"options": f"'-c {name}={value} -c work_mem=5MB'"} if startup else None
    with proxy_of(cluster, 2) as proxy, connect(proxy, dsn=options) as one, connect(proxy) as two:
        if not startup:
            one.execute(f"SET {name} = '{value}'")
            one.execute("SET work_mem = '5MB'")
        assert show(one, name) == value
        with two.transaction(), connect(proxy) as three:  # both of the server connections have the library now
            for conn in (two, three):
                conn.execute(LOADS + "; SELECT similarity('a', 'b')")
        assert two.execute("SELECT 1").fetchone() == (1,)
        assert show(one, "work_mem") == "5MB"
        dropped = [warning for warning in one.warnings if "goes back to its default" in warning[2]]
        assert [(severity, sqlstate) for severity, sqlstate, _ in dropped] == [("WARNING", state)] and name in dropped[0][2]
        assert "setting dropped" in proxy.log_text()
        one.execute(LOADS)
        one.execute("RESET ALL")
        assert show(one, "work_mem") == ("5MB" if startup else "4MB") and show(two, "work_mem") == "4MB"
        one.execute("SET search_path = mine")
        assert show(two, "search_path") != "mine" == show(one, "search_path")
        with connect(proxy) as four:
            assert show(four, "work_mem") == "4MB"
        assert len([warning for warning in one.warnings if "goes back" in warning[2]]) == 1


def test_one_that_is_not_allowed(cluster):
    """Who may not set it has set it where the library was not there."""
    name, ends = "auto_explain.log_min_duration", "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'lowly'"
    with proxy_of(cluster, 1) as proxy, connect(proxy, user="lowly") as one, connect(proxy, user="lowly") as two:
        one.execute(f"SET {name} = 7; SET work_mem = '5MB'")
        assert show(two, "work_mem") == "4MB"
        cluster.sql("ALTER ROLE lowly SET session_preload_libraries = 'auto_explain'")
        try:
            cluster.sql(ends)
            for _ in range(2):
                assert show(one, "work_mem") == "5MB" and show(one, name) == "-1"
                assert show(two, "work_mem") == "4MB" and show(two, name) == "-1"
            assert [(severity, state) for severity, state, _ in one.warnings] == [("WARNING", "42501")] and not two.warnings
        finally:
            cluster.sql("ALTER ROLE lowly RESET session_preload_libraries")


@pytest.mark.parametrize("way", ["SET", "startup"])
def test_those_of_libraries_are_kept_and_nobody_elses(cluster, way):
    with proxy_of(cluster, 2) as proxy, contextlib.ExitStack() as stack:
        options = {"options": "'-c plpgsql.variable_conflict=use_column -c pg_trgm.similarity_threshold=0.7'"} if way == "startup" else None
        one = stack.enter_context(connect(proxy, dsn=options))
        two, three = (stack.enter_context(connect(proxy)) for _ in range(2))
        with one.transaction(), two.transaction():
            for conn in (one, two):
                conn.execute(LOADS + "; SELECT similarity('a', 'b')")
        if way == "SET":
            one.execute("SET plpgsql.variable_conflict = use_column; SET pg_trgm.similarity_threshold = 0.7")
        for _ in range(3):
            for conn, conflict, threshold in ((one, "use_column", "0.7"), (two, "error", "0.3"), (three, "error", "0.3"), (one, "use_column", "0.7")):
                assert show(conn, "plpgsql.variable_conflict") == conflict and show(conn, "pg_trgm.similarity_threshold") == threshold
                conn.execute(LOADS)
        two.execute("SET pg_trgm.similarity_threshold = 0.9")
        assert [show(conn, "pg_trgm.similarity_threshold") for conn in (one, two, three)] == ["0.7", "0.9", "0.3"]
        one.execute("RESET pg_trgm.similarity_threshold")
        assert [show(conn, "pg_trgm.similarity_threshold") for conn in (three, one, two)] == ["0.3", "0.7" if way == "startup" else "0.3", "0.9"]
        one.execute("SET ROLE lowly")
        one.execute("SET client_encoding = 'LATIN1'")
        one.execute("SET app.name = 'caf\u00e9'")
        two.execute("SELECT 1")
        assert one.execute("SELECT current_user, current_setting('app.name'), current_setting('plpgsql.variable_conflict')").fetchone() == (
            "lowly", "caf\u00e9", "use_column")
        assert two.execute("SELECT current_user").fetchone() == ("postgres",)
        assert not [warning for conn in (one, two, three) for warning in conn.warnings]


def test_pipelines_wait_for_them(cluster):
    """Several batches in one write, behind settings of a library; and a transaction that has begun before."""
    with proxy_of(cluster, 1) as proxy, connect(proxy) as other, Wire(proxy.port).login() as wire:
        other.execute(LOADS)
        wire.simple("SET plpgsql.variable_conflict = use_column")
        wire.simple("SET app.mine = '7'")
        other.execute("SET app.mine = '8'")
        text = "SELECT current_setting('plpgsql.variable_conflict'), current_setting('app.mine')"
        right = [[b"use_column", b"7"]]
        batch = parse("", text) + bind("", "") + execute() + SYNC
        wire.send(batch + batch + query(text))
        assert [rows(wire.until(b"Z")) for _ in range(3)] == [right] * 3
        other.execute("SET app.mine = '9'")
        wire.simple("BEGIN")
        wire.send(query(text) + query(text + ", 1") + query("COMMIT") + query(text))
        answers = [rows(wire.until(b"Z")) for _ in range(4)]
        assert [answers[0], answers[3]] == [right] * 2 and answers[1] == [right[0] + [b"1"]]
        other.execute("SET app.mine = '10'")
        wire.simple("CREATE TABLE IF NOT EXISTS copied (v text)")
        other.execute("SELECT 1")
        wire.send(query("COPY copied FROM STDIN"))
        assert [kind for kind, _ in wire.until(b"G")][-1] == b"G"
        wire.send(b"d\0\0\0\6a\n" + b"c\0\0\0\4")
        assert wire.until(b"Z")[-1][1] == b"I"
        other.execute("SELECT 1")
        wire.send(query("SELECT '" + "x" * 100000 + "', current_setting('app.mine')"))
        assert rows(wire.until(b"Z"))[0][1] == b"7"


# --- what cannot go on ---

GONE = [("role", "SET ROLE passing", "DROP ROLE passing", "22023"), ("role", "SET ROLE passing", "DROP ROLE passing; CREATE ROLE passing", "22023"),
        ("role", "SET ROLE passing", "REVOKE passing FROM lowly", "42501"),
        ("config", "SET default_text_search_config = 'passing'", "DROP TEXT SEARCH CONFIGURATION passing", "22023"),
        ("config", "SET default_text_search_config = 'passing'", "ALTER TEXT SEARCH CONFIGURATION passing RENAME TO passed", "22023")]


@pytest.mark.parametrize("kind, sets, ends, state", GONE)
def test_what_is_not_there_any_more_ends_the_session(cluster, kind, sets, ends, state):
    """PostgreSQL goes on with what is dropped, by its number, which no other server connection takes. Nothing runs without it."""
    cluster.sql("CREATE ROLE passing; GRANT passing TO lowly; CREATE TEXT SEARCH CONFIGURATION passing (COPY = simple);"
                "CREATE TABLE written (v text, who text DEFAULT current_user); GRANT ALL ON written TO PUBLIC")
    try:
        with proxy_of(cluster, 1) as proxy, Wire(proxy.port).login(user="lowly") as wire, connect(proxy, user="lowly") as other:
            wire.simple(sets)
            wire.simple("SET search_path = public, pg_catalog")
            pid = other.execute(PID).fetchone()
            cluster.sql(ends)
            batches = [parse(f"p{i}", f"INSERT INTO written VALUES ('{i}')") + bind("", f"p{i}") + execute() + SYNC for i in range(3)]
            batches.insert(1, parse("back", "ROLLBACK") + bind("", "back") + execute() + SYNC)
            wire.send(*batches, query("INSERT INTO written VALUES ('3')"))
            fields = error_fields(wire.until(b"E")[-1][1])
            assert (fields["S"], fields["C"]) == ("FATAL", state) and fields["M"].startswith("session settings cannot be kept: ")
            assert wire.at_end()
            assert other.execute(f"SELECT current_user, current_setting('search_path'), current_setting('default_text_search_config'), ({PID})").fetchone() == (
                "lowly", '"$user", public', "pg_catalog.english", pid[0])
            with connect(proxy, user="lowly") as third:
                assert third.execute("SELECT current_user").fetchone() == ("lowly",)
            assert cluster.sql("SELECT * FROM written") == ""
            assert cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'lowly' AND backend_type = 'client backend'") == "1"
    finally:
        cluster.sql("DROP TABLE written; DROP ROLE IF EXISTS passing, passed; DROP TEXT SEARCH CONFIGURATION IF EXISTS passing;"
                    "DROP TEXT SEARCH CONFIGURATION IF EXISTS passed")


def test_many_clients_take_turns(cluster):
    """Each with settings of its own, one that its library refuses at times, on fewer server connections, in all ways to ask; the cache is on."""
    cluster.sql("CREATE TABLE turns AS SELECT 7 AS v; GRANT SELECT ON turns TO PUBLIC")
    text = ("SELECT v, current_setting('plpgsql.variable_conflict', true), current_setting('app.turn', true), current_setting('work_mem'), current_user FROM turns"
            " WHERE random() < 2")
    wants = [("use_column", "a", "5MB", "lowly"), ("use_variable", "b", "6MB", "postgres"), ("error", "c", "7MB", "postgres"), ("error", "", "4MB", "lowly")]
    choice = random.Random(5)
    with proxy_of(cluster, 2) as proxy, contextlib.ExitStack() as stack:
        conns = [stack.enter_context(connect(proxy)) for _ in wants]
        for conn, (conflict, turn, work_mem, role) in zip(conns, wants):
            conn.execute(f"{LOADS}; SET plpgsql.variable_conflict = {conflict}; SET app.turn = '{turn}'; SET work_mem = '{work_mem}'; SET ROLE {role}")
        for _ in range(400):
            at = choice.randrange(len(conns))
            conn, way = conns[at], choice.randrange(6)
            if way == 0:
                conn.execute(LOADS)
            elif way == 1:
                assert conn.execute("SELECT v FROM turns").fetchone() == (7,)
            elif way == 2:
                with conn.transaction():
                    assert conn.execute(text).fetchone()[1:] == wants[at]
            elif way == 3:
                with conn.pipeline():
                    cursors = [conn.execute(text, prepare=bool(i % 2)) for i in range(3)]
                    assert [cursor.fetchone()[1:] for cursor in cursors] == [wants[at]] * 3
            elif way == 4:
                conn.execute("CREATE TEMP TABLE t (); DROP TABLE t")
            else:
                assert conn.execute(text, prepare=choice.random() < 0.5).fetchone()[1:] == wants[at]
        assert not [warning for conn in conns for warning in conn.warnings]
    cluster.sql("DROP TABLE turns")
