"""Prepared statements while transactions move between backends."""
import psycopg
import pytest

from pgweir_test.proxy import Proxy, PGBOUNCER
from pgweir_test.wire import SYNC, Wire, bind, close, describe, error_fields, errors, execute, kinds, parse, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer 1.18 has no prepared statements in transaction mode")


@pytest.fixture(scope="module")
def proxy(cluster):
    """A pool of two, so that statements do meet other backends."""
    made = Proxy(cluster, {"default_pool_size": 2, "max_prepared_statements": 5})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def occupy(proxy):
    """A transaction on another connection: it takes the backend that was used last."""
    conn = proxy.connect(autocommit=False)
    conn.execute("SELECT pg_backend_pid()").fetchone()
    return conn


def test_a_named_statement_works_on_every_backend(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("s1", "SELECT $1::int + 1"), SYNC)
        assert kinds(wire.until(b"Z")) == "1Z"
        for i in range(3):
            with occupy(proxy):
                wire.send(bind("", "s1", [str(i).encode()]), execute(), SYNC)
                assert rows(wire.until(b"Z")) == [[str(i + 1).encode()]]


def test_the_unnamed_statement_survives_sync(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("", "SELECT $1::int * 2"), SYNC)
        wire.until(b"Z")
        with occupy(proxy):
            wire.send(bind("", "", [b"21"]), describe("P"), execute(), SYNC)
            got = wire.until(b"Z")
            assert kinds(got) == "2TDCZ" and rows(got) == [[b"42"]]


def test_two_clients_use_one_name_for_different_statements(proxy):
    with Wire(proxy.port).login() as one, Wire(proxy.port).login() as two:
        one.send(parse("s", "SELECT 'one'"), SYNC)
        two.send(parse("s", "SELECT 'two'"), SYNC)
        one.until(b"Z"), two.until(b"Z")
        for _ in range(3):
            for wire, word in ((one, b"one"), (two, b"two")):
                wire.send(bind("", "s"), execute(), SYNC)
                assert rows(wire.until(b"Z")) == [[word]]


@pytest.mark.parametrize("name", ["s", ""])
def test_values_are_counted_first(proxy, cluster, name):
    """PostgreSQL holds the statement and counts; another backend would have to parse it, and may not find its table any more."""
    cluster.sql("CREATE TABLE IF NOT EXISTS counted (i int)")
    with Wire(proxy.port).login() as wire:
        wire.send(parse("set", "SET search_path = nowhere"), parse("begin", "BEGIN"), parse("fail", "SELECT 1/$1::int"),
                  parse(name, "INSERT INTO counted VALUES ($1)"), SYNC, bind("c", "set"), execute("c"), SYNC)
        wire.until(b"Z"), wire.until(b"Z")
        for begin in (False, True):
            with occupy(proxy):
                if begin:
                    wire.send(bind("c", "begin"), execute("c"), SYNC, bind("c2", "fail", [b"0"]), execute("c2"), SYNC)
                    assert errors(wire.until(b"Z") + wire.until(b"Z")) == ["22012"]
                wire.send(bind("", name, [b"1", b"2"]), execute(), SYNC)
                fields = [error_fields(body) for kind, body in wire.until(b"Z") if kind == b"E"]
                assert [(f["C"], f["M"]) for f in fields] == [
                    ("08P01", f'bind message supplies 2 parameters, but prepared statement "{name}" requires 1')]
                if begin:
                    wire.simple("ROLLBACK")
        assert rows(wire.simple("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE '%standin'")) == [[b"0"]]


def test_what_has_no_rows_is_described_in_a_failed_transaction(proxy):
    """Also on a backend that would have to parse it, and refuses to."""
    with Wire(proxy.port).login() as wire:
        wire.send(parse("s", "SET work_mem = '5MB'"), parse("d", "DELETE FROM pg_class WHERE oid = $1", (23,)), SYNC)
        wire.until(b"Z")
        with occupy(proxy):
            wire.simple("BEGIN"), wire.simple("SELECT 1/0")
            for name in ("s", "d"):
                wire.send(describe("S", name), SYNC)
                assert kinds(wire.until(b"Z")) == "tnZ"
            wire.simple("ROLLBACK")


def test_a_prepare_is_no_parameter_of_ones_own(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("q", "PREPARE q2 (int) AS SELECT $1 + 1"), SYNC)
        wire.until(b"Z")
        with occupy(proxy):
            wire.send(bind("", "q"), execute(), SYNC)
            assert kinds(wire.until(b"Z")) == "2CZ"


