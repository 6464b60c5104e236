"""Malformed, oversized, cut and out-of-order messages: an error with a SQLSTATE, and only that client pays."""
import os
import random
import struct

import pytest

from pgweir_test.proxy import DIRECT, PGBOUNCER, PGWEIR, Proxy
from pgweir_test.wire import (CANCEL_REQUEST, PROTOCOL_3_0, SYNC, TERMINATE, Closed, Wire, bind, close, cstr, describe,
                              error_fields, errors, execute, kinds, message, parse, query, request, rows)

VIOLATION = {"08P01"}


@pytest.fixture(scope="module")
def proxy(cluster):
    made = Proxy(cluster, {"max_packet_size": 1 << 20, "client_login_timeout": 2})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.fixture(autouse=True)
def bystander(proxy):
    """Another client, in the middle of a transaction: it must not notice."""
    with Wire(proxy.port).login() as wire:
        wire.simple("BEGIN")
        wire.simple("CREATE TEMP TABLE IF NOT EXISTS mine (i int) ON COMMIT DROP")
        yield wire
        assert kinds(wire.simple("SELECT count(*) FROM mine")) == "TDCZ"
        wire.simple("ROLLBACK")
        assert proxy.alive()


def ends_with(wire, states):
    """The SQLSTATEs that the client saw before the connection was closed."""
    seen = set(errors(wire.drain()))
    assert seen <= set(states), seen
    return seen


# --- before the login --------------------------------------------------------------------------------------

@pytest.mark.parametrize("packet", [
    struct.pack("!II", 7, PROTOCOL_3_0),                              # shorter than itself
    struct.pack("!II", 4, PROTOCOL_3_0),
    struct.pack("!II", 0, 0),
    struct.pack("!II", 0xffffffff, PROTOCOL_3_0),                     # as long as it gets
    struct.pack("!II", 20000, PROTOCOL_3_0) + b"user\0x\0" * 100,     # longer than PostgreSQL takes
    struct.pack("!II", 9, PROTOCOL_3_0) + b"u",                       # no terminator
    struct.pack("!II", 14, PROTOCOL_3_0) + b"user\0x",                # a value without its end
    struct.pack("!II", 9, PROTOCOL_3_0) + b"\0",                      # no user
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64,     # TLS where none is offered
    random.Random(20261125).randbytes(64)], ids=lambda p: p[:12].hex())
def test_nonsense_instead_of_a_startup_packet(proxy, packet):
    with Wire(proxy.port) as wire:
        wire.send(packet)
        try:
            got = wire.drain()
        except Exception as error:  # a time-out is what must not happen
            raise AssertionError("neither answered nor closed") from error
        assert not any(kind in (b"R", b"Z") for kind, _ in got)


@pytest.mark.parametrize("version", [0x00020000, 0x00040000, 0x00090001])
def test_unknown_major_versions_are_refused(proxy, version):
    with Wire(proxy.port) as wire:
        wire.startup(version=version)
        got = wire.drain()
        assert errors(got) and errors(got)[0] in ("0A000", "08P01") or version == 0x00020000


@pytest.mark.skipif(not PGWEIR, reason="differs between the stand-ins")
def test_unknown_minor_versions_are_negotiated(proxy):
    with Wire(proxy.port) as wire:
        wire.startup(version=PROTOCOL_3_0 + 9)
        got = wire.until(b"Z", b"E")
        told = [body for kind, body in got if kind == b"v"]
        assert got[-1][0] == b"Z" and len(told) == 1
        assert struct.unpack("!I", told[0][:4])[0] in (PROTOCOL_3_0, PROTOCOL_3_0 + 2)


@pytest.mark.skipif(not PGWEIR, reason="differs between the stand-ins")
def test_unknown_protocol_options_are_negotiated(proxy):
    with Wire(proxy.port) as wire:
        wire.startup(**{"_pq_.nonsense": "1"})
        got = wire.until(b"Z", b"E")
        assert [body for kind, body in got if kind == b"v" and b"_pq_.nonsense" in body]
        assert got[-1][0] == b"Z"


def test_a_cut_startup_packet_times_out(proxy):
    if DIRECT:
        pytest.skip("PostgreSQL waits for a minute")
    with Wire(proxy.port) as wire:
        wire.send(struct.pack("!II", 100, PROTOCOL_3_0))
        wire.drain()


