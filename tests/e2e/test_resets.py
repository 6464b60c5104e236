"""RESET, failed transactions and outdated plans: what a client sees, through pgweir as on PostgreSQL itself."""
import pytest

from pgweir_test.proxy import Proxy, PGBOUNCER
from pgweir_test.wire import SYNC, Wire, bind, describe, error_fields, execute, message, parse, query, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps few settings")


def extended(text):
    return parse("", text) + bind("", "") + describe("P") + execute() + SYNC


EXECUTE = execute() + SYNC
STARTUP = {"client_encoding": "LATIN1", "DateStyle": "German", "options": "-c work_mem=6MB -c app.tenant=9 -c statement_timeout=80s"}
SCRIPTS = {
    "RESET in a transaction": ["BEGIN", "SET work_mem = '9MB'", "RESET work_mem", "SHOW work_mem", "COMMIT", "SHOW work_mem"],
    "RESET rolled back": ["SET work_mem = '9MB'", "BEGIN", "RESET work_mem", "SHOW work_mem", "ROLLBACK", "SHOW work_mem"],
    "RESET to a savepoint": ["BEGIN", "SET work_mem = '9MB'", "SAVEPOINT a", "RESET work_mem", "ROLLBACK TO a", "SHOW work_mem", "COMMIT", "SHOW work_mem"],
    "RESET ALL in a transaction": ["BEGIN", "SET DateStyle = 'SQL'", "RESET ALL", "SHOW DateStyle", "SHOW work_mem", "SHOW app.tenant", "COMMIT", "SHOW DateStyle"],
    "what RESET reports": ["SET client_encoding = UTF8", "RESET client_encoding", "SHOW client_encoding", "SET client_encoding = UTF8", "DISCARD ALL",
                           "SHOW client_encoding", "SET client_encoding = UTF8", "SET NAMES", "SHOW client_encoding"],
    "DISCARD ALL and what the startup packet says": ["DISCARD ALL", "SHOW statement_timeout", "SHOW work_mem", "RESET statement_timeout",
                                                     "SHOW statement_timeout", "DO $$ BEGIN END $$", "SHOW statement_timeout"],
    "a custom setting that was made empty": ["SET app.tenant = ''", "DISCARD ALL", "SHOW app.tenant", "SET app.tenant = ''", "RESET ALL",
                                             "SHOW app.tenant"],
    "DISCARD ALL in a text that is not certain": ["SET standard_conforming_strings = off", "SET NAMES 'UTF8'", "DISCARD ALL -- \\", "SHOW client_encoding",
                                                  "SET standard_conforming_strings = off", "SET NAMES 'UTF8'", "RESET client_encoding",
                                                  "SET DateStyle = 'SQL'", "DISCARD ALL -- \\", "SHOW DateStyle"],
    "the portal behind a RESET": ["BEGIN", "SET work_mem = '9MB'", "RESET work_mem", EXECUTE, "ROLLBACK"],
    "SET x = DEFAULT": ["SET DateStyle = 'SQL'", "SET DateStyle = DEFAULT", "SELECT '2024-02-03'::date"],
    "SET LOCAL x = DEFAULT": ["BEGIN", "SET LOCAL DateStyle = DEFAULT", "SELECT '2024-02-03'::date", "COMMIT", "SELECT '2024-02-03'::date"],
    "SET LOCAL x = DEFAULT over what was set": ["SET DateStyle = 'SQL'", "BEGIN", "SET LOCAL DateStyle TO DEFAULT", "SELECT '2024-02-03'::date", "RESET work_mem",
                                                "SELECT '2024-02-03'::date", "SET LOCAL DateStyle = 'ISO'", "SELECT '2024-02-03'::date", "COMMIT",
                                                "SELECT '2024-02-03'::date", "SHOW work_mem"],
    "SET LOCAL x = DEFAULT behind a RESET": ["SET work_mem = '9MB'", "BEGIN", "RESET work_mem", "SET LOCAL work_mem = '8MB'", "SET LOCAL work_mem = DEFAULT",
                                             "SHOW work_mem", "COMMIT", "SHOW work_mem"],
    "SET LOCAL x = DEFAULT rolled back": ["SET work_mem = '9MB'", "BEGIN", "SAVEPOINT a", "SET LOCAL work_mem = DEFAULT", "SHOW work_mem", "ROLLBACK TO a",
                                          "SHOW work_mem", "SET LOCAL app.tenant = DEFAULT", "SHOW app.tenant", "COMMIT", "SHOW work_mem", "SHOW app.tenant"],
    "SET LOCAL x = DEFAULT outside of a block": ["SET DateStyle = 'SQL'", "SET LOCAL DateStyle = DEFAULT", "SELECT '2024-02-03'::date"],
    "SET TRANSACTION behind a DEALLOCATE": ["BEGIN", "DEALLOCATE ALL", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "ROLLBACK",
                                            "BEGIN", "DEALLOCATE ALL", "SHOW work_mem", "SET TRANSACTION READ ONLY", "SET TRANSACTION READ WRITE", "ROLLBACK",
                                            "BEGIN", "DEALLOCATE ALL", "COMMIT", "BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                                            "SHOW transaction_isolation", "COMMIT",
                                            "BEGIN", "DEALLOCATE ALL", "ROLLBACK AND CHAIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "COMMIT",
                                            "BEGIN", "DEALLOCATE ALL", "SET LOCAL transaction_isolation = 'serializable'", "ROLLBACK"],
    "SET TRANSACTION behind a DEALLOCATE and a savepoint": ["BEGIN", "DEALLOCATE ALL", "SAVEPOINT a", "RELEASE a", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                                                            "ROLLBACK", "BEGIN", "DEALLOCATE ALL", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a",
                                                            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "ROLLBACK"],
    "a virtual transaction that failed": ["BEGIN", "EXECUTE pgweir_1", "SELEC 1", "SELECT 1", "", "COMMIT", "SELECT 1"],
}


