"""Things break under the checker: no stale read, nobody waits for ever, everybody is served again."""
import os
import signal
import threading
import time

import pytest

from conftest import cache_is_on, new_cluster, start_pair, stop_pair
from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import wait_for

SECONDS = int(os.environ.get("TRUTH_FAULT_SECONDS", "12"))


@pytest.fixture
def broken(request):
    """A PostgreSQL that a test may break, and two proxies."""
    cluster = new_cluster()
    proxies = start_pair(cluster)
    yield cluster, proxies
    stop_pair(proxies)
    cluster.remove()


def run_while(truth, broken, fault, every, *args, calm=None):
    """The checker runs for SECONDS; fault() happens again and again, but not in the last third, which calm() begins."""
    cluster, proxies = broken
    with truth(cluster, proxies, "--faults", "--pause", 4000, *args, cycles=10**9, seconds=SECONDS) as run:
        until = time.monotonic() + SECONDS * 2 / 3
        pause = threading.Event()
        times = 0
        pause.wait(1)
        while time.monotonic() < until:
            fault()
            times += 1
            pause.wait(every)
        if calm is not None:
            calm()
    run.fresh()
    assert times > 0
    if PGWEIR:
        for proxy in proxies:
            wait_for("the cache to be back", lambda proxy=proxy: cache_is_on(proxy))


def test_the_stream_is_cut(truth, broken):
    cluster, _ = broken
    run_while(truth, broken, lambda: cluster.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication"), 0.7,
              "--async")


def test_all_connections_are_cut(truth, broken):
    cluster, _ = broken
    run_while(truth, broken, lambda: cluster.sql("""SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()"""), 1.5, "--async")


def test_postgres_is_killed(truth, broken):
    """Every commit is synchronous here: what was acknowledged is there after the crash."""
    cluster, _ = broken

    def fault():
        cluster.kill9()
        cluster.start_again()
    run_while(truth, broken, fault, 2.5)


def test_postgres_restarts(truth, broken):
    cluster, _ = broken
    run_while(truth, broken, cluster.restart, 2.5, "--ddl")


@pytest.mark.skipif(not PGWEIR, reason="needs pgweir")
def test_a_proxy_sleeps(truth, broken):
    """Five seconds is longer than anybody's patience; what it knew before is worth nothing after."""
    _, proxies = broken

    def fault():
        proxies[0].signal(signal.SIGSTOP)
        try:
            time.sleep(5)  # the fault itself, not a wait for something
        finally:
            proxies[0].signal(signal.SIGCONT)
    run_while(truth, broken, fault, 2, "--async")
