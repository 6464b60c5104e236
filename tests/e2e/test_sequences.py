"""currval() and lastval(): a client's own values or PostgreSQL's own error, never another client's."""
import json

import psycopg
import pytest

from pgweir_test.proxy import Proxy, PGBOUNCER
from pgweir_test.tools import wait_for

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer shows other clients' values")
NOT_YET = "55000"


@pytest.fixture(scope="module")
def setup(cluster):
    """A database of its own: code that other tests bring may change sessions unseen, which costs more."""
    cluster.sql("CREATE DATABASE sequences")
    cluster.sql("CREATE SEQUENCE other_seq; CREATE TABLE numbered (id serial PRIMARY KEY, v int); CREATE TABLE plain (v int);"
                "CREATE TABLE identity (id int GENERATED ALWAYS AS IDENTITY, v int);"
                "CREATE FUNCTION add_one() RETURNS void LANGUAGE sql AS 'INSERT INTO numbered (v) VALUES (1)'", dbname="sequences")


@pytest.fixture
def proxy(cluster, setup):
    """One backend for all, fresh for each test."""
    made = Proxy(cluster, {"default_pool_size": 1, "query_wait_timeout": 5})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def value(conn, text):
    """What a question for a number says: the number, or the SQLSTATE."""
    try:
        return conn.execute(text).fetchone()[0]
    except psycopg.Error as error:
        return error.sqlstate


def insert(conn):
    return conn.execute("INSERT INTO numbered (v) VALUES (1) RETURNING id").fetchone()[0]


def test_own_values_in_two_statements(proxy):
    with proxy.connect("sequences") as one:
        mine = insert(one)
        assert value(one, "SELECT lastval()") == mine
        assert value(one, "SELECT currval('numbered_id_seq')") == mine
        assert value(one, "SELECT currval(pg_get_serial_sequence('numbered', 'id'))") == mine


@pytest.mark.parametrize("use", ["INSERT INTO numbered (v) VALUES (1)", "INSERT INTO identity (v) VALUES (1)", "SELECT nextval('other_seq')",
                                 "SELECT setval('other_seq', 500)", "SELECT add_one()", "DO $$ BEGIN PERFORM nextval('other_seq'); END $$"])
def test_never_another_clients(proxy, use):
    with proxy.connect("sequences") as one, proxy.connect("sequences") as two:
        one.execute(use)
        for question in ("lastval()", "currval('numbered_id_seq')", "currval('other_seq')", "currval('identity_id_seq')"):
            assert value(two, f"SELECT {question}") == NOT_YET, question


def test_never_another_clients_behind_an_own_write(proxy):
    """A write that advances no sequence does not make another client's values one's own."""
    with proxy.connect("sequences") as one, proxy.connect("sequences") as two:
        insert(one)
        two.execute("INSERT INTO plain VALUES (1)")
        assert value(two, "SELECT lastval()") == NOT_YET
        insert(one)
        with two.transaction():
            two.execute("INSERT INTO plain VALUES (1)")
            assert value(two, "SELECT currval('numbered_id_seq')") == NOT_YET


def test_own_values_in_a_transaction(proxy):
    with proxy.connect("sequences") as one, proxy.connect("sequences") as two:
        two.execute("SELECT nextval('other_seq')")
        with one.transaction():
            mine = insert(one)
            assert value(one, "SELECT lastval()") == mine
    with proxy.connect("sequences") as one:
        with one.transaction():
            mine = value(one, "SELECT nextval('other_seq')")
            assert value(one, "SELECT currval('other_seq')") == mine


def test_who_asks_keeps_its_values_from_then_on(cluster, setup):
    proxy = Proxy(cluster, {"default_pool_size": 2})
    with proxy.connect("sequences") as one, proxy.connect("sequences") as two:
        insert(one)
        value(one, "SELECT lastval()")
        for _ in range(3):
            mine = insert(one)
            insert(two), insert(two)
            assert value(one, "SELECT lastval()") == mine
            assert value(one, "SELECT 1") == 1
        one.execute("DISCARD SEQUENCES")
        assert value(one, "SELECT lastval()") == NOT_YET
        assert proxy.metrics()["pgweir_sequence_discards_total"] <= 8
    assert proxy.stop() == 0


