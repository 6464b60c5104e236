"""TLS towards clients and servers, and certificates that change under a running proxy."""
import signal
import socket
import ssl

import psycopg
import pytest

from pgweir_test.certs import certs
from pgweir_test.cluster import Cluster
from pgweir_test.proxy import DIRECT, PGBOUNCER, PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import GSSENC_REQUEST, SSL_REQUEST, Closed, Wire, error_fields, request

pytestmark = pytest.mark.skipif(DIRECT, reason="TLS is the proxy's")


def tls(mode="require", cert="server", **more):
    """Settings for TLS towards clients."""
    made = certs()
    return {"client_tls_sslmode": mode, "client_tls_cert_file": getattr(made, cert),
            "client_tls_key_file": getattr(made, cert + "_key"), "client_tls_ca_file": made.ca, **more}


def uses_tls(proxy, **dsn):
    with proxy.connect(dsn=dsn) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
        return conn.pgconn.ssl_in_use


def fails(proxy, word, **dsn):
    with pytest.raises(psycopg.OperationalError) as caught:
        uses_tls(proxy, **dsn)
    assert word in str(caught.value), caught.value


# --- towards clients ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("ours, theirs, outcome", [
    ("disable", "disable", False), ("disable", "prefer", False), ("disable", "require", None),
    ("allow", "disable", False), ("allow", "require", True), ("prefer", "prefer", True), ("prefer", "disable", False),
    ("require", "disable", None), ("require", "prefer", True), ("require", "verify-full", True)])
def test_both_sides_choose(cluster, ours, theirs, outcome):
    proxy = Proxy(cluster, tls(ours) if ours != "disable" else None)
    dsn = {"sslmode": theirs, "sslrootcert": certs().ca}
    if outcome is None:
        with pytest.raises(psycopg.OperationalError):
            uses_tls(proxy, **dsn)
    else:
        assert uses_tls(proxy, **dsn) is outcome
    assert proxy.stop() == 0


def test_a_client_detects_the_wrong_host(cluster):
    proxy = Proxy(cluster, tls(cert="wrong_host"))
    assert uses_tls(proxy, sslmode="verify-ca", sslrootcert=certs().ca)
    fails(proxy, "does not match", sslmode="verify-full", sslrootcert=certs().ca)
    fails(proxy, "certificate verify failed", sslmode="verify-ca", sslrootcert=certs().other_ca)
    assert proxy.stop() == 0


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_client_certificates_are_demanded(cluster, mode):
    proxy = Proxy(cluster, tls(mode))
    crt, key = certs().client("postgres")
    bad, bad_key = certs().client("postgres", "other-ca")
    assert uses_tls(proxy, sslmode="require", sslcert=crt, sslkey=key)
    with pytest.raises(psycopg.OperationalError):
        uses_tls(proxy, sslmode="require", sslcert=bad, sslkey=bad_key)
    with pytest.raises(psycopg.OperationalError):
        uses_tls(proxy, sslmode="require")
    assert proxy.stop() == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_tls_versions(cluster, version):
    proxy = Proxy(cluster, tls())
    name = version.name.replace("_", ".")
    assert uses_tls(proxy, sslmode="require", ssl_min_protocol_version=name, ssl_max_protocol_version=name)
    assert proxy.stop() == 0


def test_old_tls_is_refused(cluster):
    proxy = Proxy(cluster, tls())
    with Wire(proxy.port) as wire:
        wire.send(request(SSL_REQUEST))
        assert wire.byte() == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(wire.sock)
    assert proxy.stop() == 0


def test_direct_tls_with_alpn(cluster):
    """PostgreSQL 17's sslnegotiation=direct: TLS from the first byte, ALPN `postgresql`."""
    if PGBOUNCER:
        pytest.skip("PgBouncer 1.18 has no direct TLS")
    proxy = Proxy(cluster, tls())
    context = ssl.create_default_context(cafile=str(certs().ca))
    context.set_alpn_protocols(["postgresql"])
    wire = Wire(proxy.port)
    wire.sock = context.wrap_socket(wire.sock, server_hostname="localhost")
    assert wire.sock.selected_alpn_protocol() == "postgresql"
    with wire:
        assert wire.login().simple("SELECT 1")[-1][0] == b"Z"
    plain = ssl.create_default_context(cafile=str(certs().ca))
    plain.set_alpn_protocols(["http/1.1"])
    with pytest.raises((ssl.SSLError, ConnectionError)):  # PostgreSQL refuses a stranger's protocol
        with plain.wrap_socket(socket.create_connection(("127.0.0.1", proxy.port)), server_hostname="localhost") as s:
            s.send(b"GET / HTTP/1.1\r\n\r\n")
            if s.recv(1) == b"":
                raise ConnectionError("closed")
    assert proxy.stop() == 0


