"""pool_mode = session, transaction and statement: for all, by database, by user."""
import psycopg
import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.wire import SYNC, Wire, bind, error_fields, execute, parse, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps no settings in statement mode")


@pytest.fixture(scope="module")
def proxy(cluster):
    """One server connection in each pool; what databases and users say counts more than what is said for all."""
    cluster.sql("CREATE ROLE keeper LOGIN SUPERUSER; CREATE ROLE single LOGIN SUPERUSER")
    where = f"host=127.0.0.1 port={cluster.port} dbname=postgres"
    made = Proxy(cluster, {"default_pool_size": 1, "query_wait_timeout": 1},
                 {"kept": f"{where} pool_mode=session", "each": f"{where} pool_mode=statement", "usual": where},
                 {"postgres": "", "keeper": "", "single": ""}, start=False)
    with made.ini.open("a") as ini:
        ini.write("\n[users]\nkeeper = pool_mode=session\nsingle = pool_mode=statement\n")
    made.start()
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def pid(conn):
    return conn.execute("SELECT pg_backend_pid()").fetchone()[0]


@pytest.mark.parametrize("place", [{"dbname": "kept"}, {"dbname": "usual", "user": "keeper"}], ids=["database", "user"])
def test_session_mode_keeps_the_backend(proxy, place):
    with proxy.connect(**place) as one:
        kept = pid(one)
        one.execute("CREATE TEMP TABLE mine (i int)")
        one.execute("SET work_mem = '7MB'")
        with pytest.raises(psycopg.OperationalError, match="query_wait_timeout"), proxy.connect(**place) as two:
            pid(two)
        assert pid(one) == kept and one.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    with proxy.connect(**place) as two:  # the next one finds nothing of it
        assert two.execute("SHOW work_mem").fetchone() == ("4MB",)
        with pytest.raises(psycopg.errors.UndefinedTable):
            two.execute("SELECT * FROM mine")


def test_transaction_mode_shares_it(proxy):
    with proxy.connect("usual") as one, proxy.connect("usual") as two:
        assert pid(one) == pid(two)


@pytest.mark.parametrize("place", [{"database": "each"}, {"database": "usual", "user": "single"}], ids=["database", "user"])
def test_statement_mode_refuses_transactions(proxy, place):
    for begin in (query("BEGIN"), query("START TRANSACTION READ ONLY"), parse("", "BEGIN") + bind("", "") + execute() + SYNC,
                  query("BEGIN; SELECT 1")):
        with Wire(proxy.port).login(**place) as wire:
            wire.send(query("SELECT 1"))
            assert rows(wire.until(b"Z")) == [[b"1"]]
            wire.send(begin)
            got = [error_fields(body) for kind, body in wire.drain() if kind == b"E"]
            assert [(e["C"], e["M"]) for e in got] == [("08P01", "transaction blocks not allowed in statement pooling mode")]


@pytest.mark.parametrize("place", [{"dbname": "each"}, {"dbname": "usual", "user": "single"}], ids=["database", "user"])
def test_statement_mode_serves_statements(proxy, place):
    with proxy.connect(**place) as one, proxy.connect(**place) as two:
        one.execute("SET work_mem = '7MB'")
        assert two.execute("SHOW work_mem").fetchone() == ("4MB",)
        assert one.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert pid(one) == pid(two)
        for _ in range(6):
            assert one.execute("SELECT %s + 1", [1], prepare=True).fetchone() == (2,)
        one.execute("SELECT 1; SELECT 2")  # an implicit transaction is a statement
