"""A build that leaves out one rule must be caught: then the other tests mean something. Run by tests/truth/mutants."""
import os

import pytest

from conftest import start_pair, stop_pair
from test_fresh import hung_standby, let_go, pauses

pytestmark = [pytest.mark.mutant,
              pytest.mark.skipif("TRUTH_MUTANT" not in os.environ, reason="needs a mutant; see tests/truth/mutants")]

# What finds one mutant fast finds another late: different loads take turns.
LOADS = [
    ["--writers", 6, "--readers", 6],
    ["--writers", 3, "--readers", 9, "--rows", 3],
    ["--writers", 2, "--readers", 6, "--rows", 40, "--async"],
    ["--pause", 4000],
]
# These rules are about answers of many rows.
LISTS = [
    ["--lists", "--writers", 2, "--readers", 8, "--rows", 8, "--pause", 20000],
    ["--lists", "--writers", 3, "--readers", 9, "--rows", 12, "--pause", 4000],
    ["--lists", "--writers", 6, "--readers", 6, "--rows", 40],
    ["--lists", "--writers", 2, "--readers", 6, "--rows", 6, "--pause", 1000],
]
# And these about rows that one answer brings and another shows.
POINTS = [
    ["--points", "--writers", 3, "--readers", 9, "--rows", 12, "--pause", 8000, "--async"],
    ["--points", "--writers", 2, "--readers", 10, "--rows", 6, "--pause", 2000],
    ["--points", "--writers", 4, "--readers", 8, "--rows", 20, "--pause", 20000],
]
# A row that goes on by itself is found early when its commit is kept from being seen: a standby that pauses does that.
REFRESHED = ["--points", "--writers", 3, "--readers", 9, "--rows", 12, "--pause", 8000]
KIND = {"rows": LISTS, "recent": LISTS, "signature": LISTS, "entity": POINTS}


@pytest.mark.skipif(os.environ.get("TRUTH_MUTANT") in ("floor", "session", "refresh"), reason="below, in test_bounded.py, test_key.py")
def test_it_is_caught(cluster, pair, truth):
    for load in KIND.get(os.environ["TRUTH_MUTANT"], LOADS) * 2:
        got = truth(cluster, pair, "--first", *load, cycles=10**9, seconds=30, hits=False).finish()
        # Another row's value may be one that nobody has written yet: then PostgreSQL itself seems to be behind.
        if got.code == 1 or (got.code == 3 and os.environ["TRUTH_MUTANT"] == "key"):
            assert got.numbers["violations"] > 0 and (got.code == 3 or got.numbers["unsound"] == 0)
            return
        assert got.code == 0, got.text
    pytest.fail(f"mutant {os.environ['TRUTH_MUTANT']} was not caught")


@pytest.mark.skipif(os.environ.get("TRUTH_MUTANT") != "refresh", reason="another mutant")
def test_a_row_before_its_commit(cluster, truth):
    """Whoever has seen it says that PostgreSQL is behind: in that sense the checker is unsound here, and has to be."""
    pair = start_pair(cluster, {"refresh_in_place": "on"})
    standby = hung_standby(cluster)
    try:
        with truth(cluster, pair, "--first", *REFRESHED, cycles=10**9, seconds=60, hits=False) as run:
            pauses(standby, run.process)
    finally:
        let_go(cluster, standby)
        stop_pair(pair)
    assert run.numbers["violations"] > 0
