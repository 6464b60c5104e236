"""A database that goes away and comes back; limits and waits."""
import socket
import threading
import time

import psycopg
import pytest

from pgweir_test.cluster import Cluster
from pgweir_test.proxy import DIRECT, PGBOUNCER, PGWEIR, Proxy
from pgweir_test.tools import free_port, wait_for
from pgweir_test.wire import Wire, errors, query

pytestmark = pytest.mark.skipif(DIRECT, reason="about the proxy between us and a lost database")
GONE = {"08006", "08003", "08001", "08004", "57P01", "57P02", "57P03", "58000", "08P01"}


@pytest.fixture
def fragile():
    made = Cluster()
    yield made
    made.remove()


def sqlstate(proxy, sql="SELECT 1"):
    """The SQLSTATE that a new client gets, or None when it is served."""
    with Wire(proxy.port) as wire:
        wire.startup()
        got = wire.until(b"Z", b"E")
        if got[-1][0] == b"Z":
            wire.send(query(sql))
            got = wire.until(b"Z", b"E")
        return errors(got)[0] if errors(got) else None


@pytest.mark.parametrize("how", ["kill9", "stop", "immediate"])
def test_a_lost_database_is_a_clear_error_and_comes_back(fragile, how):
    proxy = Proxy(fragile, {"server_login_retry": 0.2, "query_wait_timeout": 2, "server_connect_timeout": 2})
    idle = proxy.connect()
    assert idle.execute("SELECT 1").fetchone() == (1,)
    {"kill9": fragile.kill9, "stop": fragile.stop, "immediate": lambda: fragile.stop("immediate")}[how]()
    state = sqlstate(proxy)
    assert state in GONE, state
    assert proxy.alive()
    fragile.start_again()
    wait_for("the service to be back", lambda: sqlstate(proxy) is None)
    if PGWEIR:  # a client that was idle meanwhile has noticed nothing
        assert idle.execute("SELECT 2").fetchone() == (2,)
    idle.close()
    assert proxy.stop() == 0


