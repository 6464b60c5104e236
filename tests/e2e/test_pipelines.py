"""Names of prepared statements in pipelines: through pgweir as on PostgreSQL itself, whatever fails or is skipped."""
import asyncio
import threading

import asyncpg
import pytest

from pgweir_test.proxy import DIRECT, Proxy, PGBOUNCER
from pgweir_test.wire import FLUSH, SYNC, TERMINATE, Wire, bind, close, describe, error_fields, execute, message, parse, query, rows, told, turns

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
    "a query behind a skipped Close takes the unnamed one away": [
        parse("", "INSERT INTO pipelined VALUES (1)") + SYNC,
        describe("S", "nobody") + close("S", "") + SYNC + query("SELECT 2") + run("") + SYNC, query("SELECT count(*) FROM pipelined")],
    "a skipped Close and Parse beside SQL's PREPARE": [
        parse("b", "SELECT 5") + SYNC, query("PREPARE a AS SELECT 1"),
        parse("", "SELECT 1/0") + run("") + close("S", "b") + parse("b", "SELECT 6") + SYNC, run("b") + SYNC, run("b") + SYNC,
        close("S", "b") + parse("b", "SELECT 7") + run("b") + SYNC, query("EXECUTE b")],
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
    "SQL explains what the protocol has made": [
        parse("p", "SELECT $1::int + 1") + SYNC, query("EXPLAIN EXECUTE p(1)"), query("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE p(1)"),
        query("BEGIN; CREATE TABLE made AS EXECUTE p(2); SELECT * FROM made"), query("EXPLAIN EXECUTE nobody"), query("ROLLBACK"),
        parse("e", "EXPLAIN EXECUTE p(2)") + run("e") + SYNC, query("BEGIN; EXPLAIN EXECUTE p(1); DEALLOCATE p; COMMIT"), query("EXPLAIN EXECUTE p(1)"),
        run("p") + SYNC],
    "a text that is known in a failed transaction": [parse("p1", "SELECT 1") + SYNC + query("BEGIN") + parse("", "SELECT 1/0") + run("") + SYNC
                                                     + parse("p2", "SELECT 1") + run("p2") + SYNC + query("ROLLBACK") + run("p2") + SYNC],
    "the portal of a query that failed": [
        query("BEGIN READ ONLY"), query("INSERT INTO pipelined VALUES (1) RETURNING i"), describe("P", "") + SYNC,
        query("ROLLBACK"), query("BEGIN"), query("SELECT 1 / i FROM generate_series(0, 1) i"), describe("P", "") + SYNC,
        query("ROLLBACK")],
    "no portal of a query that did not parse": [query(text) + execute("") + SYNC + describe("P", "") + SYNC + query("ROLLBACK") for text in (
        "BEGIN", "SELEC 1", "BEGIN READ ONLY", "SELECT * FROM nowhere", "BEGIN", "")],
    "no portal of a query that succeeded": [query("BEGIN"), query("SELECT 1"), execute("") + SYNC, query("ROLLBACK"), query("BEGIN READ WRITE"), query(""),
                                            describe("P", "") + SYNC, query("ROLLBACK")],
    "the portal of what needs no server": [query("BEGIN"), query("SELECT 1")] + [part for text in ("DEALLOCATE ALL", "", "BEGIN") for part in (
        parse("", text) + bind("", "") + execute("") + SYNC, describe("P", "") + SYNC, execute("") + SYNC, query("ROLLBACK"), query("BEGIN"),
        query("SELECT 2"))],
    "DEALLOCATE of what cannot be parsed any more": [
        parse("p", "SELECT i FROM pipelined") + SYNC, query("SET search_path = nowhere"), query("PREPARE q AS SELECT 1"), query("DEALLOCATE p"),
        run("p") + SYNC, query("RESET search_path"), parse("p", "SELECT 7") + run("p") + SYNC, query("EXECUTE p"), parse("d", "DEALLOCATE p") + run("nobody")
        + run("d") + SYNC, query("EXECUTE p"), run("p") + SYNC, query("DEALLOCATE p"), query("EXECUTE p")],
    "a portal in front of a query in a pipeline": [
        query("BEGIN"), parse("p", "SHOW work_mem") + bind("", "p") + execute("") + parse("p", "SELECT 1") + SYNC + query("SHOW work_mem"),
        describe("P", "") + SYNC, query("ROLLBACK")],
    "a deferred BEGIN that is described in a failed transaction": [
        parse("", "BEGIN ISOLATION LEVEL REPEATABLE READ") + bind("", "") + execute("") + SYNC, bind("", "", [b"4"]) + SYNC, describe("S", "") + SYNC,
        query("ROLLBACK")],
    "the portal of another name": [parse("", "BEGIN") + bind("", "") + execute("") + SYNC, query("SELECT * FROM nowhere"), execute("c") + SYNC,
                                   describe("P", "") + SYNC, query("ROLLBACK")],
    "the portal of a Bind that failed": [query("BEGIN"), parse("p", "SELECT $1::int") + bind("", "p", [b"x"]) + SYNC, describe("P", "") + SYNC,
                                         execute("") + SYNC, query("ROLLBACK"), query("BEGIN"), bind("", "nobody") + SYNC, describe("P", "") + SYNC,
                                         query("ROLLBACK"), query("BEGIN"), bind("", "p") + SYNC, describe("P", "") + SYNC, query("ROLLBACK"),
                                         query("BEGIN"), bind("c", "p", [b"1"]) + SYNC, execute("") + SYNC, query("ROLLBACK")],
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


