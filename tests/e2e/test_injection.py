"""Every place that allocates and every system call of a client's life fails once: nothing is lost, nothing leaks, the service goes on.

An allocation of a fixed size may end the process, by check_alloc(); so may one inside libpg_query, which does not look at what
malloc returns. PGWEIR_INJECTION_STEP=1 fails each
single call (minutes); the default fails some, spread over all.
"""
import errno
import mmap
import os
import pathlib
import signal
import struct
import subprocess

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import SLOW, new_dir, wait_for
from pgweir_test.wire import SYNC, TERMINATE, Closed, Wire, bind, cancel, describe, execute, message, parse, query

pytestmark = [pytest.mark.skipif(not PGWEIR or SLOW, reason="a sanitizer has its own allocator"), pytest.mark.slow]
SOURCE = pathlib.Path(__file__).resolve().parents[1] / "support" / "faults.c"
KINDS = ["memory", "recv", "send", "epoll_ctl", "epoll_wait", "accept", "socket", "connect", "setsockopt", "poll"]
# For these a life begins without connections to PostgreSQL.
ANEW = ["epoll_ctl", "socket", "connect", "setsockopt", "poll", "memory"]
POINTS = {"memory": 16}  # how many calls are made to fail in the short form; the others 3
# Other ends of a call than the usual one of tests/support/faults.c; SHORT = one byte is moved.
SHORT = -1
ENDS = {
    "recv": [errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT, errno.ENOMEM, SHORT],
    "send": [errno.EINTR, errno.EAGAIN, errno.ECONNRESET, errno.ENOBUFS, SHORT],
    "accept": [errno.EINTR, errno.EAGAIN, errno.ECONNABORTED, errno.ENFILE, errno.ENOBUFS],
    "epoll_ctl": [errno.ENOSPC, errno.EPERM],
    "socket": [errno.ENFILE, errno.ENOBUFS],
    "connect": [errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EADDRNOTAVAIL, errno.EAGAIN],
    "setsockopt": [errno.EINVAL, errno.ENOPROTOOPT],
}
# A client does not notice these at all.
UNSEEN = [errno.EINTR, errno.EAGAIN, errno.ECONNABORTED, SHORT]
STEP = int(os.environ.get("PGWEIR_INJECTION_STEP", "0"))


@pytest.fixture(scope="module")
def library():
    out = new_dir("faults") / "faults.so"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", SOURCE, "-o", out, "-ldl"], check=True)
    return out


@pytest.fixture(scope="module")
def table(cluster):
    cluster.sql("CREATE DATABASE faults")
    cluster.sql("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 50) i;"
                "CREATE TABLE done (id serial PRIMARY KEY, tag int UNIQUE)", "faults")
    yield "faults"
    cluster.drop_database("faults")


class Victim:
    """A pgweir that fails on demand, and starts again when it was right to die."""

    def __init__(self, cluster, library):
        self.cluster, self.library, self.deaths, self.tag, self.told, self.round, self.full = cluster, library, 0, 0, [], 0, 0
        self.path = new_dir("control") / "control"
        self.path.write_bytes(b"\0" * 4096)
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 4096)
        self.proxy = None
        self.start()

    def start(self):
        self.map[:64] = b"\0" * 64
        self.proxy = Proxy(self.cluster, {"default_pool_size": 3, "server_login_retry": 0.1, "query_wait_timeout": 10, "workers": 2,
                                          "client_login_timeout": 5},
                           env={"FAULTS": str(self.path), "LD_PRELOAD": str(self.library)})

    def get(self, index):
        return struct.unpack_from("q", self.map, 8 * index)[0]

    def arm(self, kind, countdown, error=0, lasting=False):
        self.round += 1
        struct.pack_into("qq", self.map, 48, error, lasting)
        struct.pack_into("q", self.map, 40, self.round)
        struct.pack_into("q", self.map, 8, countdown)
        struct.pack_into("qq", self.map, 16, 0, 0)
        struct.pack_into("q", self.map, 0, KINDS.index(kind) + 1)

    def disarm(self):
        struct.pack_into("q", self.map, 0, 0)

    def live(self):
        return self.get(4)

    def cut(self):
        """Ends the pool's connections, and those for the position of the log; the feed stays."""
        self.cluster.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'faults' AND backend_type = 'client backend'")

    def life(self):
        """What a client does; errors and closed connections are what a fault may bring. True = it saw it all through."""
        self.tag += 1
        try:
            with Wire(self.proxy.port) as wire:
                wire.sock.settimeout(10)
                wire.startup(database="faults", TimeZone=f"Asia/{('Tokyo', 'Tehran')[self.tag % 2]}")
                got = wire.until(b"Z", b"E")
                if got[-1][0] == b"E":
                    return False
                pid, key = next((struct.unpack("!I", body[:4])[0], body[4:]) for kind, body in got if kind == b"K")
                for _ in range(3):
                    wire.send(parse(f"s{self.tag % 5}", "SELECT name FROM item WHERE id = $1"), bind("", f"s{self.tag % 5}", [b"5"]), describe("P"),
                              execute(), SYNC)
                    wire.until(b"Z")
                for sql in (f"SELECT * FROM item WHERE id = {1 + self.tag % 9}", "SET DateStyle TO 'German'", "BEGIN", "SELECT 1/0", "ROLLBACK",
                            "SELECT repeat('x', 200000)", f"SELECT name, {self.tag} FROM item WHERE id = 2", "CREATE TEMP TABLE t (a int)"):
                    wire.simple(sql)
                wire.send(query("COPY item TO STDOUT"))
                wire.until(b"Z")
                wire.send(query("COPY done (tag) FROM STDIN"))
                if wire.until(b"G", b"Z")[-1][0] == b"G":
                    wire.send(message(b"d", b"oops\n"), message(b"c"))
                    wire.until(b"Z")
                wire.send(query(f"BEGIN; INSERT INTO done (tag) VALUES ({self.tag})"))
                wire.until(b"Z")
                wire.send(query("COMMIT"))
                if (b"C", b"COMMIT\0") in wire.until(b"Z"):
                    self.told.append(self.tag)
                cancel(self.proxy.port, pid, key)
                wire.send(TERMINATE)
            return True
        except (Closed, OSError):
            return False

    def well(self):
        """Serves again, and right."""
        with self.proxy.connect("faults") as conn:
            want = self.cluster_value()
            return conn.execute("SELECT name FROM item WHERE id = 1").fetchone()[0] == want and conn.execute("SELECT count(*) FROM item").fetchone() == (50,)

    def nothing_lost(self):
        rows = {int(tag) for tag in self.cluster.sql("SELECT tag FROM done", "faults").split()}
        assert not set(self.told) - rows, f"told COMMIT, not there: {set(self.told) - rows}"

    def cluster_value(self):
        self.cluster.sql(f"UPDATE item SET name = 'tag {self.tag}' WHERE id = 1", "faults")
        return f"tag {self.tag}"

    def after(self, what):
        """Waits until all is well. A process that has died must have said that it was for a small allocation."""
        wait_for(f"service after {what}", lambda: self.proxy.process.poll() is not None or self.well())
        if self.proxy.process.poll() is not None:
            code, text = self.proxy.process.returncode, self.proxy.log_text()
            self.deaths += 1
            self.start()
            wait_for(f"service after {what}", self.well)
            where = text[text.rfind("fault injected"):][:4000]
            allowed = code == -signal.SIGABRT and "check failed" in where or "libpg_query" in where.split("alloc+", 1)[-1].split("\n")[1]
            assert what[0] == "memory" and allowed, (what, code, where)


