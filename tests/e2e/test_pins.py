"""Clients that keep their server connection: how many may, for how long, and what the next one is told."""
import psycopg
import pytest

from pgweir_test.proxy import Proxy, only_pgweir
from pgweir_test.tools import wait_for
from pgweir_test.wire import FLUSH, SYNC, Wire, close, kinds, rows

PINS = {"a temporary table": "CREATE TEMP TABLE pinned (i int)", "an advisory lock": "SELECT pg_advisory_lock(77)",
        "PREPARE": "PREPARE pinned AS SELECT 1", "a cursor": "DECLARE pinned CURSOR WITH HOLD FOR SELECT 1"}


@pytest.fixture(scope="module")
def proxy(cluster):
    made = Proxy(cluster, {"default_pool_size": 3, "max_pinned": 1})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@only_pgweir
@pytest.mark.parametrize("what", PINS)
def test_one_too_many_is_told_so_and_nobody_else_is_hurt(proxy, what):
    with proxy.connect() as one, proxy.connect() as two, proxy.connect() as three:
        one.execute("CREATE TEMP TABLE mine AS SELECT 5 AS i")
        one.execute("SELECT 1")  # now it is known to be pinned
        try:
            two.execute(PINS[what].replace("77", "78"))
            with pytest.raises(psycopg.OperationalError) as refused:
                for _ in range(3):
                    two.execute("SELECT 1")
            # What is sent after the end resets the connection, and may overtake the last words: as with PostgreSQL itself.
            assert "max_pinned" in str(refused.value) or "max_pinned" in proxy.log_text()
        except psycopg.OperationalError as error:  # already with the statement's own answer
            assert "max_pinned" in str(error)
        assert one.execute("SELECT i FROM mine").fetchone() == (5,)
        assert three.execute("SELECT count(*) FROM pg_prepared_statements WHERE from_sql").fetchone() == (0,)
        one.execute("DROP TABLE mine")
        wait_for("the pin to go", lambda: may_pin(proxy))


def may_pin(proxy):
    with proxy.connect() as conn:
        try:
            conn.execute("CREATE TEMP TABLE again (i int)")
            return conn.execute("SELECT count(*) FROM again").fetchone() == (0,)
        except psycopg.OperationalError:
            return False


@only_pgweir
def test_the_values_of_sequences_close_nobody(proxy, cluster):
    cluster.sql("CREATE SEQUENCE IF NOT EXISTS pinned_seq")
    with proxy.connect() as one, proxy.connect() as two:
        for _ in range(3):
            for conn in (one, two):
                mine = conn.execute("SELECT nextval('pinned_seq')").fetchone()
                try:
                    assert conn.execute("SELECT lastval()").fetchone() == mine
                except psycopg.errors.ObjectNotInPrerequisiteState:
                    pass  # over max_pinned: it is told that there is no value (test_sequences.py has the rest), never another's


@only_pgweir
def test_who_idles_with_a_pin_is_closed(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1, "pin_timeout": 1})
    with proxy.connect() as one, proxy.connect() as two:
        one.execute("CREATE TEMP TABLE pinned (i int)")
        assert two.execute("SELECT 1").fetchone() == (1,)  # waits until then
        with pytest.raises(psycopg.OperationalError, match="pin_timeout"):
            one.execute("SELECT 1")
    assert proxy.stop() == 0


CLOSED = {"a cursor": ("DECLARE pinned CURSOR WITH HOLD FOR SELECT 1", close("P", "pinned") + SYNC),
          "PREPARE": ("PREPARE pinned AS SELECT 1", close("S", "pinned") + SYNC),
          "both in one batch": ("DECLARE pinned CURSOR WITH HOLD FOR SELECT 1; PREPARE pinned AS SELECT 1",
                                close("S", "pinned") + FLUSH + close("P", "pinned") + SYNC)}


@only_pgweir
@pytest.mark.parametrize("what", CLOSED)
def test_a_close_by_protocol_ends_the_pin(cluster, what):
    made = Proxy(cluster, {"default_pool_size": 1, "query_wait_timeout": "10s"})
    text, closed = CLOSED[what]
    with Wire(made.port).login() as one, Wire(made.port).login() as two:
        one.simple(text)
        one.send(close("P", "another") + close("S", "another") + SYNC)
        assert kinds(one.until(b"Z")) == "33Z"
        wait_for("the pin to be counted", lambda: made.metrics().one("pgweir_clients_pinned") == 1)
        one.send(closed)
        assert set(kinds(one.until(b"Z"))) == {"3", "Z"}
        assert rows(two.simple("SELECT 5")) == [[b"5"]]
        assert rows(one.simple("SELECT 6")) == [[b"6"]]
    assert made.stop() == 0