BAD_SYNC, BAD_FLUSH = message(b"S", b"x"), message(b"H", b"x\0")
NOT_UTF8 = [b"\xff", b"a\xc3", b"\xe0\x80\x80", b"\xed\xa0\x80b", "größe".encode("latin1")]


def named(data, name):
    """With that name for `name?`."""
    cut = data.replace(b"name?", name)
    return cut[:1] + (len(cut) - 1).to_bytes(4, "big") + cut[5:]


INSERT = parse("", "INSERT INTO pipelined VALUES (1)") + run("")
COUNT = query("SELECT count(*) FROM pipelined")
# Each a list of what is sent when the answers to what was sent before have come.
FLUSHED = {
    "prepare, then run": [parse("p", "SELECT 1") + describe("S", "p") + FLUSH, run("p") + SYNC, run("p") + FLUSH, SYNC],
    "the unnamed one": [parse("", "SELECT $1::int + 1") + describe("S") + FLUSH, bind("", "", [b"4"]) + execute() + SYNC, describe("S") + FLUSH,
                        bind("", "", [b"5"]) + describe("P") + FLUSH, execute() + SYNC],
    "nothing but Sync behind it": [parse("p", "SELECT 1") + FLUSH, FLUSH + SYNC, SYNC],
    "a query behind it": [parse("", "SELECT 1") + FLUSH, query("SELECT 5"), run("") + FLUSH, SYNC],
    "a query behind an error": [run("nobody") + query("SELECT 1"), query("SELECT 2"), SYNC, run("nobody") + query("SELECT 3") + SYNC + query("SELECT 4"),
                                parse("", BAD) + query("SELECT 5") + query("SELECT 6"), SYNC],
    "close": [parse("p", "SELECT 1") + SYNC, close("S", "p") + FLUSH, run("p") + SYNC],
    "an error": [parse("p", BAD) + describe("S", "p") + FLUSH, parse("q", "SELECT 2") + run("q") + FLUSH, query("SELECT 3") + FLUSH, SYNC,
                 run("p") + SYNC + run("q") + SYNC, query("SELECT 4")],
    "an error of Describe": [parse("p", "SELECT 1") + describe("S", "q") + FLUSH, run("p") + SYNC, run("p") + SYNC],
    "an error behind one that was good": [parse("p", "SELECT 1") + FLUSH, parse("q", BAD) + FLUSH, INSERT + FLUSH, INSERT + SYNC, run("p") + SYNC,
                                          COUNT],
    "the name in use": [parse("p", "SELECT 1") + SYNC, parse("p", "SELECT 2") + FLUSH, run("p") + FLUSH, SYNC, run("p") + SYNC],
    "what has run is not parted from": [INSERT + FLUSH, parse("p", BAD) + SYNC, COUNT],
    "what has run and was prepared behind": [INSERT + FLUSH, parse("p", "SELECT 1/0") + FLUSH, run("p") + SYNC, COUNT],
    "what was prepared and has run": [parse("p", "SELECT 1/0") + FLUSH, INSERT + FLUSH, run("p") + FLUSH, INSERT + SYNC, COUNT],
    "behind a Sync": [INSERT + SYNC + parse("p", "SELECT 7") + describe("S", "p") + FLUSH, run("p") + SYNC, COUNT],
    "in a block": [query("BEGIN"), parse("p", "SELECT i FROM generate_series(1, 3) i") + describe("S", "p") + FLUSH, bind("c", "p") + execute("c", 1)
                   + FLUSH, parse("q", "SELECT 9") + FLUSH, execute("c", 1) + SYNC, describe("P", "c") + FLUSH, execute("c", 5) + SYNC,
                   query("COMMIT")],
    "an error in a block": [query("BEGIN"), INSERT + SYNC, parse("p", BAD) + FLUSH, query("SELECT 1"), SYNC, query("SELECT 1"),
                            parse("p", "SELECT 1") + FLUSH, SYNC, query("ROLLBACK"), COUNT],
    "a block that begins behind it": [parse("p", "BEGIN") + FLUSH, run("p") + FLUSH, INSERT + SYNC, parse("q", BAD) + FLUSH, SYNC,
                                      query("COMMIT"), COUNT],
    "a RESET that is only prepared": [query("SET DateStyle = 'German'"), parse("p", "RESET DateStyle") + FLUSH, query("SHOW DateStyle"),
                                      run("p") + SYNC, query("SHOW DateStyle")],
    "a Sync with something in it": [BAD_SYNC, SYNC, INSERT + BAD_SYNC, COUNT, parse("p", "SELECT 1") + BAD_SYNC, run("p") + SYNC, run("p") + BAD_SYNC,
                                    query("BEGIN"), BAD_SYNC, query("SELECT 1"), SYNC, query("ROLLBACK"), parse("p", BAD) + FLUSH, run("p"), BAD_SYNC,
                                    run("p") + SYNC, SYNC + BAD_SYNC + SYNC + COUNT],
    "a Flush with something in it": [BAD_FLUSH, query("SELECT 1"), SYNC, INSERT + BAD_FLUSH, BAD_FLUSH, SYNC, COUNT,
                                     parse("p", "SELECT 1") + BAD_FLUSH + run("p"), FLUSH, SYNC, run("p") + SYNC, query("BEGIN"), BAD_FLUSH, SYNC,
                                     query("SELECT 1"), query("COMMIT"), run("p") + SYNC + BAD_FLUSH + SYNC + SYNC],
    **{f"a name that is no text, {name}": [
        named(parse("name?", "SELECT 1"), name) + SYNC, named(bind("", "name?"), name) + execute() + SYNC, named(describe("S", "name?"), name) + SYNC,
        named(close("S", "name?"), name) + SYNC, named(parse("name?", "SELECT 1"), name) + named(bind("", "name?"), name) + execute() + SYNC,
        named(parse("name?", "BEGIN"), name) + named(bind("", "name?"), name) + execute() + SYNC, named(parse("name?", BAD), name) + SYNC,
        named(parse("name?", "SELECT 1"), name) + FLUSH, SYNC, query("BEGIN"), named(parse("name?", "SELECT 1"), name) + SYNC,
        named(parse("name?", "SELECT 1"), name) + SYNC, query("ROLLBACK"), named(bind("name?", ""), name) + SYNC, query("PREPARE p AS SELECT 1"),
        named(parse("name?", "SELECT 1"), name) + SYNC, named(close("S", "name?"), name) + SYNC] for name in NOT_UTF8},
    "a name that is one": [parse("größe", "SELECT 1") + SYNC, run("größe") + SYNC, close("S", "größe") + SYNC, run("größe") + SYNC,
                           query("SET client_encoding = LATIN1"), named(parse("name?", "SELECT 2"), NOT_UTF8[-1]) + SYNC,
                           named(bind("", "name?"), NOT_UTF8[-1]) + execute() + SYNC, named(close("S", "name?"), NOT_UTF8[-1]) + SYNC,
                           named(bind("", "name?"), NOT_UTF8[-1]) + SYNC, query("SET client_encoding = EUC_JP"),
                           named(parse("name?", "SELECT 2"), NOT_UTF8[-1]) + SYNC, named(close("S", "name?"), NOT_UTF8[-1]) + SYNC],
    "COPY behind it": [parse("p", "COPY pipelined FROM STDIN") + FLUSH, run("p") + FLUSH,
                       message(b"d", b"1\n") + message(b"c") + SYNC, parse("q", "SELECT * FROM pipelined") + describe("S", "q") + FLUSH, run("q") + SYNC],
}


