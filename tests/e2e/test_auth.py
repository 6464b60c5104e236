"""Who gets in: every method towards clients, and every method that a server may ask of us."""
import gc
import hashlib
import socket
import time

import psycopg
import pytest

from pgweir_test.certs import certs
from pgweir_test.cluster import Cluster
from pgweir_test.proxy import DIRECT, PGBOUNCER, PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import Wire, error_fields, message

pytestmark = pytest.mark.skipif(DIRECT, reason="logins are the proxy's")
SECRET = 'pa"ss \\ wörd'
HBA = """
local all all                      trust
host  all postgres    127.0.0.1/32 trust
host  all lookup      127.0.0.1/32 trust
host  all by_trust    127.0.0.1/32 trust
host  all by_password 127.0.0.1/32 password
host  all by_md5      127.0.0.1/32 md5
host  all by_scram    127.0.0.1/32 scram-sha-256
hostssl all by_cert   127.0.0.1/32 cert
host  all all         127.0.0.1/32 scram-sha-256
host  replication all 127.0.0.1/32 trust
"""


def md5_of(user, password=SECRET):
    return "md5" + hashlib.md5(password.encode() + user.encode()).hexdigest()


@pytest.fixture(scope="module")
def guarded():
    """A PostgreSQL that asks each role for something else."""
    made = Cluster(tls=True, hba=HBA)
    literal = SECRET.replace("'", "''")
    made.sql(f"SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD '{literal}'")
    for role in ("by_trust", "by_password", "by_scram", "by_cert", "somebody"):
        made.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{literal}'")
    made.sql("CREATE ROLE lookup LOGIN SUPERUSER")
    yield made
    made.remove()


def verifier(cluster, user):
    return cluster.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'")


def login(proxy, user, password=SECRET, **more):
    """Connects, asks who it is, and returns that."""
    with psycopg.connect(proxy.dsn(user=user, **more), password=password, autocommit=True) as conn:
        return conn.execute("SELECT current_user").fetchone()[0]


def refused(proxy, user, password, word="", **more):
    """The error of a login that must fail."""
    with pytest.raises(psycopg.OperationalError) as caught:
        login(proxy, user, password, **more)
    assert word in str(caught.value), caught.value
    return str(caught.value)


# --- towards clients ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("auth_type, stored", [
    ("trust", "plain"), ("plain", "plain"), ("md5", "plain"), ("md5", "md5"), ("md5", "scram"),
    ("scram-sha-256", "plain"), ("scram-sha-256", "scram")])
def test_each_method_with_each_kind_of_secret(guarded, auth_type, stored):
    secret = {"plain": SECRET, "md5": md5_of("by_trust"), "scram": verifier(guarded, "by_trust")}[stored]
    proxy = Proxy(guarded, {"auth_type": auth_type}, users={"by_trust": secret.replace('"', '""'), "postgres": ""})
    assert login(proxy, "by_trust") == "by_trust"
    if auth_type != "trust":
        refused(proxy, "by_trust", "wrong", "password authentication failed" if PGWEIR else "")
        refused(proxy, "by_trust", "", "")
        assert login(proxy, "by_trust") == "by_trust"
    assert proxy.stop() == 0


def test_scram_does_not_accept_an_md5_secret(guarded):
    proxy = Proxy(guarded, {"auth_type": "scram-sha-256"}, users={"by_trust": md5_of("by_trust"), "postgres": ""})
    refused(proxy, "by_trust", SECRET)
    assert proxy.stop() == 0


def test_an_unknown_user_looks_like_a_wrong_password(guarded):
    """Whether a name exists must not be told: same text, same SQLSTATE, same messages."""
    proxy = Proxy(guarded, {"auth_type": "scram-sha-256"}, users={"by_trust": SECRET.replace('"', '""'), "postgres": ""})
    known = refused(proxy, "by_trust", "wrong")
    unknown = refused(proxy, "nobody_at_all", "wrong")
    if PGWEIR:
        assert known.replace("by_trust", "?") == unknown.replace("nobody_at_all", "?")
    assert proxy.stop() == 0


def test_scram_plus_binds_the_channel(guarded):
    if PGBOUNCER:
        pytest.skip("PgBouncer 1.18 has no channel binding")
    made = certs()
    proxy = Proxy(guarded, {"auth_type": "scram-sha-256", "client_tls_sslmode": "require",
                            "client_tls_cert_file": made.server, "client_tls_key_file": made.server_key},
                  users={"by_trust": SECRET.replace('"', '""'), "postgres": ""})
    assert login(proxy, "by_trust", channel_binding="require", sslmode="require") == "by_trust"
    refused(proxy, "by_trust", "wrong", channel_binding="require", sslmode="require")
    assert proxy.stop() == 0


