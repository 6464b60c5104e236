"""The cache with feed_plugin = pgoutput: what test_cache.py asks of every feed, and what only this one has."""
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import pg_version, wait_for
from test_cache import PATIENT, TABLES, never_hits, reads_twice, warm

# The same questions, with this module's proxy and db.
from test_cache import (test_a_changed_key_moves_both_answers, test_a_direct_write_is_seen_at_once,  # noqa: F401
                        test_a_hit_looks_exactly_like_the_real_answer, test_any_change_is_seen_at_once,
                        test_every_kind_of_commit_is_seen, test_insert_and_delete_change_an_empty_answer,
                        test_own_uncommitted_writes_are_seen, test_readers_and_writers_together,
                        test_simple_reads_by_key_hit, test_these_always_go_to_postgresql)

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's"), pytest.mark.versions,
              pytest.mark.skipif(pg_version() < 15, reason="refused: test_versions.py")]
PGOUTPUT = {**PATIENT, "feed_plugin": "pgoutput"}


@pytest.fixture(scope="module")
def db(cluster):
    name = "published"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql(TABLES + "CREATE PUBLICATION pgweir FOR ALL TABLES; CREATE PUBLICATION few FOR TABLE item", name)
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, PGOUTPUT)
    warm(made, db)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def test_a_table_outside_of_the_publication(cluster, db):
    """It goes to PostgreSQL, until it is added and everybody who wrote before has ended."""
    cluster.sql("CREATE TABLE later (id int PRIMARY KEY, v text); INSERT INTO later VALUES (1, 'one')", db)
    proxy = Proxy(cluster, {**PGOUTPUT, "feed_publication": "few"})
    warm(proxy, db)
    sql = "SELECT v FROM later WHERE id = 1"
    with proxy.connect(db) as reader, cluster.connect(db) as owner, cluster.connect(db, autocommit=False) as writer:
        never_hits(proxy, lambda: reader.execute(sql))
        assert proxy.metrics().one("pgweir_pass_total", reason="NOT_PUBLISHED") > 0
        writer.execute("UPDATE later SET v = 'two' WHERE id = 1")
        owner.execute("ALTER PUBLICATION few ADD TABLE later")
        never_hits(proxy, lambda: reader.execute(sql))
        writer.commit()
        assert reads_twice(proxy, lambda: reader.execute(sql).fetchall()) == [("two",)]
        owner.execute("UPDATE later SET v = 'three' WHERE id = 1")
        assert reader.execute(sql).fetchall() == [("three",)]
    assert proxy.stop() == 0
    cluster.sql("DROP TABLE later", db)


def test_strict_needs_the_event_trigger(cluster, db):
    proxy = Proxy(cluster, {**PGOUTPUT, "catalog_poll": "50ms"})
    warm(proxy, db)
    sql = "SELECT name FROM item WHERE id = 40"
    with proxy.connect(db) as conn:
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
        cluster.sql("ALTER EVENT TRIGGER pgweir_ddl DISABLE", db)
        try:
            def refused():
                conn.execute(sql)
                return proxy.metrics().one("pgweir_pass_total", reason="DDL_UNSEEN") > 0
            wait_for("the poll to see it", refused)
            never_hits(proxy, lambda: conn.execute(sql))
        finally:
            cluster.sql("ALTER EVENT TRIGGER pgweir_ddl ENABLE ALWAYS", db)
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
    assert proxy.stop() == 0


def test_no_publication_no_cache(cluster, db):
    odd, quoted = "o'dd \"one\"", "\"o'dd \"\"one\"\"\""
    proxy = Proxy(cluster, {**PGOUTPUT, "feed_publication": odd})
    with proxy.connect(db) as conn:
        never_hits(proxy, lambda: conn.execute("SELECT name FROM item WHERE id = 1"), times=20)
        wait_for("the log to say why", lambda: "does not exist" in proxy.log_text())
    assert proxy.stop() == 0
    cluster.sql(f"CREATE PUBLICATION {quoted} FOR TABLE item", db)
    proxy = Proxy(cluster, {**PGOUTPUT, "feed_publication": odd})
    warm(proxy, db)
    with proxy.connect(db) as conn:
        sql = "SELECT name FROM item WHERE id = 41"
        reads_twice(proxy, lambda: conn.execute(sql).fetchall())
        cluster.sql("UPDATE item SET name = 'odd' WHERE id = 41", db)
        assert conn.execute(sql).fetchall() == [("odd",)]
        # It goes while it is used: the next change ends the stream, and the cache with it.
        cluster.sql(f"DROP PUBLICATION {quoted}", db)
        with cluster.connect(db) as writer:
            for i in range(20):
                writer.execute("UPDATE item SET name = %s WHERE id = 41", (f"gone {i}",))
                assert conn.execute(sql).fetchall() == [(f"gone {i}",)]
    assert proxy.stop() == 0