def test_a_crash_in_the_middle_of_a_query(fragile):
    proxy = Proxy(fragile, {"server_login_retry": 0.2, "query_wait_timeout": 5})
    with Wire(proxy.port).login() as wire:
        wire.send(query("SELECT pg_sleep(60) /* mark_crash */"))
        wait_for("the query to run", lambda: fragile.sql(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%mark_crash%' AND pid <> pg_backend_pid()"))
        fragile.kill9()
        got = wire.drain() if PGBOUNCER else wire.until(b"Z", b"E")
        assert errors(got)[0] in GONE, errors(got)
    fragile.start_again()
    wait_for("the service to be back", lambda: sqlstate(proxy) is None)
    assert proxy.stop() == 0


def test_a_terminated_backend_costs_one_transaction(cluster, proxy):
    with Wire(proxy.port).login() as wire:
        wire.simple("BEGIN")
        wire.send(query("SELECT pg_terminate_backend(pg_backend_pid())"))
        got = wire.until(b"Z", b"E")
        assert errors(got)[0] in GONE
    assert sqlstate(proxy) is None


def test_an_idle_backend_that_was_terminated_is_replaced_unseen(cluster):
    proxy = Proxy(cluster, {"application_name_add_host": 0})
    with proxy.connect(prepare_threshold=None) as conn:
        for _ in range(5):
            pid = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
            cluster.sql(f"SELECT pg_terminate_backend({pid}, 5000)")
            wait_for("the proxy to have seen it", lambda: conn.execute("SELECT pg_backend_pid()").fetchone()[0] != pid)
    assert proxy.stop() == 0


def test_a_server_that_does_not_exist(cluster):
    where = f"host=127.0.0.1 port={free_port()}"
    proxy = Proxy(cluster, {"query_wait_timeout": 2, "server_login_retry": 0.5}, databases={"postgres": where})
    began = time.monotonic()
    assert sqlstate(proxy) in GONE
    assert time.monotonic() - began < 8
    assert proxy.alive() and proxy.stop() == 0


def test_a_server_that_accepts_and_is_silent(cluster):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        where = f"host=127.0.0.1 port={silent.getsockname()[1]}"
        proxy = Proxy(cluster, {"query_wait_timeout": 3, "server_connect_timeout": 1}, databases={"postgres": where})
        assert sqlstate(proxy) is not None
        assert proxy.alive() and proxy.stop() == 0


def test_a_server_that_talks_nonsense(cluster):
    with socket.socket() as babbler:
        babbler.bind(("127.0.0.1", 0))
        babbler.listen(50)

        def serve():
            while True:
                try:
                    peer, _ = babbler.accept()
                    peer.recv(100)
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
                    peer.close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        where = f"host=127.0.0.1 port={babbler.getsockname()[1]}"
        proxy = Proxy(cluster, {"query_wait_timeout": 2, "server_login_retry": 0.5, "server_tls_sslmode": "disable"},
                      databases={"postgres": where})
        assert sqlstate(proxy) is not None
        assert proxy.alive() and proxy.stop() == 0
        babbler.shutdown(socket.SHUT_RDWR)


def test_a_wait_for_a_backend_has_an_end(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1, "query_wait_timeout": 1})
    with proxy.connect(autocommit=False) as holder:
        holder.execute("SELECT pg_backend_pid()").fetchone()
        with Wire(proxy.port).login() as wire:
            wire.send(query("SELECT 1"))
            got = wire.drain() if PGBOUNCER else wire.until(b"Z", b"E")
            assert errors(got)
            if PGWEIR:
                assert proxy.metrics().count("wait_timeouts") == 1
    assert proxy.stop() == 0


@pytest.mark.skipif(PGBOUNCER, reason="1.18 lets the last one in first")
def test_waiting_clients_are_served_in_order(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1})
    cluster.sql("CREATE SEQUENCE IF NOT EXISTS turn")  # the server's view of the order
    holder = proxy.connect(autocommit=False)
    holder.execute("SELECT pg_backend_pid()").fetchone()
    order, threads = {}, []

    def wait(number):
        with proxy.connect() as conn:
            order[number] = conn.execute("SELECT nextval('turn')").fetchone()[0]

    for number in range(6):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        wait_for("one more in the queue", lambda: proxy.metrics().count("waits") > number)
    holder.commit()
    for thread in threads:
        thread.join()
    holder.close()
    assert sorted(order, key=order.get) == sorted(order), order
    assert proxy.stop() == 0


def test_too_many_clients_get_53300(cluster):
    proxy = Proxy(cluster, {"max_client_conn": 3})
    held = [Wire(proxy.port).login() for _ in range(3)]
    with Wire(proxy.port) as wire:
        wire.startup()
        assert errors(wire.until(b"E", b"Z")) == ["08P01" if PGBOUNCER else "53300"]
    held.pop().sock.close()
    wait_for("the place to be free", lambda: sqlstate(proxy) is None)
    for wire in held:
        assert wire.simple("SELECT 1")[-1][0] == b"Z"
        wire.sock.close()
    assert proxy.stop() == 0


def test_a_client_that_never_logs_in_is_dropped(cluster):
    proxy = Proxy(cluster, {"client_login_timeout": 1})
    with Wire(proxy.port) as wire:
        wire.drain()
    assert proxy.stop() == 0


def test_idle_backends_are_closed(cluster):
    cluster.sql("CREATE ROLE idler SUPERUSER LOGIN")
    proxy = Proxy(cluster, {"server_idle_timeout": 1}, users={"idler": "", "postgres": ""})
    with psycopg.connect(proxy.dsn(user="idler"), autocommit=True) as conn:
        conn.execute("SELECT 1")
        wait_for("no backend", lambda: cluster.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'idler' AND backend_type = 'client backend'") == "0")
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert proxy.stop() == 0
    cluster.sql("DROP ROLE idler")


@pytest.mark.skipif(not PGWEIR, reason="the stand-ins do not drain")
def test_a_login_that_never_ends_does_not_hold_up_the_shutdown(cluster):
    proxy = Proxy(cluster, {"auth_type": "md5", "drain_timeout": 120}, users={"postgres": "secret"})
    with Wire(proxy.port) as wire:
        wire.startup()
        wire.until(b"R")
        assert proxy.stop() == 0, "it waited for a client that has not even logged in"
        assert errors(wire.drain()) == ["57P01"]
