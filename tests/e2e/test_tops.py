"""Top lists of the stats: which statements and tables the cache is used for."""
import json

import psycopg2
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from test_cache import PATIENT, reads_twice, warm

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")


@pytest.fixture(scope="module")
def db(cluster):
    name = "tops"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""CREATE TABLE item (id int PRIMARY KEY, name text);
        INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
        CREATE TABLE other (id int PRIMARY KEY, v text); INSERT INTO other VALUES (1, 'x')""", name)
    yield name
    cluster.drop_database(name)


def test_top_lists(cluster, db):
    proxy = Proxy(cluster, PATIENT)
    warm(proxy, db)

    def top(which):
        rows = json.loads(proxy.http("/stats.json")[1])[which]
        return {row["name"]: row for row in rows if row["database"] == db}
    legacy = psycopg2.connect(proxy.dsn(db))
    legacy.autocommit = True
    with legacy.cursor() as cur:
        def read(number):
            cur.execute("SELECT name FROM item WHERE id = %s AND name <> %s", (number, "it's a secret"))
            return cur.fetchall()
        reads_twice(proxy, lambda: read(1))
        for number in range(2, 42):
            read(number)
    legacy.close()
    shapes = top("statements")
    # One row for all literals, and none of them is shown.
    shape = shapes["SELECT name FROM item WHERE id = ? AND name <> ?"]
    assert shape["kills"] == 0 and shape["misses"] >= 40 and shape["fills"] >= 20 and shape["hits"] >= 1
    assert "secret" not in json.dumps(shapes)
    with proxy.connect(db) as conn:
        reads_twice(proxy, lambda: conn.execute("SELECT v FROM other WHERE id = %s", (1,)).fetchall())
        # A hit counts for its own table, whatever was missed before.
        before = top("relations")
        conn.execute("SELECT name FROM item WHERE id = 900")
        conn.execute("SELECT v FROM other WHERE id = %s", (1,))
        now = top("relations")
        assert now["public.item"]["hits"] == before["public.item"]["hits"]
    assert top("statements")["SELECT v FROM other WHERE id = $1"]["hits"] >= 1
    tables = top("relations")
    assert tables["public.item"]["misses"] >= 40 and tables["public.other"]["hits"] >= 1
    before = tables["public.item"]["changes"]
    for i in range(3):
        cluster.sql(f"UPDATE item SET name = 'new {i}' WHERE id = 5", db)
    wait_for("the changes to show", lambda: top("relations")["public.item"]["changes"] == before + 3)
    # An answer that a change has ended counts once: for its statement, and for each table that it reads.
    with proxy.connect(db, prepare_threshold=None) as conn:
        sql = "SELECT i.name, o.v FROM item i JOIN other o ON o.id = i.id WHERE i.id = 1"
        before = top("relations")
        for i in range(3):
            reads_twice(proxy, lambda: conn.execute(sql).fetchall())
            cluster.sql(f"UPDATE other SET v = 'killed {i}' WHERE id = 1", db)
            assert conn.execute(sql).fetchone()[1] == f"killed {i}"
        now = top("relations")
        assert top("statements")["SELECT i.name, o.v FROM item i JOIN other o ON o.id = i.id WHERE i.id = ?"]["kills"] == 3
        assert [now[name]["kills"] - before[name]["kills"] for name in ("public.item", "public.other")] == [3, 3]
    assert proxy.metrics().count("cache_killed") >= 3
    assert proxy.stop() == 0
