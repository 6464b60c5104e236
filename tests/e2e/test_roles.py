"""A role is a number to PostgreSQL, and a name may become another one's: what a session has set stays what it was when it was set."""
import contextlib
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.tools import wait_for

pytestmark = [pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing"), pytest.mark.versions]
CODE = "DO $$ BEGIN PERFORM 1; END $$"  # behind it PostgreSQL is asked for everything that may be set


@pytest.fixture(params=["cache", "no cache"])
def proxy(cluster, request):
    made = Proxy(cluster, {"default_pool_size": 2, "workers": 1, "ignore_startup_parameters": None,
                           "coherence": "strict" if request.param == "cache" else "off"},
                 users={"postgres": "", "member": ""})
    cluster.sql("CREATE ROLE actor")
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]
    cluster.sql("DROP ROLE IF EXISTS actor; DROP ROLE IF EXISTS former")


def who(conn):
    return conn.execute("SELECT current_user::text").fetchone()[0]


def everywhere(proxy, **more):
    """A client with the role on both server connections: one keeps the other, each in its turn."""
    with proxy.connect(**more) as one, proxy.connect(**more) as two:
        for conn in (one, two):
            if not more:
                conn.execute("SET ROLE actor")
        for first, second in (one, two), (two, one):
            first.autocommit = False
            assert who(first) == "actor"
            assert who(second) == "actor"
            first.commit()
            first.autocommit = True


def on_both(proxy, conn):
    """What it is on each of the two server connections: others hold both, and leave one at a time."""
    found = set()
    with proxy.connect(autocommit=False) as one, proxy.connect(autocommit=False) as two:
        for each in one, two:
            each.execute("SELECT txid_current()")
        for each in one, two:
            each.commit()
            try:
                found.add(who(conn))
            except psycopg.errors.UndefinedObject:  # so says PostgreSQL of a role that was dropped
                found.add("nobody")
            each.execute("SELECT txid_current()")
    return found


@pytest.mark.parametrize("change", ["DROP ROLE actor", "ALTER ROLE actor RENAME TO former"])
def test_a_name_that_is_another_one_s_now(cluster, proxy, change):
    """.. is that one's for who sets it now, whichever server connection has had the old one."""
    everywhere(proxy)
    cluster.sql(f"{change}; CREATE ROLE actor")
    with proxy.connect() as conn:
        conn.execute("SET ROLE actor")
        assert on_both(proxy, conn) == {"actor"}


def test_a_login_with_a_role(cluster, proxy):
    everywhere(proxy, options="-c role=actor")
    cluster.sql("ALTER ROLE actor RENAME TO former; CREATE ROLE actor")
    with proxy.connect(options="-c role=actor") as conn:
        assert on_both(proxy, conn) == {"actor"}
        conn.execute("SET ROLE NONE")
        assert on_both(proxy, conn) == {"postgres"}
        cluster.sql("ALTER ROLE actor RENAME TO third")
        conn.execute("RESET ROLE")
        assert on_both(proxy, conn) == {"third"}
    cluster.sql("DROP ROLE third")


@pytest.mark.parametrize("another", ["", "; CREATE ROLE actor"])
@pytest.mark.parametrize("code", [False, True])
def test_a_role_that_is_renamed_is_kept(cluster, proxy, another, code):
    with proxy.connect() as conn, cluster.connect() as real:
        for each in conn, real:
            each.execute("SET ROLE actor")
        cluster.sql("ALTER ROLE actor RENAME TO former" + another)
        if code:
            conn.execute(CODE)
        assert who(real) == "former"
        assert on_both(proxy, conn) == {"former"}
        conn.execute("RESET ROLE")
        assert on_both(proxy, conn) == {"postgres"}


@pytest.mark.parametrize("another", ["", "; CREATE ROLE actor"])
def test_a_role_that_is_dropped_is_not_another(cluster, proxy, another):
    with proxy.connect() as conn, proxy.connect() as other:
        conn.execute("SET ROLE actor")
        other.execute("SELECT 1")
        cluster.sql("DROP ROLE actor" + another)
        with pytest.raises(psycopg.OperationalError, match='session settings cannot be kept: role "unknown'):
            on_both(proxy, conn)
    with proxy.connect() as conn:
        assert on_both(proxy, conn) == {"postgres"}


