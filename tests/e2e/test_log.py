"""What the log says of clients and slow statements, and what it must not say."""
import json

import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, errors, execute, parse

pytestmark = pytest.mark.skipif(not PGWEIR, reason="needs pgweir itself")


def lines(proxy, event):
    return [line for line in map(json.loads, proxy.log_text().splitlines()) if line["event"] == event]


def test_slow_statements_without_their_literals(cluster):
    proxy = Proxy(cluster, {"log_format": "json", "log_min_duration_statement": "50ms", "cache_size": 0})
    with proxy.connect() as client:
        client.execute("SELECT /* for: 'secret comment' */ pg_sleep(0.3), 'secret literal', 4711 -- secret tail")
        client.execute("SELECT pg_sleep(0.3), %s::text", ["secret parameter"])
        client.execute("DO $$ BEGIN PERFORM pg_sleep(0.3), 'secret body'; END $$")
        with pytest.raises(psycopg.errors.SyntaxError):
            client.execute("SELECT pg_sleep(0.3) 'secret open")
    assert proxy.stop() == 0
    slow = [line for line in lines(proxy, "slow statement") if line["duration_us"] >= 300000]
    assert [line["statement"] for line in slow] == ["SELECT pg_sleep(?), ?, ?", "SELECT pg_sleep(?), $1::text", "DO ?"]
    for line in slow:
        assert line["waited_us"] < line["duration_us"]
        assert line["verdict"] == "OFF" and line["database"] == "postgres" and line["user"] == "postgres"
        assert line["peer"].startswith("127.0.0.1:")
    assert "secret" not in proxy.log_text() and "4711" not in proxy.log_text()


def test_a_slow_statement_is_not_taken_for_another(cluster):
    """Each line is about its own statement: long ones, one with a long parameter, what the proxy answers itself."""
    proxy = Proxy(cluster, {"log_format": "json", "log_min_duration_statement": "1us", "cache_size": 0})
    with Wire(proxy.port).login() as wire:
        wire.simple("SELECT 'first'")
        wire.simple("SELECT length('" + "x" * 50000 + "')")
        wire.simple("SELECT length('" + "y" * 300000 + "')")
        wire.send(parse("", "SELECT length($1::text)") + bind("", "", [b"z" * 200000]) + execute() + SYNC)
        wire.until(b"Z")
        wire.simple("BEGIN")
        wire.simple("SHOW pgweir.coherence")
        wire.simple("COMMIT")
    assert proxy.stop() == 0
    said = [(line["statement"], line["verdict"]) for line in lines(proxy, "slow statement")]
    assert said[:4] == [("SELECT ?", "OFF"), ("SELECT length(?)", "OFF"), ("", "TOO_LARGE"), ("SELECT length($1::text)", "TOO_LARGE")]
    # These may take less than a microsecond.
    assert set(said[4:]) <= {(own, "answered by the proxy") for own in ("BEGIN", "SHOW pgweir.coherence", "COMMIT")}


def test_the_text_as_it_is_when_asked_for(cluster):
    proxy = Proxy(cluster, {"log_min_duration_statement": "50ms", "log_statement_literals": 1})
    with proxy.connect() as client:
        client.execute("SELECT pg_sleep(0.1), 'shown' -- too")
    assert proxy.stop() == 0
    assert "SELECT pg_sleep(0.1), 'shown' -- too" in proxy.log_text()


def test_nothing_is_slow_by_default(cluster):
    proxy = Proxy(cluster)
    with proxy.connect() as client:
        client.execute("SELECT pg_sleep(0.1)")
    assert proxy.stop() == 0
    assert "slow statement" not in proxy.log_text()


def test_no_secret_is_ever_said(cluster):
    """At level debug, with secrets of every kind, right ones and wrong ones: not in the log, the console, the statistics."""
    cluster.sql("CREATE ROLE silent SUPERUSER LOGIN PASSWORD 'hush_server'")
    proxy = Proxy(cluster, {"verbose": 1, "log_min_duration_statement": "1us", "auth_type": "scram-sha-256",
                            "feed_password": "hush_feed", "stats_user": "eye", "stats_password": "hush_stats"},
                  users={"postgres": "hush_client"}, start=False, databases={
                      "postgres": f"host=127.0.0.1 port={cluster.port} user=silent password=hush_server"})
    proxy._serves = lambda: "pgweir is ready" in proxy.log_text()
    proxy.start()
    with psycopg.connect(proxy.dsn(), password="hush_client", autocommit=True) as client:
        client.execute("ALTER ROLE silent PASSWORD 'hush_literal'")
        client.execute("SELECT %s::text", ["hush_parameter"])
        with pytest.raises(psycopg.errors.SyntaxError):
            client.execute("ALTER ROLE silent PASSWORT 'hush_literal'")
    with psycopg.connect(proxy.dsn("pgbouncer"), password="hush_client", autocommit=True) as console:
        shown = [console.execute(f"SHOW {what}").fetchall() for what in ("CONFIG", "DATABASES", "USERS", "CLIENTS", "SERVERS",
                                                                          "STATEMENTS")]
        assert console.execute("SET feed_password = 'hush_set'").statusmessage == "SET feed_password=***"
    proxy.settings["stats_password"] = "hush_new"
    proxy.reload()
    wait_for("the reload", lambda: "configuration reloaded" in proxy.log_text())
    assert "stats_password needs a restart" in proxy.log_text()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.dsn(), password="hush_wrong")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.dsn(user="hush_nobody"), password="hush_wrong")
    assert proxy.stop() == 0
    text = proxy.log_text().replace("hush_nobody", "")
    assert "debug" in text.lower() and "hush" not in text, [line for line in text.splitlines() if "hush" in line]
    assert "hush" not in str(shown)
    cluster.sql("DROP ROLE silent")


def test_comings_and_goings(cluster):
    proxy = Proxy(cluster, {"log_format": "json", "client_idle_timeout": 1})
    with proxy.connect():
        pass
    with Wire(proxy.port).login() as idle:
        assert errors(idle.drain()) == ["57P05"]
    assert proxy.stop() == 0
    came, went = lines(proxy, "client logged in"), lines(proxy, "client disconnected")
    assert len(came) == len(went) == 2
    assert all(line["peer"].startswith("127.0.0.1:") and line["method"] == "trust" for line in came)
    assert went[0]["reason"] == "client said goodbye" and went[0]["after_us"] > 0
    assert went[1]["reason"] == "client_idle_timeout"