@pytest.mark.sanitizer
@pytest.mark.parametrize("name", FLUSHED)
def test_flush(proxy, cluster, name):
    right = turns(cluster.port, FLUSHED[name])
    cluster.sql("TRUNCATE pipelined")
    assert turns(proxy.port, FLUSHED[name], [len(part) for part in right]) == right
    cluster.sql("TRUNCATE pipelined")


GOODBYE = {
    "a query": [query("SELECT 1"), query("SELECT 2") + TERMINATE],
    "queries": [query("SELECT pg_sleep(0.2)") + query("SELECT 2") + TERMINATE],
    "a batch": [parse("", "SELECT pg_sleep(0.1), 3") + bind("", "") + execute() + SYNC + TERMINATE],
    "a failing batch": [parse("", BAD) + bind("", "") + execute() + SYNC + TERMINATE],
    "a transaction": [query("BEGIN"), query("INSERT INTO pipelined VALUES (1)") + TERMINATE],
    "a BEGIN": [query("BEGIN") + TERMINATE],
    "a SET": [query("SET work_mem = '5MB'") + query("SHOW work_mem") + TERMINATE],
    "a large answer": [query("SELECT repeat('x', 1000) FROM generate_series(1, 3000)") + TERMINATE],
    "a COPY": [query("COPY pipelined FROM STDIN"), message(b"d", b"1\n") + message(b"c") + TERMINATE],
}


