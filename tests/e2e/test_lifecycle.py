"""Reloads, drains and takeovers under load, and what the service manager sees."""
import contextlib
import os
import pwd
import signal
import socket
import struct
import subprocess
import threading
import time

import psycopg
import pytest

from pgweir_test.proxy import BINARY, PGWEIR, Proxy
from pgweir_test.tools import PG_BIN, free_port, reap, spawn, wait_for
from pgweir_test.wire import PROTOCOL_3_0, PROTOCOL_3_2, Wire, cancel, errors, query

pytestmark = pytest.mark.skipif(not PGWEIR, reason="pgweir's own life cycle")


@pytest.fixture(scope="module")
def bench(cluster):
    """A database with pgbench's tables."""
    cluster.sql("CREATE DATABASE bench")
    subprocess.run([PG_BIN / "pgbench", "-i", "-q", "-s", "1", cluster.dsn("bench")], check=True, capture_output=True)
    yield "bench"
    cluster.drop_database("bench")


def running(cluster, mark):
    return cluster.sql(f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{mark}%' AND "
                       "pid <> pg_backend_pid()") == "1"


class Load:
    """pgbench in the background, until stop(); every failure is one too many. A thread for each client: one that connects blocks."""

    def __init__(self, proxy, *args, clients=4, dbname="bench", host="127.0.0.1"):
        self.log = proxy.dir / f"pgbench-{time.monotonic_ns()}"
        self.process = spawn([PG_BIN / "pgbench", "-n", "-c", clients, "-j", clients, "-T", "60", "-P", "1", *args,
                              proxy.dsn(dbname, host=host)], self.log)
        self.proxy, self.dbname = proxy, dbname

    def done(self):
        """Transactions so far, by the balances that they have written."""
        return int(self.proxy.cluster.sql("SELECT count(*) FROM pgbench_history", self.dbname))

    def more(self, n=20):
        before = self.done()
        wait_for("some more transactions", lambda: self.done() > before + n)

    def stop(self):
        """Ends it; what it said."""
        assert self.process.poll() is None, self.log.read_text()
        reap(self.process, signal.SIGINT)
        text = self.log.read_text()
        assert "aborted" not in text and "error" not in text and "FATAL" not in text, text
        return text


def inherit(proxy, *listeners, **more):
    """Starts pgweir as a service manager would, with listening sockets in place of its own."""
    pairs = "".join(f"exec {3 + i}<&{sock.fileno()}; " for i, sock in enumerate(listeners))
    keep = tuple(sock.fileno() for sock in listeners)
    script = f"{pairs}export LISTEN_PID=$$ LISTEN_FDS={len(listeners)}; exec {BINARY} {proxy.ini}"
    handle = open(proxy.log, "ab")
    process = subprocess.Popen(["bash", "-c", script], pass_fds=keep, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle,
                               env={**os.environ, **more})
    proxy.process = process
    try:
        wait_for("the proxy to serve", proxy._serves)
    except AssertionError:
        process.kill()
        raise
    return process


@pytest.mark.sanitizer
def test_reloads_under_load(cluster, bench):
    proxy = Proxy(cluster, {"default_pool_size": 3})
    load = Load(proxy, "-M", "prepared")
    for size in (2, 5, 1, 3, 4):
        proxy.settings["default_pool_size"] = size
        proxy.settings["query_wait_timeout"] = 100 + size
        proxy.reload()
        load.more()
    proxy.ini.write_text(proxy.ini.read_text() + "nonsense = 1\n")
    proxy.signal(signal.SIGHUP)
    load.more()
    load.stop()
    assert "nothing changed" in proxy.log_text()
    assert proxy.stop() == 0


def test_a_drain_ends_every_transaction_and_loses_none(cluster, database):
    """Busy clients are closed between two transactions, never within one; what was acknowledged is there, and nothing else."""
    cluster.sql("CREATE TABLE t (client int, n int)", database)
    proxy = Proxy(cluster, {"drain_timeout": 2, "default_pool_size": 3})
    counts, ends, began = {}, {}, threading.Barrier(5)

    def work(number):
        with psycopg.connect(proxy.dsn(database)) as conn:
            counts[number] = done = 0
            began.wait()
            try:
                while True:
                    conn.execute("INSERT INTO t VALUES (%s, %s)", (number, counts[number]))
                    done = 1
                    conn.execute("SELECT count(*) FROM t WHERE client = %s", (number,))
                    conn.commit()
                    done = 0
                    counts[number] += 1
            except psycopg.OperationalError:
                ends[number] = done  # statements of the transaction that it was closed in
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    began.wait()
    idle = proxy.connect(database)
    idle.execute("SELECT 1")
    long = proxy.connect(database, autocommit=False)
    long.execute("INSERT INTO t VALUES (9, 9)")
    wait_for("some work", lambda: all(n > 5 for n in counts.values()))
    start = time.monotonic()
    proxy.signal(signal.SIGTERM)
    wait_for("no new clients", lambda: not _connects(proxy.port))
    assert proxy.http("/readyz")[0] == 503 and proxy.http("/healthz")[0] == 200
    long.execute("INSERT INTO t VALUES (9, 10)")
    long.commit()
    assert proxy.process.wait(20) == 0
    assert time.monotonic() - start < 6
    for thread in threads:
        thread.join()
    rows = dict(cluster.connect(database).execute("SELECT client, count(*) FROM t GROUP BY 1 ORDER BY 1").fetchall())
    assert rows.pop(9) == 2
    assert rows == counts
    assert ends == dict.fromkeys(range(4), 0)
    assert "did not finish" not in proxy.log_text()
    with pytest.raises(psycopg.OperationalError):
        idle.execute("SELECT 1")


