"""Transactions on a shared pool: what belongs together stays together, BEGIN waits for its first statement."""
import psycopg
import pytest

from pgweir_test.proxy import DIRECT, PGWEIR, Proxy
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, kinds, parse, query, rows


def status(messages):
    """The transaction status of the last ReadyForQuery."""
    return messages[-1][1].decode()


def test_a_transaction_keeps_its_backend(proxy):
    with proxy.connect(autocommit=False) as conn:
        pids = {conn.execute("SELECT pg_backend_pid()").fetchone() for _ in range(5)}
        assert len(pids) == 1


def test_commit_and_rollback(proxy, database):
    with proxy.connect(database, autocommit=False) as conn:
        conn.execute("CREATE TABLE t (i int PRIMARY KEY)")
        conn.commit()
        conn.execute("INSERT INTO t VALUES (1)")
        conn.rollback()
        conn.execute("INSERT INTO t VALUES (2)")
        conn.commit()
        assert conn.execute("SELECT i FROM t").fetchall() == [(2,)]


def test_savepoints(proxy, database):
    with proxy.connect(database) as conn:
        conn.execute("CREATE TABLE t (i int PRIMARY KEY)")
        with conn.transaction():
            conn.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(psycopg.errors.UniqueViolation):
                with conn.transaction():
                    conn.execute("INSERT INTO t VALUES (1)")
            conn.execute("INSERT INTO t VALUES (2)")
        assert conn.execute("SELECT sum(i) FROM t").fetchone() == (3,)


def test_a_failed_transaction_says_so(proxy):
    with Wire(proxy.port).login() as wire:
        assert status(wire.simple("BEGIN")) == "T"
        assert status(wire.simple("SELECT 1/0")) == "E"
        assert errors(wire.simple("SELECT 1")) == ["25P02"]
        got = wire.simple("COMMIT")
        assert status(got) == "I" and (b"C", b"ROLLBACK\0") in got


def test_begin_alone_uses_no_backend(cluster):
    if not PGWEIR:
        pytest.skip("defer_begin is pgweir's")
    proxy = Proxy(cluster, {"default_pool_size": 1})
    clients = [Wire(proxy.port).login() for _ in range(5)]
    for wire in clients:  # with one backend, the second would wait for ever
        assert status(wire.simple("BEGIN")) == "T"
    assert proxy.metrics().count("begins_deferred") >= 5
    for wire in clients:
        got = wire.simple("COMMIT")
        assert status(got) == "I" and (b"C", b"COMMIT\0") in got
        wire.sock.close()
    assert proxy.metrics().count("begins_saved") >= 5
    assert proxy.stop() == 0


