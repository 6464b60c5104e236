"""Each party is stopped or killed in turn, under the checker: PostgreSQL, its walsender, a pgweir, a client."""
import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

import psycopg
import pytest

from conftest import FAULT_SECONDS, run_while
from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import base_dir, spawn, wait_for

pytestmark = pytest.mark.skipif(not PGWEIR, reason="needs pgweir")
SECONDS = max(FAULT_SECONDS, 12)  # each in its turn
HANG_SECONDS = 1.5  # the fault itself, not a wait for something


def child_processes(pid):
    return [int(word) for word in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def send(pids, how):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


class Client:
    """Locks a row through pgweir again and again, most of the time in a transaction."""
    SCRIPT = "BEGIN; UPDATE held SET n = n + 1 WHERE id = 1; SELECT pg_sleep(0.05); COMMIT"

    def __init__(self, cluster, proxy):
        self.cluster, self.proxy = cluster, proxy
        self.script = base_dir() / "client.sql"
        self.script.write_text(self.SCRIPT.replace("; ", ";\n") + ";\n")
        cluster.sql("CREATE TABLE IF NOT EXISTS held (id int PRIMARY KEY, n int); INSERT INTO held VALUES (1, 0) ON CONFLICT DO NOTHING")
        self.process = None

    def pid(self):
        """Of one that runs: faults of other parties end it too."""
        if self.process is None or self.process.poll() is not None:
            self.process = spawn(["pgbench", "-n", "-f", self.script, "-T", "600", self.proxy.dsn()], base_dir() / "client.log")
            time.sleep(0.3)  # it is in a transaction, most likely
        return self.process.pid

    def left_nothing(self):
        """Its row can be locked by others at once."""
        def lock():
            self.cluster.sql("SET lock_timeout = '1s'; UPDATE held SET n = n WHERE id = 1")
            return True
        wait_for("the lock of who was killed to go", lock)

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Parties:
    """Whom to hit, each in its turn."""

    def __init__(self, cluster, proxies):
        self.cluster, self.proxies = cluster, proxies
        self.client = Client(cluster, proxies[1])
        self.turn = 0

    def walsenders(self):
        return [int(word) for word in self.cluster.sql("SELECT pid FROM pg_stat_replication").split()]

    def next(self):
        self.turn += 1
        return ["client", "walsender", "pgweir", "postgres"][self.turn % 4]

    def kill(self):
        who = self.next()
        if who == "postgres":
            self.cluster.kill9()
            self.cluster.start_again()
        elif who == "walsender":
            send(self.walsenders(), signal.SIGKILL)  # all of PostgreSQL starts anew
            wait_for("PostgreSQL to be there again", lambda: self.cluster.sql("SELECT 1"))
        elif who == "pgweir":
            self.proxies[0].signal(signal.SIGKILL)
            self.proxies[0].process.wait()
            self.proxies[0].start()
        else:
            pid = self.client.pid()
            send([pid], signal.SIGKILL)
            self.client.process.wait()
            self.client.left_nothing()

    def hang(self):
        who = self.next()
        if who == "postgres":
            postmaster = self.cluster.postmaster()
            pids = [postmaster, *child_processes(postmaster)]
        elif who == "walsender":
            pids = self.walsenders()
        elif who == "pgweir":
            pids = [self.proxies[0].process.pid]
        else:
            pids = [self.client.pid()]
        send(pids, signal.SIGSTOP)
        try:
            time.sleep(HANG_SECONDS)
        finally:
            send(pids, signal.SIGCONT)


@pytest.fixture
def parties(broken):
    made = Parties(*broken)
    yield made
    made.client.end()


def each_once(parties, run):
    """Again where the machine was too slow for all four."""
    for _ in range(4):
        run()
        if parties.turn >= 4:
            return
    pytest.fail(f"only {parties.turn} faults")


def test_all_are_killed_in_turn(truth, broken, parties):
    """Commits are synchronous: what was acknowledged is there after the crash."""
    each_once(parties, lambda: run_while(truth, broken, parties.kill, 0.5, seconds=SECONDS, hits=False))
    parties.client.left_nothing()


def processes_in(directory):
    """Whose working directory it is: those of a cluster are in its data directory."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == directory and (entry / "stat").read_text().split(")")[1].split()[0] != "Z":
                found.append(int(entry.name))
    return found


def log_in(cluster, end):
    while not end.is_set():
        with contextlib.suppress(psycopg.Error), cluster.connect() as conn:
            conn.execute("SELECT 1")


def test_a_crash_leaves_nobody(broken):
    """The fault itself: of a PostgreSQL that was killed while clients log in no process is left, which could keep it from
    starting."""
    cluster, _ = broken
    end = threading.Event()
    clients = [threading.Thread(target=log_in, args=(cluster, end)) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        for _ in range(5):
            cluster.kill9()
            left = processes_in(cluster.data)
            cluster.start_again()
            assert not left
    finally:
        end.set()
        for client in clients:
            client.join()


def test_all_hang_in_turn(truth, broken, parties):
    each_once(parties, lambda: run_while(truth, broken, parties.hang, 0.3, "--async", seconds=SECONDS))


def test_who_hangs_for_ever_is_seen(truth, broken):
    """The checker itself: a client without an answer ends the run, with what PostgreSQL and the proxies say of it."""
    cluster, proxies = broken
    proxies[0].signal(signal.SIGSTOP)
    try:
        got = truth(cluster, proxies, "--faults", "--patience", 3, seconds=SECONDS, hits=False).finish()
    finally:
        proxies[0].signal(signal.SIGCONT)
    assert got.code == 2, got.text
    assert "HANG: writer 1 through A" in got.text
    assert "START_REPLICATION" in got.text and "streaming" in got.text, "PostgreSQL and the other pgweir were asked"
