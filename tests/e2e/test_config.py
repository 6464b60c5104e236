"""The configuration: checks, reloads, and that a broken file never replaces a running one."""
import os
import signal
import subprocess

import psycopg
import pytest

from pgweir_test.proxy import BINARY, PGWEIR, Proxy, only_pgweir
from pgweir_test.tools import free_port, psql, run, wait_for

pytestmark = pytest.mark.skipif(not PGWEIR, reason="about pgweir's own command line and reload")


def check(path):
    return run([BINARY, "--check-config", path], check=False, timeout=20)


def test_a_good_file_passes_the_check(cluster):
    proxy = Proxy(cluster, start=False)
    result = check(proxy.ini)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("line, words", [
    ("defualt_pool_size = 20", ["default_pool_size"]),
    ("default_pool_size = many", ["default_pool_size"]),
    ("pool_mode = sometimes", ["pool_mode"]),
    ("query_wait_timeout = -5", ["query_wait_timeout"]),
    ("listen_port = 99999999", ["listen_port"]),
    ("auth_file = /does/not/exist", ["/does/not/exist"])])
def test_a_bad_line_is_named(cluster, line, words):
    proxy = Proxy(cluster, start=False)
    proxy.ini.write_text(proxy.ini.read_text() + line + "\n")
    number = len(proxy.ini.read_text().splitlines())
    result = check(proxy.ini)
    said = result.stdout + result.stderr
    assert result.returncode != 0
    for word in words:
        assert word in said, said
    if "exist" not in line:
        assert f"{proxy.ini}:{number}:" in said, said


def test_a_broken_file_does_not_start(cluster):
    proxy = Proxy(cluster, start=False)
    proxy.ini.write_text("[pgbouncer\nnonsense")
    result = run([BINARY, proxy.ini], check=False, timeout=20)
    assert result.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT) and "pgweir.ini:1" in result.stdout + result.stderr


def test_a_missing_file_does_not_start():
    result = run([BINARY, "/does/not/exist.ini"], check=False, timeout=20)
    assert result.returncode > 0 and "/does/not/exist.ini" in result.stderr + result.stdout


def test_a_broken_reload_changes_nothing(cluster):
    proxy = Proxy(cluster)
    with proxy.connect() as conn:
        good = proxy.ini.read_text()
        proxy.ini.write_text(good + "pool_mode = sometimes\n")
        proxy.signal(signal.SIGHUP)
        wait_for("the complaint in the log", lambda: "pool_mode" in proxy.log_text())
        assert conn.execute("SELECT 1").fetchone() == (1,)
        with proxy.connect() as other:
            assert other.execute("SELECT 2").fetchone() == (2,)
        proxy.ini.write_text(good.replace("default_pool_size = 20", "default_pool_size = 3"))
        proxy.signal(signal.SIGHUP)
        assert conn.execute("SELECT 3").fetchone() == (3,)
    assert proxy.stop() == 0


def test_a_reload_adds_a_database_and_a_user(cluster):
    proxy = Proxy(cluster, databases={"postgres": f"host=127.0.0.1 port={cluster.port}"},
                  settings={"auth_type": "scram-sha-256"}, users={"postgres": "first"})

    def attempt(dbname, user, password):
        with psycopg.connect(proxy.dsn(dbname, user), password=password) as conn:
            return conn.execute("SELECT 1").fetchone() == (1,)

    assert attempt("postgres", "postgres", "first")
    with pytest.raises(psycopg.OperationalError):
        attempt("alias", "postgres", "first")
    proxy.databases["alias"] = f"host=127.0.0.1 port={cluster.port} dbname=template1"
    proxy.users["postgres"] = "second"
    proxy.reload()
    wait_for("the new database and password", lambda: attempt("alias", "postgres", "second"))
    with pytest.raises(psycopg.OperationalError):
        attempt("postgres", "postgres", "first")
    assert proxy.stop() == 0


def test_reloads_do_not_disturb_clients(cluster):
    proxy = Proxy(cluster)
    with proxy.connect(autocommit=False) as conn:
        pid = conn.execute("SELECT pg_backend_pid()").fetchone()
        for size in (5, 7, 20):
            proxy.settings["default_pool_size"] = size
            proxy.reload()
            assert conn.execute("SELECT pg_backend_pid()").fetchone() == pid
    assert proxy.stop() == 0


def test_starts_with_a_url_alone(cluster):
    """A bare `pgweir postgresql://...`; its port may be taken on this machine."""
    import socket
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 6432))
        except OSError:
            pytest.skip("port 6432 is in use")
    process = subprocess.Popen([BINARY, cluster.url()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        dsn = "host=127.0.0.1 port=6432 user=postgres dbname=postgres"
        wait_for("an answer", lambda: psql(dsn, "SELECT 42").stdout.strip() == "42")
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_a_port_in_use_is_a_clear_error(cluster, tmp_path):
    first = Proxy(cluster)
    second = Proxy(cluster, {"listen_port": first.port, "stats_port": free_port()}, start=False)
    result = run([BINARY, second.ini], check=False, timeout=20)
    assert result.returncode > 0 and str(first.port) in result.stderr + result.stdout
    assert first.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly_with_clients(cluster, how):
    proxy = Proxy(cluster)
    with proxy.connect() as conn:
        conn.execute("SELECT 1")
        assert proxy.stop(how) == 0
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")


def test_the_unix_socket(cluster):
    proxy = Proxy(cluster, start=False)
    proxy.settings["unix_socket_dir"] = proxy.dir
    proxy.write()
    proxy.start()
    dsn = f"host={proxy.dir} port={proxy.port} user=postgres dbname=postgres"
    assert psql(dsn, "SELECT 42").stdout.strip() == "42"
    assert proxy.stop() == 0
    assert not os.path.exists(proxy.dir / f".s.PGSQL.{proxy.port}")


@only_pgweir
def test_the_stats_port(proxy):
    assert proxy.http("/healthz")[0] == 200
    status, text = proxy.http("/metrics")
    assert status == 200 and "# TYPE" in text and "# HELP" in text
    before = proxy.metrics().count("statements")
    proxy.psql("SELECT 1")
    assert proxy.metrics().count("statements") > before
    assert proxy.http("/no/such/page")[0] == 404
