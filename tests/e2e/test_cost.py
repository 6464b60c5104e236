"""What isolation costs on the wire to PostgreSQL: nothing while settings are equal, and never a round trip."""
import pytest

from pgweir_test.proxy import DIRECT, PGBOUNCER, Proxy
from pgweir_test.tap import Tap
from pgweir_test.tools import SLOW, pgbench
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse, rows

pytestmark = [pytest.mark.load, pytest.mark.skipif(PGBOUNCER or DIRECT, reason="about pgweir")]
COUNTERS = ("image_syncs", "image_commands", "probes_after_taint", "sequence_discards", "replays", "inventories", "reparses")
TRANSACTIONS = 40


@pytest.fixture
def tap(cluster):
    made = Tap(cluster.port)
    yield made
    made.close()


def behind(tap, cluster, **settings):
    """A plain pooler: what is seen on the wire is for statements."""
    return Proxy(cluster, {"coherence": "off", "server_tls_sslmode": "disable", "ignore_startup_parameters": None, **settings},
                 databases={"*": f"host=127.0.0.1 port={tap.port}"})


def costs(proxy):
    metrics = proxy.metrics()
    return {name: metrics.count(name) for name in COUNTERS}


@pytest.mark.parametrize("what", [["-S"], []], ids=["select", "tpcb"])
def test_pgbench_prepared_pays_nothing(cluster, database, tap, what):
    """Message by message what PostgreSQL would get from pgbench itself, less what pgweir saves."""
    pgbench(cluster.dsn(database), "-i", "-q", "-s", "1")
    run = ["-n", "-M", "prepared", "-c", "4", "-j", "2", "-t", TRANSACTIONS, *what]
    pgbench(f"host=127.0.0.1 port={tap.port} dbname={database} user=postgres sslmode=disable", *run)
    direct = dict(tap.sent)
    proxy = behind(tap, cluster)
    for _ in range(8):  # until every server connection that is used holds the statements and the settings
        before = costs(proxy)
        tap.clear()
        pgbench(proxy.dsn(database), *run)
        pooled = dict(tap.sent)
        after = costs(proxy)
        if all(after[name] == before[name] for name in ("reparses", "image_syncs")):
            break
    apart = after.pop("sequence_discards") - before.pop("sequence_discards")
    assert after == before, "equal settings cost no command, and nothing is parsed again"
    assert apart <= (0 if what else 3 * 4), "the first three transactions of a session that writes (docs/isolation.md), then none"
    assert pooled[b"B"] <= direct[b"B"] + 3 * apart and pooled[b"E"] <= direct[b"E"] + 3 * apart, (direct, pooled)
    assert pooled.get(b"Q", 0) == direct.get(b"Q", 0) and pooled.get(b"P", 0) <= 3 * apart, (direct, pooled)
    assert pooled[b"S"] <= direct[b"S"], "no round trip more"
    assert set(pooled) - set(direct) <= ({b"C"} if apart else set()), "no message of another kind"
    assert proxy.stop() == 0


@pytest.mark.parametrize("way", ["simple", "prepared"])
def test_clients_of_different_search_path_cost_no_round_trip(cluster, database, tap, way):
    """Two tenants take turns on one server connection: settings travel in front of the statement, in the same batch."""
    for schema in ("one", "two"):
        cluster.sql(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.who AS SELECT '{schema}' AS name", database)
    proxy = behind(tap, cluster, default_pool_size=1)
    wires = {schema: Wire(proxy.port).login(database=database, options=f"-c search_path={schema}") for schema in ("one", "two")}
    for wire in wires.values():
        wire.send(parse("s", "SELECT name FROM who"), SYNC)
        assert errors(wire.until(b"Z")) == []

    def ask(wire):
        if way == "simple":
            return rows(wire.simple("SELECT name FROM who"))
        wire.send(bind("", "s") + execute() + SYNC)
        return rows(wire.until(b"Z"))

    for schema in wires:
        ask(wires[schema])
    before = costs(proxy)
    tap.clear()
    for _ in range(TRANSACTIONS // 4):
        for schema, wire in wires.items():
            assert ask(wire) == [[schema.encode()]]
    asked = 2 * (TRANSACTIONS // 4)
    assert tap.received[b"Z"] == asked, "one answer to wait for each"
    assert tap.sent[b"Q"] + tap.sent[b"S"] == asked and tap.sent[b"P"] == 0
    now = costs(proxy)
    assert now["image_syncs"] - before["image_syncs"] == now["image_commands"] - before["image_commands"] == asked
    assert {name: now[name] for name in COUNTERS[2:]} == {name: before[name] for name in COUNTERS[2:]}
    for wire in wires.values():
        wire.sock.close()
    assert proxy.stop() == 0
