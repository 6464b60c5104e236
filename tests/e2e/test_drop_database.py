"""DROP DATABASE and what else PostgreSQL runs only when nobody is connected to a database: pgweir's own connections are in nobody's way."""
import os
import signal
import threading
import time

import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, execute, kinds, parse
from test_cache import PATIENT, Counted, reads_twice

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the feed is pgweir's")
DB = "short_lived"
USERS = {"postgres": "", "other_owner": ""}


@pytest.fixture(scope="module")
def proxy(cluster):
    cluster.sql("CREATE ROLE other_owner LOGIN SUPERUSER")
    made = Proxy(cluster, {**PATIENT, "workers": 2}, users=USERS)
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]
    cluster.sql("DROP ROLE other_owner")


@pytest.fixture(autouse=True)
def _clean(cluster):
    yield
    for name in DB, DB + "_too":
        cluster.drop_database(name)


def fill(cluster, value):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql(f"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, '{value}')", DB)


def read(proxy, user="postgres"):
    with proxy.connect(DB, user=user) as conn:
        return conn.execute("SELECT v FROM t WHERE id = 1").fetchone()[0]


def cached(proxy, value):
    """Reads until the cache has answered."""
    def hit():
        with Counted(proxy) as counted:
            assert read(proxy) == value
        return counted.rise("cache_hits") > 0
    wait_for("a hit", hit)


def slots(cluster):
    return int(cluster.sql(f"SELECT count(*) FROM pg_replication_slots WHERE database = '{DB}'"))


def used(proxy, cluster, value):
    """A database with a feed, and idle server connections of two users."""
    fill(cluster, value)
    cached(proxy, value)
    assert read(proxy, "other_owner") == value
    assert slots(cluster) == 1


@pytest.mark.sanitizer
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_database_that_was_read_can_be_dropped(proxy, cluster, protocol):
    """At once behind the last client, and what is made under its name afterwards is read as it is."""
    for value in "one", "two":
        used(proxy, cluster, value)
        with Wire(proxy.port) as wire:
            wire.login()
            if protocol == "simple":
                answer = wire.simple(f'DROP DATABASE "{DB}"')
            else:
                wire.send(parse("", f"DROP DATABASE {DB}") + bind("", "") + execute() + SYNC)
                answer = wire.until(b"Z")
            assert "E" not in kinds(answer), answer
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            proxy.connect(DB)


@pytest.mark.parametrize("statement", [f"ALTER DATABASE {DB} RENAME TO {DB}_too", f"CREATE DATABASE {DB}_too TEMPLATE {DB}",
                                       f"DROP DATABASE IF EXISTS {DB} WITH (FORCE)"])
def test_so_can_it_be_renamed_and_copied(proxy, cluster, statement):
    used(proxy, cluster, "first")
    with proxy.connect() as conn:
        conn.autocommit = True
        conn.execute(statement)
        if "too" in statement:
            assert cluster.sql("SELECT v FROM t", DB + "_too") == "first"
    if "TEMPLATE" in statement:
        cached(proxy, "first")


def test_with_clients_in_it_it_is_refused(proxy, cluster):
    """As by PostgreSQL, and they go on with their cache; without them it goes."""
    used(proxy, cluster, "kept")
    with proxy.connect() as other, proxy.connect(DB) as client:
        other.autocommit = client.autocommit = True
        client.execute("SELECT v FROM t WHERE id = 1")
        with pytest.raises(psycopg.errors.ObjectInUse):
            other.execute(f"DROP DATABASE {DB}")
        assert reads_twice(proxy, lambda: client.execute("SELECT v FROM t WHERE id = 1").fetchone()) == ("kept",)
        client.close()
        other.execute(f"DROP DATABASE {DB}")


def test_connections_that_hear_notifications_go_too(proxy, cluster):
    used(proxy, cluster, "heard")
    with proxy.connect(DB) as conn:
        conn.autocommit = True
        conn.execute("LISTEN news")
        conn.execute("NOTIFY news, 'x'")
    with proxy.connect() as conn:
        conn.autocommit = True
        conn.execute(f"DROP DATABASE {DB}")


def test_the_wait_can_be_cancelled(proxy, cluster):
    """Here for a walsender that does not go."""
    used(proxy, cluster, "slow")
    walsender = int(cluster.sql(f"SELECT active_pid FROM pg_replication_slots WHERE database = '{DB}'"))
    os.kill(walsender, signal.SIGSTOP)
    try:
        with proxy.connect() as conn:
            conn.autocommit = True
            began = time.monotonic()
            canceller = threading.Timer(0.3, conn.cancel)
            canceller.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                conn.execute(f"DROP DATABASE {DB}")
            canceller.join()
            assert time.monotonic() - began < 1
            assert conn.execute("SELECT 1").fetchone() == (1,)
    finally:
        os.kill(walsender, signal.SIGCONT)


@pytest.mark.sanitizer
def test_without_clients_a_feed_ends_after_autodb_idle_timeout(cluster):
    """So that others, who do not come through pgweir, can drop the database; the next client has a feed again."""
    proxy = Proxy(cluster, {**PATIENT, "autodb_idle_timeout": 1, "server_idle_timeout": 1, "workers": 2}, users=USERS)
    try:
        used(proxy, cluster, "forgotten")
        with proxy.connect(DB) as conn:
            conn.execute("SELECT 1")
            time.sleep(2.5)
            assert slots(cluster) == 1
        wait_for("the feed to end", lambda: slots(cluster) == 0)
        cluster.sql("UPDATE t SET v = 'changed'", DB)
        cached(proxy, "changed")
        wait_for("the feed to end", lambda: slots(cluster) == 0)
        cluster.sql(f"DROP DATABASE {DB}")
        assert proxy.alive()
    finally:
        assert proxy.stop() == 0, proxy.log_text()[-2000:]


def test_a_database_with_an_entry_keeps_its_feed(cluster):
    proxy = Proxy(cluster, {**PATIENT, "autodb_idle_timeout": 1}, users=USERS,
                  databases={DB: f"host=127.0.0.1 port={cluster.port}", "*": f"host=127.0.0.1 port={cluster.port}"})
    try:
        used(proxy, cluster, "kept")
        time.sleep(3)
        assert slots(cluster) == 1
    finally:
        assert proxy.stop() == 0, proxy.log_text()[-2000:]


@pytest.mark.sanitizer
def test_after_KILL_others_can_drop_it(proxy, cluster):
    used(proxy, cluster, "killed")
    with proxy.connect("pgweir") as console:
        console.autocommit = True
        console.execute(f"KILL {DB}")
        wait_for("the feed to end", lambda: slots(cluster) == 0)
        cluster.sql(f"DROP DATABASE {DB}")
        fill(cluster, "new")
        console.execute(f"RESUME {DB}")
    cached(proxy, "new")
