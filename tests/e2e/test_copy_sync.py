"""Sync and Flush of a client that copies in: PostgreSQL ignores those that it reads as part of the COPY, and answers those that it finds
behind one that has failed. What comes back has to be the same through pgweir, message by message."""
import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.wire import FLUSH, SYNC, Wire, bind, describe, execute, message, parse, query, rows, turns

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer 1.18 waits for a ReadyForQuery that does not come")
COPY = "COPY copied FROM STDIN"
RUN = parse("", COPY) + bind("", "") + execute("")
ROW, BAD, DONE, GIVEN_UP = message(b"d", b"1\n"), message(b"d", b"bad\n"), message(b"c"), message(b"f", b"changed my mind\0")
TWICE = message(b"d", b"7\n7\n")
COUNT = query("SELECT count(*) FROM copied")
LONG = message(b"d", b"".join(b"%d\n" % i for i in range(30000)))
# Each a list of what is sent when the answers to what was sent before have come.
SCRIPTS = {
    "a Sync in the middle": [query(COPY), ROW, SYNC, ROW, DONE, COUNT],
    "a Flush in the middle": [query(COPY), ROW, FLUSH, ROW, FLUSH + DONE, COUNT],
    "many of both in one piece": [query(COPY), SYNC + FLUSH + SYNC + ROW + SYNC + FLUSH + ROW + SYNC + DONE, COUNT],
    "all in one piece": [query(COPY) + SYNC + ROW + SYNC + DONE, COUNT, SYNC],
    "all in one piece, and a Sync behind it": [query(COPY) + SYNC + ROW + SYNC + DONE + SYNC + COUNT, SYNC],
    "a Sync behind CopyDone": [query(COPY), ROW + SYNC + DONE + SYNC + COUNT],
    "in a block": [query("BEGIN"), query(COPY), ROW + SYNC + DONE, COUNT, query("ROLLBACK"), COUNT],
    "a row that comes in two pieces": [query(COPY), message(b"d", b"1"), SYNC, message(b"d", b"2\n"), SYNC + DONE, COUNT],
    "a bad row": [query(COPY), ROW + SYNC + BAD, SYNC, ROW + DONE, SYNC, COUNT],
    "a bad row, all in one piece": [query(COPY), ROW + SYNC + BAD + SYNC + ROW + SYNC + FLUSH + DONE + SYNC + COUNT, SYNC],
    "a bad row in two pieces": [query(COPY), message(b"d", b"b") + SYNC + message(b"d", b"ad\n") + SYNC + DONE + COUNT],
    "a bad row, blind": [query(COPY) + SYNC + BAD + SYNC + DONE + COUNT],
    "a bad row in a block": [query("BEGIN"), query(COPY), ROW + SYNC + BAD + SYNC, DONE, SYNC, COUNT, query("ROLLBACK"), COUNT],
    "it fails at CopyDone": [query(COPY), TWICE + SYNC + SYNC, DONE, SYNC, COUNT],
    "it fails at CopyDone, in one piece": [query(COPY), TWICE + SYNC + FLUSH + SYNC + DONE + SYNC + COUNT],
    "CopyFail": [query(COPY), ROW + SYNC, GIVEN_UP, SYNC, COUNT],
    "CopyFail in one piece": [query(COPY) + ROW + SYNC + SYNC + GIVEN_UP + SYNC + COUNT, SYNC],
    "two in one query": [query(COPY + "; " + COPY + "; SELECT 3"), SYNC + ROW + SYNC + DONE, SYNC + message(b"d", b"2\n"), SYNC + DONE, SYNC, COUNT],
    "two in one query, blind": [query(COPY + "; " + COPY) + SYNC + ROW + DONE + SYNC + message(b"d", b"2\n") + DONE + COUNT],
    "the second of two fails": [query(COPY + "; " + COPY), SYNC + ROW + SYNC + DONE + SYNC + BAD + SYNC + DONE + SYNC, COUNT],
    "extended, no Sync": [RUN + FLUSH, ROW + FLUSH + DONE + FLUSH, SYNC, COUNT],
    "extended, a Sync behind Execute": [RUN + SYNC, ROW, SYNC, DONE, FLUSH, SYNC, COUNT],
    "extended, blind": [RUN + SYNC + ROW + SYNC + DONE + SYNC + COUNT, SYNC],
    "extended, blind, no last Sync": [RUN + SYNC + ROW + SYNC + DONE, COUNT],
    "extended, more behind it": [RUN + SYNC + ROW + SYNC + DONE + parse("", "SELECT 7") + bind("", "") + execute() + SYNC, COUNT],
    "extended, a bad row": [RUN + SYNC, ROW + SYNC + BAD, ROW, SYNC, SYNC, COUNT],
    "extended, a bad row and no Sync": [RUN + SYNC, ROW + SYNC + BAD, COUNT, parse("", "SELECT 7") + FLUSH, SYNC, COUNT],
    "extended, a bad row, all in one piece": [RUN + SYNC + SYNC + ROW + SYNC + BAD + SYNC + ROW + DONE + SYNC + COUNT, SYNC],
    "extended, a bad row in two pieces": [RUN + SYNC, message(b"d", b"b") + SYNC + message(b"d", b"ad\n") + SYNC + DONE + SYNC, COUNT],
    "extended, it fails at CopyDone": [RUN + SYNC, TWICE + SYNC + DONE, COUNT, SYNC, COUNT],
    "extended, it fails at CopyDone, blind": [RUN + SYNC + TWICE + SYNC + DONE + COUNT + SYNC + COUNT],
    "extended, CopyFail": [RUN + SYNC, ROW + SYNC + GIVEN_UP, query("SELECT 1"), SYNC, COUNT],
    "extended, in a block": [query("BEGIN"), RUN + SYNC, ROW + SYNC + DONE, SYNC, COUNT, query("COMMIT"), COUNT],
    "extended, fails in a block": [query("BEGIN"), RUN + SYNC, TWICE + SYNC + DONE, describe("S") + SYNC, COUNT, query("ROLLBACK"), COUNT],
    "extended, what was prepared stays": [parse("p", COPY) + parse("q", "SELECT 8") + SYNC, bind("", "p") + execute() + SYNC, TWICE + SYNC + DONE, SYNC,
                                          bind("", "q") + execute() + SYNC, bind("", "p") + execute() + SYNC + ROW + DONE + SYNC, COUNT],
    "it fails before it reads": [query("COPY no_target FROM STDIN") + SYNC + SYNC + ROW + DONE + SYNC + COUNT, SYNC],
    "extended, it fails before it reads": [parse("", "COPY no_target FROM STDIN") + bind("", "") + execute() + SYNC + ROW + DONE + SYNC + COUNT, SYNC],
    "extended, there is no such table": [parse("", "COPY nowhere FROM STDIN") + bind("", "") + execute() + SYNC + ROW + DONE + SYNC + COUNT, SYNC],
    "a trigger refuses it": [query("COPY refused FROM STDIN") + SYNC + ROW + DONE + SYNC, COUNT],
    "extended, a trigger refuses it": [parse("", "COPY refused FROM STDIN") + bind("", "") + execute() + SYNC + SYNC + ROW + DONE + SYNC, COUNT],
    "long rows": [query(COPY), LONG + SYNC + message(b"d", b"-1\n") + SYNC + DONE, COUNT],
    "a bad row behind long ones": [query(COPY), LONG + SYNC + BAD + SYNC + LONG + SYNC + DONE + SYNC, COUNT],
    "a copy out": [query("COPY (SELECT 1) TO STDOUT") + SYNC + FLUSH + query("SELECT 2") + SYNC],
    "extended, a copy out": [parse("", "COPY (SELECT 1) TO STDOUT") + bind("", "") + execute() + SYNC + FLUSH + SYNC, SYNC],
}