@pytest.fixture(scope="module")
def proxy(cluster):
    made = Proxy(cluster, {"default_pool_size": 1, "ignore_startup_parameters": None})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def answers(port, texts, way):
    got = []
    with Wire(port).login(**STARTUP) as wire:
        for text in texts:
            wire.send(text if isinstance(text, bytes) else way(text))
            answer = wire.until(b"Z")
            reports = sorted(body for kind, body in answer if kind == b"S")
            for kind, body in answer:
                if kind == b"Z":
                    got += reports
                if kind == b"E":
                    got.append(error_fields(body)["C"])
                elif kind == b"D":
                    got.append(rows([(kind, body)])[0])
                elif kind in b"CIZ":
                    got.append((kind, body))
    return got


ASK = "SELECT current_user, current_setting('search_path'), current_setting('work_mem'), current_setting('app.tenant', true), '1.2.2020'::date"
TENANT = {"client_encoding": "LATIN1", "DateStyle": "German", "options": "-c role=reset_tenant -c search_path=reset_s -c work_mem=6MB -c app.tenant=9"}
RESETS = ["DISCARD ALL", "RESET ALL", "RESET ROLE", "RESET search_path", "SET search_path = DEFAULT", "RESET SESSION AUTHORIZATION", "SELECT 1; RESET ALL",
          "SELECT 1; SET work_mem = '8MB'; RESET ROLE", "RESET ALL; SET work_mem = '8MB'"]


def one(text, name=""):
    return parse("", text) + bind(name, "") + execute(name)