def _connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        return True
    except OSError:
        return False


def test_a_drain_has_an_end(cluster, proxy):
    made = Proxy(cluster, {"drain_timeout": 0.5})
    with made.connect(autocommit=False) as conn:
        conn.execute("SELECT 1")
        assert made.stop() == 0
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
    assert "clients that did not finish" in made.log_text()


def twin(proxy):
    """A second proxy on the same ini. The stats port is no sign that it serves: the first one may have answered."""
    other = Proxy(proxy.cluster, start=False)
    other.ini, other.port, other.stats_port, other.settings = proxy.ini, proxy.port, proxy.stats_port, proxy.settings
    other._serves = lambda: "pgweir is ready" in other.log_text()
    return other.start()


@pytest.mark.sanitizer
@pytest.mark.parametrize("version", [PROTOCOL_3_0, PROTOCOL_3_2])
def test_cancel_requests_find_the_process_that_drains(cluster, version):
    """No peer_id, no [peers]: the new process gets the requests, and hands them to whoever has the client. Three generations."""
    first = Proxy(cluster, {"so_reuseport": 1, "drain_timeout": 60})
    made = [first]
    with contextlib.ExitStack() as held:
        wires = []
        for mark in ("mark_first", "mark_second"):
            wires.append(held.enter_context(Wire(first.port).login(version=version)))
            wires[-1].send(query(f"SELECT pg_sleep(60) /* {mark} */"))
            wait_for("it to run", lambda: running(cluster, mark))
            made.append(twin(first))
            made[-2].signal(signal.SIGTERM)
            wait_for("the old one to leave", lambda: "shutting down" in made[-2].log_text())
            time.sleep(0.5)  # LEAVE_US: then it has no listener any more
        for wire in reversed(wires):
            cancel(first.port, wire.pid, wire.key)
            assert errors(wire.until(b"Z")) == ["57014"]
        # Nobody's: it is closed all the same, and nobody is hurt.
        cancel(first.port, wires[0].pid, b"nope")
        # What comes in by that way may cancel, and nothing else.
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(f"\0pgweir-{os.geteuid()}-{first.port}/.s.PGSQL.2")
            body = struct.pack("!I", PROTOCOL_3_0) + b"user\0postgres\0database\0postgres\0\0"
            door.sendall(struct.pack("!I", len(body) + 4) + body)
            assert door.recv(1) == b""
    for proxy in made[:-1]:
        assert proxy.process.wait(20) == 0
    assert made[-1].metrics().count("cancels_forwarded") == 3
    assert made[-1].stop() == 0


@pytest.mark.parametrize("unix", [False, True])
def test_a_takeover_of_a_shared_port(cluster, bench, unix):
    """pgbench -C: each transaction has a connection of its own, as with PHP; none of them may fail."""
    old = Proxy(cluster, {"so_reuseport": 1, "default_pool_size": 4}, start=False)
    old.settings["unix_socket_dir"] = old.dir
    old.write()
    old.start()
    load = Load(old, "-C", host=old.dir if unix else "127.0.0.1")
    for _ in range(2):
        load.more()
        new = twin(old)
        old.signal(signal.SIGTERM)
        assert old.process.wait(20) == 0, old.log_text()
        load.more()
        assert new.http("/healthz")[0] == 200
        old = new
    load.stop()
    assert old.stop() == 0
    assert not os.path.exists(old.ini.parent / f".s.PGSQL.{old.port}")


def test_a_takeover_of_passed_sockets(cluster, bench):
    """As with systemd's socket units: the line is never closed, not even while nobody serves it."""
    proxy = Proxy(cluster, {"listen_addr": "not used", "stats_port": free_port()}, start=False)
    tcp, unix = socket.create_server(("127.0.0.1", proxy.port), backlog=512), socket.socket(socket.AF_UNIX)
    unix.bind(str(proxy.dir / f".s.PGSQL.{proxy.port}"))
    unix.listen(512)
    proxy.stats_port = proxy.settings["stats_port"]
    old = inherit(proxy, tcp, unix)
    loads = [Load(proxy, "-C"), Load(proxy, "-C", host=proxy.dir)]
    for _ in range(2):
        loads[0].more()
        old.send_signal(signal.SIGTERM)
        assert old.wait(20) == 0, proxy.log_text()
        old = inherit(proxy, tcp, unix)
    loads[0].more()
    for load in loads:
        load.stop()
    tcp.close()
    unix.close()
    old.terminate()
    assert old.wait(20) == 0


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, directory):
        self.path = directory / "notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.sock.settimeout(20)

    def next(self):
        return self.sock.recv(4096).decode().split("\n")

    def until(self, word):
        while True:
            lines = self.next()
            if word in lines:
                return lines


