"""What a backend believes about the catalog may be older than what its snapshots show: it learns of DDL by messages that the committing
backend sends after its commit is visible, and reads them when a transaction begins or a lock is taken. An answer that was made by an old
belief must not outlive it."""
import contextlib
import pathlib
import subprocess
import threading

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import PG_OS_USER, feed_plugins, new_dir, pg_version, wait_for
from pgweir_test.wire import SYNC, Wire, bind, execute, kinds, parse, rows
from test_cache import PATIENT, Counted, reads_twice, warm

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
DB = "beliefs"
SUPPORT = pathlib.Path(__file__).resolve().parents[1] / "support"
TABLE = """
    CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
    CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE t (id int PRIMARY KEY, m mood); INSERT INTO t VALUES (1, 'happy'), (2, 'sad');
    CREATE ROLE believer LOGIN; GRANT SELECT ON item, t TO believer;
"""


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql(TABLE, DB)
    yield DB
    cluster.drop_database(DB)
    cluster.sql("DROP ROLE believer")


@pytest.fixture(scope="module", params=feed_plugins())
def proxy(request, cluster, db):
    cluster.sql("DROP PUBLICATION IF EXISTS pgweir", DB)
    if request.param == "pgoutput":
        cluster.sql("CREATE PUBLICATION pgweir FOR ALL TABLES", DB)
    made = Proxy(cluster, {**PATIENT, "feed_plugin": request.param}, users={"postgres": "", "believer": ""})
    warm(made, db)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def ddl(proxy, cluster, sql):
    """Runs it and waits until the new catalog is in use."""
    with Counted(proxy) as counted:
        cluster.sql(sql, DB)
    wait_for("the catalog to be read", lambda: proxy.metrics().count("catalog_loads") > counted.before.count("catalog_loads"))
    with Wire(proxy.port).login(database=DB) as wire:
        reads_twice(proxy, lambda: wire.simple("SELECT name FROM item WHERE id = 5"))


@pytest.fixture
def mood(cluster, db):
    """The enum as it was made."""
    cluster.sql("""DO $$ BEGIN IF 'glad' = ANY (enum_range(NULL::mood)::text[]) THEN
                   ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'; END IF; END $$; GRANT SELECT ON t TO believer""", DB)


RENAME = "ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'"


BY_ID = "SELECT m FROM t WHERE id = $1"


def by_id(wire, value):
    wire.send(bind("", "by_id", [value]), execute(), SYNC)
    return wire.until(b"Z")


def prepare(wire):
    wire.send(parse("by_id", BY_ID), SYNC)
    wire.until(b"Z")


@pytest.mark.parametrize("change,user,wanted", [(RENAME, "postgres", "2DCZ"), ("REVOKE SELECT ON t FROM believer", "believer", "EZ")])
def test_a_transaction_that_began_before_the_ddl_leaves_nothing_behind(proxy, cluster, mood, change, user, wanted):
    """Its backend has the table locked and the statement planned already, so nothing makes it look for messages."""
    with Wire(proxy.port).login(user=user, database=DB) as old, Wire(proxy.port).login(user=user, database=DB) as other:
        prepare(old)
        prepare(other)
        old.simple("BEGIN")
        assert rows(by_id(old, b"2")) == [[b"sad"]]
        ddl(proxy, cluster, change)
        by_id(old, b"1")
        got = by_id(other, b"1")
        assert kinds(got) == wanted and b"happy" not in b"".join(body for _, body in got)
        old.simple("COMMIT")
        got = by_id(old, b"1")
        assert kinds(got) == wanted and b"happy" not in b"".join(body for _, body in got)


def test_a_transaction_that_began_after_the_ddl_fills(proxy, cluster, mood):
    ddl(proxy, cluster, RENAME)
    with Wire(proxy.port).login(database=DB) as wire:
        prepare(wire)

        def fills():
            cluster.sql("UPDATE t SET m = m", DB)
            wire.simple("BEGIN")
            by_id(wire, b"2")
            with Counted(proxy) as counted:
                by_id(wire, b"1")
            wire.simple("COMMIT")
            return counted.rise("cache_fills") == 1
        wait_for("a fill inside a transaction", fills)
        assert rows(reads_twice(proxy, lambda: by_id(wire, b"1"))) == [[b"glad"]]


def test_an_open_subtransaction_holds_nothing_up(proxy, cluster, mood):
    """Snapshots do not list it, so it looks completed, and it holds its id."""
    with cluster.connect(DB, autocommit=False) as conn:
        conn.execute("UPDATE item SET name = name WHERE id = 7")
        conn.execute("SAVEPOINT a")
        conn.execute("UPDATE item SET name = name WHERE id = 8")
        ddl(proxy, cluster, RENAME)
        conn.rollback()


# --- a commit that is visible, and of which the other backends have not been told ---------------------------

@pytest.fixture(scope="module")
def held(cluster, tmp_path_factory):
    """Runs DDL that stops there; the block runs meanwhile."""
    if pg_version() != 15:
        pytest.skip("its library is compiled against the headers of 15")
    where = new_dir("held", owner=PG_OS_USER)
    flag, module = where / "flag", where / "held_commit.so"
    subprocess.run(["cc", "-shared", "-fPIC", f'-DHELD_COMMIT="{flag}"', "-o", module, SUPPORT / "held_commit.c"], check=True)

    @contextlib.contextmanager
    def hold(sql):
        with cluster.connect(DB) as conn:
            conn.execute(f"LOAD '{module}'")
            flag.touch()
            runs = threading.Thread(target=conn.execute, args=(sql,))
            runs.start()
            try:
                wait_for("the commit to stop", lambda: (where / "flag.held").exists())
                yield
            finally:
                flag.unlink()
                runs.join()
    return hold


def fill_or_wait(proxy, before, read):
    """Reads until an answer has been stored under the new catalog, or pgweir has seen that it has to wait."""
    def rise(counter):
        return proxy.metrics().count(counter) - before.count(counter)

    def either():
        loads, fills = rise("catalog_loads"), rise("cache_fills")
        read()
        return rise("catalog_unsettled") > 0 or (loads > 0 and rise("cache_fills") > fills)
    wait_for("a fill, or a catalog that waits", either)


def test_ddl_counts_when_all_backends_have_been_told(proxy, cluster, mood, held):
    text = "SELECT m, id FROM t WHERE id = 1"
    with Wire(proxy.port).login(database=DB) as wire, Wire(proxy.port).login(database=DB) as other:
        reads_twice(proxy, lambda: wire.simple("SELECT id, m FROM t WHERE id = 1"))
        before = proxy.metrics()
        with held(RENAME):
            fill_or_wait(proxy, before, lambda: wire.simple(text))
        assert rows(other.simple(text)) == [[b"glad", b"1"]]
        assert rows(reads_twice(proxy, lambda: wire.simple(text))) == [[b"glad", b"1"]]


def test_a_revoke_counts_when_all_backends_have_been_told(proxy, cluster, mood, held):
    text = "SELECT m, id FROM t WHERE id = 1"
    with Wire(proxy.port).login(user="believer", database=DB) as wire, Wire(proxy.port).login(user="believer", database=DB) as other:
        reads_twice(proxy, lambda: wire.simple("SELECT id, m FROM t WHERE id = 1"))
        before = proxy.metrics()
        with held("REVOKE SELECT ON t FROM believer"):
            fill_or_wait(proxy, before, lambda: wire.simple(text))
        assert kinds(other.simple(text)) == "EZ"
        assert kinds(wire.simple(text)) == "EZ"
