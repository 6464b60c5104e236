"""Too much of everything: descriptors, connection attempts, readers and writers that do not go on, a log that cannot be written."""
import resource
import socket

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import Closed, Wire, query

pytestmark = pytest.mark.skipif(not PGWEIR, reason="about pgweir's own limits")


def serves(proxy):
    with proxy.connect() as conn:
        return conn.execute("SELECT 1").fetchone() == (1,)


def test_descriptors_run_out_and_come_back(cluster):
    proxy = Proxy(cluster, {"max_client_conn": 5000, "client_login_timeout": 2})
    limit = 120
    with proxy.connect() as early:
        assert early.execute("SELECT 1").fetchone() == (1,)
        resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        crowd = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(2 * limit)]
        for turn in range(20):  # who is in goes on, without a busy loop of accept()
            assert early.execute("SELECT %s::int", (turn,)).fetchone() == (turn,)
        for sock in crowd:
            sock.close()
        wait_for("room for new clients", lambda: serves(proxy))
    assert proxy.stop() == 0, proxy.log_text()[-2000:]


@pytest.mark.slow  # as below: what it measures is the allocator there
def test_thousands_of_attempts_leave_nothing(cluster):
    proxy = Proxy(cluster, {"max_client_conn": 100})
    assert serves(proxy)
    for number in range(10000):
        with socket.create_connection(("127.0.0.1", proxy.port)) as sock:
            if number % 3 == 0:
                sock.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        if number == 3000:
            before = proxy.rss_kib()
    wait_for("the crowd to be gone", lambda: serves(proxy))
    assert proxy.rss_kib() < before + 8 * 1024
    assert proxy.stop() == 0, proxy.log_text()[-2000:]


@pytest.mark.slow  # the allocator of AddressSanitizer keeps what is freed
def test_who_does_not_read_holds_up_nobody(cluster):
    """200 MB for each of four clients that never read: back pressure, not memory."""
    proxy = Proxy(cluster, {"default_pool_size": 6})
    assert serves(proxy)
    before, wires = proxy.rss_kib(), []
    for _ in range(4):
        wire = Wire(proxy.port).login()
        wire.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 2000)"))
        wires.append(wire)
    for _ in range(50):
        assert serves(proxy)
    assert proxy.rss_kib() < before + 40 * 1024
    for wire in wires:
        wire.sock.close()
    wait_for("their queries to be ended", lambda: cluster.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 2000)%' AND state = 'active' AND pid <> pg_backend_pid()") == "0")
    assert serves(proxy)
    assert proxy.stop() == 0, proxy.log_text()[-2000:]


def test_who_writes_slowly_holds_up_nobody(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1})
    with Wire(proxy.port).login() as slow:
        data = query("SELECT 'slow'")
        for i in range(len(data) - 1):  # a message that is not whole holds no backend
            slow.send(data[i:i + 1])
            assert serves(proxy)
        slow.send(data[-1:])
        assert (b"C", b"SELECT 1\0") in slow.until(b"Z")
    assert proxy.stop() == 0, proxy.log_text()[-2000:]


def test_a_log_that_cannot_be_written(cluster):
    proxy = Proxy(cluster, {"logfile": "/dev/full"})
    for _ in range(20):
        assert serves(proxy)
    try:
        Wire(proxy.port).send(b"nonsense that is logged")
    except Closed:
        pass
    assert serves(proxy)
    assert proxy.stop() == 0