# What comes in one piece behind a RESET, or in the transaction that a text of several statements has left open.
BEHIND = {
    "in a block": [query("BEGIN"), query("RESET ROLE") + query(ASK), query("RESET ALL; SELECT 1") + query(ASK), query(ASK), query("COMMIT") + query(ASK)],
    "in one text with BEGIN": [query("BEGIN; RESET ROLE; SELECT 1"), query(ASK), query("COMMIT"), query(ASK)],
    "in one text with BEGIN, by the extended protocol behind it": [query("BEGIN; RESET ALL; RESET ROLE; SELECT 1") + one(ASK) + SYNC + one(ASK) + SYNC,
                                                                   query("ROLLBACK")],
    "set again in the same text": [query("BEGIN; RESET work_mem; SET work_mem = '9MB'; RESET search_path; SELECT 1") + query(ASK), query("COMMIT"), query(ASK)],
    "locally in the same text": [query("BEGIN; SET LOCAL work_mem = DEFAULT; RESET search_path; SET LOCAL search_path = public; SELECT 1") + query(ASK),
                                 query("COMMIT"), query(ASK)],
    "locally to the default, and at once at its end": [query("RESET search_path; SET LOCAL search_path = DEFAULT") + query(ASK)],
    "locally, and at once at its end": [query("RESET search_path; SET LOCAL search_path = public; SELECT 1") + query(ASK)],
    "locally in one batch": [query("SELECT 1") + query("BEGIN; SET work_mem = '8MB'; SET LOCAL work_mem = DEFAULT; SELECT 1") + query(ASK), query("ROLLBACK"),
                             one("SET LOCAL search_path = DEFAULT") + one(ASK) + SYNC + query(ASK)],
    "undone in the same text": [query("BEGIN; SET work_mem = '9MB'; SAVEPOINT a; RESET ALL; ROLLBACK TO a; SELECT 1") + query(ASK), query("COMMIT") + query(ASK)],
    "undone by a statement of its own": [query("BEGIN; SET work_mem = '9MB'; SAVEPOINT a"), query("RESET work_mem"), query("ROLLBACK TO a") + query("RESET ROLE")
                                         + query(ASK), query("COMMIT") + query(ASK)],
    "a savepoint behind it": [query("BEGIN; RESET ROLE; SAVEPOINT a; SELECT 1") + query("ROLLBACK TO a") + query(ASK),
                              one("ROLLBACK TO a") + one(ASK) + SYNC, query("COMMIT")],
    "a savepoint behind it, and an error": [query("BEGIN; RESET ROLE; SAVEPOINT a; SELECT 1/0") + query("ROLLBACK TO a") + query(ASK), query("COMMIT") + query(ASK)],
    "a savepoint behind it, an error, and one batch": [query("BEGIN; RESET ROLE; SAVEPOINT a; SELECT 1/0"), one("ROLLBACK TO a") + one(ASK) + SYNC,
                                                       query("COMMIT") + query(ASK)],
    "in a failed transaction": [query("BEGIN") + query("SELECT 1/0") + query("RESET ROLE") + query("ROLLBACK") + query(ASK)],
    "behind a failed transaction": [query("BEGIN"), query("SELECT 1/0"), query("ROLLBACK") + query("RESET ROLE") + query(ASK) + query("RESET ALL") + query(ASK)],
    "behind a failed transaction, in one batch": [query("BEGIN"), query("SELECT 1/0"), one("ROLLBACK") + one("RESET ROLE") + one(ASK) + SYNC, query(ASK)],
    "a chained transaction": [query("BEGIN; RESET ROLE; COMMIT AND CHAIN"), query(ASK), query("ROLLBACK AND CHAIN") + query(ASK), query("ROLLBACK") + query(ASK)],
    "in one batch": [one("DISCARD ALL") + one(ASK) + SYNC + query(ASK), one("RESET ROLE") + one("RESET ALL") + one(ASK) + SYNC + query(ASK)],
    "in one batch that fails": [one("DISCARD ALL") + one("SELECT 1/0") + SYNC + query(ASK), one("RESET ROLE") + one("SELECT 1/0") + SYNC + query(ASK)],
    "bound and run later": [query("BEGIN") + parse("", "RESET ROLE") + bind("a", "") + parse("", "RESET work_mem") + bind("b", "") + execute("a") + execute("b") + one(ASK)
                            + SYNC, query("COMMIT") + query(ASK)],
    "a COPY in the same text": [query("RESET ROLE; COPY reset_copied FROM STDIN") + message(b"d", b"7\n") + message(b"c") + query(ASK),
                                query("SELECT 1; RESET ROLE; COPY reset_copied FROM STDIN") + message(b"f", b"no\0") + query(ASK)],
    "a text that does not parse": [query("RESET ROLE; SELEC 1") + query(ASK)],
    "a text that is too long to be read": [query("RESET ROLE; RESET DateStyle; SELECT 1" + " " * 70000) + query(ASK)],
    "pgweir's own statements": [query("BEGIN"), query("SET work_mem = '3MB'"), query("RESET work_mem"), one("DEALLOCATE ALL") + one("RESET work_mem") + one(ASK) + SYNC,
                                query("COMMIT; DEALLOCATE ALL") + query("RESET work_mem") + query(ASK)],
} | {f"{text} and more": [query("SET work_mem = '3MB'"), query(text) + query(ASK), query("SET work_mem = '3MB'"),
                          query(text) + one(ASK) + SYNC + query(ASK)] for text in RESETS} \
  | {f"{text} and more, extended": [query("SET work_mem = '3MB'"), one(text) + SYNC + one(ASK) + SYNC + query(ASK), query("SET work_mem = '3MB'"),
                                    one(text) + one(ASK) + SYNC] for text in RESETS if ";" not in text}


def pipelined(port, script):
    """Values, tags and errors."""
    got = []
    with Wire(port).login(**TENANT) as wire:
        for data in script:
            wire.send(data)
            for _ in range(data.count(SYNC) + data.count(b"Q\0\0") + data.count(b"Q\0\1")):
                for kind, body in wire.until(b"Z"):
                    got += [(kind, rows([(kind, body)])[0] if kind == b"D" else error_fields(body)["C"] if kind == b"E" else body)] if kind in b"DECZ" else []
    return got


@pytest.fixture(scope="module")
def tenant(cluster):
    cluster.sql("CREATE ROLE reset_tenant; CREATE SCHEMA reset_s; GRANT USAGE ON SCHEMA reset_s TO reset_tenant; CREATE TABLE reset_s.reset_copied (i int);"
                " GRANT ALL ON reset_s.reset_copied TO reset_tenant")


