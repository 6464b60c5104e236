"""Everything at once for a long time, with faults: still fresh, still served, memory flat. `tests/truth/run --soak [SECONDS]`."""
import collections
import os
import random
import signal
import statistics
import threading
import time

import pytest

from conftest import cache_is_on, new_cluster, start_pair, stop_pair
from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import PG_BIN, base_dir, pgbench, reap, spawn, wait_for

SECONDS = int(os.environ.get("SOAK_SECONDS", "1800"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
SAMPLE_S = 2
# What may be learned late: a thread's first use of a library, the allocator's arenas.
SLACK_KIB = 8 * 1024


class Churn:
    """pgbench again and again; faults end its clients, which is no matter here."""

    def __init__(self, over, dsn, *args):
        self.over, self.command = over, [PG_BIN / "pgbench", "-n", "-T", 5, *args, dsn]
        self.rounds = 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            process = spawn(self.command, base_dir() / "churn.log")
            process.wait(120)
            reap(process)
            self.rounds += 1


def stopped(proxy, seconds):
    proxy.signal(signal.SIGSTOP)
    time.sleep(seconds)  # the fault itself
    proxy.signal(signal.SIGCONT)


def faults(cluster, proxies):
    """(weight, name, what to do)"""
    terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {}"

    def crash():
        cluster.kill9()
        cluster.start_again()

    def console(proxy, command):
        with proxy.connect(dbname="pgweir") as conn:
            conn.execute(command)
    return [
        (6, "stream", lambda _: cluster.sql(terminate.format("backend_type = 'walsender'"))),
        (6, "backends", lambda _: cluster.sql(terminate.format("backend_type = 'client backend' AND random() < 0.3"))),
        (4, "sleep", lambda dice: stopped(dice.choice(proxies), dice.choice([0.1, 1, 3]))),
        (4, "reload", lambda dice: dice.choice(proxies).reload()),
        (3, "reconnect", lambda dice: console(dice.choice(proxies), "RECONNECT")),
        (3, "pause", lambda dice: [console(proxies[0], "PAUSE"), console(proxies[0], "RESUME")]),
        (2, "restart", lambda _: cluster.restart()),
        (1, "crash", lambda _: crash()),
    ]


def grown(samples):
    """KiB between the middle of the second quarter and the middle of the last."""
    quarter = len(samples) // 4
    return statistics.median(samples[-quarter:]) - statistics.median(samples[quarter:2 * quarter])


def load_and_faults(truth, cluster, proxies, table, dice, samples, seconds, *args):
    """The checker runs while faults happen; how many of each did."""
    done = collections.Counter()
    with truth(cluster, proxies, "--faults", "--lists", "--ddl", "--pause", 4000, *args, cycles=10**9, seconds=seconds) as run:
        end, next_fault = time.monotonic() + seconds - 15, time.monotonic() + 5
        while time.monotonic() < end:
            time.sleep(SAMPLE_S)
            for proxy, list_of in zip(proxies, samples):
                list_of.append(proxy.rss_kib())
            if time.monotonic() > next_fault:
                _, name, fault = dice.choices(table, weights=[weight for weight, _, _ in table])[0]
                fault(dice)
                done[name] += 1
                next_fault = time.monotonic() + dice.uniform(3, 15)
    run.fresh()
    return done


@pytest.mark.soak
@pytest.mark.skipif(not PGWEIR, reason="needs pgweir")
def test_a_long_run_with_faults(truth):
    """Half of the time with asynchronous commits, half of it with crashes: together PostgreSQL loses what it has acknowledged."""
    dice = random.Random(SEED)
    cluster = new_cluster()
    pgbench(cluster.dsn(), "-i", "-q", "-s", 5)  # before the feeds, which would have its 500,000 rows to read first
    proxies = start_pair(cluster, {"cache_size": "64MB", "max_client_conn": 300})
    over, samples, done = threading.Event(), [[] for _ in proxies], []
    loads = [Churn(over, proxies[0].dsn(), "-S", "-c", 8, "-M", "prepared"), Churn(over, proxies[1].dsn(), "-c", 4, "-M", "extended"),
             Churn(over, proxies[1].dsn(), "-S", "-C", "-c", 2)]
    table = faults(cluster, proxies)
    try:
        done.append(load_and_faults(truth, cluster, proxies, [row for row in table if row[1] != "crash"], dice, samples, SECONDS // 2,
                                    "--async"))
        done.append(load_and_faults(truth, cluster, proxies, table, dice, samples, SECONDS - SECONDS // 2))
    finally:
        over.set()
        for load in loads:
            load.thread.join()
    for proxy in proxies:
        wait_for("the cache to be back", lambda proxy=proxy: cache_is_on(proxy))
    print("faults", *map(dict, done), "rounds of load", [load.rounds for load in loads])
    for list_of in samples:
        print("RSS in KiB, first, middle, last:", list_of[0], list_of[len(list_of) // 2], list_of[-1], "grown", grown(list_of))
        assert grown(list_of) < SLACK_KIB, list_of
    stop_pair(proxies)
    cluster.remove()