@pytest.mark.skipif(PGBOUNCER, reason="PgBouncer wants it in one piece")
def test_a_startup_packet_byte_by_byte(proxy):
    body = struct.pack("!I", PROTOCOL_3_0) + cstr("user") + cstr("postgres") + cstr("database") + cstr("postgres") + b"\0"
    with Wire(proxy.port) as wire:
        wire.send_slowly(struct.pack("!I", len(body) + 4) + body)
        assert wire.until(b"Z", b"E")[-1][0] == b"Z"
        wire.send_slowly(query("SELECT 42"))
        assert rows(wire.until(b"Z")) == [[b"42"]]
        wire.send_slowly(parse("s", "SELECT $1::int") + bind("", "s", [b"7"]) + execute() + SYNC)
        assert rows(wire.until(b"Z")) == [[b"7"]]


def test_cancel_requests_of_any_form_are_just_closed(proxy):
    for body in (b"", b"\0" * 4, b"\0" * 8, b"\0" * 12, b"\xff" * 300):
        with Wire(proxy.port) as wire:
            wire.send(struct.pack("!II", 8 + len(body), CANCEL_REQUEST) + body)
            assert not any(kind in (b"R", b"Z") for kind, _ in wire.drain())


def test_ssl_requests_for_ever_are_not_answered_for_ever(proxy):
    with Wire(proxy.port) as wire:
        try:
            for _ in range(100):
                wire.send(request(80877103))
                if wire.byte() not in (b"N", b"S"):
                    break
        except (Closed, BrokenPipeError, ConnectionResetError):
            pass


# --- after the login ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("data", [
    b"Q" + struct.pack("!I", 3),                         # a length that does not count itself
    b"Q" + struct.pack("!I", 0),
    b"Q" + struct.pack("!I", 0x80000000),
    b"Q" + struct.pack("!I", 0xffffffff) + b"x" * 100,
    pytest.param(b"\0" + struct.pack("!I", 4), marks=pytest.mark.skipif(PGBOUNCER, reason="PgBouncer waits for more")),
    b"y" + struct.pack("!I", 4),                         # a type that does not exist
    b"R" + struct.pack("!I", 8) + b"\0\0\0\0",           # a server's message
    b"Z" + struct.pack("!I", 5) + b"I"], ids=lambda d: d[:6].hex() if isinstance(d, bytes) else None)
def test_bad_frames_end_the_connection_with_an_error(proxy, data):
    with Wire(proxy.port).login() as wire:
        wire.send(data)
        seen = ends_with(wire, VIOLATION)
        assert not PGWEIR or seen == VIOLATION  # PostgreSQL itself closes some of these without a word


@pytest.mark.parametrize("data", [
    message(b"Q", b"SELECT 1"),                                       # no terminator
    message(b"Q", b"SELECT 1\0 more\0"),
    message(b"Q", b""),
    message(b"P", b"name"), message(b"P", b"name\0SELECT 1\0"), message(b"P", b"n\0SELECT 1\0\0\5"),
    message(b"B", b""), message(b"B", b"\0\0\0\1"), message(b"B", b"\0\0\0\0\0\1\0\0\0\x64ab"),
    message(b"B", b"\0\0\0\0\0\1\xff\xff\xff\xf0"), message(b"B", b"\0\0\0\5\0\1\0\0\0\0"),
    message(b"D", b""), message(b"D", b"X\0"), message(b"D", b"Sname"),
    message(b"E", b"portal"), message(b"E", b"\0\0\0"),
    message(b"C", b""), message(b"C", b"Q\0"),
    message(b"F", b"\0")], ids=lambda d: d[:14].hex())
def test_bad_bodies_are_protocol_violations(proxy, data):
    """PostgreSQL answers with an error and stays for some; both that and the end are right."""
    with Wire(proxy.port).login() as wire:
        wire.send(data, SYNC)
        try:
            got = wire.until(b"Z")
        except Closed:
            got = []
        got += wire.drain() if not got else []
        seen = errors(got)
        assert not got or PGBOUNCER or seen and seen[0] in ("08P01", "22021", "42601", "54000", "26000", "34000", "22P03", "42883"), seen


