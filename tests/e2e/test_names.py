"""Names of all kinds in a startup packet: read as PostgreSQL reads them, and harmless to whoever looks at them."""
import struct

import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import pg_version
from pgweir_test.wire import PROTOCOL_3_0, SYNC, Wire, error_fields, errors, kinds, message, parse, rows

pytestmark = pytest.mark.skipif(not PGWEIR, reason="needs pgweir itself")
LONG = "x" * 62  # with one more letter: as long as a name can be


@pytest.fixture(scope="module")
def proxy(cluster):
    cluster.sql(f'CREATE ROLE "u{LONG}" LOGIN')
    cluster.sql(f'CREATE DATABASE "d{LONG}"')
    made = Proxy(cluster, {"stats_users": "watcher"}, users={"postgres": "", "watcher": "", f"u{LONG}": ""})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]
    cluster.drop_database(f"d{LONG}")
    cluster.sql(f'DROP ROLE "u{LONG}"')


def begin(port, **words):
    """A connection that has sent this startup packet, values as bytes or text."""
    wire = Wire(port)
    pairs = {"user": "postgres", "database": "postgres", **words}
    body = struct.pack("!I", PROTOCOL_3_0)
    for key, value in pairs.items():
        body += key.encode() + b"\0" + (value if isinstance(value, bytes) else value.encode()) + b"\0"
    wire.send(struct.pack("!I", len(body) + 5) + body + b"\0")
    return wire


def told(port, **words):
    """What the client hears of its name: notices, parameter, setting - or the error."""
    with begin(port, **words) as wire:
        got = wire.until(b"Z", b"E")
        if got[-1][0] == b"E":
            fields = error_fields(got[-1][1])
            return fields["C"], fields["M"]
        names = [body for kind, body in got if kind == b"S" and body.startswith(b"application_name")]
        notices = [(error_fields(body)["C"], error_fields(body)["M"]) for kind, body in got if kind == b"N"]
        sql = "SELECT current_setting('application_name'), current_user, current_database()"
        later = wire.simple(sql)
        return notices, names, rows(later), kinds(later)


@pytest.mark.parametrize("name", [
    "plain", "n\u00e4me", b"\xff\xfe", b"a\x01\nb", "x" * 63, "x" * 64, "\u00e4" * 40, "x" * 62 + "\u00e4", b"x" * 70 + b"\xff"],
    ids=lambda name: repr(name)[:12])
def test_application_names_are_postgresqls(cluster, proxy, name):
    if pg_version() >= 16 and name in (b"\xff\xfe", "\u00e4" * 40):
        pytest.skip("not so yet: docs/isolation.md")
    told(proxy.port)  # a pool that knows its server asks it no more
    assert told(proxy.port, application_name=name) == told(cluster.port, application_name=name)
    options = b"-c application_name=" + (name if isinstance(name, bytes) else name.encode())
    if b"\n" not in options:
        assert told(proxy.port, options=options)[1:] == told(cluster.port, options=options)[1:]


@pytest.mark.parametrize("words", [
    {"user": f"u{LONG}more"}, {"database": f"d{LONG}more"}, {"user": ""}, {"database": ""},
    {"user": "postgres", "database": f"e{LONG}more"}, {"replication": "OFF"}, {"replication": "n"},
    {"replication": "o"}, {"replication": "bogus"}, {"replication": ""}, {"replication": "DATABASE"}],
    ids=lambda words: "-".join(words) + str(words)[-8:-2])
def test_long_empty_and_odd_words_are_postgresqls(cluster, proxy, words):
    assert told(proxy.port, **words) == told(cluster.port, **words)


