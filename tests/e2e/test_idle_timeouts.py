"""idle_session_timeout and idle_in_transaction_session_timeout: whoever set them, a client that idles is closed as by PostgreSQL, one that
does not idle is not, and nobody gets a server connection that they are about to end."""
import time

import pytest

from pgweir_test.proxy import PGBOUNCER, PGWEIR, Proxy
from pgweir_test.wire import FLUSH, SYNC, Wire, bind, describe, error_fields, execute, kinds, parse, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="its server connections idle, not its clients")
IDLE = ("FATAL", "57P05", "terminating connection due to idle-session timeout")
IDLE_IN_TXN = ("FATAL", "25P03", "terminating connection due to idle-in-transaction timeout")
SESSION, TXN = "SET idle_session_timeout = '700ms'", "SET idle_in_transaction_session_timeout = '700ms'"
# What is sent before the client falls silent, and what it is told then.
SILENT = {
    "SET": ([query(SESSION)], IDLE),
    "behind a transaction": ([query("BEGIN"), query(SESSION), query("COMMIT"), query("SELECT 1")], IDLE),
    "SET in a DO": ([query("DO $$BEGIN PERFORM set_config('idle_session_timeout', '700', false); END$$")], IDLE),
    "a lone BEGIN": ([query(TXN), query("BEGIN")], IDLE_IN_TXN),
    "a lone BEGIN by the extended protocol": ([query(TXN), parse("", "BEGIN") + bind("", "") + execute() + SYNC], IDLE_IN_TXN),
    "a transaction": ([query(TXN), query("BEGIN"), query("SELECT 1")], IDLE_IN_TXN),
    "a failed transaction": ([query(TXN), query("BEGIN"), query("SELECT 1/0")], IDLE_IN_TXN),
    "both, in a transaction": ([query(SESSION.replace("700", "300")), query(TXN), query("BEGIN")], IDLE_IN_TXN),
    "both, outside": ([query(TXN.replace("700", "300")), query(SESSION), query("BEGIN"), query("ROLLBACK")], IDLE),
    "with a temporary table": ([query("CREATE TEMP TABLE t (i int)"), query(SESSION)], IDLE),
    "a BEGIN with a temporary table": ([query("CREATE TEMP TABLE t (i int)"), query(SESSION.replace("700", "400")), query(TXN), query("BEGIN")],
                                       IDLE_IN_TXN),
}
# What is sent and then is no idleness, or has no limit.
SPARED = {
    "SET LOCAL": [query("BEGIN; SET LOCAL idle_session_timeout = 300; COMMIT")],
    "rolled back": [query("BEGIN"), query(SESSION), query("ROLLBACK")],
    "RESET": [query(SESSION), query("RESET idle_session_timeout")],
    "DISCARD ALL": [query(SESSION), query(TXN), query("DISCARD ALL"), query("BEGIN")],
    "in a transaction": [query(SESSION), query("BEGIN")],
    "outside of one": [query(TXN), query("BEGIN"), query("COMMIT")],
    "prepared and flushed": [query(SESSION), parse("p", "SELECT 1") + describe("S", "p") + FLUSH],
    "an error and no Sync": [query(SESSION), parse("p", "SELEC 1") + FLUSH],
}


@pytest.fixture(scope="module", params=["transaction", "session"])
def proxy(request, cluster):
    made = Proxy(cluster, {"pool_mode": request.param})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def say(wire, script):
    for data in script:
        wire.send(data)
        wire.until(b"Z" if data[-5:] == SYNC or data[:1] == b"Q" else b"T" if data.count(b"D\0") else b"E")


def end(wire):
    """The last words of the server, when it closes."""
    said = [error_fields(body) for kind, body in wire.drain() if kind == b"E"]
    return [(fields["S"], fields["C"], fields["M"]) for fields in said]


@pytest.mark.parametrize("what", SILENT)
def test_who_is_silent_is_closed(proxy, cluster, what):
    script, told = SILENT[what]
    for port in (cluster.port, proxy.port):
        with Wire(port).login() as wire:
            say(wire, script)
            begin = time.monotonic()
            assert end(wire) == [told]
            assert 0.5 < time.monotonic() - begin < 5


def test_who_is_not_silent_is_not(proxy, cluster):
    for port in (cluster.port, proxy.port):
        wires = {what: Wire(port).login() for what in SPARED}
        for what, script in SPARED.items():
            say(wires[what], script)
        time.sleep(1.5)
        for what, wire in wires.items():
            wire.send(SYNC)
            assert kinds(wire.until(b"Z")) == "Z", what
            wire.sock.close()


@pytest.mark.parametrize("text", ["SELECT 1", "BEGIN", "", "SELECT i FROM waking WHERE i = 1"])
def test_whatever_is_said_counts(proxy, cluster, text):
    cluster.sql("CREATE TABLE IF NOT EXISTS waking AS SELECT 1 AS i")
    for port in (cluster.port, proxy.port):
        with Wire(port).login() as wire:
            say(wire, [query(SESSION), query(TXN)])
            for i in range(8):
                say(wire, [query(text if i == 0 or text != "BEGIN" else "COMMIT; BEGIN" if i % 2 else "SELECT 1")])
                time.sleep(0.3)


@pytest.mark.skipif(not PGWEIR, reason="one server connection for several clients")
def test_nobody_gets_what_is_about_to_end(cluster):
    made = Proxy(cluster, {"default_pool_size": 1})
    with Wire(made.port).login() as one, Wire(made.port).login() as two:
        for pause in (0, 0.2, 0.35, 0.395, 0.4, 0.405, 0.45, 0.6):
            one.simple("SET idle_session_timeout = '400ms'")
            one.simple("SET idle_session_timeout = '0'; SET idle_session_timeout = '400ms'")
            time.sleep(pause)
            assert rows(two.simple("SELECT 5")) == [[b"5"]]
            assert rows(two.simple("SHOW idle_session_timeout")) == [[b"0"]]
            one.sock.close()
            one = Wire(made.port).login()
    assert made.stop() == 0


def test_what_a_role_begins_with(cluster, database):
    cluster.sql("CREATE ROLE sleepy LOGIN; ALTER ROLE sleepy SET idle_session_timeout = '1500ms'; "
                "ALTER ROLE sleepy SET idle_in_transaction_session_timeout = '600ms'")
    made = Proxy(cluster, {"default_pool_size": 2, "server_idle_timeout": 60}, users={"postgres": "", "sleepy": ""})
    try:
        for port in (cluster.port, made.port):
            with Wire(port).login(user="sleepy", database=database) as one, Wire(port).login(user="sleepy", database=database) as two, \
                    Wire(port).login(user="sleepy", database=database) as three:
                three.simple("SET idle_session_timeout = 0")
                two.simple("BEGIN")
                assert end(two) == [IDLE_IN_TXN]
                assert end(one) == [IDLE]
                time.sleep(1)
                assert rows(three.simple("SELECT 5")) == [[b"5"]]
                assert rows(three.simple("SHOW idle_session_timeout")) == [[b"0"]]
                three.simple("RESET idle_session_timeout")
                assert rows(three.simple("SHOW idle_session_timeout")) == [[b"1500ms"]]
                assert end(three) == [IDLE]
            with Wire(port).login(user="sleepy", database=database, idle_session_timeout="300ms") as one:
                assert rows(one.simple("SHOW idle_session_timeout")) == [[b"300ms"]]
                assert end(one) == [IDLE]
    finally:
        assert made.stop() == 0
        cluster.sql("DROP ROLE sleepy")
