"""Things break under the checker: no stale read, nobody waits for ever, everybody is served again."""
import signal
import time

import pytest

from conftest import run_while
from pgweir_test.proxy import PGWEIR


def test_the_stream_is_cut(truth, broken):
    cluster, _ = broken
    run_while(truth, broken, lambda: cluster.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication"), 0.7,
              "--async")


def test_all_connections_are_cut(truth, broken):
    cluster, _ = broken
    run_while(truth, broken, lambda: cluster.sql("""SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()"""), 1.5, "--async")


@pytest.mark.long  # test_parties.py has it too
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


@pytest.mark.long
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
