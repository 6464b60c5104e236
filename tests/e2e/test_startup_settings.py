"""Settings that come with the startup packet, as PostgreSQL takes them: its switches, and what it refuses."""
import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.wire import Wire, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing")

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
    "--work_mem=5MB -S 512",
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