@pytest.mark.parametrize("change", ["DROP ROLE actor", "ALTER ROLE actor RENAME TO former"])
def test_a_name_that_was_nobody_s_meanwhile(cluster, proxy, change):
    """What was asked then is not the one that has the name now: the session is the old one, or ends. Which of them depends on when the
    role is asked for: behind the code's answer, and again as long as the code may have made functions."""
    with proxy.connect() as conn:
        conn.execute("SET ROLE actor")
        cluster.sql(change)
        conn.execute(CODE)
        cluster.sql("CREATE ROLE actor")
        try:
            assert on_both(proxy, conn) == {"former"}
        except psycopg.OperationalError:
            assert "session settings cannot be kept: " in proxy.log_text()
    with proxy.connect() as conn:
        assert on_both(proxy, conn) == {"postgres"}


@pytest.mark.parametrize("change", ["DROP ROLE actor", "ALTER ROLE actor RENAME TO former"])
def test_a_name_that_is_another_one_s_when_it_is_asked(cluster, proxy, change):
    with proxy.connect() as conn, ThreadPoolExecutor() as pool:
        conn.execute("SET ROLE actor")
        cluster.sql(change)
        running = pool.submit(conn.execute, CODE + "; SELECT pg_sleep(1)")
        wait_for("the code", lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1")
        cluster.sql("CREATE ROLE actor")
        running.result()
        if change.startswith("DROP"):
            with pytest.raises(psycopg.OperationalError):  # libpq may have taken the reason for a notice behind the code's answer
                who(conn)
            assert "session settings cannot be kept: invalid role OID" in proxy.log_text()
        else:
            assert on_both(proxy, conn) == {"former"}
    with proxy.connect() as conn:
        assert on_both(proxy, conn) == {"postgres"}


def test_a_login_that_is_another_one_s_now(cluster, proxy):
    """New clients log in to the new one: idle server connections of the old one are replaced, also when another one's statement has done it."""
    cluster.sql("CREATE ROLE member LOGIN")

    def is_the_new_one():
        with proxy.connect(user="member") as new, contextlib.suppress(psycopg.errors.UndefinedObject):
            return who(new) == "member"
        return False  # so PostgreSQL says of one that was dropped

    try:
        with proxy.connect(user="member") as old, proxy.connect() as owner:
            assert who(old) == "member"
            owner.execute("ALTER ROLE member RENAME TO former")
            owner.execute("CREATE ROLE member LOGIN")
            assert is_the_new_one()
            if "strict" in proxy.ini.read_text():  # with a feed that tells of others' statements
                wait_for("the feed", lambda: "feed streams" in proxy.log_text())
                cluster.sql("DROP ROLE former; ALTER ROLE member RENAME TO former; CREATE ROLE member LOGIN")
                wait_for("a login of the new one", is_the_new_one)
    finally:
        cluster.sql("DROP ROLE IF EXISTS member")


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_gets_what_began_before(cluster, workers):
    """However many server connections are idle, in whichever worker: new clients begin with what a role begins with now."""
    cluster.sql("CREATE ROLE member LOGIN")
    made = Proxy(cluster, {"default_pool_size": 4, "workers": workers, "coherence": "off"}, users={"postgres": "", "member": ""})

    def all_at_once():
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(made.connect(user="member", autocommit=False)) for _ in range(4)]
            return {(client.execute("SHOW work_mem").fetchone()[0], who(client)) for client in clients}

    try:
        with made.connect() as owner:
            for size in "5MB", "6MB", "7MB", "8MB", "9MB":
                owner.execute(f"ALTER ROLE member SET work_mem = '{size}'")
                assert all_at_once() == {(size, "member")}
            assert made.stop() == 0
    finally:
        cluster.sql("DROP ROLE member")


def test_the_rights_of_the_cache_are_its_own(cluster, proxy):
    """What a role was allowed to read is not answered to the next one of its name."""
    cluster.sql("CREATE TABLE IF NOT EXISTS secret (id int PRIMARY KEY, v text); INSERT INTO secret VALUES (1, 'x') ON CONFLICT DO NOTHING;"
                "GRANT SELECT ON secret TO actor")
    sql = "SELECT v FROM secret WHERE id = 1"
    with proxy.connect() as conn:
        conn.execute("SET ROLE actor")
        if "strict" in proxy.ini.read_text():
            def hit():
                before = proxy.metrics().count("cache_hits")
                assert conn.execute(sql).fetchall() == [("x",)]
                return proxy.metrics().count("cache_hits") > before
            wait_for("a hit", hit)
        conn.execute("RESET ROLE")
        cluster.sql("ALTER ROLE actor RENAME TO former; CREATE ROLE actor")
        conn.execute("SET ROLE actor")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(sql)
    cluster.sql("DROP TABLE secret")