def test_direct_tls_names_its_protocol(cluster):
    """As PostgreSQL 17: without ALPN a client of another protocol could have been led here (ALPACA)."""
    if PGBOUNCER:
        pytest.skip("PgBouncer 1.18 has no direct TLS")
    proxy = Proxy(cluster, tls())
    with Wire(proxy.port) as wire:
        wire.sock = ssl.create_default_context(cafile=str(certs().ca)).wrap_socket(wire.sock, server_hostname="localhost")
        with pytest.raises((Closed, ConnectionError, ssl.SSLError)):
            wire.login()
    assert uses_tls(proxy, sslmode="require")  # behind a request nobody has to
    assert proxy.stop() == 0


def test_gss_is_refused_and_the_connection_goes_on(proxy):
    with Wire(proxy.port) as wire:
        wire.send(request(GSSENC_REQUEST))
        assert wire.byte() == b"N"
        wire.send(request(SSL_REQUEST))
        assert wire.byte() == b"N"
        wire.login()
        assert wire.simple("SELECT 1")[-1][0] == b"Z"


def test_bytes_behind_an_ssl_request_are_an_attack(cluster):
    """CVE-2021-23214: what is sent unencrypted before the handshake must never be taken as encrypted."""
    if PGBOUNCER:
        pytest.skip("about pgweir")
    proxy = Proxy(cluster, tls())
    with Wire(proxy.port) as wire:
        wire.send(request(SSL_REQUEST) + b"\0\0\0\x08stuff")
        got = wire.drain() if wire.byte() in b"SE" else []
        assert not any(kind in (b"R", b"Z") for kind, _ in got)
    assert proxy.stop() == 0


def test_plain_clients_get_a_clear_error_when_tls_is_required(cluster):
    proxy = Proxy(cluster, tls())
    with Wire(proxy.port) as wire:
        wire.startup()
        kind, body = wire.until(b"E")[-1]
        assert kind == b"E" and error_fields(body)["C"] in ("28000", "08P01")
    assert proxy.stop() == 0


def test_a_reload_brings_the_new_certificate(cluster):
    """New connections get it; those that are there stay."""
    made = certs()
    proxy = Proxy(cluster, tls())
    peer = _serial(proxy)
    with proxy.connect(dsn={"sslmode": "require"}) as old:
        proxy.settings.update(client_tls_cert_file=made.server2, client_tls_key_file=made.server2_key)
        proxy.reload()
        wait_for("the new certificate", lambda: _serial(proxy) != peer)
        assert old.execute("SELECT 1").fetchone() == (1,)
    assert proxy.stop() == 0


def test_a_file_replaced_in_place_counts_after_sighup(cluster, tmp_path):
    made = certs()
    crt, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    tmp_path.chmod(0o755), tmp_path.parent.chmod(0o755), tmp_path.parent.parent.chmod(0o755)
    crt.write_bytes(made.server.read_bytes()), key.write_bytes(made.server_key.read_bytes())
    proxy = Proxy(cluster, {**tls(), "client_tls_cert_file": crt, "client_tls_key_file": key})
    before = _serial(proxy)
    crt.write_bytes(made.server2.read_bytes()), key.write_bytes(made.server2_key.read_bytes())
    proxy.signal(signal.SIGHUP)
    wait_for("the new certificate", lambda: _serial(proxy) != before)
    now = _serial(proxy)
    crt.write_text("this is no certificate")
    proxy.signal(signal.SIGHUP)
    if PGWEIR:
        wait_for("the complaint in the log", lambda: "tls.crt" in proxy.log_text())
    assert _serial(proxy) == now
    assert proxy.stop() == 0


def test_an_expired_certificate_of_ours_is_replaced_without_a_restart(cluster):
    """Those who check refuse it, those who are in stay in, and a reload with a new one brings the others back."""
    made = certs()
    expired, key = made.expired
    proxy = Proxy(cluster, tls(client_tls_cert_file=expired, client_tls_key_file=key))
    strict = {"sslmode": "verify-full", "sslrootcert": made.ca, "host": "localhost"}
    with proxy.connect(dsn={"sslmode": "require"}) as old:
        wait_for("it to expire", lambda: fails(proxy, "verify failed", **strict) is None)
        proxy.settings.update(client_tls_cert_file=made.server, client_tls_key_file=made.server_key)
        proxy.reload()
        wait_for("the new certificate", lambda: uses_tls(proxy, **strict))
        assert old.execute("SELECT 1").fetchone() == (1,)
    assert proxy.stop() == 0