def test_the_service_manager_hears_of_everything(cluster):
    proxy = Proxy(cluster, start=False)
    manager = Manager(proxy.dir)
    proxy.env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "600000"}
    proxy.start()
    assert "READY=1" in manager.next()
    manager.until("WATCHDOG=1")
    proxy.signal(signal.SIGHUP)
    assert any(line.startswith("MONOTONIC_USEC=") for line in manager.until("RELOADING=1"))
    manager.until("READY=1")
    good = proxy.ini.read_text()
    proxy.ini.write_text(good + "nonsense\n")
    proxy.signal(signal.SIGHUP)
    manager.until("RELOADING=1")
    assert "STATUS=The last reload was refused: nothing changed" in manager.until("READY=1")
    proxy.signal(signal.SIGTERM)
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in manager.until("STOPPING=1"))
    assert proxy.process.wait(20) == 0


def test_a_pidfile_that_a_new_process_has_written_stays(cluster):
    old = Proxy(cluster, {"so_reuseport": 1}, start=False)
    old.settings["pidfile"] = old.dir / "pidfile"
    old.write()
    old.start()
    new = twin(old)
    wait_for("the new one's pid", lambda: int((old.dir / "pidfile").read_text()) == new.process.pid)
    assert old.stop() == 0
    assert (old.dir / "pidfile").exists()
    assert new.stop() == 0
    assert not (old.dir / "pidfile").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another system user needs root")
def test_what_the_system_user_needs_again_is_its_own(cluster):
    """After a start as root: the log is opened again by each reload, the pid file and the socket go at the end."""
    owner = pwd.getpwnam("postgres")
    proxy = Proxy(cluster, start=False)
    os.chown(proxy.dir, owner.pw_uid, owner.pw_gid)
    paths = [proxy.dir / name for name in ("weir.log", "weir.pid", f".s.PGSQL.{proxy.port}")]
    paths[1].write_text("1\n")  # left by a process of root's
    proxy.settings.update(user="postgres", logfile=paths[0], pidfile=paths[1], unix_socket_dir=proxy.dir)
    proxy.write()
    proxy.start()
    assert [os.stat(path).st_uid for path in paths] == [owner.pw_uid] * 3
    assert int(paths[1].read_text()) == proxy.process.pid
    with open(f"/proc/{proxy.process.pid}/status", encoding="ascii") as status:
        ids = {line.split(":")[0]: line.split()[1:] for line in status if line.startswith(("Uid:", "Gid:"))}
    assert ids == {"Uid": [str(owner.pw_uid)] * 4, "Gid": [str(owner.pw_gid)] * 4}
    paths[0].rename(proxy.dir / "weir.log.1")
    proxy.signal(signal.SIGHUP)
    wait_for("the reload", lambda: "configuration reloaded" in paths[0].read_text())
    assert proxy.psql("SELECT 42").stdout.strip() == "42"
    assert proxy.stop() == 0
    assert [path.exists() for path in paths] == [True, False, False]


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another system user needs root")
def test_a_log_that_the_system_user_cannot_open_does_not_start(cluster):
    """A reload would be refused later."""
    proxy = Proxy(cluster, {"user": "postgres"}, start=False)
    proxy.settings["logfile"] = proxy.dir / "weir.log"
    proxy.write()
    for args in ([], ["--check-config"]):
        done = subprocess.run([BINARY, *args, proxy.ini], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "logfile: cannot" in done.stderr and "Permission denied" in done.stderr, done.stderr
    assert not proxy.settings["logfile"].exists()


def clients_of_workers(proxy):
    """How many clients each worker watches: of the descriptors in its epoll, those that are connections to our port."""
    pid = proxy.process.pid
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    ours = {f"socket:[{row[9]}]" for row in rows if int(row[1].split(":")[1], 16) == proxy.port and row[3] == "01"}
    links = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    counts = []
    for fd in (fd for fd, link in links.items() if link == "anon_inode:[eventpoll]"):
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
            watched = [line.split()[1] for line in file if line.startswith("tfd:")]
        counts.append(sum(links.get(watch) in ours for watch in watched))
    return sorted(counts, reverse=True)


def test_workers_share_the_clients_evenly_whoever_takes_them(cluster):
    """Two of three workers take clients, and all three serve as many of them, give or take one."""
    proxy = Proxy(cluster, {"workers": 3})
    with contextlib.ExitStack() as stack:
        stack.callback(proxy.stop)
        for _ in range(12):
            stack.enter_context(proxy.connect())
        wait_for("twelve clients", lambda: sum(clients_of_workers(proxy)) == 12)
        assert max(clients_of_workers(proxy)[:3]) <= 5 and min(clients_of_workers(proxy)[:3]) >= 3
