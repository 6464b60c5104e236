"""Names of prepared statements in pipelines: through pgweir as on PostgreSQL itself, whatever fails or is skipped."""
import pytest

from pgweir_test.proxy import Proxy, PGBOUNCER
from pgweir_test.wire import FLUSH, SYNC, Wire, bind, close, describe, error_fields, execute, parse, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer 1.18 has no prepared statements in transaction mode")


def run(name):
    return bind("", name) + execute()


BAD = "SELECT 'x'::int"
# Each a list of what is sent in one piece; all on one connection.
SCRIPTS = {
    "a failed Parse leaves the name free": [parse("p", BAD) + SYNC + parse("p", "SELECT 1") + run("p") + SYNC],
    "a name in use stays in use": [parse("p", "SELECT 1") + SYNC + parse("p", "INSERT INTO pipelined VALUES (1)") + run("p") + SYNC
                                   + run("p") + SYNC, query("SELECT count(*) FROM pipelined")],
    "of two errors each has its name": [parse("p1", "SELECT 1") + parse("p3", "SELECT 3") + SYNC, parse("p1", "SELECT 1/0") + SYNC
                                        + parse("p3", "SELECT 1/0") + run("p3") + SYNC + run("p1") + SYNC],
    "a skipped Parse leaves the name free": [run("nobody") + parse("p", "SELECT 1") + SYNC + run("p") + SYNC + parse("p", "SELECT 2")
                                             + run("p") + SYNC],
    "a skipped Close closes nothing": [parse("p", "SELECT 1") + SYNC, run("nobody") + close("S", "p") + SYNC + run("p") + SYNC
                                       + parse("p", "SELECT 2") + SYNC + close("S", "p") + SYNC + run("p") + SYNC],
    "the same bad text under two names": [parse("p1", BAD) + SYNC + parse("p2", BAD) + SYNC + run("p2") + SYNC + run("p1") + SYNC],
    "the same text under two names": [parse("p1", "SELECT 7") + SYNC + parse("p2", "SELECT 7") + run("p2") + SYNC + close("S", "p1") + SYNC
                                      + run("p2") + SYNC + run("p1") + SYNC],
    "a failed Parse takes the unnamed one away": [parse("", "SELECT 1") + SYNC + parse("", BAD) + SYNC + run("") + SYNC],
    "a skipped Parse leaves the unnamed one": [parse("", "SELECT 1") + SYNC, run("nobody") + parse("", "SELECT 2") + SYNC + run("") + SYNC],
    "a skipped query leaves the unnamed one": [parse("", "SELECT 1") + SYNC, run("nobody") + close("S", "") + SYNC + run("") + SYNC],
    "a query takes the unnamed one away": [parse("", "SELECT 1") + SYNC + query("SELECT 2") + run("") + SYNC],
    "parameters are missing": [parse("p", "SELECT $1::int") + SYNC, run("p") + SYNC + describe("S", "p") + SYNC],
    "syntax comes before the name": [parse("p", "SELECT 1") + SYNC, parse("p", "SELEC 1") + SYNC + parse("p", "SELECT * FROM nowhere") + SYNC
                                     + parse("p", "SELECT 2; SELECT 3") + SYNC + parse("p", "SELECT 2") + SYNC + run("p") + SYNC],
    "names like ours": [parse("pgweir_1", "SELECT 1") + SYNC + run("pgweir_1") + SYNC + describe("S", "pgweir_2") + SYNC + run("pgweir_2")
                        + SYNC + close("S", "pgweir_2") + SYNC],
    "DEALLOCATE in a pipeline": [parse("p", "SELECT 1") + parse("q", "SELECT 2") + SYNC, parse("", "DEALLOCATE p") + run("") + run("q") + SYNC
                                 + run("p") + SYNC + run("q") + SYNC + parse("p", "SELECT 3") + run("p") + SYNC],
    "DEALLOCATE ALL in a pipeline": [parse("p", "SELECT 1") + SYNC, parse("d", "DEALLOCATE ALL") + run("d") + run("p") + SYNC + run("d") + SYNC
                                     + parse("p", "SELECT 2") + run("p") + SYNC],
    "a failed DEALLOCATE ALL": [parse("p", "SELECT 1") + SYNC, query("SELECT 1/0; DEALLOCATE ALL") + run("p") + SYNC],
    "several statements with DEALLOCATE": [parse("p", "SELECT 1") + parse("q", "SELECT 2") + SYNC,
                                           query("SELECT 5; DEALLOCATE p; DEALLOCATE nobody; DEALLOCATE q"), run("p") + SYNC + run("q") + SYNC],
    "SQL and protocol share their names": [query("PREPARE p AS SELECT 1"), parse("p", "SELECT 2") + SYNC + run("p") + SYNC + close("S", "p")
                                           + SYNC + run("p") + SYNC, parse("p", "SELECT 3") + run("p") + SYNC, query("EXECUTE p"),
                                           query("PREPARE p AS SELECT 4"), query("DEALLOCATE p"), run("p") + SYNC, query("EXECUTE p")],
    "SQL runs what the protocol has made": [parse("p", "SELECT $1::int + 1") + SYNC, query("EXECUTE p(41)"), query("PREPARE p AS SELECT 1"),
                                            query("BEGIN; EXECUTE p(1); DEALLOCATE p; COMMIT"), query("EXECUTE p(1)"), run("p") + SYNC],
    "a text that is known in a failed transaction": [parse("p1", "SELECT 1") + SYNC + query("BEGIN") + parse("", "SELECT 1/0") + run("") + SYNC
                                                     + parse("p2", "SELECT 1") + run("p2") + SYNC + query("ROLLBACK") + run("p2") + SYNC],
    "a flush in between": [parse("p", "SELECT 1") + FLUSH + run("p") + SYNC + parse("p", "SELECT 2") + FLUSH + run("p") + SYNC + run("p") + SYNC],
}


