"""Execute with a row limit (asyncpg's fetchrow and fetchval, JDBC's setMaxRows): the answer may not be complete, so it is PostgreSQL's."""
import pytest

from pgweir_test.proxy import PGWEIR
from pgweir_test.wire import SYNC, Wire, bind, describe, execute, parse

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")


def test_a_row_limit_passes(proxy, cluster, database):
    cluster.sql("CREATE TABLE note (id int PRIMARY KEY, text text); INSERT INTO note SELECT i, 'n' || i FROM generate_series(1, 9) i", database)
    with Wire(proxy.port).login(database=database) as ours, Wire(cluster.port).login(database=database) as real:
        before = proxy.metrics().count("cache_fills")
        for n in (1, 3, 9, 10) * 3:
            got = []
            for wire in (ours, real):
                wire.send(parse("", "SELECT id, text FROM note WHERE id > $1::int ORDER BY id"), bind("", "", (b"0",)), describe("P"),
                          execute("", n), SYNC)
                got.append([kind for kind, _ in wire.until(b"Z")])
            assert got[0] == got[1]
        assert proxy.metrics().count("cache_fills") == before