def test_a_client_certificate_names_the_user(guarded):
    made = certs()
    proxy = Proxy(guarded, {"auth_type": "cert", "client_tls_sslmode": "verify-full", "client_tls_ca_file": made.ca,
                            "client_tls_cert_file": made.server, "client_tls_key_file": made.server_key},
                  users={"by_trust": "", "postgres": ""}, start=PGWEIR)
    if not PGWEIR:
        pytest.skip("readiness of the stand-in needs a certificate")

    def with_cert(user, of, ca="ca"):
        crt, key = made.client(of, ca)
        return login(proxy, user, None, sslmode="require", sslcert=crt, sslkey=key)

    assert with_cert("by_trust", "by_trust") == "by_trust"
    for user, of, ca in (("postgres", "by_trust", "ca"), ("by_trust", "by_trust", "other-ca")):
        with pytest.raises(psycopg.OperationalError):
            with_cert(user, of, ca)
    with pytest.raises(psycopg.OperationalError):
        login(proxy, "by_trust", None, sslmode="require")
    assert proxy.stop() == 0


def test_the_hba_file_decides_per_user_and_database(guarded):
    hba = """
host  all       postgres  127.0.0.1/32  trust
host  all       somebody  127.0.0.1/32  reject
host  template1 by_trust  127.0.0.1/32  reject
host  all       by_trust  10.0.0.0/8    trust
host  all       by_trust  127.0.0.0/8   scram-sha-256
"""
    proxy = Proxy(guarded, {"auth_type": "hba"}, hba=hba,
                  users={"by_trust": SECRET.replace('"', '""'), "somebody": SECRET.replace('"', '""'), "postgres": ""})
    assert login(proxy, "postgres", None) == "postgres"
    assert login(proxy, "by_trust") == "by_trust"
    refused(proxy, "by_trust", "wrong")
    refused(proxy, "somebody", SECRET)
    refused(proxy, "by_trust", SECRET, dbname="template1")
    refused(proxy, "by_scram", SECRET)  # no line for it
    assert proxy.stop() == 0


@pytest.mark.parametrize("auth_type", ["md5", "scram-sha-256"])
def test_auth_query_finds_users_that_no_file_names(guarded, auth_type):
    query = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"
    settings = {"auth_type": auth_type, "auth_user": "lookup", "auth_query": query}
    hba = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 %s\n" % auth_type
    if PGBOUNCER:
        settings["auth_type"] = "hba"
    else:
        hba = None
    proxy = Proxy(guarded, settings, users={"lookup": "", "postgres": ""}, hba=hba)
    assert login(proxy, "by_scram") == "by_scram"
    refused(proxy, "by_scram", "wrong")
    refused(proxy, "nobody_at_all", "wrong")
    if auth_type == "md5":
        assert login(proxy, "by_md5") == "by_md5"
    assert proxy.stop() == 0


def test_a_changed_password_counts_at_once_with_auth_query(guarded):
    guarded.sql("CREATE ROLE fickle LOGIN PASSWORD 'one'")
    settings = {"auth_type": "scram-sha-256", "auth_user": "lookup",
                "auth_query": "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"}
    if PGBOUNCER:
        pytest.skip("readiness of the stand-in needs trust")
    proxy = Proxy(guarded, settings, users={"lookup": ""})
    assert login(proxy, "fickle", "one") == "fickle"
    guarded.sql("ALTER ROLE fickle PASSWORD 'two'")
    assert login(proxy, "fickle", "two") == "fickle"
    refused(proxy, "fickle", "one")
    assert proxy.stop() == 0
    guarded.sql("DROP ROLE fickle")