@pytest.fixture(scope="module")
def proxy(cluster):
    made = Proxy(cluster, {"default_pool_size": 1})
    cluster.sql("CREATE TABLE pipelined (i int)")
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def answers(port, script):
    """What comes back, in words that two servers share."""
    got = []
    with Wire(port).login() as wire:
        for data in script:
            wire.send(data)
            for _ in range(data.count(SYNC) + data.count(b"Q\0\0")):
                for kind, body in wire.until(b"Z"):
                    if kind == b"E":
                        fields = error_fields(body)
                        got.append((fields["C"], fields["M"], fields.get("P")))
                    elif kind == b"D":
                        got.append(rows([(kind, body)])[0])
                    elif kind not in b"ST":
                        got.append((kind, body if kind == b"C" else None))
    return got


@pytest.mark.sanitizer
@pytest.mark.parametrize("name", SCRIPTS)
def test_pipeline(proxy, cluster, name):
    right = answers(cluster.port, SCRIPTS[name])
    cluster.sql("TRUNCATE pipelined")
    assert answers(proxy.port, SCRIPTS[name]) == right
    cluster.sql("TRUNCATE pipelined")


def test_thousands_of_statements_are_bounded_on_the_backend(proxy, cluster):
    with Wire(proxy.port).login() as wire:
        for start in range(0, 3000, 500):
            wire.send(b"".join(parse(f"n{i}", f"SELECT {i}") for i in range(start, start + 500)) + SYNC)
            wire.until(b"Z")
        for i in (0, 1500, 2999):
            wire.send(run(f"n{i}") + SYNC)
            assert rows(wire.until(b"Z")) == [[str(i).encode()]]
        wire.send(query("SELECT count(*) FROM pg_prepared_statements"))
        assert int(rows(wire.until(b"Z"))[0][0]) <= 200 + 10


def test_a_clients_statements_are_bounded(proxy):
    text = "SELECT '" + "x" * 4_000_000 + "'"
    with Wire(proxy.port).login() as wire:
        for i in range(40):
            wire.send(parse(f"big{i}", text + f" || '{i}'") + SYNC)
            got = wire.recv()
            if got[0] == b"E":
                assert error_fields(got[1])["C"] == "54000" and i > 10
                break
            wire.recv()
        else:
            pytest.fail("160 MB of statements")
    with proxy.connect() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
