"""coherence = bounded: own writes, the bound, no way back in time. See bounded.c."""
import os
import pathlib
import re

import pytest

from conftest import CYCLES, ROOT, serves, start_pair, stop_pair
from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import new_dir, run, wait_for


LOAD = ["--pause", 4000, "--sessions", 6, "--readers", 6, "--async"]


@pytest.fixture(scope="module")
def bounded():
    """The program of bounded.c, from the build tree or made here."""
    built = pathlib.Path(os.environ.get("PGWEIR_BUILD", "/nonexistent")) / "tests" / "truth" / "bounded"
    if built.exists():
        return built
    made = new_dir("checker") / "bounded"
    include = run(["pg_config", "--includedir"]).stdout.strip()
    run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", f"-I{ROOT}", f"-I{include}", ROOT / "tests/truth/bounded.c",
         ROOT / "tests/truth/link.c", "-o", made, "-lpq", "-lpthread"])
    return made


def check(bounded, cluster, pair, bound_ms, *args):
    direct = [bounded, "--direct", f"postgres={cluster.dsn()}"]
    run([*direct, "--set-up"])
    if PGWEIR:
        for proxy in pair:
            wait_for("the cache to know the tables", lambda proxy=proxy: serves(proxy, "SELECT v FROM parent WHERE id = 200"))
    command = [*direct, "--bound", bound_ms * 1000, "--cycles", CYCLES]
    for name, proxy in zip("AB", pair):
        command += ["--target", f"{name}={proxy.dsn()}"]
    before = [proxy.metrics().count("cache_hits") for proxy in pair] if PGWEIR else []
    got = run([str(part) for part in [*command, *args]], check=False, timeout=600)
    print(got.stdout, got.stderr)
    numbers = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", got.stdout.strip().rsplit("\n", 1)[-1])}
    numbers["hits"] = sum(proxy.metrics().count("cache_hits") for proxy in pair) - sum(before) if PGWEIR else 0
    return got.returncode, numbers, got.stderr


@pytest.mark.parametrize("bound_ms", [20, 1000])
def test_bounded(cluster, bounded, bound_ms):
    pair = start_pair(cluster, {"coherence": "bounded", "max_staleness": f"{bound_ms}ms"})
    try:
        hits = 0
        for _ in range(5):  # a busy machine answers little in time
            code, numbers, text = check(bounded, cluster, pair, bound_ms, *LOAD)
            assert code == 0, text
            hits += numbers["hits"]
            if hits > 100 or not PGWEIR:
                return
        pytest.fail(f"only {hits} answers came from the cache")
    finally:
        stop_pair(pair)


@pytest.mark.skipif(not PGWEIR, reason="needs the cache")
def test_the_checker_sees(cluster, bounded):
    """Told of a bound that nobody has promised, it finds answers that are older: those read before the feed brought the change, which on
    a quick machine is a matter of microseconds."""
    pair = start_pair(cluster, {"coherence": "bounded", "max_staleness": "1s"})
    try:
        for _ in range(10):
            code, numbers, _ = check(bounded, cluster, pair, 0, *LOAD)
            if code == 1:
                assert numbers["violations"] > 0
                return
        pytest.fail("no answer was older than its request")
    finally:
        stop_pair(pair)


@pytest.mark.mutant
@pytest.mark.skipif(os.environ.get("TRUTH_MUTANT") != "floor", reason="needs that mutant; see tests/truth/mutants")
def test_the_mutant_is_caught(cluster, bounded):
    pair = start_pair(cluster, {"coherence": "bounded", "max_staleness": "1s"})
    try:
        for _ in range(5):
            code, numbers, text = check(bounded, cluster, pair, 1000, *LOAD)
            if code == 1:
                assert "OWN WRITE" in text or "BACK IN TIME" in text
                return
        pytest.fail("mutant floor was not caught")
    finally:
        stop_pair(pair)