@pytest.mark.skipif(PGBOUNCER, reason="compares pgweir with PostgreSQL")
def test_lists_of_the_hba_file_may_be_files(guarded):
    """And an address may be any of its network: both files say the same to the same lines."""
    lines = "host postgres @friends 127.0.0.99/24 trust\nhost all @enemies 127.0.0.1/32 reject\n"
    lines += "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 trust\n"
    names = {"friends": "postgres, lookup # of all\n@more\n", "more": "by_trust\n", "enemies": '"somebody"\n'}
    proxy = Proxy(guarded, {"auth_type": "hba"}, users={user: "" for user in ("postgres", "by_trust", "somebody", "lookup")},
                  start=False)
    for name, text in names.items():
        for where in (guarded.data, proxy.dir):
            (where / name).write_text(text)
            (where / name).chmod(0o644)
    (proxy.dir / "hba.conf").write_text(lines)
    proxy.settings["auth_hba_file"] = proxy.dir / "hba.conf"
    proxy.write()
    guarded.write_hba("local all all trust\n" + lines)
    guarded.reload()
    try:
        proxy.start()
        for where in (guarded, proxy):
            assert login(where, "by_trust", None) == "by_trust"
            refused(where, "somebody", None, "pg_hba.conf rejects connection")
            refused(where, "lookup", None, dbname="template1")
        (proxy.dir / "more").unlink()
        proxy.reload()
        wait_for("the reload to be refused", lambda: "reload refused" in proxy.log_text())
        assert login(proxy, "by_trust", None) == "by_trust"
    finally:
        guarded.write_hba(HBA)
        guarded.reload()
        gc.collect()  # psycopg leaves that login open, and DROP DATABASE waits for it: a minute, authentication_timeout
    assert proxy.stop() == 0


@pytest.mark.skipif(PGBOUNCER, reason="1.18 has no replication connections")
def test_replication_needs_its_own_line_of_the_hba_file(guarded):
    hba = "host replication all 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n"
    proxy = Proxy(guarded, {"auth_type": "hba"}, hba=hba)
    assert login(proxy, "postgres", None) == "postgres"
    assert login(proxy, "postgres", None, replication="database") == "postgres"
    refused(proxy, "postgres", None, "rejects replication connection for host \"127.0.0.1\", user \"postgres\"",
            replication="true")
    assert proxy.stop() == 0


@pytest.mark.skipif(PGBOUNCER, reason="1.18 has no replication connections")
@pytest.mark.parametrize("replication", [None, "true", "database"])
def test_any_lets_nobody_in_as_whom_he_likes(guarded, replication):
    """Not to a database of the console's name either, which is the server's when somebody asks for replication."""
    guarded.sql("CREATE DATABASE pgbouncer")
    proxy = Proxy(guarded, {"auth_type": "any"}, users={})
    for dbname in ("postgres", "pgbouncer" if replication else "template1"):
        refused(proxy, "postgres", None, "needs a user=", dbname=dbname, replication=replication)
    assert proxy.stop() == 0
    guarded.sql("DROP DATABASE pgbouncer")


@pytest.mark.skipif(PGBOUNCER, reason="the default query is newer than 1.18")
def test_a_role_without_a_password_is_a_role(guarded):
    """A certificate, or trust, needs none; as in PgBouncer auth_query has found it all the same."""
    guarded.sql("CREATE ROLE bare LOGIN")
    proxy = Proxy(guarded, {"auth_type": "trust", "auth_user": "lookup"}, users={"lookup": "", "postgres": ""},
                  databases={"*": f"host=127.0.0.1 port={guarded.port} user=by_trust"})
    assert login(proxy, "bare", None) == "by_trust"
    refused(proxy, "no_such_role", None)
    assert proxy.stop() == 0
    for auth_type in ("md5", "scram-sha-256", "plain"):
        proxy = Proxy(guarded, {"auth_type": auth_type, "auth_user": "lookup"}, users={"lookup": ""})
        refused(proxy, "bare", "x", "password authentication failed")
        refused(proxy, "no_such_role", "x", "password authentication failed")
        assert proxy.stop() == 0
    guarded.sql("DROP ROLE bare")


@pytest.mark.skipif(PGBOUNCER, reason="about pgweir")
@pytest.mark.parametrize("user", ["by_password", "by_md5"])
def test_an_empty_password_is_answered_as_postgresql_does(guarded, user):
    hba = "host all by_password all password\nhost all by_md5 all md5\nhost all all all trust\n"
    proxy = Proxy(guarded, {"auth_type": "hba"}, users={user: md5_of(user), "postgres": ""}, hba=hba)
    for port in (guarded.port, proxy.port):
        with Wire(port) as wire:
            wire.startup(user=user)
            wire.recv()
            wire.send(message(b"p", b"\0"))
            fields = error_fields(wire.until(b"E")[-1][1])
            assert (fields["C"], fields["M"]) == ("28P01", "empty password returned by client"), port
    assert proxy.stop() == 0