def test_unknown_and_duplicate_names_are_errors_not_ends(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(bind("", "nobody"), execute(), SYNC)
        assert errors(wire.until(b"Z")) == ["26000"]
        wire.send(parse("d", "SELECT 1"), SYNC)
        wire.until(b"Z")
        wire.send(parse("d", "SELECT 2"), SYNC)
        assert errors(wire.until(b"Z")) == ["42P05"]
        wire.send(bind("", "d"), execute(), SYNC)
        assert rows(wire.until(b"Z")) == [[b"1"]]


def test_closed_statements_are_gone(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("c", "SELECT 1"), close("S", "c"), close("S", "never there"), SYNC)
        assert kinds(wire.until(b"Z")) == "133Z"
        wire.send(bind("", "c"), SYNC)
        assert errors(wire.until(b"Z")) == ["26000"]
        wire.send(parse("c", "SELECT 2"), bind("", "c"), execute(), SYNC)
        assert rows(wire.until(b"Z")) == [[b"2"]]


def test_describe_tells_parameters_and_columns(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("t", "SELECT $1::int8 AS a, $2::text AS b"), SYNC)
        wire.until(b"Z")
        with occupy(proxy):
            wire.send(describe("S", "t"), SYNC)
            got = wire.until(b"Z")
            assert kinds(got) == "tTZ"
            assert got[0][1] == b"\0\2" + (20).to_bytes(4, "big") + (25).to_bytes(4, "big")


def test_many_statements_overflow_the_backends_cache(proxy):
    with proxy.connect() as conn:
        for round_ in range(3):
            for i in range(30):
                row = conn.execute(f"SELECT {i}, %s::int", (round_,), prepare=True).fetchone()
                assert row == (i, round_)


def test_a_statement_that_fails_to_parse_is_not_kept(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("e", "SELEC 1"), SYNC)
        assert errors(wire.until(b"Z")) == ["42601"]
        wire.send(parse("e", "SELECT 1"), bind("", "e"), execute(), SYNC)
        assert kinds(wire.until(b"Z")) == "12DCZ"


def test_a_changed_table_is_prepared_again_unseen(proxy, database):
    with proxy.connect(database) as conn:
        conn.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        wire = Wire(proxy.port).login(database=database)
        wire.send(parse("star", "SELECT * FROM t"), SYNC)
        wire.until(b"Z")
        wire.send(bind("", "star"), execute(), SYNC)
        assert rows(wire.until(b"Z")) == [[b"1"]]
        conn.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 2")
        with wire:
            wire.send(bind("", "star"), execute(), SYNC)
            got = wire.until(b"Z")
            # PostgreSQL alone says 0A000 here; both that and the new row are right for a client.
            assert rows(got) == [[b"1", b"2"]] or errors(got) == ["0A000"]


def test_sql_prepare_and_execute(proxy):
    with proxy.connect() as conn:
        conn.execute("PREPARE p(int) AS SELECT $1 + 100")
        assert conn.execute("EXECUTE p(5)").fetchone() == (105,)
        conn.execute("DEALLOCATE p")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            conn.execute("EXECUTE p(5)")


def test_deallocate_all_forgets_protocol_statements_too(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("x", "SELECT 1"), SYNC)
        wire.until(b"Z")
        wire.simple("DEALLOCATE ALL")
        wire.send(bind("", "x"), SYNC)
        assert errors(wire.until(b"Z")) == ["26000"]


def test_nobody_reaches_what_clients_share_by_sql(proxy):
    """The names are the proxy's: neither EXECUTE nor DEALLOCATE nor PREPARE gets at them, in either protocol."""
    with Wire(proxy.port).login() as owner, Wire(proxy.port).login() as other:
        owner.send(parse("mine", "SELECT 'secret'"), SYNC)
        owner.until(b"Z")
        names = [f"pgweir_{i}" for i in range(1, 30)]
        for sql in [f"EXECUTE {name}" for name in names] + [f"DEALLOCATE {name}" for name in names] + [
                "PREPARE pgweir_77 AS SELECT 1"] + [f"EXPLAIN (VERBOSE) EXECUTE {name}" for name in names] + [
                "EXPLAIN CREATE TABLE nothing AS EXECUTE pgweir_1", "CREATE TABLE nothing AS EXECUTE pgweir_1"]:
            other.send(parse("", sql), bind("", ""), execute(), SYNC, parse("n", sql), SYNC, bind("", "n"), execute(), SYNC, close("S", "n"), SYNC)
            got = [other.until(b"Z") for _ in range(4)]
            assert [errors(part) for part in got] == [["26000"], [], ["26000"], []], sql
            assert not rows(got[0] + got[2])
            assert errors(other.simple(sql)) == ["26000"]
        other.simple("BEGIN")
        other.simple("SELECT pg_backend_pid()")
        assert errors(other.simple("DEALLOCATE pgweir_1")) == ["26000"]
        assert errors(other.simple("SELECT 1")) == ["25P02"]
        assert other.simple("ROLLBACK")[-1] == (b"Z", b"I")
        owner.send(bind("", "mine"), execute(), SYNC)
        assert rows(owner.until(b"Z")) == [[b"secret"]]


def test_a_warning_of_a_parse_comes_with_each(proxy, cluster):
    """Also when another client's Parse of the same text was answered with it before."""
    text = "SELECT length('a\\tb')"

    def warnings(port):
        told = []
        for _ in range(2):
            with Wire(port).login() as wire:
                wire.simple("SET standard_conforming_strings = off")
                for name in ("one", "two", ""):
                    wire.send(parse(name, text) + SYNC)
                    told.append([error_fields(body)["C"] for kind, body in wire.until(b"Z") if kind == b"N"])
                wire.send(bind("", "two") + execute() + SYNC)
                told.append(rows(wire.until(b"Z")))
        return told

    assert warnings(cluster.port) == [["22P06"]] * 3 + [[[b"3"]]] + [["22P06"]] * 3 + [[[b"3"]]]
    assert warnings(proxy.port) == warnings(cluster.port)
