"""Cancel requests, and what becomes of the work of a client that is gone."""
import os
import signal
import threading
import time

import psycopg
import pytest
from psycopg.rows import dict_row

from pgweir_test.proxy import DIRECT, Proxy, PGBOUNCER, PGWEIR
from pgweir_test.tools import wait_for
from pgweir_test.wire import PROTOCOL_3_0, PROTOCOL_3_2, Wire, cancel, errors, kinds, query, rows

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


@pytest.mark.skipif(not PGWEIR, reason="other poolers put no settings in front")
def test_a_cancel_that_comes_early_meets_the_statement_and_not_the_settings_in_front_of_it(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1})
    with Wire(proxy.port).login() as other, Wire(proxy.port).login() as wire:
        wire.simple("; ".join(f"SET app.early{i} = 'x'" for i in range(450)))
        cancelled = 0
        for _ in range(40):
            other.simple("SELECT 1")
            wire.send(query("SELECT pg_sleep(0.3)"))
            cancel(proxy.port, wire.pid, wire.key)
            cancelled += errors(wire.until(b"Z")) == ["57014"]
        assert cancelled > 0  # some come so early that there is nothing to cancel
        assert rows(wire.simple("SHOW app.early449")) == [[b"x"]]
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


def peers(cluster, count, known=None):
    """Processes that know each other by their unix sockets: peer number -> proxy."""
    made = {number: Proxy(cluster, {"peer_id": number, "default_pool_size": 2}, start=False)
            for number in range(1, count + 1)}
    for number, proxy in made.items():
        proxy.settings["unix_socket_dir"] = proxy.dir
        proxy.write()
        others = known(number) if known else [n for n in made if n != number]
        lines = [f"{n} = host={made[n].dir} port={made[n].port}" for n in others]
        proxy.ini.write_text(proxy.ini.read_text() + "[peers]\n" + "\n".join(lines) + "\n")
        proxy.start()
    return made


@pytest.mark.skipif(not PGWEIR, reason="PgBouncer closes the backend")
@pytest.mark.sanitizer
def test_a_query_that_has_not_begun_is_cancelled_too(cluster):
    """PostgreSQL ignores a cancel request that comes between two queries: here it comes to a process that stands still in front of one."""
    proxy = Proxy(cluster, {"default_pool_size": 1})
    try:
        with Wire(proxy.port).login() as wire:
            server = int(rows(wire.simple("SELECT pg_backend_pid()"))[0][0])
            os.kill(server, signal.SIGSTOP)
            try:
                wire.send(query("SELECT pg_sleep(60) /* mark_not_begun */"))
                wait_for("the query to be sent", lambda: active(proxy) == 1)
                wire.sock.close()
                wait_for("the cancel request", lambda: cancels_seen(server))
            finally:
                os.kill(server, signal.SIGCONT)
        with proxy.connect() as conn:
            assert conn.execute("SELECT pg_backend_pid()").fetchone() == (server,)
        assert running(cluster, "mark_not_begun") == 0
    finally:
        proxy.stop()


def active(proxy):
    with proxy.connect("pgbouncer", row_factory=dict_row) as console:
        return sum(row["sv_active"] for row in console.execute("SHOW POOLS").fetchall() if row["database"] == "postgres")


def cancels_seen(pid):
    """Has it a SIGINT to handle?"""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        pending = {name: int(mask, 16) for name, _, mask in (line.partition(":") for line in status) if name in ("SigPnd", "ShdPnd")}
    return any(mask >> (signal.SIGINT - 1) & 1 for mask in pending.values())


@pytest.mark.skipif(not PGWEIR, reason="PgBouncer 1.18 has no peers")
@pytest.mark.parametrize("version", [PROTOCOL_3_0, PROTOCOL_3_2])
def test_any_peer_takes_a_cancel_request(cluster, version):
    made = peers(cluster, 2)
    with Wire(made[1].port).login(version=version) as wire:
        for mark in ("mark_peer_a", "mark_peer_b"):
            wire.send(query(f"SELECT pg_sleep(60) /* {mark} */"))
            wait_for("the query to run", lambda: running(cluster, mark))
            cancel(made[2].port, wire.pid, wire.key)
            assert errors(wire.until(b"Z")) == ["57014"]
    assert made[2].metrics().count("cancels_forwarded") == 2 and made[1].metrics().count("cancels") == 2
    # Whoever is left without the peer closes the request all the same.
    made[1].stop()
    cancel(made[2].port, wire.pid, wire.key)
    wait_for("the complaint", lambda: "cancel request not delivered" in made[2].log_text())
    assert made[2].stop() == 0


@pytest.mark.skipif(not PGWEIR, reason="PgBouncer 1.18 has no peers")
def test_a_cancel_request_does_not_go_round_for_ever(cluster):
    """2 and 3 believe of each other to be the way to 1."""
    made = peers(cluster, 3, known=lambda number: [n for n in (2, 3) if n != number])
    for number, other in ((2, 3), (3, 2)):
        text = made[number].ini.read_text().replace(f"\n{other} = ", "\n1 = ")
        made[number].ini.write_text(text)
        made[number].signal(signal.SIGHUP)
        wait_for("the reload", lambda: "configuration reloaded" in made[number].log_text())
    with Wire(made[1].port).login() as wire:
        cancel(made[2].port, wire.pid, wire.key)
        assert sum(made[n].metrics().count("cancels_forwarded") for n in (2, 3)) == 3
        assert sum(made[n].metrics().count("cancels_missed") for n in (2, 3)) == 1
        assert rows(wire.simple("SELECT 1")) == [[b"1"]]
    for proxy in made.values():
        assert proxy.stop() == 0