@pytest.mark.skipif(PGBOUNCER, reason="about pgweir")
def test_users_of_a_database_that_hangs_hold_up_nobody_else(guarded):
    """Anybody can name a user that has to be asked for: neither PBKDF2 nor another database's users wait for the answer."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(64)
        databases = {"hung": f"host=127.0.0.1 port={hole.getsockname()[1]}",
                     "*": f"host=127.0.0.1 port={guarded.port}"}
        proxy = Proxy(guarded, {"auth_type": "scram-sha-256", "auth_user": "lookup"}, databases=databases,
                      users={"lookup": "", "somebody": SECRET.replace('"', '""')})
        waiting = [Wire(proxy.port) for _ in range(40)]
        for i, wire in enumerate(waiting):
            wire.startup(user=f"guess{i}", database="hung")
        start = time.monotonic()
        assert login(proxy, "somebody") == "somebody"
        assert login(proxy, "by_scram") == "by_scram"
        assert time.monotonic() - start < 5
        for wire in waiting[::2]:
            wire.sock.close()
        assert login(proxy, "by_scram") == "by_scram"
        for wire in waiting:
            wire.sock.close()
    assert proxy.stop() == 0


# --- towards servers ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", ["by_trust", "by_password", "by_md5", "by_scram"])
def test_we_log_in_with_what_the_server_asks_for(guarded, user):
    proxy = Proxy(guarded, {"auth_type": "scram-sha-256"}, users={user: SECRET.replace('"', '""'), "postgres": ""},
                  start=PGWEIR)
    if PGWEIR:
        assert login(proxy, user) == user
        assert proxy.stop() == 0


def test_md5_passes_an_md5_secret_through(guarded):
    proxy = Proxy(guarded, {"auth_type": "md5"}, users={"by_md5": md5_of("by_md5"), "postgres": ""}, start=PGWEIR)
    if PGWEIR:
        assert login(proxy, "by_md5") == "by_md5"
        assert proxy.stop() == 0


def test_scram_keys_learned_from_the_client_open_the_server(guarded):
    """auth_file holds only the verifier; the keys come out of the client's own login."""
    proxy = Proxy(guarded, {"auth_type": "scram-sha-256"}, users={"by_scram": verifier(guarded, "by_scram")},
                  start=PGWEIR)
    if PGWEIR:
        assert login(proxy, "by_scram") == "by_scram"
        assert login(proxy, "by_scram") == "by_scram"
        assert proxy.stop() == 0


def test_a_forced_server_user(guarded):
    where = f"host=127.0.0.1 port={guarded.port} user=by_scram password='{SECRET}'"
    proxy = Proxy(guarded, databases={"postgres": where}, users={"anyone": "", "postgres": ""})
    assert login(proxy, "anyone", None) == "by_scram"
    assert proxy.stop() == 0


def test_a_server_that_refuses_us_is_a_clear_error(guarded):
    where = f"host=127.0.0.1 port={guarded.port} user=by_scram password=wrong"
    proxy = Proxy(guarded, databases={"postgres": where}, users={"anyone": ""}, start=PGWEIR)
    if PGWEIR:
        refused(proxy, "anyone", None, "password authentication failed")
        assert proxy.stop() == 0


@pytest.mark.slow
def test_many_scram_logins_do_not_stall_the_others(guarded):
    """A hundred logins at once; a client that is in keeps its answers quick."""
    import threading
    import time
    if not PGWEIR:
        pytest.skip("about pgweir's worker loops")
    proxy = Proxy(guarded, {"auth_type": "scram-sha-256", "scram_iterations": 4096},
                  users={"by_trust": SECRET.replace('"', '""')})
    errors = []

    def log_in():
        for _ in range(10):
            try:
                login(proxy, "by_trust")
            except Exception as error:  # told below
                errors.append(error)

    with psycopg.connect(proxy.dsn(user="by_trust"), password=SECRET, autocommit=True) as conn:
        crowd = [threading.Thread(target=log_in) for _ in range(10)]
        for thread in crowd:
            thread.start()
        worst = 0
        while any(thread.is_alive() for thread in crowd):
            began = time.monotonic()
            conn.execute("SELECT 1")
            worst = max(worst, time.monotonic() - began)
    assert not errors, errors[0]
    assert worst < 1.0, worst
    assert proxy.stop() == 0
