"""Execute with a row limit (asyncpg's fetchrow and fetchval, JDBC's setMaxRows): answered from the cache like a LIMIT, outside of transaction
blocks, where the suspended portal ends with the Sync."""
import asyncio

import asyncpg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, close, describe, errors, execute, kinds, parse, rows

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")


@pytest.fixture(scope="module")
def db(cluster):
    name = "limited"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""
        CREATE TABLE note (id int PRIMARY KEY, author int, rank int, text text);
        CREATE TABLE tag (id int PRIMARY KEY, note int, word text);
    """, name)
    yield name
    cluster.drop_database(name)


@pytest.fixture
def notes(cluster, db):
    """Ten of author 1, the lowest rank first, and one of author 2."""
    cluster.sql("TRUNCATE note, tag; INSERT INTO note SELECT i, 1, i * 10, 'n' || i FROM generate_series(1, 10) i;"
                "INSERT INTO note VALUES (11, 2, 5, 'other'); INSERT INTO tag VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c')", db)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, {"probe_patience": "300ms"})
    cluster.sql("INSERT INTO note VALUES (1, 1, 1, '')", db)
    with Wire(made.port).login(database=db) as wire:
        hits(made, lambda: wire.simple("SELECT * FROM note WHERE id = 1"))
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def hits(proxy, read):
    """Reads until the cache has answered; the answer, which must be the same all the time."""
    first = read()

    def hit():
        before = proxy.metrics().count("cache_hits")
        assert read() == first
        return proxy.metrics().count("cache_hits") > before
    wait_for("a hit", hit)
    return first


def limited(wire, sql, n, *values):
    wire.send(parse("", sql), bind("", "", values), describe("P"), execute("", n), SYNC)
    return wire.until(b"Z")


BY_AUTHOR = "SELECT id, text FROM note WHERE author = $1::int ORDER BY rank"


def test_each_limit_has_its_own_answer(proxy, cluster, db, notes):
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        for n in (1, 3, 10, 11, 0, 2**31 - 1, 2**32 - 1):
            wanted = limited(real, BY_AUTHOR, n, b"1")
            assert hits(proxy, lambda n=n: limited(ours, BY_AUTHOR, n, b"1")) == wanted
            assert kinds(wanted).endswith("sZ" if n in (1, 3, 10) else "CZ")
        for sql in ("SELECT text FROM note WHERE id = 3", "SELECT text FROM note WHERE id = -3", "SELECT count(*) FROM note",
                    "SELECT text FROM note ORDER BY rank LIMIT 2 OFFSET 1"):
            assert hits(proxy, lambda sql=sql: limited(ours, sql, 1)) == limited(real, sql, 1)
        wire = lambda to: (to.send(parse("", BY_AUTHOR), bind("", "", [b"1"]), execute("", 2), close("P"), SYNC), to.until(b"Z"))[1]
        assert hits(proxy, lambda: wire(ours)) == wire(real)


# What moves the first two of author 1 is seen by the next read; what they do not depend on leaves them in the cache.
CHANGES = {
    "one that is shown": ("UPDATE note SET text = 'new' WHERE id = 2", True),
    "one that is shown goes": ("DELETE FROM note WHERE id = 1", True),
    "one that is shown leaves the predicate": ("UPDATE note SET author = 3 WHERE id = 1", True),
    "one moves up": ("UPDATE note SET rank = 0 WHERE id = 9", True),
    "one that is shown moves down": ("UPDATE note SET rank = 1000 WHERE id = 1", True),
    "a new one in front": ("INSERT INTO note VALUES (0, 1, 0, 'first')", True),
    "one comes from elsewhere": ("UPDATE note SET author = 1 WHERE id = 11", True),
    "one that is not shown goes": ("DELETE FROM note WHERE id = 9", False),
    "one that is not shown leaves the predicate": ("UPDATE note SET author = 3 WHERE id = 9", False),
    "another author's": ("UPDATE note SET text = 'x' WHERE id = 11", False),
    "all go": ("TRUNCATE note", True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_first_rows_depend_on(proxy, cluster, db, notes, change):
    sql, falls = CHANGES[change]
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        hits(proxy, lambda: limited(ours, BY_AUTHOR, 2, b"1"))
        real.simple(sql)
        before = proxy.metrics().count("cache_hits")
        assert limited(ours, BY_AUTHOR, 2, b"1") == limited(real, BY_AUTHOR, 2, b"1")
        if falls:
            assert proxy.metrics().count("cache_hits") == before
        else:
            hits(proxy, lambda: limited(ours, BY_AUTHOR, 2, b"1"))


def test_the_nullable_side_of_an_outer_join(proxy, cluster, db, notes):
    """Tag 2 is not shown; when it goes, note 1 comes with NULLs once its tag 1 has gone too, in front of what was shown."""
    sql = "SELECT n.id, t.id FROM note n LEFT JOIN tag t ON t.note = n.id AND t.word = 'b' WHERE n.author = $1::int ORDER BY t.id NULLS FIRST, n.id DESC"
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        for change in ("DELETE FROM tag WHERE id = 2", "INSERT INTO tag VALUES (5, 10, 'b')", "UPDATE tag SET word = 'z' WHERE id = 5"):
            hits(proxy, lambda: limited(ours, sql, 9, b"1"))
            real.simple(change)
            assert limited(ours, sql, 9, b"1") == limited(real, sql, 9, b"1")


def test_in_a_block_the_portal_goes_on(proxy, db, notes):
    with Wire(proxy.port).login(database=db) as wire:
        hits(proxy, lambda: limited(wire, BY_AUTHOR, 1, b"1"))
        before = proxy.metrics().count("cache_hits")
        wire.simple("BEGIN")
        for i in range(1, 4):
            if i == 1:
                got = limited(wire, BY_AUTHOR, 1, b"1")
            else:
                wire.send(execute("", 1), SYNC)
                got = wire.until(b"Z")
            assert rows(got)[0][0] == str(i).encode() and kinds(got).endswith("DsZ")
        wire.simple("COMMIT")
        assert proxy.metrics().count("cache_hits") == before
        limited(wire, BY_AUTHOR, 1, b"1")
        wire.send(execute("", 1), SYNC)
        assert errors(wire.until(b"Z")) == ["34000"]  # as on PostgreSQL: the portal went with the Sync


def test_asyncpg_fetches_one_row(proxy, db, notes):
    async def story():
        conn = await asyncpg.connect(host="127.0.0.1", port=proxy.port, user="postgres", database=db)
        for fetch, wanted in ((conn.fetchval, "n7"), (conn.fetchrow, ("n7",))):
            async def hit(fetch=fetch, wanted=wanted):
                before = proxy.metrics().count("cache_hits")
                assert await fetch("SELECT text FROM note WHERE id = $1", 7) == wanted
                return proxy.metrics().count("cache_hits") > before
            for _ in range(100):
                if await hit():
                    break
            else:
                raise AssertionError("never hit")
        async with conn.transaction():
            assert await conn.fetchval("SELECT text FROM note WHERE id = $1", 7) == "n7"
        await conn.close()

    asyncio.run(story())
