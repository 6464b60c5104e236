"""LISTEN and NOTIFY as PostgreSQL has them, over one server connection for all who listen. What speaks of PostgreSQL's
own behaviour passes without a proxy too (PGWEIR_BIN=direct)."""
import os
import resource
import socket
import struct

import psycopg
import pytest

from pgweir_test import wire
from pgweir_test.proxy import PGBOUNCER, Proxy, only_pgweir
from pgweir_test.tools import wait_for
from pgweir_test.wire import Wire

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="it does not keep LISTEN")
CROWD = 5000
LISTENER = "application_name = 'pgweir listens'"


@pytest.fixture(scope="module")
def db(cluster):
    name = "listening"
    cluster.sql(f"CREATE DATABASE {name}")
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    """One server connection for all clients: a session that pinned it would stop all others."""
    made = Proxy(cluster, {"default_pool_size": "1", "workers": "1", "query_wait_timeout": "5s"})
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.fixture
def join(proxy, db):
    """Makes clients that are closed at the end."""
    made = []

    def one(**more):
        made.append(Wire(proxy.port))
        return made[-1].login(database=db, **more)
    yield one
    for client in made:
        client.sock.close()


def notes(messages, pid=False):
    """(channel, payload), or (pid, channel, payload), of the notifications among these messages."""
    got = []
    for kind, body in messages:
        if kind == b"A":
            channel, payload, _ = body[4:].split(b"\0")
            got.append((channel.decode(), payload.decode()))
            if pid:
                got[-1] = (struct.unpack("!I", body[:4])[0], *got[-1])
    return got


def run(client, *texts):
    """All messages of these simple queries."""
    return [message for text in texts for message in client.simple(text)]


def channels(client):
    got = client.simple("SELECT pg_listening_channels() ORDER BY 1")
    return [row[0].decode() for row in wire.rows(got)]


def test_all_listen_and_none_keeps_the_server_connection(proxy, join):
    clients = [join() for _ in range(4)]
    for client in clients:
        assert wire.kinds(client.simple("LISTEN news")) == "CZ"
    run(clients[0], "NOTIFY news, 'one'", "NOTIFY news")
    for client in clients[1:]:
        assert notes(client.simple("SELECT 1")) == [("news", "one"), ("news", "")]


def test_an_idle_client_hears_without_asking(join):
    one, two = join(), join()
    one.simple("LISTEN news")
    two.simple("NOTIFY news, 'wake up'")
    assert notes([one.recv()]) == [("news", "wake up")]


def test_what_was_said_before_is_not_heard(join):
    one, two, three = join(), join(), join()
    three.simple("LISTEN news")
    for i in range(20):
        two.simple(f"NOTIFY news, '{i}'")
        assert notes(run(one, "LISTEN news")) == []
        two.simple("NOTIFY news, 'after'")
        assert notes(run(one, "SELECT 1")) == [("news", "after")]
        one.simple("UNLISTEN news")
    assert len(notes(run(three, "SELECT 1"))) == 40


def test_own_notifications_come_before_ready_with_the_own_pid(join):
    one, two = join(), join()
    one.simple("LISTEN news")
    two.simple("LISTEN news")
    for i in range(20):
        assert notes(one.simple(f"NOTIFY news, '{i}'"), pid=True) == [(one.pid, "news", str(i))]
        assert [pid == two.pid for pid, *_ in notes(two.simple("SELECT 1"), pid=True)] == [False]
        assert notes(one.simple(f"SELECT pg_notify('news', 'f{i}')"), pid=True) == [(one.pid, "news", f"f{i}")]
        two.simple("SELECT 1")


OWN = [
    ["BEGIN", "LISTEN a", "NOTIFY a, '1'", "COMMIT", "NOTIFY a, '2'"],
    ["BEGIN; LISTEN a; NOTIFY a, '1'; NOTIFY b, '1'; COMMIT"],
    ["LISTEN a; NOTIFY a, '1'; SELECT pg_notify('b', '1'); LISTEN b", "NOTIFY b, '2'"],
    ["LISTEN a", "BEGIN", "LISTEN b", "NOTIFY b, '1'", "NOTIFY a, '1'", "COMMIT", "NOTIFY a, '2'"],
    ["LISTEN a; LISTEN b", "BEGIN", "UNLISTEN b", "NOTIFY b, '1'", "NOTIFY a, '1'", "COMMIT", "NOTIFY b"],
    ["LISTEN a", "DO $$BEGIN PERFORM pg_notify('a', '1'); END$$", "SELECT 1", "NOTIFY a, '2'"],
    ["BEGIN", "LISTEN a", "SAVEPOINT s", "NOTIFY a, '1'", "ROLLBACK TO s", "NOTIFY a, '2'", "COMMIT AND CHAIN", "NOTIFY a, '3'", "COMMIT"],
    ["BEGIN", "LISTEN a", "NOTIFY a, '1'", "ROLLBACK", "NOTIFY a, '2'", "LISTEN a; NOTIFY a, '3'"],
    ["LISTEN a; NOTIFY a, '1'; UNLISTEN a", "NOTIFY a, '2'"],
    ["LISTEN a; NOTIFY a, '1'", "UNLISTEN a; NOTIFY a, '2'", "LISTEN a; NOTIFY a, '1'", "NOTIFY a, '1'"],
]