@pytest.mark.parametrize("name", GOODBYE)
def test_who_says_goodbye_behind_its_last_request_is_answered(proxy, cluster, name):
    got = []
    for port in (cluster.port, proxy.port):
        with Wire(port).login() as wire:
            for data in GOODBYE[name]:
                wire.send(data)
                got.append([told(*answer) for answer in (wire.until(b"Z", b"G") if TERMINATE not in data else wire.drain()) if answer[0] != b"S"])
    assert got[len(got) // 2:] == got[:len(got) // 2]
    cluster.sql("TRUNCATE pipelined")


@pytest.mark.skipif(DIRECT, reason="one backend for several clients")
def test_who_only_prepares_keeps_no_backend(cluster, proxy):
    """asyncpg's prepare() and postgres.js send no Sync until they run what they have prepared."""
    wires = [Wire(proxy.port).login() for _ in range(4)]
    for i, wire in enumerate(wires):
        wire.send(parse("p", f"SELECT {i}") + describe("S", "p") + FLUSH)
        assert [wire.recv()[0] for _ in range(3)] == [b"1", b"t", b"T"]
    wires[3].send(parse("bad", BAD) + FLUSH)
    assert wires[3].recv()[0] == b"E"
    for i, wire in enumerate(wires[:3]):
        wire.send(run("p") + SYNC)
        assert rows(wire.until(b"Z")) == [[str(i).encode()]]
    wires[3].send(SYNC + run("p") + SYNC)
    assert [kind for kind, _ in wires[3].until(b"Z")] == [b"Z"] and rows(wires[3].until(b"Z")) == [[b"3"]]
    for wire in wires:
        wire.sock.close()


@pytest.mark.skipif(DIRECT, reason="one backend for several clients")
def test_asyncpg_prepares_on_one_backend(proxy):
    async def story():
        conns = [await asyncpg.connect(host="127.0.0.1", port=proxy.port, user="postgres", database="postgres") for _ in range(5)]
        made = [await conn.prepare("SELECT $1::int + $2::int") for conn in conns]
        for i, statement in enumerate(made):
            assert await statement.fetchval(i, 1) == i + 1
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await conns[0].prepare("SELEC 1")
        assert await asyncio.gather(*[statement.fetchval(40, 2) for statement in made]) == [42] * 5
        for conn in conns:
            await conn.close()

    asyncio.run(asyncio.wait_for(story(), 30))


def test_the_portal_of_a_query_that_failed_is_not_run(proxy):
    """PostgreSQL 15 reads freed memory then, and may end all its sessions: this is an error of that client only."""
    with Wire(proxy.port).login() as wire:
        for turn in range(3):
            wire.simple("BEGIN"), wire.simple("SELECT 1 / i FROM generate_series(0, 1) i")
            wire.send(execute("") + SYNC)
            assert [error_fields(body)["C"] for kind, body in wire.until(b"Z") if kind == b"E"] == ["34000"]
            wire.simple("ROLLBACK")
            wire.simple("BEGIN"), wire.simple("SELECT 1/0")
            wire.send(parse("", "ROLLBACK") + bind("", "") + SYNC)
            wire.until(b"Z")
            wire.send(execute("") + SYNC)
            assert wire.until(b"Z")[-2:] == [(b"C", b"ROLLBACK\0"), (b"Z", b"I")]


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
            got = wire.until(b"Z")
            if got[0][0] == b"E":
                fields = error_fields(got[0][1])
                assert (fields["S"], fields["C"]) == ("ERROR", "54000") and i > 10
                break
        else:
            pytest.fail("160 MB of statements")
        more = parse("more", text + " || 'more'")
        wire.send(query("BEGIN"), more + run("more") + SYNC + run("big0") + SYNC + query("ROLLBACK"))
        assert [wire.until(b"Z")[-1][1] for _ in range(4)] == [b"T", b"E", b"E", b"I"]
        wire.send(run("big0") + SYNC, close("S", "big1") + more + run("more") + SYNC)
        assert len(rows(wire.until(b"Z"))[0][0]) == 4_000_001 and len(rows(wire.until(b"Z"))[0][0]) == 4_000_004


def test_a_statement_that_is_too_long_to_be_prepared(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("p", "SELECT 1") + SYNC, parse("", "SELECT '" + "x" * 17_000_000 + "'") + run("") + SYNC, run("p") + SYNC)
        assert [kind for kind, _ in wire.until(b"Z")] == [b"1", b"Z"]
        got = wire.until(b"Z")
        assert error_fields(got[0][1])["C"] == "54000" and len(got) == 2
        assert rows(wire.until(b"Z")) == [[b"1"]]


def test_a_pipeline_of_any_length(proxy):
    """More messages than answers that pgweir keeps account of, behind a statement that takes its time."""
    count = 70_000
    with Wire(proxy.port).login() as wire:
        wire.send(parse("p", "SELECT 1") + parse("", "SELECT pg_sleep(0.5)") + run("") + SYNC)
        sender = threading.Thread(target=wire.send, args=(close("S", "nobody") * count + run("p") + SYNC,))
        sender.start()
        assert len(wire.until(b"Z")) == 6
        assert len(wire.until(b"Z")) == count + 4
        sender.join()