@pytest.fixture(scope="module")
def proxy(cluster):
    made = Proxy(cluster, {"default_pool_size": 1})
    cluster.sql("CREATE TABLE copied (i int UNIQUE DEFERRABLE INITIALLY IMMEDIATE); CREATE VIEW no_target AS SELECT 1 AS i;"
                "CREATE TABLE refused (i int); CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'refused'; END$$;"
                "CREATE TRIGGER refuse BEFORE INSERT ON refused EXECUTE FUNCTION refuse()")
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]
    cluster.sql("DROP TABLE copied, refused; DROP VIEW no_target; DROP FUNCTION refuse()")


@pytest.mark.sanitizer
@pytest.mark.parametrize("name", SCRIPTS)
def test_copy_sync(proxy, cluster, name):
    right = turns(cluster.port, SCRIPTS[name])
    cluster.sql("TRUNCATE copied")
    assert turns(proxy.port, SCRIPTS[name], [len(part) for part in right]) == right
    cluster.sql("TRUNCATE copied")


@pytest.mark.parametrize("sent", [query(COPY) + SYNC + ROW + SYNC, RUN + SYNC, RUN + SYNC + ROW + SYNC + DONE, RUN + SYNC + BAD + SYNC])
def test_a_client_that_vanishes_in_the_middle_leaves_nothing(proxy, cluster, sent):
    with Wire(proxy.port).login() as wire:
        wire.send(sent)
    with Wire(proxy.port).login() as wire:
        assert rows(wire.simple("SELECT count(*) FROM copied")) == [[b"0"]]
    with Wire(proxy.port).login() as wire:
        wire.send(query(COPY))
        wire.until(b"G")
        wire.send(SYNC + ROW + SYNC)
    with Wire(proxy.port).login() as wire:
        assert rows(wire.simple("SELECT count(*) FROM copied")) == [[b"0"]]