@pytest.mark.parametrize("texts", OWN)
@pytest.mark.parametrize("how", ["simple", "pipeline"])
def test_own_notifications_of_the_transaction_that_listens(cluster, db, proxy, texts, how):
    """Between which messages they come is PostgreSQL's to say."""
    got = []
    for port in (cluster.port, proxy.port):
        with Wire(port).login(database=db) as one:
            if how == "pipeline":
                one.send(*[wire.query(text) for text in texts])
            told = []
            for text in texts:
                for kind, body in one.until(b"Z") if how == "pipeline" else one.simple(text):
                    told.append((kind, (struct.unpack("!I", body[:4])[0] == one.pid, body[4:]) if kind == b"A" else body))
            got.append(told)
    assert got[1] == got[0]


def test_another_client_on_the_same_server_connection_is_not_oneself(join):
    one, two = join(), join()
    one.simple("LISTEN news")
    for i in range(50):
        two.send(wire.query(f"NOTIFY news, 'two {i}'"))
        one.send(wire.query(f"NOTIFY news, 'one {i}'"))
        two.until(b"Z")
        got = notes(one.until(b"Z"), pid=True)
        while len(got) < 2:
            got += notes([one.recv()], pid=True)
        assert {payload: pid == one.pid for pid, _, payload in got} == {f"one {i}": True, f"two {i}": False}


def test_listen_counts_from_its_commit(cluster, db, join):
    one, two = join(), join()
    run(one, "BEGIN", "LISTEN news")
    cluster.sql("NOTIFY news, 'too early'", db)
    assert notes(run(one, "SELECT 1", "COMMIT")) == []
    two.simple("NOTIFY news, 'heard'")
    assert notes(run(one, "SELECT 1")) == [("news", "heard")]


