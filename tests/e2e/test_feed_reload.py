"""A reload that says another feed, or none: the old one goes at once, and those who are connected get the new one."""
import json

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="about pgweir's feed"), pytest.mark.sanitizer]
READ = "SELECT v FROM t WHERE id = 1"


@pytest.fixture
def feeder(cluster):
    """A role with a password, for the feed."""
    cluster.sql("CREATE ROLE feeder LOGIN SUPERUSER PASSWORD 'one'")
    yield "feeder"
    cluster.sql("DROP ROLE feeder")


@pytest.fixture
def proxy(cluster, database, feeder):
    cluster.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)", database)
    made = Proxy(cluster, {"feed_user": feeder, "feed_password": "one", "workers": 2})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def slots(cluster, database):
    return int(cluster.sql(f"SELECT count(*) FROM pg_replication_slots WHERE database = '{database}'"))


def is_cached(proxy, conn):
    """Until it is a hit, or not for long."""
    for _ in range(5):
        before = proxy.metrics().count("cache_hits")
        conn.execute(READ)
        if proxy.metrics().count("cache_hits") > before:
            return True
    return False


def reloaded(proxy, **settings):
    before = proxy.log_text().count("configuration reloaded")
    proxy.settings.update(settings)
    proxy.reload()
    wait_for("the reload", lambda: proxy.log_text().count("configuration reloaded") > before)


def feeds(proxy):
    """The databases that a feed is there for, as the stats port names them."""
    return [row["database"] for row in json.loads(proxy.http("/stats.json")[1])["caches"]]


def test_feeds_that_are_switched_off_and_on(proxy, cluster, database):
    """Their slots are free at once, whoever is connected, and nothing of them is left."""
    with proxy.connect(database) as conn, proxy.connect(database) as other:
        wait_for("the cache", lambda: is_cached(proxy, conn) and is_cached(proxy, other))
        for _ in range(5):
            reloaded(proxy, coherence="off")
            wait_for("the slot to go", lambda: slots(cluster, database) == 0)
            assert not is_cached(proxy, conn)
            reloaded(proxy, coherence="strict")
            wait_for("the cache for those who are connected", lambda: is_cached(proxy, conn) and is_cached(proxy, other))
            assert slots(cluster, database) == 1
        wait_for("the old feeds to be forgotten", lambda: feeds(proxy) == [database])
    with proxy.connect(database) as later:
        wait_for("the cache", lambda: is_cached(proxy, later))
    cluster.sql("UPDATE t SET v = 2", database)
    with proxy.connect(database) as conn:
        assert conn.execute(READ).fetchone() == (2,)


def test_a_new_password_of_the_feed(proxy, cluster, database, feeder):
    with proxy.connect(database) as conn:
        wait_for("the cache", lambda: is_cached(proxy, conn))
        changes = proxy.metrics().count("feed_transactions")
        cluster.sql(f"ALTER ROLE {feeder} PASSWORD 'two'")
        reloaded(proxy, feed_password="two")
        wait_for("the cache under the new password", lambda: is_cached(proxy, conn))
        cluster.sql("UPDATE t SET v = v + 1", database)
        wait_for("the feed", lambda: proxy.metrics().count("feed_transactions") > changes)
        assert conn.execute(READ).fetchone() == (2,)
        assert slots(cluster, database) == 1
    assert "nothing is cached" not in proxy.log_text()


@pytest.mark.parametrize("change", [{"max_change_keys": 0}, {"catalog_poll": "50ms"}, {"server_connect_timeout": 7}],
                         ids=["max_change_keys", "catalog_poll", "server_connect_timeout"])
def test_what_a_running_feed_goes_by(proxy, cluster, database, change):
    """It cannot be changed under way: the feed is replaced."""
    with proxy.connect(database) as conn:
        wait_for("the cache", lambda: is_cached(proxy, conn))
        name = cluster.sql(f"SELECT slot_name FROM pg_replication_slots WHERE database = '{database}'")
        reloaded(proxy, **change)
        wait_for("another slot", lambda: slots(cluster, database) == 1 and name not in cluster.sql("SELECT slot_name FROM pg_replication_slots"))
        wait_for("the cache", lambda: is_cached(proxy, conn))
