"""COPY in and out, and answers too large to be held in memory."""
import pytest

from pgweir_test.proxy import DIRECT, PGWEIR
from pgweir_test.tools import SLOW
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, kinds, message, parse, query

pytestmark = pytest.mark.release
MIB = 1024 * 1024
BIG = (20 if SLOW else 100) * MIB


def test_copies_in_and_out(proxy, database):
    with proxy.connect(database) as conn:
        conn.execute("CREATE TABLE t (i int, s text)")
        with conn.cursor() as cur, cur.copy("COPY t FROM STDIN") as copy:
            for i in range(20000):
                copy.write_row((i, f"row {i}"))
        assert conn.execute("SELECT count(*), sum(i) FROM t").fetchone() == (20000, 199990000)
        with conn.cursor() as cur, cur.copy("COPY t TO STDOUT (FORMAT binary)") as copy:
            assert sum(len(block) for block in copy) > 20000 * 10


def test_copy_in_can_fail_in_the_middle(proxy, database):
    with proxy.connect(database) as conn:
        conn.execute("CREATE TABLE t (i int)")
        with pytest.raises(Exception, match="invalid input syntax"):
            with conn.cursor() as cur, cur.copy("COPY t FROM STDIN") as copy:
                for _ in range(2000):
                    copy.write("1\n")
                copy.write("not a number\n")
                for _ in range(2000):
                    copy.write("1\n")
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_client_can_give_up_a_copy(proxy, database):
    proxy.psql("CREATE TABLE t (i int)", dbname=database)
    with Wire(proxy.port).login(database=database) as wire:
        wire.send(query("COPY t FROM STDIN"))
        assert wire.until(b"G")
        wire.send(message(b"d", b"1\n"), message(b"f", b"changed my mind\0"))
        got = wire.until(b"Z")
        assert errors(got) == ["57014"]
        assert kinds(wire.simple("SELECT count(*) FROM t")) == "TDCZ"


def test_messages_after_a_failed_copy_are_skipped(proxy, database):
    """CopyData that was on its way when the server gave up must not be taken for anything else."""
    proxy.psql("CREATE TABLE t (i int)", dbname=database)
    with Wire(proxy.port).login(database=database) as wire:
        wire.send(query("COPY t FROM STDIN"), message(b"d", b"bad\n"), *[message(b"d", b"1\n")] * 100, message(b"c"))
        assert errors(wire.until(b"Z")) == ["22P02"]
        assert kinds(wire.simple("SELECT 1")) == "TDCZ"


def test_copy_with_the_extended_protocol(proxy, database):
    proxy.psql("CREATE TABLE t (i int)", dbname=database)
    with Wire(proxy.port).login(database=database) as wire:
        wire.send(parse("", "COPY t FROM STDIN"), bind("", ""), execute(), message(b"d", b"1\n2\n"), message(b"c"), SYNC)
        assert kinds(wire.until(b"Z")) == "12GCZ"
        wire.send(parse("", "COPY t TO STDOUT"), bind("", ""), execute(), SYNC)
        assert kinds(wire.until(b"Z")) == "12HddcCZ"


@pytest.mark.slow
def test_a_large_result_needs_no_large_memory(cluster):
    from pgweir_test.proxy import Proxy
    fresh = Proxy(cluster)
    with fresh.connect() as conn:
        before = 0 if DIRECT else fresh.rss_kib()
        with conn.cursor() as cur, cur.copy(
                f"COPY (SELECT repeat('x', 1000) FROM generate_series(1, {BIG // 1000})) TO STDOUT") as copy:
            assert sum(len(block) for block in copy) >= BIG
        if PGWEIR:
            assert fresh.rss_kib() - before < 16 * 1024
    assert fresh.stop() == 0


@pytest.mark.slow
def test_a_slow_reader_stops_the_server_not_the_memory(cluster):
    """Back pressure: a client that does not read makes us stop reading."""
    import time
    from pgweir_test.proxy import Proxy
    fresh = Proxy(cluster)
    with Wire(fresh.port).login() as wire:
        before = 0 if DIRECT else fresh.rss_kib()
        wire.send(query(f"SELECT repeat('x', 1000) FROM generate_series(1, {BIG // 1000})"))
        wire.recv()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:  # the condition is that nothing happens
            if PGWEIR:
                assert fresh.rss_kib() - before < 16 * 1024
            time.sleep(0.1)
        size = 0
        while True:
            kind, body = wire.recv()
            size += len(body)
            if kind == b"Z":
                break
        assert size > BIG
    assert fresh.stop() == 0


@pytest.mark.slow
def test_one_large_row_passes(proxy):
    with proxy.connect() as conn:
        assert len(conn.execute("SELECT repeat('y', %s)", (60 * MIB,)).fetchone()[0]) == 60 * MIB


@pytest.mark.slow
def test_a_large_parameter_passes(proxy):
    with proxy.connect() as conn:
        assert conn.execute("SELECT length(%s::text)", ("z" * (40 * MIB),)).fetchone()[0] == 40 * MIB