@pytest.mark.parametrize("texts, heard", [
    (["BEGIN", "LISTEN a", "ROLLBACK"], []),
    (["BEGIN", "LISTEN a", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO s", "COMMIT"], ["a"]),
    (["BEGIN", "SAVEPOINT s", "LISTEN a", "RELEASE s", "LISTEN b", "COMMIT"], ["a", "b"]),
    (["BEGIN", "SAVEPOINT s", "LISTEN a", "ROLLBACK TO s", "LISTEN b", "COMMIT"], ["b"]),
    (["BEGIN", "LISTEN a", "SELECT 1/0", "COMMIT"], []),
    (["BEGIN", "LISTEN a", "COMMIT AND CHAIN", "LISTEN b", "ROLLBACK"], ["a"]),
    (["LISTEN a; SELECT 1; LISTEN b"], ["a", "b"]),
    (["LISTEN a; SELECT 1/0; LISTEN b"], []),
    (["LISTEN a; BEGIN; LISTEN b; COMMIT; LISTEN c"], ["a", "b", "c"]),
    (["BEGIN; LISTEN a; COMMIT; BEGIN; LISTEN b; ROLLBACK"], ["a"]),
    (["LISTEN a", "LISTEN b", "UNLISTEN a"], ["b"]),
    (["LISTEN a", "LISTEN b", "UNLISTEN *"], []),
    (["LISTEN a", "LISTEN b", "DISCARD ALL"], []),
    (["LISTEN a", "BEGIN", "SELECT 1", "UNLISTEN a", "ROLLBACK"], ["a"]),
    (["LISTEN a", "BEGIN", "SELECT 1", "UNLISTEN *", "LISTEN b", "COMMIT"], ["b"]),
    (["LISTEN a", "LISTEN b", "BEGIN", "SAVEPOINT s", "UNLISTEN *", "ROLLBACK TO s", "UNLISTEN b", "COMMIT"], ["a"]),
    (["LISTEN a", "SELECT 1", "LISTEN b", "SELECT 1", "LISTEN c"], ["a", "b", "c"]),
    (["LISTEN a", "BEGIN", "LISTEN b", "UNLISTEN b", "LISTEN c", "UNLISTEN a", "COMMIT"], ["c"]),
    (["LISTEN a", "SELECT 1/0", "LISTEN b"], ["a", "b"]),
    (["LISTEN a", "CREATE TEMP TABLE x (i int)", "LISTEN b", "UNLISTEN a", "DROP TABLE x", "LISTEN c"], ["b", "c"]),
])
@pytest.mark.parametrize("how", ["simple", "extended", "pipeline"])
def test_transactions(join, texts, heard, how):
    one, two = join(), join()
    if how == "extended" and any(";" in text for text in texts):
        pytest.skip("one statement at a time")
    if how == "simple":
        run(one, *texts)
    elif how == "pipeline":
        one.send(*[wire.query(text) for text in texts])
        for _ in texts:
            one.until(b"Z")
    else:
        for text in texts:
            one.send(wire.parse("", text), wire.bind("", ""), wire.execute(), wire.SYNC)
            one.until(b"Z")
    assert channels(one) == heard
    run(two, "NOTIFY a; NOTIFY b; NOTIFY c")
    assert notes(run(one, "SELECT 1")) == [(name, "") for name in heard]
    one.simple("UNLISTEN *")
    assert channels(one) == []


def test_one_batch_without_sync_between(join):
    one, two = join(), join()
    one.simple("LISTEN kept")
    parts = []
    for text in ("SELECT 1", "LISTEN a", "UNLISTEN kept", "LISTEN b"):
        parts += [wire.parse("", text), wire.bind("", ""), wire.execute()]
    one.send(*parts, wire.FLUSH)
    for _ in range(4):
        one.until(b"C")
    one.send(wire.SYNC)
    one.until(b"Z")
    assert channels(one) == ["a", "b"]
    run(two, "NOTIFY a", "NOTIFY kept", "NOTIFY b")
    assert notes(run(one, "SELECT 1")) == [("a", ""), ("b", "")]


def test_nothing_comes_inside_a_transaction(cluster, db, join):
    one = join()
    run(one, "LISTEN news", "BEGIN", "SELECT 1")
    cluster.sql("NOTIFY news, '1'", db)
    assert notes(run(one, "SELECT 1", "SELECT 2")) == []
    got = one.simple("COMMIT")
    assert wire.kinds(got) == "CAZ" and notes(got) == [("news", "1")]


def test_nothing_comes_inside_a_transaction_that_no_server_knows_of(join):
    one, two = join(), join()
    run(one, "LISTEN news", "BEGIN")
    two.simple("NOTIFY news, '1'")
    two.simple("SELECT 1")
    got = one.simple("ROLLBACK")
    if not notes(got):
        got.append(one.recv())
    assert notes(got) == [("news", "1")]


def test_order_is_kept(join):
    one, two, three = join(), join(), join()
    run(one, *(f"LISTEN c{i}" for i in range(7)))
    said = []
    for i in range(150):
        said.append((f"c{i % 7}", str(i)))
        (two, three)[i % 2].simple(f"NOTIFY c{i % 7}, '{i}'")
    got = notes(one.simple("SELECT 1"))
    assert got == said


@pytest.mark.parametrize("text, name", [
    ("LISTEN MixedCase", "mixedcase"),
    ('LISTEN "MixedCase"', "MixedCase"),
    ('LISTEN "with ""quotes"" and; more"', 'with "quotes" and; more'),
    ('LISTEN "' + "x" * 80 + '"', "x" * 63),
    ("LISTEN kanal_ü", "kanal_ü"),
    ('LISTEN "' + "ü" * 40 + '"', "ü" * 31),
    ("/* a comment */ listen\n  news -- more", "news"),
    ("LISTEN U&\"d\\0061ta\"", "data"),
])
def test_names(join, text, name):
    one, two = join(), join()
    one.simple(text)
    assert channels(one) == [name]
    two.simple(f"SELECT pg_notify('{name}', 'Grüße')")
    assert notes(one.simple("SELECT 1")) == [(name, "Grüße")]


def test_errors_are_postgresqls(join):
    one = join()
    assert wire.errors(run(one, "BEGIN", "SELECT 1/0", "LISTEN news", "ROLLBACK")) == ["22012", "25P02"]
    assert wire.errors(one.simple("LISTEN")) == ["42601"]
    assert wire.errors(one.simple("LISTEN a.b")) == ["42601"]
    assert wire.errors(one.simple(f"SELECT pg_notify('{'x' * 64}', '')")) == ["22023"]
    assert wire.errors(one.simple(f"SELECT pg_notify('x', repeat('x', 8000))")) == ["22023"]
    assert wire.errors(run(one, "BEGIN", "LISTEN a", "PREPARE TRANSACTION 'x'", "ROLLBACK")) != []
    assert channels(one) == []


def test_the_channels_are_ones_own(join):
    one, two = join(), join()
    run(one, "LISTEN b", "LISTEN a")
    assert channels(two) == []
    assert channels(one) == ["a", "b"]
    run(one, "BEGIN", "SELECT 1")
    assert channels(one) == ["a", "b"]
    run(one, "LISTEN c")
    assert channels(one) == ["a", "b"]
    run(one, "COMMIT")
    assert channels(one) == ["a", "b", "c"]
    two.simple("LISTEN a")
    assert channels(two) == ["a"]
    assert wire.rows(one.simple("DO $$BEGIN PERFORM 1; END$$; SELECT count(*) FROM pg_listening_channels()")) == [[b"3"]]


@only_pgweir
def test_a_listen_that_the_text_does_not_show_pins(cluster, db):
    proxy = Proxy(cluster, {"default_pool_size": "2", "workers": "1"})
    one, two = Wire(proxy.port).login(database=db), Wire(proxy.port).login(database=db)
    with one, two:
        one.simple("LISTEN seen")
        one.simple("DO $$BEGIN EXECUTE 'LISTEN hidden'; END$$")
        assert channels(one) == ["hidden", "seen"]
        assert channels(two) == []
        run(two, "NOTIFY hidden, '1'", "NOTIFY seen, '2'")
        got = notes(run(one, "SELECT 1"))
        assert sorted(got) == [("hidden", "1"), ("seen", "2")]
        wait_for("the pin to show", lambda: '"pinned":1' in proxy.http("/stats.json")[1].replace(" ", ""))
        one.simple("LISTEN third")
        assert channels(one) == ["hidden", "seen", "third"]
        one.simple("UNLISTEN hidden")
        assert channels(one) == ["seen", "third"]
        wait_for("the pin to go", lambda: '"pinned":1' not in proxy.http("/stats.json")[1].replace(" ", ""))
        run(two, "NOTIFY hidden", "NOTIFY third", "NOTIFY seen")
        assert notes(run(one, "SELECT 1")) == [("third", ""), ("seen", "")]
    assert proxy.stop() == 0


@only_pgweir
def test_a_client_that_does_not_read_is_closed_and_delays_nobody(cluster, db):
    proxy = Proxy(cluster, {"default_pool_size": "2", "workers": "1", "notify_queue_size": "256kB"})
    slow, good, talker = [Wire(proxy.port).login(database=db) for _ in range(3)]
    with slow, good, talker:
        slow.simple("LISTEN news")
        good.simple("LISTEN news")
        run(slow, "BEGIN", "SELECT 1")
        for i in range(100):
            talker.simple(f"SELECT pg_notify('news', '{i} ' || repeat('x', 7000))")
            assert notes([good.recv()])[0][1].split()[0] == str(i)
        assert wire.errors(slow.drain()) == ["53400"]
        assert wire.kinds(good.simple("SELECT 1")) == "TDCZ"
        assert proxy.metrics().count("listen_overflows") == 1
    assert proxy.stop() == 0


@only_pgweir
def test_the_listening_connection_is_lost(cluster, database):
    proxy = Proxy(cluster, {"workers": "1"})
    one, two, three = [Wire(proxy.port).login(database=database) for _ in range(3)]
    with one, two, three:
        one.simple("LISTEN news")
        two.simple("LISTEN news")
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LISTENER} AND datname = '{database}'"
        assert cluster.sql(end) == "t"
        assert wire.errors(one.drain()) == ["57P01"]
        assert wire.errors(two.drain()) == ["57P01"]
        assert wire.kinds(three.simple("LISTEN news")) == "CZ"
        assert notes(three.simple("NOTIFY news, 'again'")) == [("news", "again")]
        assert proxy.metrics().count("listen_losses") == 1
    assert proxy.stop() == 0


@only_pgweir
def test_each_worker_has_one_listening_connection(cluster, database):
    """Server connections move between workers; whoever notifies from wherever, everybody hears it once."""
    proxy = Proxy(cluster, {"workers": "3", "default_pool_size": "2"})
    clients = [Wire(proxy.port).login(database=database) for _ in range(9)]
    try:
        for client in clients:
            client.simple("LISTEN news")
        count = f"SELECT count(*) FROM pg_stat_activity WHERE {LISTENER} AND datname = '{database}'"
        assert cluster.sql(count) == "3"
        for i, client in enumerate(clients):
            assert notes(client.simple(f"NOTIFY news, '{i}'"), pid=True)[-1] == (client.pid, "news", str(i))
        for client in clients:
            client.send(wire.query("SELECT 1"))
        for i, client in enumerate(clients):
            got = notes(client.until(b"Z"))
            assert got == [("news", str(n)) for n in range(i + 1, 9)]
    finally:
        for client in clients:
            client.sock.close()
    assert proxy.stop() == 0


@only_pgweir
def test_what_cannot_be_shared_is_pinned(cluster, db):
    """Another encoding than the server's, and a pool of sessions."""
    proxy = Proxy(cluster, {"default_pool_size": "3", "workers": "1"})
    one = Wire(proxy.port).login(database=db, client_encoding="LATIN1")
    two = Wire(proxy.port).login(database=db)
    with one, two:
        one.simple("LISTEN news")
        two.simple("NOTIFY news, 'Grüße'")
        kind, body = one.until(b"A")[-1]
        assert body[4:] == b"news\0" + "Grüße".encode("latin1") + b"\0"
        assert channels(one) == ["news"]
        one.simple("UNLISTEN news")
        two.simple("LISTEN news")
        two.simple("SET client_encoding = LATIN1")
        assert cluster.sql("NOTIFY news, 'plain'", db) is not None
        assert notes(two.until(b"A")) == [("news", "plain")]
        cluster.sql("NOTIFY news, 'Grüße'", db)
        assert wire.errors(two.drain()) == ["0A000"]
    assert proxy.stop() == 0


def test_drivers(proxy, db):
    """psycopg waits for notifications by itself; nothing is between it and the server that it notices."""
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("LISTEN news")
        for i in range(3):
            two.execute("SELECT pg_notify('news', %s)", [str(i)])
        got = one.notifies()
        assert [next(got).payload for _ in range(3)] == ["0", "1", "2"]
        got.close()
        own = []
        one.add_notify_handler(own.append)
        one.execute("NOTIFY news, 'own'")
        assert [(note.payload, note.pid) for note in own] == [("own", one.info.backend_pid)]


def crowd(proxy, db, n):
    """n raw clients, logged in."""
    hello = b"".join(wire.cstr(text) for text in ("user", "postgres", "database", db)) + b"\0"
    hello = struct.pack("!II", len(hello) + 8, wire.PROTOCOL_3_0) + hello
    socks = []
    for at in range(0, n, 100):
        some = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(min(100, n - at))]
        for sock in some:
            sock.sendall(hello)
        for sock in some:
            expect(sock, b"Z\0\0\0\5I")
        socks += some
    return socks