def test_who_waits_gets_the_server_connection_of_who_only_may_ask_again(cluster, setup):
    """Applications that ask after each INSERT and keep their connections would otherwise keep every server connection."""
    proxy = Proxy(cluster, {"default_pool_size": 2, "query_wait_timeout": 20})
    conns = [proxy.connect("sequences") for _ in range(6)]
    mine = {}
    for _ in range(2):
        for conn in conns:
            mine[conn] = insert(conn)
            assert value(conn, "SELECT lastval()") == mine[conn]
    for conn in conns:
        assert value(conn, "SELECT lastval()") in (NOT_YET, mine[conn])
        conn.close()
    assert proxy.stop() == 0


def test_its_own_older_values_are_not_shown_either(cluster, setup):
    """A server connection that it used before holds what it was told then."""
    proxy = Proxy(cluster, {"default_pool_size": 3, "max_pinned": 1})
    pinned, one, two, three = (proxy.connect("sequences") for _ in range(4))
    pinned.execute("CREATE TEMP TABLE mine AS SELECT 1")
    older = insert(one)
    assert value(one, "SELECT lastval()") == older
    two.execute("BEGIN")
    assert value(two, "SELECT 1") == 1, "with the server connection that one has used"
    newer = insert(one)
    three.execute("BEGIN")
    assert value(three, "SELECT 1") == 1, "with the other one"
    two.execute("COMMIT")
    assert value(one, "SELECT lastval()") in (NOT_YET, newer)
    for conn in (pinned, one, two, three):
        conn.close()
    assert proxy.stop() == 0


def test_pin_timeout_closes_nobody_for_the_values_of_sequences(cluster, setup):
    proxy = Proxy(cluster, {"default_pool_size": 1, "pin_timeout": "300ms"})
    with proxy.connect("sequences") as one:
        mine = insert(one)
        assert value(one, "SELECT lastval()") == mine

        def pinned():
            return any(pool["pinned"] for pool in json.loads(proxy.http("/stats.json")[1])["pools"])
        wait_for("the pin to go", lambda: not pinned())
        assert value(one, "SELECT lastval()") == mine, "nobody has used a sequence in between"
        wait_for("the pin to go", lambda: not pinned())
        with proxy.connect("sequences") as two:
            insert(two)
        assert value(one, "SELECT lastval()") == NOT_YET
    assert proxy.stop() == 0


def test_who_never_asks_costs_and_pins_nothing(proxy):
    conns = [proxy.connect("sequences") for _ in range(3)]
    for _ in range(4):
        for conn in conns:
            insert(conn)  # a session's first few are kept apart
    before = proxy.metrics()["pgweir_sequence_discards_total"]
    for _ in range(20):
        for conn in conns:
            insert(conn)
    assert proxy.metrics()["pgweir_sequence_discards_total"] == before
    for conn in conns:
        conn.close()


def test_a_pipeline_that_skips_the_discard(proxy):
    """The DISCARD SEQUENCES in front is skipped by an error: what comes behind must not believe in it."""
    from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse, rows

    with proxy.connect("sequences") as one, Wire(proxy.port).login(database="sequences") as two:
        insert(one)
        run = parse("", "SELECT lastval()") + bind("", "") + execute()
        two.send(parse("", "SELECT 1/0") + bind("", "") + execute() + run + SYNC + run + SYNC)
        got = two.until(b"Z") + two.until(b"Z")
        assert errors(got) == ["22012", NOT_YET] and rows(got) == []


@pytest.mark.parametrize("text", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_a_pipeline_that_takes_the_discards_statement_away(proxy, text):
    """What was prepared for the DISCARD SEQUENCES in front goes with the client's own statements: the INSERT is not lost."""
    from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse, query

    write = "INSERT INTO numbered (v) VALUES (1)"
    run = parse("", write) + bind("", "") + execute() + SYNC
    with proxy.connect("sequences") as one:
        for behind in (run, query(write) + query("SELECT 1"), run + run):
            with Wire(proxy.port).login(database="sequences") as two:
                for data in (run, run):
                    insert(one)
                    two.send(data)
                    two.until(b"Z")
                insert(one)
                before = one.execute("SELECT count(*) FROM numbered").fetchone()[0]
                two.send(query(text) + behind)
                got = two.until(b"Z") + [message for _ in range(behind.count(SYNC) + behind.count(b"Q\0\0")) for message in two.until(b"Z")]
                assert errors(got) == [] and [body for kind, body in got if kind == b"C"][1].startswith(b"INSERT")
            assert one.execute("SELECT count(*) FROM numbered").fetchone()[0] == before + behind.count(write.encode())