def test_a_message_longer_than_allowed(cluster, proxy):
    if DIRECT:
        pytest.skip("the option is the proxy's")
    with Wire(proxy.port).login() as wire:
        wire.send(b"Q" + struct.pack("!I", (2 << 20) + 4))
        try:
            wire.send(b"x" * 100000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            seen = set(errors(wire.drain()))
        except OSError:
            seen = set()
        assert seen <= {"08P01", "54000"} and (seen or not PGWEIR)


def test_a_message_that_never_ends(cluster, proxy, bystander):
    with Wire(proxy.port).login() as wire:
        wire.send(query("SELECT 'a long text'")[:12])
    with Wire(proxy.port).login() as wire:
        wire.send(parse("x", "SELECT 1"), bind("", "x")[:7])


def last_words(wire, stream):
    """What a client gets that sends all of it before it reads anything; it has sent it, whoever has gone meanwhile."""
    for piece in stream:
        wire.send(piece)
    return [error_fields(body) for kind, body in wire.drain() if kind == b"E"][-1]


@pytest.mark.skipif(not PGWEIR, reason="PostgreSQL's own close may end in a reset")
@pytest.mark.parametrize("version", [PROTOCOL_3_0, PROTOCOL_3_0 - 65536], ids=["after the login", "in the startup packet"])
def test_an_error_reaches_who_is_still_sending(proxy, version):
    """No reset, which would take the error out of the client's hands, while bytes of it are unread."""
    with Wire(proxy.port) as wire:
        wire.startup(version=version)
        if version == PROTOCOL_3_0:
            wire.until(b"Z")
        error = last_words(wire, [message(b"?"), *[b"x" * 1_000_000] * 40])
        assert (error["S"], error["C"]) == ("FATAL", "08P01" if version == PROTOCOL_3_0 else "0A000")


@pytest.mark.skipif(not PGWEIR, reason="pgweir's own limit")
def test_a_pin_over_the_cap_reaches_who_is_still_sending(cluster):
    proxy = Proxy(cluster, {"default_pool_size": 2, "max_pinned": 1})
    with proxy.connect() as first, Wire(proxy.port).login() as wire:
        first.execute("CREATE TEMP TABLE pinned (i int)")
        error = last_words(wire, [query("CREATE TEMP TABLE pinned (i int)"), *[query("SELECT 1 -- " + "x" * 500_000)] * 60])
        assert (error["S"], error["C"]) == ("FATAL", "53300") and "max_pinned" in error["M"]
    assert proxy.stop() == 0


def test_copy_messages_out_of_place_are_ignored_or_refused(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(message(b"d", b"1\n"), message(b"c"), message(b"f", b"no\0"))
        wire.send(query("SELECT 1"))
        got = wire.until(b"Z")
        assert rows(got) == [[b"1"]] or set(errors(got)) <= VIOLATION


def test_a_password_after_the_login(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(message(b"p", b"secret\0"))
        assert ends_with(wire, VIOLATION) == VIOLATION


def test_errors_skip_to_sync(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(parse("", "SELECT 1/0"), bind("", ""), execute(), parse("s2", "SELECT 1"), bind("", "s2"), execute(),
                  SYNC, query("SELECT 'after'"))
        first = wire.until(b"Z")
        assert errors(first) == ["22012"] and not rows(first)
        assert rows(wire.until(b"Z")) == [[b"after"]]


def test_sync_and_flush_alone(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(SYNC, SYNC, message(b"H"), SYNC)
        for _ in range(3):
            assert kinds(wire.until(b"Z")) == "Z"


def test_an_empty_query(proxy):
    with Wire(proxy.port).login() as wire:
        assert kinds(wire.simple("")) == "IZ"
        assert kinds(wire.simple(" ; ; ")) in ("IZ", "IIZ")
        wire.send(parse("", ""), bind("", ""), describe("P"), execute(), SYNC)
        assert kinds(wire.until(b"Z")) == "12nIZ"


def test_close_of_things_that_are_not_there(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(close("S", "nothing"), close("P", "nothing"), SYNC)
        assert kinds(wire.until(b"Z")) == "33Z"


def test_text_after_terminate_is_not_read(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(TERMINATE, query("SELECT 1"))
        assert wire.drain() == []


def test_text_that_is_no_utf8(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(message(b"Q", b"SELECT '\xff\xfe'\0"))
        assert errors(wire.until(b"Z")) == ["22021"]
        assert rows(wire.simple("SELECT 1")) == [[b"1"]]


@pytest.mark.parametrize("seed", range(30))
def test_random_bytes_after_the_login(proxy, seed):
    source = random.Random(seed)
    good = [query("SELECT 1"), parse("", "SELECT $1::int"), bind("", "", [b"1"]), describe("P"), execute(), SYNC,
            message(b"H"), message(b"d", b"x"), message(b"c")]
    with Wire(proxy.port).login() as wire:
        data = bytearray(b"".join(source.choice(good) for _ in range(20)))
        for _ in range(source.randint(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
        wire.sock.settimeout(0.5)
        try:
            wire.send(bytes(data), SYNC, TERMINATE)
            wire.drain()
        except OSError:  # closed while we sent, or it waits for the rest of a long message: both are fine
            pass


@pytest.mark.skipif(not PGWEIR, reason="the stand-ins say less")
def test_errors_are_complete(proxy):
    with Wire(proxy.port).login() as wire:
        wire.send(b"Q" + struct.pack("!I", 2))
        fields = [error_fields(body) for kind, body in wire.drain() if kind == b"E"]
        assert fields and fields[0]["S"] == "FATAL" and fields[0]["C"] == "08P01" and fields[0]["M"]
        assert fields[0].get("V") == "FATAL"