def expect(sock, end):
    """Reads until these bytes end the input; returns all of it."""
    got = b""
    while not got.endswith(end):
        more = sock.recv(65536)
        assert more, got
        got += more
    return got


@only_pgweir
def test_five_thousand_listen_over_one_server_connection(cluster, database):
    db = database
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(CROWD, (hard - 500) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    proxy = Proxy(cluster, {"default_pool_size": "5", "workers": "1", "max_client_conn": str(n + 10),
                            "query_wait_notify": "0"})
    try:
        socks = crowd(proxy, db, n)
        for sock in socks:
            sock.sendall(wire.query("LISTEN news"))
        for sock in socks:
            assert expect(sock, b"Z\0\0\0\5I") == b"C\0\0\0\x0bLISTEN\0Z\0\0\0\5I"
        listening = cluster.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {LISTENER} AND datname = '{db}'")
        assert listening == "1"
        assert proxy.metrics()["pgweir_listeners"] == n
        cluster.sql("NOTIFY news, 'to all'", db)
        for sock in socks:
            assert expect(sock, b"to all\0").endswith(b"news\0to all\0")
        counted = proxy.metrics()
        assert counted.count("notifications_heard") == 1 and counted.count("notifications_delivered") == n
        assert int(cluster.sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{db}' AND backend_type = 'client backend'")) < 10
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for("nobody to listen", lambda: proxy.metrics()["pgweir_listeners"] == 0)
    assert proxy.stop() == 0