def test_a_name_that_is_too_long_is_still_that_user(cluster):
    """PostgreSQL cuts it, so a rule for the short one is a rule for the long one; what the file has stays whole."""
    users = {f"u{LONG}": "", f"v{LONG}{LONG}": "", "postgres": ""}
    proxy = Proxy(cluster, {"auth_type": "hba"}, users=users,
                  databases={"*": f"host=127.0.0.1 port={cluster.port} user=postgres"},
                  hba=f"host all u{LONG} all reject\nhost d{LONG} all all reject\nhost all all all trust\n")
    assert told(proxy.port)[2][0][1] == b"postgres"
    assert told(proxy.port, user=f"v{LONG}{LONG}")[2][0][1] == b"postgres"
    for words in ({"user": f"u{LONG}"}, {"user": f"u{LONG}more"}, {"database": f"d{LONG}"},
                  {"database": f"d{LONG}more"}):
        assert told(proxy.port, **words)[0] == "28000", words
    assert proxy.stop() == 0


def test_the_console_knows_a_long_name_of_the_configuration(cluster):
    name = f"v{LONG}{LONG}"
    proxy = Proxy(cluster, {"coherence": "off"}, databases={name: f"host=127.0.0.1 port={cluster.port} dbname=postgres"})
    with Wire(proxy.port).login(database="pgweir") as console, Wire(proxy.port).login(database=name) as wire:
        assert kinds(wire.simple("SELECT 1")) == "TDCZ"
        for order in ("RECONNECT", "WAIT_CLOSE"):
            assert kinds(console.simple(f"{order} {name}")) == "CZ"
        assert kinds(wire.simple("SELECT 1")) == "TDCZ"
        for what in ("CLIENTS", "POOLS", "STATS", "SERVERS"):
            assert len(rows(console.simple(f"SHOW {what} {name}"))) == 1, what
        assert kinds(console.simple(f"KILL {name}")) == "CZ"
        assert errors(wire.drain()) == ["57P01"]
        assert kinds(console.simple(f"RESUME {name}")) == "CZ"
    assert proxy.stop() == 0


def test_names_that_are_no_text_do_not_blind_the_console(proxy):
    """Drivers refuse a whole table for one bad byte; whoever may connect could so have hidden himself."""
    with begin(proxy.port, application_name=b"\xff") as shown:
        shown.until(b"Z")
        with begin(proxy.port, database=b"gone\xff\xfe") as wire:
            assert "3D000" in errors(wire.drain())
        with psycopg.connect(proxy.dsn("pgweir"), autocommit=True) as console:
            for what in ("CLIENTS", "SOCKETS", "POOLS", "DATABASES", "STATS", "SERVERS"):
                assert console.execute(f"SHOW {what}").fetchall()
            assert any("gone\ufffd\ufffd" in row for row in console.execute("SHOW POOLS").fetchall())


def test_names_that_are_no_text_are_one_series(proxy):
    """Two that read the same must not make a page with two series of one name, which scrapers refuse."""
    for name in (b"odd\xff", b"odd\xfe"):
        with begin(proxy.port, database=name) as wire:
            assert "3D000" in errors(wire.drain())
    series = [line.rsplit(" ", 1)[0] for line in proxy.http("/metrics")[1].split("\n") if line[:1] not in ("", "#")]
    assert any("odd?" in name for name in series)
    assert len(series) == len(set(series))


def test_what_the_console_repeats_is_text(proxy):
    """Its errors and tags hold what was sent, cut after some bytes."""
    with Wire(proxy.port).login(database="pgweir") as wire:
        for text in (b"SHOW \xff", b"NONSENSE " + "\u00e4".encode() * 99, b"x" + "\u00e4".encode() * 99,
                     b"SET verbose = 'x" + "\u00e4".encode() * 99 + b"'", b"SET log_prefix = '\xff'", b"SHOW POOLS \xff"):
            wire.send(message(b"Q", text + b"\0"))
            said = [body for kind, body in wire.until(b"Z") if kind in (b"E", b"C")]
            assert said and all(body.decode() for body in said), said


def test_statements_of_a_console_client_are_bounded(proxy):
    with Wire(proxy.port).login(user="watcher", database="pgweir") as wire:
        for i in range(9):
            wire.send(parse(f"s{i}", "SHOW VERSION --" + "x" * 120000), SYNC)
            got = errors(wire.until(b"Z"))
        assert got == ["54000"]
        assert kinds(wire.simple("SHOW VERSION")) == "TDCZ"
