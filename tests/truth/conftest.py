"""Fixtures: a PostgreSQL, two pgweirs in front of it, and the checker that reads and writes through all three."""
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from pgweir_test.cluster import TRUST, Cluster  # noqa: E402
from pgweir_test.proxy import PGWEIR, Proxy  # noqa: E402
from pgweir_test.tools import new_dir, run, wait_for  # noqa: E402

SETUP_SQL = ROOT / "docs" / "setup.sql"
# Cycles of one run: a write, and its reads through every target.
CYCLES = int(os.environ.get("TRUTH_CYCLES", "2000"))
LIST_CYCLES = int(os.environ.get("TRUTH_LIST_CYCLES", CYCLES // 4))
SECONDS = int(os.environ.get("TRUTH_SECONDS", "300"))
FAULT_SECONDS = int(os.environ.get("TRUTH_FAULT_SECONDS", "12"))
# Where a line is dead for longer than pgweir's patience, pgweir gives up a client that has sent all it had to say; only keepalives
# tell that client.
CLIENTS_KEEPALIVES = "keepalives_idle=2 keepalives_interval=1 keepalives_count=3"
# Who has sent something is not told by keepalives: the kernel sends it again and again, each time after twice as long, and on a line that is
# dead by turns it may meet each dead one.
CLIENTS_PATIENCE = f"{CLIENTS_KEEPALIVES} tcp_user_timeout=5000"


@pytest.fixture(scope="session")
def checker():
    """The program of truth.c, from the build tree or made here."""
    built = pathlib.Path(os.environ.get("PGWEIR_BUILD", "/nonexistent")) / "tests" / "truth" / "truth"
    if built.exists():
        return built
    made = new_dir("checker") / "truth"
    include = run(["pg_config", "--includedir"]).stdout.strip()
    run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", f"-I{ROOT}", f"-I{include}", *(ROOT / "tests" / "truth" / f"{part}.c" for part in ("truth", "link", "lists", "oracle", "points", "witness")),
         "-o", made, "-lpq", "-lpthread"])
    return made


def new_cluster(hba=TRUST, **settings):
    made = Cluster(settings={"autovacuum": "off", **settings}, hba=hba)
    made.sql(SETUP_SQL.read_text())
    return made


@pytest.fixture(scope="session")
def cluster():
    made = new_cluster()
    yield made
    made.remove()


def serves(proxy, sql):
    """The cache answers this."""
    with proxy.connect() as conn:
        before = proxy.metrics().count("cache_hits")
        for _ in range(3):
            conn.execute(sql)
        return proxy.metrics().count("cache_hits") > before


def cache_is_on(proxy):
    """A read of a table of its own is answered by the cache."""
    return serves(proxy, "SELECT v FROM warm WHERE id = 1")


def start_pair(cluster, settings=None, **more):
    """Two proxies whose caches are on; `more` is Proxy's."""
    cluster.sql("CREATE TABLE IF NOT EXISTS warm (id int PRIMARY KEY, v int)")
    cluster.sql("INSERT INTO warm VALUES (1, 1) ON CONFLICT DO NOTHING")
    users = {"postgres": "", "reader": ""}
    made = [Proxy(cluster, settings, users=users, **more) for _ in range(2)]
    if PGWEIR:
        for proxy in made:
            wait_for("the cache to be on", lambda proxy=proxy: cache_is_on(proxy))
    return made


def stop_pair(made):
    for proxy in made:
        assert proxy.alive(), proxy.log_text()[-2000:]
        assert proxy.stop() == 0, proxy.log_text()[-2000:]


@pytest.fixture(scope="module")
def pair(cluster):
    made = start_pair(cluster)
    yield made
    stop_pair(made)


class Run:
    """One run of the checker; use it as a context to do something meanwhile."""

    def __init__(self, checker, cluster, proxies, *args, cycles=None, seconds=None, hits=True):
        command = [checker, "--direct", f"postgres={cluster.dsn()}"]
        for name, proxy in zip("ABCD", proxies):
            command += ["--target", f"{name}={proxy.dsn()} {CLIENTS_PATIENCE}"]
        command += ["--cycles", cycles or CYCLES, "--seconds", seconds or SECONDS, *args]
        self.proxies = proxies
        self.wants_hits = hits and PGWEIR
        if self.wants_hits:
            command += ["--least", 2]  # its tables are new: on a busy machine their first answers are not stored at once
        self.command = [str(part) for part in command]
        self.start()

    def start(self, *more):
        for proxy in self.proxies if self.wants_hits else ():
            wait_for("the cache to be on", lambda proxy=proxy: cache_is_on(proxy))
        self.before = self.hits()
        self.log = new_dir("run") / "truth.log"
        self.out = open(self.log, "w+", encoding="utf-8")
        self.process = subprocess.Popen([*self.command, *more], stdout=self.out, stderr=subprocess.STDOUT)
        return self

    def hits(self):
        return [proxy.metrics().count("cache_hits") for proxy in self.proxies] if self.wants_hits else []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        self.finish()

    def finish(self):
        """Waits for its end; .code and the numbers of its summary are there then."""
        self.code = self.process.wait(SECONDS + 120)
        self.out.seek(0)
        self.text = self.out.read()
        self.out.close()
        summary = self.text.strip().rsplit("\n", 1)[-1]
        self.numbers = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", summary)}
        print(self.text)
        return self

    def rises(self):
        rises = [after - before for after, before in zip(self.hits(), self.before)]
        print("hits", rises)
        return sum(rises)

    def fresh(self):
        """Nothing was stale; and where the cache should have answered, it has. The tables of a run are new: a short one may be over on
        a busy machine when they begin to be cached. Then it goes on for longer, and that one counts too."""
        assert self.code == 0, self.text
        if self.wants_hits and self.rises() == 0:
            self.start("--least", "20").finish()
            assert self.code == 0, self.text
            assert self.rises() > 0, "the cache answered nothing"
        return self


@pytest.fixture
def truth(checker):
    """truth(cluster, proxies, *arguments) starts a run."""
    return lambda *args, **more: Run(checker, *args, **more)


@pytest.fixture
def broken(request):
    """A PostgreSQL that a test may break, and two proxies."""
    cluster = new_cluster()
    proxies = start_pair(cluster)
    yield cluster, proxies
    stop_pair(proxies)
    cluster.remove()


def run_while(truth, broken, fault, every, *args, calm=None, seconds=FAULT_SECONDS, **more):
    """The checker runs for so many seconds; fault() happens again and again, but not in the last third, which calm() begins."""
    cluster, proxies = broken
    with truth(cluster, proxies, "--faults", "--pause", 4000, *args, cycles=10**9, seconds=seconds, **more) as run:
        until = time.monotonic() + seconds * 2 / 3
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
