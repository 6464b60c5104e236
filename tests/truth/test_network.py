"""Lines that break without a word, and lines that are slow: no stale read, nobody waits for ever, everybody is served again."""
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from conftest import CLIENTS_KEEPALIVES, CYCLES, cache_is_on, new_cluster, start_pair, stop_pair
from pgweir_test.cluster import TRUST
from pgweir_test.network import Machines, SlowLine, namespaces_work
from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import PATIENCE, wait_for
from pgweir_test.wire import Wire, query
from test_faults import run_while

pytestmark = pytest.mark.skipif(not PGWEIR, reason="needs pgweir")

# A dead line is noticed within seconds: by keepalives while nobody speaks, by the user timeout while somebody does.
IMPATIENT = {"tcp_keepidle": 1, "tcp_keepintvl": 1, "tcp_keepcnt": 2, "tcp_user_timeout": 3000, "server_connect_timeout": 3,
             "query_wait_timeout": 30}


@pytest.fixture
def apart():
    """PostgreSQL and clients here, two pgweirs on another machine: (cluster, proxies, line to PostgreSQL, line to clients)."""
    if not namespaces_work():
        pytest.skip("no network namespaces here")
    machines = Machines(lines=2)
    database, clients = machines.lines
    cluster = new_cluster(hba=f"{TRUST}\nhost all all {database.there}/32 trust\nhost replication all {database.there}/32 trust\n",
                          listen_addresses="'*'", tcp_keepalives_idle="2", tcp_keepalives_interval="1", tcp_keepalives_count="2",
                          tcp_user_timeout="4000", wal_sender_timeout="'5s'")
    proxies = start_pair(cluster, IMPATIENT, address=clients.there, within=machines.within,
                         databases={"*": f"host={database.here} port={cluster.port}"})
    yield cluster, proxies, database, clients
    database.mend()
    clients.mend()
    stop_pair(proxies)
    cluster.remove()
    machines.leave()


def cut_for(line, seconds):
    line.cut()
    try:
        time.sleep(seconds)  # the fault itself
    finally:
        line.mend()


@pytest.mark.long
def test_the_line_to_postgres_is_cut(truth, apart):
    """For less and for more than anybody's patience: then both ends have given up, each in its own time, and neither was told."""
    cluster, proxies, database, _ = apart
    lengths = iter([1, 6, 0.3, 6] + [1] * 1000)
    run_while(truth, (cluster, proxies), lambda: cut_for(database, next(lengths)), 1.5, "--async")


@pytest.mark.long
def test_the_line_to_clients_is_cut(truth, apart):
    cluster, proxies, _, clients = apart
    lengths = iter([1, 5, 0.3] + [1] * 1000)
    run_while(truth, (cluster, proxies), lambda: cut_for(clients, next(lengths)), 1.5, "--async")


def test_a_client_behind_a_dead_line_loses_its_locks(apart):
    """It is half open: it can't say good-bye. Its transaction must not hold a lock for ever."""
    cluster, proxies, _, clients = apart
    cluster.sql("CREATE TABLE locked (id int PRIMARY KEY); INSERT INTO locked VALUES (1)")
    lost = Wire(proxies[0].port, clients.there).login()
    lost.send(query("BEGIN; SELECT * FROM locked FOR UPDATE"))
    lost.until(b"Z")
    clients.cut()
    wait_for("the lock to be free", lambda: cluster.sql(
        "SET lock_timeout = '200ms'; SELECT id FROM locked FOR UPDATE") == "1")
    wait_for("its backend to be clean", lambda: cluster.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == "0")
    clients.mend()
    lost.sock.close()


def test_a_client_whose_answer_was_lost_is_told_by_its_keepalives(apart):
    """The query came through and the answer did not: pgweir gives up, and a client that only waits would never know."""
    _, proxies, _, clients = apart
    with psycopg.connect(f"{proxies[0].dsn()} {CLIENTS_KEEPALIVES}", autocommit=True) as conn, ThreadPoolExecutor(1) as other:
        waiting = other.submit(conn.execute, "SELECT pg_sleep(1.5)")
        wait_for("the query to run", lambda: proxies[0].cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1.5)' AND state = 'active'") == "1")
        cut_for(clients, 8)
        with pytest.raises(psycopg.OperationalError):
            waiting.result(PATIENCE)


def test_a_dead_line_to_postgres_is_an_error_in_time(apart):
    """Nobody hangs; and a cached row is no answer, as nothing proves it."""
    _, proxies, database, clients = apart
    read = query("SELECT v FROM warm WHERE id = 1")
    wire = Wire(proxies[0].port, clients.there).login()
    wire.send(read)
    assert [kind for kind, _ in wire.until(b"Z")] == [b"T", b"D", b"C", b"Z"]
    database.cut()
    wire.sock.settimeout(30)
    wire.send(read)
    kind, body = wire.recv()
    assert kind == b"E" and b"C08" in body, body
    database.mend()
    wait_for("the cache to be back", lambda: cache_is_on(proxies[0]))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_slow_lines(truth, seed):
    """The stream may be behind the probes, the backends behind both, and the other way round."""
    cluster = new_cluster()
    line = SlowLine(cluster.port, 0.02, seed)
    proxies = start_pair(cluster, {"probe_patience": "200ms"}, databases={"*": f"host=127.0.0.1 port={line.port}"})
    try:
        with truth(cluster, proxies, "--async", "--pause", 4000, "--lists", seconds=max(6, CYCLES // 100)) as run:
            pass
        run.fresh()
    finally:
        stop_pair(proxies)
        line.close()
        cluster.remove()
