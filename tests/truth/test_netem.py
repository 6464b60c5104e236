"""Lines that delay, lose, reorder, double and spoil packets, in the kernel: no stale read, and everybody is served again.
Run by tests/truth/netem, which brings a kernel that can do it.
"""
import os
import random

import pytest

from conftest import cache_is_on, new_cluster, start_pair, stop_pair
from pgweir_test.cluster import TRUST
from pgweir_test.network import Machines, netem_works
from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import wait_for
from test_faults import run_while

pytestmark = [pytest.mark.netem, pytest.mark.skipif(not PGWEIR, reason="needs pgweir")]
SECONDS = int(os.environ.get("TRUTH_NETEM_SECONDS", "30"))
# In the words of tc-netem(8), each both ways.
FAULTS = {
    "delay": "delay 5ms 4ms distribution normal",
    "loss": "delay 1ms loss 5%",
    "reorder": "delay 5ms 3ms reorder 25% 50%",
    "duplicate": "delay 1ms duplicate 5%",
    "corrupt": "delay 1ms corrupt 2%",
    "bursts": "delay 2ms 2ms loss gemodel 2% 30% slot 5ms 20ms",
    "all": "delay 4ms 3ms 25% loss 2% duplicate 2% corrupt 1% reorder 25% 50%",
}
# A slow machine has its hands full with these.
FEW = ["--writers", 2, "--readers", 3, "--rows", 8]
# Which of the lines: to PostgreSQL, to the clients.
WHERE = {"both": (0, 1), "database": (0,), "clients": (1,)}
CASES = [(fault, "both") for fault in FAULTS] + [(fault, where) for fault in ("delay", "all") for where in ("database", "clients")]


@pytest.fixture(scope="module")
def apart():
    """PostgreSQL and clients here, two pgweirs on another machine: (cluster, proxies, (line to PostgreSQL, line to clients))."""
    if not netem_works():
        pytest.skip("this kernel has no netem: see tests/truth/netem")
    machines = Machines(lines=2)
    database, clients = machines.lines
    cluster = new_cluster(hba=f"{TRUST}\nhost all all {database.there}/32 trust\nhost replication all {database.there}/32 trust\n",
                          listen_addresses="'*'")
    proxies = start_pair(cluster, {"probe_patience": "200ms", "workers": 1}, address=clients.there, within=machines.within,
                         databases={"*": f"host={database.here} port={cluster.port}"})
    yield cluster, proxies, machines.lines
    stop_pair(proxies)
    cluster.remove()
    machines.leave()


@pytest.fixture
def lines(apart):
    yield apart[2]
    for line in apart[2]:
        line.calm()


def load(number):
    """What is read and written takes turns, too."""
    return (["--lists"], ["--points"], ["--mirror"])[number % 3]


@pytest.mark.parametrize("fault,where", CASES)
def test_bad_lines(truth, apart, lines, fault, where):
    """TCP repairs all of this: nobody sees an error either."""
    cluster, proxies, _ = apart
    with truth(cluster, proxies, "--async", "--pause", 4000, "--patience", 60, *FEW, *load(list(FAULTS).index(fault)),
               cycles=10**9, seconds=SECONDS) as run:
        for number in WHERE[where]:
            lines[number].disturb(*FAULTS[fault].split())
    assert run.numbers["reads"] > 50 and run.numbers["writes"] > 3, run.text
    for line in lines:
        line.calm()
    run.fresh()
    for proxy in proxies:
        wait_for("the cache to be back", lambda proxy=proxy: cache_is_on(proxy))


def test_lines_that_change(truth, apart, lines):
    """Each line becomes another one every few moments: dead, bad in one way or another, good."""
    cluster, proxies, _ = apart
    dice = random.Random(1)

    def fault():
        line = dice.choice(lines)
        line.mend()
        line.calm()
        how = dice.choice([*FAULTS.values(), "loss 100%", ""])
        if how:
            line.disturb(*how.split())

    run_while(truth, (cluster, proxies), fault, 0.7, "--async", "--lists", "--patience", 60, *FEW, calm=lambda: [line.calm() for line in lines])
