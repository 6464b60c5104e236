"""Settings that come with the startup packet, as PostgreSQL takes them: its switches, roles, and what it refuses."""
import contextlib

import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.tools import pg_version
from pgweir_test.wire import Wire, error_fields, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing")
TAINT = "DO $$ BEGIN PERFORM 1; END $$"
ROLES = "SELECT current_user, session_user, current_setting('role')"


@pytest.fixture(scope="module", autouse=True)
def roles(cluster):
    cluster.sql("CREATE ROLE mild; CREATE ROLE bright; CREATE ROLE humble LOGIN; GRANT mild, bright TO humble; GRANT CREATE ON SCHEMA public TO humble;"
                "CREATE ROLE shy LOGIN; GRANT mild, bright TO shy; ALTER ROLE shy SET role = 'mild'")


@pytest.fixture(scope="module", params=[1, 2])
def proxy(request, cluster):
    made = Proxy(cluster, {"default_pool_size": request.param, "ignore_startup_parameters": None}, users={"postgres": "", "humble": "", "shy": ""})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


SHOWN = ["work_mem", "datestyle", "log_min_messages", "log_statement", "debug_print_parse", "debug_print_plan", "enable_seqscan", "enable_hashjoin",
         "log_statement_stats", "log_planner_stats", "allow_system_table_mods", "search_path"]
SWITCHES = [
    "-S 512", "-S512", "-e", "-d 1", "-d 5", "-d3", "-d 0", "-d 9", "-d x", "-fs", "-f h -fs", "-f", "-f x", "-fx", "-s", "-es -S 99", "-t pl", "-tplanner",
    "-t pa", "-t ex", "-t x", "-t", "-O", "-F", "-B 16", "-B", "-N 5", "-p 99", "-l", "-i", "-h x", "-k x", "-n", "-T", "-b", "-j", "-E", "-C x", "-D x", "-r x",
    "-v 3", "-x", "-eS 512 -xe", "-e -xe", "-exe", "x", "-S 512 x", "x -S 512", "-", "--", "-S 512 --", "-- x", "-c", "-c work_mem", "--work_mem", "-cwork_mem",
    "-c work-mem=9MB", "--work-mem=9MB", "-c work_mem=", "--=x", "-c =x", "-c no_such=1", "--no-such=1", "-c work_mem=x", "-S x", "-S 1",
    r"-c search_path=a\ b,c\\", "\\", r"-c\ ", "  ", "", "-c\twork_mem=5MB\n-e", "-c search_path=" + "x" * 5000, "-ec work_mem=7MB", "-S", "-W 0 x",
    "--work_mem=5MB -S 512", "-c seed=0.5", "-c seed=x", "-c seed=7",
]


def outcome(where, user, **parameters):
    """What a login with them shows, or how it fails."""
    with Wire(where.port) as wire:
        try:
            wire.login(user=user, **parameters)
        except AssertionError as refused:
            return {field: refused.args[0].get(field) for field in "SCMH"}
        wire.send(query("SELECT " + ", ".join(f"current_setting('{name}')" for name in SHOWN)))
        return rows(wire.until(b"Z"))


@pytest.mark.parametrize("user", ["postgres", "humble"])
@pytest.mark.parametrize("options", SWITCHES)
def test_switches(cluster, proxy, options, user):
    assert outcome(proxy, user, options=options) == outcome(cluster, user, options=options)


def test_a_switch_for_the_start_of_the_connection_is_refused_as_a_setting(proxy):
    """Only a connection of its own could have it."""
    for options in ("-P", "-W 0"):
        assert outcome(proxy, "postgres", options=options)["C"] == "55P02"


SCRIPTS = [["RESET ROLE"], ["SET ROLE bright", "RESET ROLE"], ["SET ROLE bright", "RESET ALL"], ["RESET ALL"], ["DISCARD ALL"], ["SET ROLE bright", "DISCARD ALL"],
           ["SET ROLE bright", "DISCARD ALL", "RESET ROLE"], ["SET ROLE NONE", "RESET ALL"], ["SET ROLE NONE", TAINT, "RESET ROLE"], [TAINT],
           ["SET ROLE bright", TAINT, "RESET ROLE", TAINT], ["DO $$ BEGIN SET ROLE bright; END $$"], ["SET ROLE NONE", "DISCARD TEMP"],
           ["SET ROLE bright", "DO $$ BEGIN RESET ROLE; END $$"], ["DO $$ BEGIN RESET ROLE; END $$"], ["SET role TO DEFAULT"],
           ["SET ROLE bright", "SET role TO DEFAULT"], ["BEGIN", "SET ROLE bright", "RESET ROLE", "COMMIT"], ["BEGIN", "SET ROLE bright", "RESET ROLE", "ROLLBACK"],
           ["SET ROLE bright", "BEGIN", "RESET ROLE", "ROLLBACK"], ["BEGIN", "SET LOCAL ROLE bright", "RESET ROLE", "COMMIT"],
           ["SET ROLE bright", "BEGIN", "SET LOCAL ROLE NONE", "COMMIT"], ["BEGIN", "SET ROLE bright", "RESET ALL", "COMMIT"],
           ["SELECT set_config('role', 'bright', false)"], ["SET SESSION AUTHORIZATION DEFAULT"], ["RESET SESSION AUTHORIZATION"],
           ["RESET SESSION AUTHORIZATION", "RESET ROLE"], ["SET SESSION AUTHORIZATION DEFAULT", "SET ROLE bright"]]
