"""Cancel requests, and what becomes of the work of a client that is gone."""
import threading
import time

import psycopg
import pytest

from pgweir_test.proxy import DIRECT, Proxy, PGBOUNCER, PGWEIR
from pgweir_test.tools import wait_for
from pgweir_test.wire import PROTOCOL_3_2, Wire, cancel, errors, kinds, query, rows

BUSY = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{}%' AND pid <> pg_backend_pid()"


def running(cluster, mark):
    return int(cluster.sql(BUSY.format(mark)))


def test_cancels_a_running_query(cluster, proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(query("SELECT pg_sleep(60) /* mark_running */"))
        wait_for("the query to run", lambda: running(cluster, "mark_running"))
        cancel(proxy.port, wire.pid, wire.key)
        assert errors(wire.until(b"Z")) == ["57014"]
        assert rows(wire.simple("SELECT 'still here'")) == [[b"still here"]]


def test_psycopg_cancels(cluster, proxy):
    with proxy.connect() as conn:
        killer = threading.Thread(target=lambda: (
            wait_for("the query to run", lambda: running(cluster, "mark_psycopg")), conn.cancel()))
        killer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute("SELECT pg_sleep(60) /* mark_psycopg */")
        killer.join()
        assert conn.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(DIRECT, reason="nothing to wait for")
def test_cancels_a_queued_query(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1})
    with Wire(proxy.port).login() as holder, Wire(proxy.port).login() as waiter:
        holder.simple("BEGIN")
        holder.simple("SELECT pg_backend_pid()")
        waiter.send(query("SELECT 1"))
        if PGWEIR:
            wait_for("the client to be queued", lambda: proxy.metrics().count("waits") >= 1)
        else:
            time.sleep(0.3)
        cancel(proxy.port, waiter.pid, waiter.key)
        if PGBOUNCER:
            return  # PgBouncer closes the client here
        assert errors(waiter.until(b"Z")) == ["57014"]
        holder.simple("COMMIT")
        assert rows(waiter.simple("SELECT 2")) == [[b"2"]]
    assert proxy.stop() == 0


@pytest.mark.skipif(DIRECT, reason="one backend for two clients")
def test_a_late_cancel_does_not_hit_the_next_client(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1})
    with Wire(proxy.port).login() as first, Wire(proxy.port).login() as second:
        for _ in range(20):
            first.simple("SELECT 1")
            second.send(query("SELECT pg_sleep(0.02), 7"))
            cancel(proxy.port, first.pid, first.key)
            assert rows(second.until(b"Z"))[0][1] == b"7"
    assert proxy.stop() == 0


def test_a_wrong_key_cancels_nothing(cluster, proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(query("SELECT pg_sleep(0.5), 5"))
        cancel(proxy.port, wire.pid, bytes(b ^ 0xff for b in wire.key))
        cancel(proxy.port, wire.pid ^ 1, wire.key)
        assert rows(wire.until(b"Z"))[0][1] == b"5"


@pytest.mark.skipif(not PGWEIR, reason="protocol 3.2 is newer than the stand-ins")
def test_long_cancel_keys_of_protocol_3_2(cluster, proxy):
    with Wire(proxy.port).login(version=PROTOCOL_3_2) as wire:
        assert len(wire.key) > 4
        wire.send(query("SELECT pg_sleep(60) /* mark_3_2 */"))
        wait_for("the query to run", lambda: running(cluster, "mark_3_2"))
        cancel(proxy.port, wire.pid, wire.key)
        assert errors(wire.until(b"Z")) == ["57014"]


@pytest.mark.skipif(PGBOUNCER, reason="PgBouncer lets it run")
def test_a_vanished_clients_query_is_cancelled(cluster, proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(query("SELECT pg_sleep(60) /* mark_vanished */"))
        wait_for("the query to run", lambda: running(cluster, "mark_vanished"))
    if DIRECT:
        cluster.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%mark_vanished%' AND "
                    "pid <> pg_backend_pid()")
    wait_for("the query to be cancelled", lambda: not running(cluster, "mark_vanished"))


def test_a_vanished_clients_transaction_is_rolled_back(cluster, proxy, database):
    cluster.sql("CREATE TABLE t (i int)", database)
    with Wire(proxy.port).login(database=database) as wire:
        wire.simple("BEGIN")
        assert kinds(wire.simple("INSERT INTO t VALUES (1)")) == "CZ"
    open_ones = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    wait_for("the transaction to end", lambda: cluster.sql(open_ones, database) == "0")
    assert cluster.sql("SELECT count(*) FROM t", database) == "0"
    assert proxy.psql("SELECT count(*) FROM t", dbname=database).stdout.strip() == "0"


@pytest.mark.skipif(not PGWEIR, reason="PgBouncer closes the backend")
def test_the_backend_of_a_vanished_client_is_used_again(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1})
    pid = proxy.psql("SELECT pg_backend_pid()").stdout.strip()
    with Wire(proxy.port).login() as wire:
        wire.send(query("SELECT pg_sleep(60) /* mark_reused */"))
        wait_for("the query to run", lambda: running(cluster, "mark_reused"))
    assert proxy.psql("SELECT pg_backend_pid()").stdout.strip() == pid
    assert proxy.metrics().count("clients_vanished") >= 1
    assert proxy.stop() == 0
