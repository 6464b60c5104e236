"""A primary and its standby, and clients that go on when the standby is promoted."""
import os
import subprocess
import threading
import time

import psycopg
import pytest

from pgweir_test.cluster import Cluster
from pgweir_test.proxy import BINARY, PGWEIR, Proxy
from pgweir_test.tools import PG_BIN, as_pg_user, pg_version, run, spawn, wait_for

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="PgBouncer 1.18 does not look for the primary"),
              pytest.mark.skipif(pg_version() != 15, reason="pg_basebackup is that of 15")]
TRUST = """
local all         all                trust
host  all         all  127.0.0.0/8   trust
host  replication all  127.0.0.0/8   trust
"""


class Standby(Cluster):
    """A copy of `primary` that streams from it, on 127.0.0.2 and the same port."""

    def __init__(self, primary):  # no initdb here
        self.dir = primary.dir
        self.data, self.log, self.port = self.dir / "standby", self.dir / "standby.log", primary.port
        run(as_pg_user([PG_BIN / "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync",
                        "-d", primary.dsn()]))
        self.settings = {**primary.settings, "listen_addresses": "'127.0.0.2'", "unix_socket_directories": "''"}
        conninfo = f"host=127.0.0.1 port={primary.port} user=postgres"
        self.settings["primary_conninfo"] = f"'{conninfo}'"
        self.write_settings()
        self.start()

    def dsn(self, dbname="postgres", user="postgres", **more):
        return super().dsn(dbname, user, **more).replace("127.0.0.1", "127.0.0.2")

    def promote(self):
        self.pg_ctl("promote")

    def caught_up(self, primary):
        end = primary.sql("SELECT pg_current_wal_lsn()")
        wait_for("the standby", lambda: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == "t")


@pytest.fixture
def pair():
    primary = Cluster(hba=TRUST)
    primary.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0); CREATE TABLE log (n int PRIMARY KEY)")
    standby = Standby(primary)
    yield primary, standby
    standby.remove()
    primary.remove()


def proxy_of(primary, attrs="primary", **settings):
    where = f"host=127.0.0.1,127.0.0.2 port={primary.port} target_session_attrs={attrs}"
    return Proxy(primary, {"server_login_retry": 0.2, "server_connect_timeout": 3, "query_wait_timeout": 10, **settings},
                 databases={"*": where})


def value(conn):
    return conn.execute("SELECT v FROM t WHERE id = 1").fetchone()[0]


def hits_again(proxy, conn):
    before = proxy.metrics().count("cache_hits")
    wait_for("hits", lambda: value(conn) is not None and proxy.metrics().count("cache_hits") > before + 3)