AS_SUPERUSER = [["SET SESSION AUTHORIZATION humble"], ["SET SESSION AUTHORIZATION humble", "RESET ROLE"], ["SET SESSION AUTHORIZATION humble", "RESET ALL"],
                ["SET SESSION AUTHORIZATION humble", "DISCARD ALL"], ["SET SESSION AUTHORIZATION humble", "RESET SESSION AUTHORIZATION"],
                ["SET SESSION AUTHORIZATION humble", "SET ROLE bright", "RESET SESSION AUTHORIZATION", "RESET ROLE"]]


def walked(where, user, parameters, script):
    """What the roles are behind each statement, with another client between."""
    seen = []
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Wire(where.port).login(user=user, **parameters))
        two = stack.enter_context(Wire(where.port).login(user=user))

        def look(wire):
            wire.send(query(ROLES))
            seen.append([rows([part]) if part[0] == b"D" else error_fields(part[1])["C"] for part in wire.until(b"Z") if part[0] in b"DE"])
        look(one), look(two)
        for text in script:
            one.send(query(text))
            seen.append([error_fields(body)["C"] for kind, body in one.until(b"Z") if kind == b"E"])
            look(one)
            if not any(word == "BEGIN" for word in script) or text in ("COMMIT", "ROLLBACK"):
                look(two), look(one)
                two.send(query(TAINT)), two.until(b"Z")
                look(one), look(two)
    return seen


@pytest.mark.parametrize("user, parameters", [("humble", {"options": "-c role=mild"}), ("humble", {"role": "mild"}), ("humble", {}),
                                              ("shy", {}), ("shy", {"role": "bright"}), ("shy", {"role": "none"}), ("postgres", {"role": "humble"}),
                                              ("postgres", {"session_authorization": "humble"})])
def test_roles(cluster, proxy, user, parameters):
    wrong = {}
    for script in SCRIPTS + (AS_SUPERUSER if user == "postgres" else []):
        got, right = (walked(where, user, parameters, script) for where in (proxy, cluster))
        if got != right:
            wrong["; ".join(script)] = next(pair for pair in enumerate(zip(got, right)) if pair[1][0] != pair[1][1])
    assert not wrong


def test_code_that_ends_the_role(cluster, proxy):
    """SET ROLE NONE looks like RESET ROLE where nobody sees the text; with a role from the startup packet it is taken for that."""
    script = ["DO $$ BEGIN SET ROLE NONE; END $$"]
    assert walked(proxy, "humble", {}, script) == walked(cluster, "humble", {}, script)
    assert walked(proxy, "humble", {"role": "mild"}, script) == walked(cluster, "humble", {"role": "mild"}, ["DO $$ BEGIN RESET ROLE; END $$"])


def test_settings_that_exclude_each_other(proxy):
    """What one client has set must go before what another has."""
    with proxy.connect() as one, proxy.connect() as two:
        one.execute("SET log_statement_stats = on")
        two.execute("SET log_parser_stats = on")
        for _ in range(2):
            assert one.execute("SHOW log_statement_stats").fetchone() == two.execute("SHOW log_parser_stats").fetchone() == ("on",)


def test_seed_is_not_remembered(cluster, proxy):
    """Who sets it can go on, as can the others. It shows nothing in PostgreSQL either."""
    for where in (cluster, proxy):
        for options in ("", "'-c seed=0.25'"):
            with where.connect(dsn={"options": options} if where is proxy else None) as one, where.connect() as two:
                for text in ("SET seed = 0.5", "SELECT set_config('seed', '0.5', false)", "BEGIN; SET seed = 0.1; COMMIT", "SET seed = 0.5; RESET ALL",
                             *(["RESET seed"] if pg_version() < 16 else [])):
                    one.execute(text)
                    for conn in (two, one):
                        assert conn.execute("SHOW seed").fetchone() == ("unavailable",)
                        conn.execute(TAINT)
                        assert conn.execute("SHOW work_mem").fetchone() == ("4MB",)
        with where.connect() as one:
            with one.transaction():
                one.execute("SET seed = 0.5")
                first = one.execute("SELECT random()").fetchone()
            with one.transaction():
                one.execute("SET seed = 0.5")
                assert one.execute("SELECT random()").fetchone() == first


def test_a_timeout_that_was_switched_off_stays_off(cluster, proxy):
    """Also behind code that nobody saw: 0 is the server's default too."""
    def told(where):
        with Wire(where.port) as wire:
            wire.login(options="-c statement_timeout=80s")
            got = []
            for text in ("SHOW statement_timeout", "SET statement_timeout = 0", TAINT, "SHOW statement_timeout", TAINT, "SHOW statement_timeout",
                         "RESET statement_timeout", "SHOW statement_timeout", TAINT, "SHOW statement_timeout"):
                wire.send(query(text))
                got.append(rows(wire.until(b"Z")))
        return got
    assert told(proxy) == told(cluster)