@pytest.mark.parametrize("begin", [
    "BEGIN", "begin;", "START TRANSACTION", "BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN READ ONLY",
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE", "/* c */ BEGIN WORK"])
@pytest.mark.parametrize("defer", [1, 0])
def test_begin_means_what_it_says(cluster, begin, defer):
    proxy = Proxy(cluster, {"defer_begin": defer})
    with Wire(proxy.port).login() as wire:
        got = wire.simple(begin)
        assert status(got) == "T" and got[0][0] == b"C"
        level = rows(wire.simple("SHOW transaction_isolation"))[0][0]
        only = rows(wire.simple("SHOW transaction_read_only"))[0][0]
        assert level == (b"serializable" if "SERIALIZABLE" in begin else
                         b"repeatable read" if "REPEATABLE" in begin else b"read committed")
        assert only == (b"on" if "READ ONLY" in begin else b"off")
        assert status(wire.simple("ROLLBACK")) == "I"
    assert proxy.stop() == 0


def test_warnings_about_transactions_are_postgresqls(proxy):
    """A second BEGIN, a COMMIT without one: a WARNING, 25001 and 25P01."""
    with Wire(proxy.port).login() as wire:
        for first, second, state in (("BEGIN", "BEGIN", b"C25001\0"), ("ROLLBACK", "COMMIT", b"C25P01\0")):
            wire.simple(first)
            assert any(kind == b"N" and state in body for kind, body in wire.simple(second))
        wire.simple("ROLLBACK")


def test_begin_by_the_extended_protocol(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("", "BEGIN"), bind("", ""), execute(), SYNC)
        got = wire.until(b"Z")
        assert kinds(got) == "12CZ" and status(got) == "T"
        wire.send(parse("", "SELECT 1"), bind("", ""), execute(), SYNC)
        assert status(wire.until(b"Z")) == "T"
        wire.send(parse("", "COMMIT"), bind("", ""), execute(), SYNC)
        assert status(wire.until(b"Z")) == "I"


def test_now_is_the_time_of_the_transaction(proxy):
    with Wire(proxy.port).login() as wire:
        wire.simple("BEGIN")
        first = rows(wire.simple("SELECT now()"))
        assert rows(wire.simple("SELECT now()")) == first
        wire.simple("COMMIT")


def test_several_statements_are_one_implicit_transaction(proxy, database):
    proxy.psql("CREATE TABLE t (i int PRIMARY KEY)", dbname=database)
    with Wire(proxy.port).login(database=database) as wire:
        assert errors(wire.simple("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)")) == ["23505"]
        assert rows(wire.simple("SELECT count(*) FROM t")) == [[b"0"]]
        assert errors(wire.simple("BEGIN; INSERT INTO t VALUES (2); COMMIT; SELECT 1/0")) == ["22012"]
        assert rows(wire.simple("SELECT i FROM t")) == [[b"2"]]


def test_pipelined_batches_keep_their_order(proxy, database):
    proxy.psql("CREATE TABLE t (i int PRIMARY KEY)", dbname=database)
    with Wire(proxy.port).login(database=database) as wire:
        batch = []
        for i in range(200):
            batch += [parse("", f"INSERT INTO t VALUES ({i})"), bind("", ""), execute(), SYNC,
                      query(f"SELECT max(i) FROM t")]
        wire.send(*batch)
        for i in range(200):
            assert kinds(wire.until(b"Z")) == "12CZ"
            assert rows(wire.until(b"Z")) == [[str(i).encode()]]


def test_a_pipeline_without_sync_between_is_one_transaction(proxy, database):
    proxy.psql("CREATE TABLE t (i int PRIMARY KEY)", dbname=database)
    with Wire(proxy.port).login(database=database) as wire:
        wire.send(*[part for i in (1, 2, 1) for part in (parse("", f"INSERT INTO t VALUES ({i})"), bind("", ""), execute())],
                  SYNC)
        assert errors(wire.until(b"Z")) == ["23505"]
        assert rows(wire.simple("SELECT count(*) FROM t")) == [[b"0"]]


def test_row_limits_suspend_a_portal(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(query("BEGIN"))
        wire.until(b"Z")
        wire.send(parse("", "SELECT i FROM generate_series(1, 5) i"), bind("p", ""), execute("p", 2), SYNC)
        assert kinds(wire.until(b"Z")) == "12DDsZ"
        wire.send(execute("p", 2), SYNC)
        assert kinds(wire.until(b"Z")) == "DDsZ"
        wire.send(execute("p", 2), SYNC)
        assert kinds(wire.until(b"Z")) == "DCZ"
        wire.simple("COMMIT")


def test_cursors_live_in_their_transaction(proxy):
    with proxy.connect(autocommit=False) as conn:
        with conn.cursor(name="c") as cur:
            cur.execute("SELECT i FROM generate_series(1, 1000) i")
            assert cur.fetchmany(3) == [(1,), (2,), (3,)]
            assert len(cur.fetchall()) == 997


def test_function_calls(proxy):
    """The old FunctionCall message."""
    import struct
    from pgweir_test.wire import message
    with Wire(proxy.port).login() as wire:
        oid = int(rows(wire.simple("SELECT 'int4pl'::regproc::oid"))[0][0])
        body = struct.pack("!IHHH", oid, 1, 1, 2) + (struct.pack("!Ii", 4, 40) + struct.pack("!Ii", 4, 2)) + struct.pack("!H", 1)
        wire.send(message(b"F", body))
        got = wire.until(b"Z")
        assert kinds(got) == "VZ" and got[0][1] == struct.pack("!Ii", 4, 42)


def test_notices_reach_their_client(proxy):
    with proxy.connect() as conn:
        notices = []
        conn.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))
        conn.execute("DO $$ BEGIN RAISE NOTICE 'hello from the server'; END $$")
        assert notices == ["hello from the server"]


@pytest.mark.skipif(DIRECT, reason="one backend for several clients")
def test_clients_take_turns_on_one_backend(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 1})
    clients = [proxy.connect() for _ in range(5)]
    assert len({conn.execute("SELECT pg_backend_pid()").fetchone() for conn in clients * 2}) == 1
    for conn in clients:
        conn.close()
    assert proxy.stop() == 0


def test_startup_parameters_are_the_sessions_own(proxy):
    with proxy.connect(dsn={"application_name": "one"}) as one, proxy.connect(dsn={"application_name": "two"}) as two:
        for _ in range(3):
            assert one.execute("SHOW application_name").fetchone() == ("one",)
            assert two.execute("SHOW application_name").fetchone() == ("two",)


def test_parameter_status_is_what_the_session_has(proxy):
    with Wire(proxy.port).login(client_encoding="UTF8", TimeZone="Europe/Berlin") as wire:
        for name in ("server_version", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes",
                     "standard_conforming_strings"):
            assert wire.parameters.get(name), name
        assert wire.parameters["TimeZone"] == "Europe/Berlin"
        assert rows(wire.simple("SHOW timezone")) == [[b"Europe/Berlin"]]