@pytest.mark.sanitizer
@pytest.mark.parametrize("name", BEHIND)
def test_what_is_sent_behind_a_reset_has_the_startup_packets_settings(proxy, cluster, tenant, name):
    right = pipelined(cluster.port, BEHIND[name])
    assert answers(proxy.port, ["SET TimeZone = 'Asia/Tokyo'", "SET work_mem = '7MB'"], query)
    assert pipelined(proxy.port, BEHIND[name]) == right


@pytest.mark.parametrize("way", [query, extended], ids=["simple", "extended"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_script(proxy, cluster, name, way):
    right = answers(cluster.port, SCRIPTS[name], way)
    other = answers(proxy.port, ["SET TimeZone = 'Asia/Tokyo'", "SET client_encoding = 'UTF8'", "SET work_mem = '7MB'"], query)
    assert other and answers(proxy.port, SCRIPTS[name], way) == right


def test_a_parameter_that_another_client_was_told_of(proxy):
    """PostgreSQL reports what differs from its last report, and that one went to another client."""
    with Wire(proxy.port).login() as one, Wire(proxy.port).login() as two:
        one.simple("SET TimeZone = 'Asia/Tokyo'")
        two.simple("SET TimeZone = 'Asia/Tokyo'")
        one.simple("SET TimeZone = 'UTC'")
        two.send(query("SET TimeZone = 'UTC'"))
        assert (b"S", b"TimeZone\0UTC\0") in two.until(b"Z")


def change_type(cluster, to):
    cluster.sql(f"ALTER TABLE retyped ALTER v TYPE {to} USING v::{to}")


@pytest.fixture(scope="module")
def retyped(cluster):
    cluster.sql("CREATE TABLE retyped (v int); INSERT INTO retyped VALUES (7)")


def test_an_outdated_plan_is_made_again_unseen(proxy, cluster, retyped):
    with Wire(proxy.port).login() as wire:
        run = bind("", "p") + describe("P") + execute() + SYNC
        wire.send(parse("p", "SELECT v FROM retyped") + SYNC + run)
        wire.until(b"Z"), wire.until(b"Z")
        for begin in (b"", query("BEGIN"), query("BEGIN ISOLATION LEVEL REPEATABLE READ")):
            for kind in ("text", "int"):
                change_type(cluster, kind)
                if begin:
                    wire.send(begin)
                    wire.until(b"Z")
                wire.send(run)
                got = wire.until(b"Z")
                assert [kind for kind, _ in got if kind != b"S"] == [b"2", b"T", b"D", b"C", b"Z"] and rows(got) == [[b"7"]]
                assert got[-1][1] == (b"T" if begin else b"I")
                if begin:
                    wire.send(query("COMMIT"))
                    wire.until(b"Z")
        assert proxy.metrics()["pgweir_replays_total"] >= 6


def test_an_outdated_plan_that_the_client_goes_by_is_an_error(proxy, cluster, retyped):
    """Without a Describe the client would take the new columns for the old ones. Making the statement anew is up to it."""
    with Wire(proxy.port).login() as wire:
        wire.send(parse("p", "SELECT v FROM retyped WHERE true") + describe("S", "p") + bind("", "p") + execute() + SYNC)
        wire.until(b"Z")
        change_type(cluster, "text")
        wire.send(bind("", "p") + execute() + SYNC)
        got = wire.until(b"Z")
        assert [error_fields(body)["C"] for kind, body in got if kind == b"E"] == ["0A000"]
        wire.send(parse("p2", "SELECT v FROM retyped WHERE true") + bind("", "p2") + execute() + SYNC)
        assert rows(wire.until(b"Z")) == [[b"7"]]
    change_type(cluster, "int")


def test_an_outdated_plan_within_a_transaction_is_an_error(proxy, cluster, retyped):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("p", "SELECT v, 1 FROM retyped") + bind("", "p") + execute() + SYNC)
        wire.until(b"Z")
        wire.simple("BEGIN"), wire.simple("SELECT 1")
        change_type(cluster, "text")
        wire.send(bind("", "p") + describe("P") + execute() + SYNC)
        got = wire.until(b"Z")
        assert [error_fields(body)["C"] for kind, body in got if kind == b"E"] == ["0A000"] and got[-1][1] == b"E"
    change_type(cluster, "int")


def test_drivers_do_not_notice_a_new_column(proxy, cluster):
    cluster.sql("CREATE TABLE widened (a int); INSERT INTO widened VALUES (1)")
    with proxy.connect(prepare_threshold=0) as conn:
        assert conn.execute("SELECT * FROM widened", prepare=True).fetchone() == (1,)
        cluster.sql("ALTER TABLE widened ADD b int DEFAULT 2")
        assert conn.execute("SELECT * FROM widened", prepare=True).fetchone() == (1, 2)
