"""Clients that speak several encodings: the bytes of a setting mean what they meant to the one who set it, and the next has its own."""
import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy
from pgweir_test.tools import pg_version
from pgweir_test.wire import Wire, errors, message, rows

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing")
TAINT = "DO $$ BEGIN PERFORM 1; END $$"
LATIN = {"client_encoding": "LATIN1"}
# PostgreSQL 18 reports the search_path, and tries for ever when it cannot say it in the client's encoding.
UNSEEN = "search_path" if pg_version() < 18 else "app.unseen"


@pytest.fixture(scope="module", autouse=True)
def schemas(cluster):
    cluster.sql('''CREATE ROLE "ré"; GRANT "ré" TO postgres; CREATE SCHEMA "é"; CREATE SCHEMA "Ã©"; CREATE TABLE "é".t AS SELECT 'of e' AS v;
                   CREATE TABLE "Ã©".t AS SELECT 'of A' AS v; CREATE TABLE sec (tenant text, v text); INSERT INTO sec VALUES ('é', 'mine'), ('Ã©', 'theirs');
                   GRANT ALL ON ALL TABLES IN SCHEMA public TO "ré"''')


@pytest.fixture(scope="module", params=[1, 2])
def proxy(request, cluster):
    made = Proxy(cluster, {"default_pool_size": request.param})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


# Who (its login) says what, one after the other; bytes as they go over the wire.
SCRIPTS = {
    "a name in front of client_encoding": [("b", {}, "SET app.x = 'é'"), ("a", LATIN, "SELECT 1"), ("b", {}, "SELECT v FROM sec WHERE tenant = current_setting('app.x')"),
                                           ("b", {}, "SHOW app.x")],
    "the same bytes": [("a", LATIN, b'SET search_path = "\xc3\xa9"'), ("b", {}, 'SET search_path = "é"'), ("a", LATIN, "SELECT v FROM t"), ("b", {}, "SELECT v FROM t"),
                       ("a", LATIN, "SHOW search_path"), ("b", {}, "SHOW search_path")],
    "of a LATIN1 client": [("a", LATIN, b"SET app.x = '\xe9'"), ("b", {}, "SELECT 1"), ("a", LATIN, "SHOW app.x"), ("b", {}, "SET app.x = 'é'"), ("a", LATIN, "SHOW app.x"),
                           ("b", {}, "SHOW app.x"), ("a", LATIN, "SET client_encoding = 'UTF8'"), ("b", {}, "SELECT 1"), ("a", LATIN, "SHOW app.x")],
    "a role": [("a", LATIN, b'SET ROLE "r\xe9"'), ("a", LATIN, "SET client_encoding = 'UTF8'"), ("b", {}, "SELECT current_user"), ("a", LATIN, "SELECT current_user"),
               ("b", {}, "SELECT current_user"), ("a", LATIN, "RESET ROLE"), ("a", LATIN, "SELECT current_user")],
    "what the client's encoding lacks": [("a", {}, f"SET {UNSEEN} = '€'"), ("a", {}, "SET client_encoding = 'LATIN1'"), ("a", {}, TAINT), ("b", {}, "SELECT 1"),
                                         ("a", {}, "SELECT 1"), ("a", {}, "SET client_encoding = 'UTF8'"), ("b", {}, "SELECT 1"), ("a", {}, f"SHOW {UNSEEN}")],
    "by code": [("a", LATIN, b"DO $$ BEGIN PERFORM set_config('app.y', '\xe9', false); END $$"), ("b", {}, "SELECT current_setting('app.y', true)"), ("a", LATIN, "SHOW app.y"),
                ("b", {}, "SET app.y = 'é'"), ("a", LATIN, TAINT), ("b", {}, "SHOW app.y"), ("a", LATIN, "SHOW app.y")],
    "three encodings": [("a", LATIN, b"SET app.z = '\xe9'"), ("b", {"client_encoding": "WIN1252"}, b"SET app.z = '\x80'"), ("c", {}, "SET app.z = '€'"), ("a", LATIN, "SHOW app.z"),
                        ("b", {}, "SHOW app.z"), ("c", {}, "SHOW app.z"), ("a", LATIN, "SHOW client_encoding"), ("b", {}, "SHOW client_encoding"), ("c", {}, "SHOW client_encoding"),
                        ("a", LATIN, "RESET client_encoding"), ("c", {}, "SELECT 1"), ("a", LATIN, "SHOW app.z")],
    "RESET ALL": [("a", LATIN, b"SET app.x = '\xe9'"), ("b", {}, "SELECT 1"), ("a", LATIN, "RESET ALL"), ("b", {}, "SELECT 1"), ("a", LATIN, "SHOW client_encoding"), ("a", LATIN, "SELECT 'é'")],
}


def play(port, script):
    wires, said = {}, []
    try:
        for who, login, text in script:
            if who not in wires:
                wires[who] = Wire(port).login(**login)
            wires[who].send(message(b"Q", (text.encode() if isinstance(text, str) else text) + b"\0"))
            got = wires[who].until(b"Z")
            said.append(errors(got) or rows(got))
    finally:
        for wire in wires.values():
            wire.sock.close()
    return said


@pytest.mark.parametrize("name", SCRIPTS)
def test_is_as_on_postgres(cluster, proxy, name):
    assert play(proxy.port, SCRIPTS[name]) == play(cluster.port, SCRIPTS[name])