def test_a_promoted_standby_takes_over_and_nothing_stale_is_read(pair):
    """One writer that goes on over the failover; each read behind an acknowledged write must show it or a later one."""
    primary, standby = pair
    proxy = proxy_of(primary)
    stop, written, trouble, reads = threading.Event(), [0], [], [0]

    def write():
        while not stop.is_set():
            try:
                with proxy.connect() as conn:
                    while not stop.is_set():
                        written[0] = conn.execute("UPDATE t SET v = v + 1 WHERE id = 1 RETURNING v").fetchone()[0]
                        time.sleep(0.002)  # the readers' turn: hits need quiet between writes
            except psycopg.Error:
                time.sleep(0.01)

    def read():
        while not stop.is_set():
            try:
                with proxy.connect() as conn:
                    while not stop.is_set():
                        least = written[0]
                        got = value(conn)
                        reads[0] += 1
                        if got < least:
                            trouble.append((least, got))
            except psycopg.Error:
                time.sleep(0.01)
    with proxy.connect() as conn:
        hits_again(proxy, conn)
    threads = [threading.Thread(target=work) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    try:
        wait_for("writes", lambda: written[0] > 50)
        # No acknowledged write may be lost by the failover itself: that would look like a stale read.
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.reload()
        before = written[0]
        wait_for("synchronous writes", lambda: written[0] > before + 20)
        primary.kill9()
        standby.promote()
        before, seen = written[0], reads[0]
        wait_for("writes on the new primary", lambda: written[0] > before + 50)
        wait_for("reads on the new primary", lambda: reads[0] > seen + 50)
        with proxy.connect() as conn:
            hits_again(proxy, conn)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert trouble == []
    with proxy.connect() as conn:
        assert value(conn) == int(standby.sql("SELECT v FROM t")) >= written[0]
    # A direct write on the new primary falls on what is cached.
    with proxy.connect() as conn:
        hits_again(proxy, conn)
        standby.sql("UPDATE t SET v = -1")
        assert value(conn) == -1
    assert proxy.stop() == 0


def test_the_right_server_is_found_wherever_it_stands(pair):
    primary, standby = pair
    here = "SELECT host(inet_server_addr())"
    for attrs, address in (("primary", "127.0.0.1"), ("read-write", "127.0.0.1"), ("standby", "127.0.0.2"),
                           ("read-only", "127.0.0.2")):
        proxy = proxy_of(primary, attrs)
        for _ in range(2):
            with proxy.connect() as conn:
                assert conn.execute(here).fetchone() == (address,)
        assert proxy.stop() == 0
    doctor = subprocess.run([BINARY, "doctor", f"postgres://postgres@127.0.0.2:{primary.port}/postgres"], capture_output=True,
                            text=True, timeout=60)
    assert doctor.returncode == 2 and "the server is in recovery" in doctor.stdout
    primary.stop()
    proxy = proxy_of(primary, "primary", query_wait_timeout=1)
    with pytest.raises(psycopg.OperationalError, match="not primary"):
        proxy.connect()
    standby.promote()
    wait_for("the promoted one", lambda: proxy.psql(here).stdout.strip() == "127.0.0.2")
    assert proxy.stop() == 0


def test_a_host_that_does_not_answer_is_passed_over(pair):
    primary, standby = pair
    standby.caught_up(primary)
    where = f"host=127.0.0.1,127.0.0.2 port={primary.port} load_balance_hosts=disable"
    proxy = Proxy(primary, {"server_login_retry": 0.2}, databases={"*": where})
    here = "SELECT host(inet_server_addr())"
    assert proxy.psql(here).stdout.strip() == "127.0.0.1"
    primary.stop()
    wait_for("the other one", lambda: proxy.psql(here).stdout.strip() == "127.0.0.2")
    # 25006 leads to a new look: an ordinary client of a list finds the promoted server without being told.
    with proxy.connect() as conn:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            conn.execute("UPDATE t SET v = 7")
        standby.promote()
        wait_for("the write", lambda: conn.execute("UPDATE t SET v = 7").rowcount == 1)
    assert proxy.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="an /etc/hosts of its own needs root")
def test_a_name_that_moves_to_the_new_primary_is_enough(pair):
    """One host, as managed services and Kubernetes name it. Far below dns_max_ttl, and the cache comes along."""
    primary, standby = pair
    standby.caught_up(primary)
    hosts = primary.dir / "hosts"
    hosts.write_text("127.0.0.1 db.test\n")
    proxy = Proxy(primary, {"server_login_retry": 0.2, "dns_max_ttl": 3600, "query_wait_timeout": 10},
                  databases={"*": f"host=db.test port={primary.port}"}, start=False)
    proxy.process = spawn(["unshare", "-m", "sh", "-c", f"mount --bind {hosts} /etc/hosts && exec {BINARY} {proxy.ini}"],
                          proxy.log)
    wait_for("the proxy to serve", proxy._serves)
    with proxy.connect() as conn:
        hits_again(proxy, conn)
    primary.kill9()
    standby.promote()
    standby.sql("UPDATE t SET v = 42")
    hosts.write_text("127.0.0.2 db.test\n")

    def back():
        with proxy.connect() as conn:
            return value(conn) == 42
    wait_for("the new primary", back)
    with proxy.connect() as conn:
        hits_again(proxy, conn)
        standby.sql("UPDATE t SET v = 43")
        assert value(conn) == 43
    assert proxy.stop() == 0