def points(kind, calls):
    """The calls that are made to fail."""
    if STEP:
        return range(1, calls + 1, STEP)
    count = POINTS.get(kind, 3)
    return sorted({1 + calls * i // count for i in range(count)})


@pytest.fixture(scope="module")
def victim(cluster, library, table):
    made = Victim(cluster, library)
    wait_for("a whole life", made.life)
    for _ in range(6):  # what is kept for the next time is there
        made.cut()
        wait_for("a whole life", lambda: made.life() and made.well())
    wait_for("the feed", lambda: "feed streams" in made.proxy.log_text().rsplit("feed lost", 1)[-1])
    for _ in range(3):
        wait_for("a whole life", made.life)
        made.full = max(made.full, made.live())
    yield made
    assert made.proxy.stop() == 0, made.proxy.log_text()[-2000:]


@pytest.mark.parametrize("kind", KINDS)
def test_every_call_may_fail_once(cluster, victim, kind):
    def life():
        if kind in ANEW:
            victim.cut()
        return victim.life()
    victim.arm(kind, 1 << 40)
    wait_for("a whole life", life)
    calls = victim.get(2)
    victim.disarm()
    failed, deaths, lives = 0, victim.deaths, victim.tag
    for n in points(kind, calls):
        victim.arm(kind, n)
        life()
        failed += victim.get(3)
        victim.disarm()
        victim.after((kind, n))
    if victim.deaths == deaths:  # the analysis of each new text is kept: some ten pieces a life
        wait_for(f"{victim.live()} pieces to become {victim.full} and some",
                 lambda: life() and victim.live() < victim.full + 12 * victim.tag + 500)
    victim.nothing_lost()
    print(f"{kind}: {calls} calls in a client's life, {failed} failed, {victim.deaths - deaths} deaths, live {victim.full} -> {victim.live()}")
    assert failed


def name_of(end):
    return "SHORT" if end == SHORT else errno.errorcode[end]


@pytest.mark.parametrize("kind,end", [pytest.param(kind, end, id=f"{kind}-{name_of(end)}") for kind, ends in ENDS.items() for end in ends])
def test_a_call_may_end_in_other_ways(cluster, victim, kind, end):
    def life():
        if kind in ANEW:
            victim.cut()
        return victim.life()
    victim.arm(kind, 1 << 40)
    wait_for("a whole life", life)
    calls = victim.get(2)
    failed, deaths = 0, victim.deaths
    for n in points(kind, calls):
        victim.disarm()
        victim.arm(kind, n, end)
        whole = life()
        failed += victim.get(3)
        victim.disarm()
        assert whole or end not in UNSEEN or kind == "connect", (kind, name_of(end), n, victim.proxy.log_text()[-3000:])
        victim.after((kind, n))
    assert failed and victim.deaths == deaths
    victim.nothing_lost()


@pytest.mark.parametrize("kind", ["recv", "send"])
def test_a_whole_life_byte_by_byte(victim, kind):
    """Each call moves one byte, of clients and of PostgreSQL."""
    victim.arm(kind, 1, SHORT, lasting=True)
    whole, moved = victim.life(), victim.get(3)
    victim.disarm()
    assert whole and moved > 1000, victim.proxy.log_text()[-3000:]
    victim.after((kind, "each"))
    victim.nothing_lost()
