"""What the cache costs and what stays in it: resident memory, scans, herds."""
import threading

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import SLOW, pgbench, wait_for

pytestmark = [pytest.mark.load, pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")]
PATIENT = {"probe_patience": "300ms"}
MIB = 1024


@pytest.fixture(scope="module")
def db(cluster):
    """Rows of many sizes: most are small, some are long; all texts of one length look alike."""
    name = "measured"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""
        CREATE TABLE sized (id int PRIMARY KEY, v text);
        ALTER TABLE sized ALTER v SET STORAGE EXTERNAL;
        INSERT INTO sized SELECT i, repeat('x', (10 ^ (1 + 3.9 * ((i * 7919) % 1000) / 1000.0))::int)
            FROM generate_series(1, 6000) i;
        CREATE TABLE narrow (id int PRIMARY KEY, v int);
        INSERT INTO narrow SELECT i, i FROM generate_series(1, 40000) i;
    """, name)
    yield name
    cluster.drop_database(name)


def started(cluster, db, **settings):
    made = Proxy(cluster, {**PATIENT, **settings})
    with made.connect(db) as conn:
        def hit():
            before = made.metrics().count("cache_hits")
            conn.execute("SELECT v FROM narrow WHERE id = 40000")
            return made.metrics().count("cache_hits") > before
        wait_for("the cache to be on", hit)
    return made


def run_script(proxy, db, tmp_path, text, *args):
    script = tmp_path / "script.sql"
    script.write_text(text)
    pgbench(proxy.dsn(db), "-n", "-f", script, *args)


def test_resident_memory_keeps_to_cache_size(cluster, db, tmp_path):
    """Filled over and over with answers of 10 bytes to 80 kB, which go and come in any order: what malloc loses between them counts."""
    size = 24
    proxy = started(cluster, db, cache_size="1MB")
    fill = r"""\set a random(1, 6000)
\set b random(1, 6000)
SELECT v FROM sized WHERE id = :a;
SELECT v FROM sized WHERE id = :b;
"""
    # The fixed base: the same work with next to no cache.
    run_script(proxy, db, tmp_path, fill, "-M", "prepared", "-c", "8", "-j", "2", "-t", 50 if SLOW else 200)
    base = proxy.rss_kib()
    assert proxy.stop() == 0
    proxy = started(cluster, db, cache_size=f"{size}MB")
    for _ in range(2):
        run_script(proxy, db, tmp_path, fill, "-M", "prepared", "-c", "8", "-j", "2", "-t", 100 if SLOW else 900)
        now = proxy.metrics()
        rss = proxy.rss_kib()
        print("base", base, "rss", rss, "cache", now.get("pgweir_cache_bytes") / 1024, "evicted", now.count("cache_evictions"))
        assert now.get("pgweir_cache_bytes") <= size * MIB * 1024
        if not SLOW:  # a sanitizer's allocator keeps what was freed
            assert rss <= base + 1.2 * size * MIB
    assert SLOW or now.count("cache_evictions") > 1000
    assert proxy.stop() == 0


def test_a_scan_leaves_the_hot_set(cluster, db, tmp_path):
    """24,000 keys, each asked for once, pass through a cache that holds a tenth of them. A million: tests/unit/cache/store_test.c."""
    proxy = started(cluster, db, cache_size="2MB")
    hot = range(1, 101)
    with proxy.connect(db) as conn:
        def round_of_hits():
            before = proxy.metrics().count("cache_hits")
            for i in hot:
                conn.execute("SELECT v FROM narrow WHERE id = %s", (i,))
            return proxy.metrics().count("cache_hits") - before == len(hot)
        for _ in range(3):
            wait_for("the hot set to be there", round_of_hits)
        run_script(proxy, db, tmp_path, r"""\set id :client_id * 3000 + :n + 1000
SELECT v FROM narrow WHERE id = :id;
\set n :n + 1
""", "-M", "prepared", "-c", "8", "-j", "2", "-t", 300 if SLOW else 3000, "-D", "n=0")
        before = proxy.metrics()
        for i in hot:
            assert conn.execute("SELECT v FROM narrow WHERE id = %s", (i,)).fetchone() == (i,)
        after = proxy.metrics()
    assert SLOW or before.count("cache_evictions") > 15000
    misses = after.count("cache_misses") - before.count("cache_misses")
    assert misses <= 5, misses
    assert proxy.stop() == 0


HERD = 30
HERDED = "SELECT /* herd */ n.v, (SELECT count(*) FROM slow a, slow b, slow c) FROM narrow n WHERE n.id = %d"


@pytest.fixture(scope="module")
def logged(cluster):
    """A database whose statements are in PostgreSQL's log."""
    name = "logged"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql(f"ALTER DATABASE {name} SET log_statement = 'all'")
    cluster.sql("""
        CREATE TABLE narrow (id int PRIMARY KEY, v int);
        INSERT INTO narrow SELECT i, i FROM generate_series(1, 10) i;
        INSERT INTO narrow VALUES (40000, 1);
        CREATE TABLE slow AS SELECT i FROM generate_series(1, 90) i;
    """, name)
    yield name
    cluster.drop_database(name)


def herd_asks(proxy, db, key):
    conns = [proxy.connect(db) for _ in range(HERD)]
    start, answers = threading.Barrier(HERD), []

    def ask(conn):
        start.wait()
        answers.append(conn.execute(HERDED % key).fetchall())
    threads = [threading.Thread(target=ask, args=(conn,)) for conn in conns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for conn in conns:
        conn.close()
    assert answers == [[(key, 90 ** 3)]] * HERD


def test_a_herd_makes_one_statement(cluster, logged):
    """Many clients ask for one key that is not there: one of them asks PostgreSQL, the others wait for its answer."""
    proxy, keys = started(cluster, logged), iter(range(1, 11))

    def asked():
        return cluster.log.read_text(errors="replace").count("/* herd */")

    def one_statement():
        """On a busy machine a proof may come too late for some; then they ask too."""
        before, statements = proxy.metrics(), asked()
        herd_asks(proxy, logged, next(keys))
        after = proxy.metrics()
        followed = after.count("flights_followed") - before.count("flights_followed")
        hits = after.count("cache_hits") - before.count("cache_hits")
        return (asked() - statements, followed, hits) == (1, HERD - 1, HERD - 1)
    wait_for("a herd that makes one statement", one_statement)
    assert proxy.stop() == 0


def test_a_herd_waits_only_once(cluster, logged):
    """What cannot be stored, because its table is written all the time, is not asked for by one client after the other."""
    proxy, stop = started(cluster, logged), threading.Event()

    def write():
        with cluster.connect(logged) as conn:
            while not stop.is_set():
                conn.execute("UPDATE slow SET i = i WHERE i = 1")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = proxy.metrics()
        herd_asks(proxy, logged, 1)
        after = proxy.metrics()
    finally:
        stop.set()
        writer.join()
    assert after.count("cache_hits") == before.count("cache_hits")
    assert 0 < after.count("flights_followed") - before.count("flights_followed") <= HERD - 1
    assert proxy.stop() == 0