def test_an_expired_certificate_of_a_client_is_refused(cluster):
    crt, key = certs().client("postgres", days=0)
    proxy = Proxy(cluster, tls("verify-full"))
    mine = {"sslmode": "require", "sslcert": crt, "sslkey": key}
    wait_for("it to expire", lambda: fails(proxy, "expired", **mine) is None)
    if PGWEIR:
        wait_for("the log to say so", lambda: "expired" in proxy.log_text())
    crt, key = certs().client("postgres")
    assert uses_tls(proxy, sslmode="require", sslcert=crt, sslkey=key)
    assert proxy.stop() == 0


def _serial(proxy):
    """The serial number of the certificate that is shown now."""
    with Wire(proxy.port) as wire:
        wire.send(request(SSL_REQUEST))
        assert wire.byte() == b"S"
        context = ssl.create_default_context(cafile=str(certs().ca))
        with context.wrap_socket(wire.sock, server_hostname="localhost") as sock:
            return sock.getpeercert()["serialNumber"]


# --- towards servers ---------------------------------------------------------------------------------------

SERVER_TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.parametrize("mode, secure", [("disable", False), ("allow", False), ("prefer", True), ("require", True),
                                          ("verify-ca", True), ("verify-full", True)])
def test_server_sslmodes(cluster, mode, secure):
    if PGBOUNCER and mode == "allow":
        pytest.skip("PgBouncer treats allow as prefer")
    settings = {"server_tls_sslmode": mode}
    if mode.startswith("verify"):
        settings["server_tls_ca_file"] = certs().ca
    proxy = Proxy(cluster, settings)
    with proxy.connect() as conn:
        assert conn.execute(SERVER_TLS).fetchone() == (secure,)
    assert proxy.stop() == 0


def test_server_certificates_are_checked(cluster):
    """The wrong CA, and a certificate for another name, keep us out with an error the client can read."""
    settings = {"server_tls_sslmode": "verify-ca", "server_tls_ca_file": certs().other_ca, "server_login_retry": 0,
                "query_wait_timeout": 3, "server_connect_timeout": 3}
    proxy = Proxy(cluster, settings)
    with pytest.raises(psycopg.Error):
        with proxy.connect() as conn:
            conn.execute("SELECT 1")
    assert proxy.alive() and proxy.stop() == 0


def test_an_expired_certificate_of_the_server_is_a_clear_error_and_passes():
    """Connections that stand go on; new ones are not made until the server has a new certificate."""
    made = certs()
    server = Cluster(tls=True)

    def show(crt, key):
        for source, name in ((crt, "server.crt"), (key, "server.key")):
            (server.data / name).write_bytes(source.read_bytes())
        server.reload()
    proxy = Proxy(server, {"server_tls_sslmode": "verify-full", "server_tls_ca_file": made.ca, "server_login_retry": 0,
                           "query_wait_timeout": 3, "default_pool_size": 5})
    with proxy.connect() as old, proxy.connect() as new:
        old.execute("BEGIN")
        show(*made.expired)
        assert old.execute("SELECT 1").fetchone() == (1,)

        def refused():
            with pytest.raises(psycopg.Error) as caught:
                with proxy.connect() as conn:
                    conn.execute("SELECT 1")
            return "expired" in str(caught.value)
        wait_for("the clear error", refused)
        assert old.execute("SELECT 1").fetchone() == (1,)
        show(made.server, made.server_key)
        wait_for("the service", lambda: new.closed or new.execute("SELECT 1").fetchone() == (1,))
        old.execute("COMMIT")
    assert proxy.stop() == 0
    server.remove()


@pytest.fixture(scope="module")
def without_tls():
    made = Cluster()
    yield made
    made.remove()


@pytest.mark.parametrize("mode, works", [("prefer", True), ("allow", True), ("require", False)])
def test_a_server_without_tls(without_tls, mode, works):
    proxy = Proxy(without_tls, {"server_tls_sslmode": mode, "server_login_retry": 0, "query_wait_timeout": 3})
    if works:
        assert proxy.psql(SERVER_TLS).stdout.strip() == "f"
    else:
        result = proxy.psql("SELECT 1", check=False)
        assert result.returncode != 0
    assert proxy.stop() == 0


def test_a_server_that_wants_our_certificate():
    hba = "local all all trust\nhost replication all 127.0.0.1/32 trust\nhostssl all postgres 127.0.0.1/32 cert\n"
    strict = Cluster(tls=True, hba=hba)
    crt, key = certs().client("postgres")
    proxy = Proxy(strict, {"server_tls_sslmode": "require", "server_tls_cert_file": crt, "server_tls_key_file": key,
                           "server_tls_ca_file": certs().ca})
    assert proxy.psql("SELECT 42").stdout.strip() == "42"
    assert proxy.stop() == 0
    strict.remove()
