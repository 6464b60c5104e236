"""connect_query: the settings that it makes are what every session begins with, and goes back to; they are nobody's own."""
import contextlib

import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.tools import wait_for

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing")
TAINT = "DO $$ BEGIN PERFORM 1; END $$"
BASE = ("SET work_mem = ''9MB''; SET search_path = base, public; SELECT ''search_path'', ''no row of ours''; SET app.base = ''base''; "
        "SET DateStyle = ''German''; SET statement_timeout = ''31s''; SET ROLE meek")
SHOWS = {"work_mem": "9MB", "search_path": "base, public", "app.base": "base", "DateStyle": "German, DMY", "statement_timeout": "31s", "role": "meek"}
OWN = {"work_mem": "'7MB'", "search_path": "mine", "app.base": "'mine'", "DateStyle": "'SQL, MDY'", "statement_timeout": "'5s'", "role": "brash"}


@pytest.fixture(scope="module", autouse=True)
def roles(cluster):
    cluster.sql("CREATE ROLE meek; CREATE ROLE brash; CREATE ROLE fitted LOGIN; GRANT meek, brash TO fitted; GRANT CREATE ON SCHEMA public TO fitted")


@pytest.fixture(scope="module", params=[1, 2])
def proxy(request, cluster):
    made = Proxy(cluster, {"default_pool_size": request.param, "ignore_startup_parameters": None}, users={"fitted": "", "postgres": ""},
                 databases={"postgres": f"host=127.0.0.1 port={cluster.port} connect_query='{BASE}'"})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def shown(conn, names=SHOWS):
    return {name: conn.execute(f"SHOW {name}").fetchone()[0] for name in names}


@pytest.mark.parametrize("name", SHOWS)
@pytest.mark.parametrize("taint", [False, True])
def test_every_session_begins_with_it(proxy, name, taint):
    with contextlib.ExitStack() as stack:
        one, two, three = (stack.enter_context(proxy.connect(user="fitted")) for _ in range(3))
        assert shown(one) == shown(two) == SHOWS
        for conn in (one, two, three):
            if taint:
                conn.execute(TAINT)
            assert shown(conn) == SHOWS
        one.execute(f"SET {name} = {OWN[name]}")
        if taint:
            one.execute(TAINT)
        own = shown(one)
        assert own == {**SHOWS, name: own[name]} and own[name] != SHOWS[name]
        assert shown(two) == SHOWS and shown(one) == own
        if taint:
            two.execute(TAINT)
        one.execute(f"RESET {name}")
        assert shown(two) == SHOWS and shown(one) == SHOWS


def test_a_reset_in_a_transaction(proxy):
    with proxy.connect(user="fitted") as one, proxy.connect(user="fitted") as two:
        with one.transaction():
            for name, value in OWN.items():
                one.execute(f"SET {name} = {value}")
            for name in OWN:
                one.execute(f"RESET {name}")
            assert shown(one) == SHOWS
        assert shown(two) == SHOWS == shown(one)


@pytest.mark.parametrize("reset", ["RESET ALL", "DISCARD ALL"])
def test_all_is_reset(proxy, reset):
    with proxy.connect(user="fitted") as one, proxy.connect(user="fitted") as two:
        for name, value in OWN.items():
            one.execute(f"SET {name} = {value}")
        assert shown(two) == SHOWS
        one.execute(reset)
        role = {"RESET ALL": "brash", "DISCARD ALL": "meek"}[reset]  # RESET ALL leaves the role
        assert shown(two) == SHOWS and shown(one) == {**SHOWS, "role": role}
        two.execute(TAINT)
        two.execute(reset)
        one.execute(TAINT)
        assert shown(one) == {**SHOWS, "role": role}
        one.execute("RESET ROLE")
        assert shown(one) == SHOWS
    with proxy.connect(user="fitted") as three:
        assert shown(three) == SHOWS


def test_what_a_client_asks_for_at_its_login_comes_before_it(proxy):
    options = "-c work_mem=5MB -c app.base=own"
    with proxy.connect(user="fitted", dsn={"options": f"'{options}'"}) as one, proxy.connect(user="fitted") as two:
        own = {**SHOWS, "work_mem": "5MB", "app.base": "own"}
        for _ in range(2):
            assert shown(one) == own and shown(two) == SHOWS
            one.execute("SET work_mem = '6MB'")
            one.execute("RESET work_mem")
            one.execute(TAINT)


def test_a_client_that_vanishes_leaves_it(proxy):
    for _ in range(2):
        with proxy.connect(user="fitted") as gone:
            gone.execute("CREATE TEMP TABLE t ()")
            gone.execute("SET ROLE brash")
            gone.execute("SET work_mem = '7MB'")
            gone.execute("BEGIN")
            gone.execute("SET search_path = mine")
            gone.pgconn.finish()
        with proxy.connect(user="fitted") as conn:
            assert shown(conn) == SHOWS


def test_another_one_is_for_those_that_log_in_then(cluster):
    where = f"host=127.0.0.1 port={cluster.port} connect_query='SET work_mem = ''%s'''"
    proxy = Proxy(cluster, {"default_pool_size": 1}, databases={"postgres": where % "9MB"})
    with proxy.connect() as old:
        assert shown(old, ["work_mem"]) == {"work_mem": "9MB"}
        proxy.databases["postgres"] = where % "8MB"
        proxy.reload()

        def changed():
            with proxy.connect() as new:
                return shown(new, ["work_mem"]) == {"work_mem": "8MB"}
        wait_for("the new one", changed)
        assert shown(old, ["work_mem"])["work_mem"] in ("9MB", "8MB")
        with proxy.connect() as new:
            assert shown(new, ["work_mem"]) == {"work_mem": "8MB"}
    assert proxy.stop() == 0, proxy.log_text()[-2000:]


def test_one_that_fails_is_told(cluster):
    proxy = Proxy(cluster, databases={"postgres": f"host=127.0.0.1 port={cluster.port} connect_query='SET no_such = 1'"})
    with pytest.raises(Exception, match="no_such"):
        proxy.connect()
    assert proxy.stop() == 0, proxy.log_text()[-2000:]
