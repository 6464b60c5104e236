"""The configuration: checks, reloads, and that a broken file never replaces a running one."""
import contextlib
import os
import re
import signal
import subprocess

import psycopg
import pytest

from pgweir_test.proxy import BINARY, PGWEIR, Proxy, only_pgweir
from pgweir_test.tools import free_port, psql, run, spawn, wait_for

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


@pytest.mark.parametrize("line, why", [
    ("server_tls_ca_file = /nonexistent/ca", "cannot load TLS authorities /nonexistent/ca"),
    ("stats_tls_cert_file = /nonexistent/cert", "cannot load TLS certificate /nonexistent/cert"),
    ("client_tls_protocols = foo", 'unknown TLS protocol "foo"'),
    ("server_tls_ciphers = foo", 'TLS ciphers "foo"'),
    ("listen_addr = 127.0.0.1, not.an.address.invalid", "cannot listen on not.an.address.invalid:"),
    ("stats_addr = not.an.address.invalid", "cannot listen on not.an.address.invalid:"),
    ("unix_socket_dir = /nonexistent/dir", "/nonexistent/dir"),
    ("unix_socket_dir = /etc/passwd", "/etc/passwd is not a directory"),
    (f"unix_socket_dir = /{'long' * 30}", "too long"),
    ("user = no_such_user", "there is no system user no_such_user"),
    ("logfile = /nonexistent/x", "cannot write log file /nonexistent/x"),
    ("logfile = /tmp", "cannot write log file /tmp"),
    ("pidfile = /nonexistent/x", "cannot write pid file /nonexistent/x")])
def test_what_cannot_start_does_not_pass_the_check(cluster, line, why):
    """And a start says the same, with line and option."""
    proxy = Proxy(cluster, start=False)
    key = line.split()[0]
    lines = [old for old in proxy.ini.read_text().splitlines() if not old.startswith(f"{key} ")] + [line]
    proxy.ini.write_text("\n".join(lines) + "\n")
    where = f"{proxy.ini}:{len(lines)}: {key}: "
    result = check(proxy.ini)
    assert result.returncode == 1 and "is good" not in result.stdout
    assert where in result.stderr and why in result.stderr, result.stderr
    result = run([BINARY, proxy.ini], check=False, timeout=20)
    assert result.returncode == 1 and where in result.stderr, result.stderr


def test_the_check_says_everything_that_it_finds(cluster):
    proxy = Proxy(cluster, {"listen_addr": "", "logfile": "/nonexistent/x", "pidfile": "/run/not_there_yet/x"}, start=False)
    result = check(proxy.ini)
    assert result.returncode == 1
    assert "neither listen_addr nor unix_socket_dir is set" in result.stderr and "logfile: " in result.stderr
    assert "pidfile: the directory of /run/not_there_yet/x is not there yet" in result.stdout


def test_the_check_makes_nothing(cluster):
    proxy = Proxy(cluster, start=False)
    proxy.settings.update(logfile=proxy.dir / "weir.log", pidfile=proxy.dir / "weir.pid", unix_socket_dir=proxy.dir)
    proxy.write()
    before = sorted(os.listdir(proxy.dir))
    result = check(proxy.ini)
    assert result.returncode == 0, result.stderr
    assert sorted(os.listdir(proxy.dir)) == before


# Every key of PgBouncer 1.25 with the value that its manual gives as the default, or with one that means the same to both.
PGBOUNCERS = """
application_name_add_host=0 auth_dbname= auth_file= auth_hba_file= auth_ident_file= auth_ldap_options= auth_type=md5 auth_user=
autodb_idle_timeout=3600 cancel_wait_timeout=10 client_idle_timeout=0 client_login_timeout=60 client_tls_ca_file=
client_tls_cert_file= client_tls_ciphers=default client_tls13_ciphers= client_tls_dheparams=auto client_tls_ecdhcurve=auto
client_tls_key_file= client_tls_protocols=secure client_tls_sslmode=disable conffile= default_pool_size=20 disable_pqexec=0
dns_max_ttl=15 dns_nxdomain_ttl=15 dns_zone_check_period=0 idle_transaction_timeout=0
ignore_startup_parameters=extra_float_digits job_name=pgbouncer listen_addr=127.0.0.1 listen_backlog=128 listen_port=6432
log_connections=1 log_disconnections=1 log_pooler_errors=1 log_stats=1 logfile= login_notify_message= max_client_conn=100
max_db_client_connections=0 max_db_connections=0 max_packet_size=2147483647 max_prepared_statements=200
max_user_client_connections=0 max_user_connections=0 min_pool_size=0 peer_id=0 pidfile= pkt_buf=4096 pool_idle_timeout=0
pool_mode=session query_timeout=0 query_wait_notify=5 query_wait_timeout=120 reserve_pool_size=0 reserve_pool_timeout=5
resolv_conf= sbuf_loopcnt=5 scram_iterations=4096 server_check_delay=30 server_check_query=<empty> server_connect_timeout=15
server_fast_close=0 server_idle_timeout=600 server_lifetime=3600 server_login_retry=15 server_reset_query_always=0
server_round_robin=0 server_tls_ca_file= server_tls_cert_file= server_tls_ciphers=default server_tls13_ciphers=
server_tls_key_file= server_tls_protocols=secure server_tls_sslmode=prefer service_name=pgbouncer so_reuseport=0 stats_period=60
stats_users= admin_users= suspend_timeout=10 syslog=0 syslog_facility=daemon syslog_ident=pgbouncer tcp_defer_accept=1
tcp_keepalive=1 tcp_keepcnt=0 tcp_keepidle=0 tcp_keepintvl=0 tcp_socket_buffer=0 tcp_user_timeout=0
track_extra_parameters=IntervalStyle transaction_timeout=0 unix_socket_dir=/tmp unix_socket_group= unix_socket_mode=0777 user=
verbose=0""".split()
PGBOUNCERS += ["server_reset_query=DISCARD ALL",
               "auth_query=SELECT rolname, rolpassword FROM pg_authid WHERE rolname=$1 AND rolcanlogin"]
OF_A_DATABASE = """
dbname=shop host=db1,db2 port=5432 user=u password='it''s' auth_user=a auth_dbname=postgres auth_query='SELECT $1, 2' pool_size=5
min_pool_size=1 reserve_pool_size=1 reserve_pool=1 pool_mode=statement max_db_connections=9 max_db_client_connections=9
connect_query='SELECT 1' client_encoding=UTF8 datestyle=ISO timezone=UTC query_wait_timeout=1 server_lifetime=5
load_balance_hosts=round-robin application_name=app"""
OF_A_USER = """
pool_mode=session pool_size=2 reserve_pool_size=1 max_user_connections=3 max_user_client_connections=4 query_timeout=1
idle_transaction_timeout=2 transaction_timeout=3 client_idle_timeout=4 query_wait_timeout=5"""


def test_every_key_of_pgbouncer_is_known(tmp_path):
    """And only those are ignored that would change nothing here."""
    ini = tmp_path / "pgbouncer.ini"
    ini.write_text("\n".join([
        "[databases]", "shop = " + " ".join(OF_A_DATABASE.split("\n")), "* = host=/tmp",
        "[users]", "batch = " + " ".join(OF_A_USER.split("\n")), "[peers]", "2 = host=/tmp port=6433 pool_size=3",
        "[pgbouncer]", *PGBOUNCERS]) + "\n")
    result = check(ini)
    assert result.returncode == 0, result.stdout + result.stderr
    ignored = set(re.findall(r"(\w+) is accepted and ignored", result.stdout + result.stderr))
    assert ignored <= {*"""
        auth_ldap_options client_tls_dheparams client_tls_ecdhcurve conffile disable_pqexec dns_nxdomain_ttl
        dns_zone_check_period job_name pkt_buf pool_idle_timeout resolv_conf sbuf_loopcnt server_check_delay server_check_query
        server_fast_close service_name syslog syslog_facility syslog_ident tcp_defer_accept tcp_socket_buffer
        track_extra_parameters""".split()}, ignored


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


def test_a_log_file_that_cannot_be_opened_refuses_the_reload(cluster):
    """All of it, also the console's SET: nothing of it counts, and the log goes on where it was."""
    proxy = Proxy(cluster, {"query_timeout": 77})
    with proxy.connect("pgbouncer") as console:

        def shown(key):
            return {row[0]: row[1] for row in console.execute("SHOW CONFIG").fetchall()}[key]

        proxy.settings.update(logfile="/nonexistent/x", log_format="json", query_timeout=78)
        proxy.reload()
        wait_for("the refusal", lambda: "reload refused, nothing changed" in proxy.log_text())
        assert "logfile: cannot open log file /nonexistent/x" in proxy.log_text()
        assert f"{proxy.ini}:" in proxy.log_text() and "configuration reloaded" not in proxy.log_text()
        assert (shown("logfile"), shown("log_format"), shown("query_timeout")) == ("", "text", "77")
        with pytest.raises(psycopg.Error, match="/nonexistent/y"):
            console.execute("SET logfile = '/nonexistent/y'")
        assert shown("logfile") == ""
        moved = proxy.dir / "another"
        console.execute(f"SET logfile = '{moved}'")
        proxy.connect().close()
        wait_for("the new log", lambda: "client logged in" in moved.read_text())
    assert proxy.stop() == 0


def test_verbose_of_the_command_line_outlives_a_reload(cluster):
    proxy = Proxy(cluster, start=False)
    proxy.process = spawn([BINARY, "-v", proxy.ini], proxy.log)
    wait_for("the proxy to serve", proxy._serves)
    proxy.reload()
    wait_for("the reload", lambda: "configuration reloaded" in proxy.log_text())
    before = len(proxy.log_text())
    proxy.psql("SELECT 1")
    with proxy.connect("pgbouncer") as console:
        console.execute("RECONNECT")
        wait_for("a debug line", lambda: "DEBUG" in proxy.log_text()[before:])
    assert proxy.stop() == 0


@pytest.mark.parametrize("line, why", [
    ("server_tls_protocols = foo", 'unknown TLS protocol "foo"'),
    ("server_tls_ciphers = foo", 'TLS ciphers "foo"'),
    ("server_tls13_ciphers = foo", 'TLS 1.3 ciphers "foo"'),
    ("server_tls_ca_file = /nonexistent/ca", "cannot load TLS authorities /nonexistent/ca"),
    ("server_tls_cert_file = /nonexistent/cert", "cannot load TLS certificate /nonexistent/cert"),
    ("server_tls_key_file = /nonexistent/key", "TLS key /nonexistent/key without a certificate"),
    ("client_tls_protocols = foo", 'unknown TLS protocol "foo"'),
    ("client_tls_ciphers = foo", 'TLS ciphers "foo"')])
def test_an_error_of_tls_names_line_and_option(cluster, line, why):
    """At the start and at a reload; the words also while TLS is disabled."""
    proxy = Proxy(cluster)
    bad = proxy.dir / "bad.ini"
    bad.write_text(proxy.ini.read_text() + line + "\n")
    said = f"bad.ini:{len(bad.read_text().splitlines())}: {line.split()[0]}: {why}"
    result = run([BINARY, bad], check=False, timeout=20)
    assert result.returncode == 1 and said in result.stderr, result.stderr
    proxy.ini.write_text(bad.read_text())
    proxy.signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "reload refused" in proxy.log_text())
    assert said.replace("bad.ini", "pgweir.ini").replace('"', '\\"') in proxy.log_text(), proxy.log_text()
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


def test_clients_that_are_connected_go_by_a_new_configuration(cluster):
    """From their next transaction on; what they have set themselves stays."""
    proxy = Proxy(cluster, {"coherence": "bounded", "max_staleness": "1s"})

    def shown(conn):
        return [conn.execute(f"SHOW pgweir.{name}", prepare=False).fetchone()[0] for name in ("coherence", "max_staleness")]

    with proxy.connect() as one, proxy.connect() as two, proxy.connect(autocommit=False) as within:
        two.execute("SET pgweir.coherence = 'bounded'", prepare=False)
        within.execute("SELECT 1")
        proxy.settings.update(coherence="strict", max_staleness="2s", idle_transaction_timeout="600ms")
        proxy.reload()
        wait_for("the new configuration", lambda: shown(one) == ["strict", "2s"])
        assert shown(two) == ["bounded", "2s"]
        two.execute("RESET pgweir.coherence", prepare=False)
        assert shown(two) == ["strict", "2s"]
        assert shown(within) == ["bounded", "1s"], "as it began"
        within.commit()
        assert shown(within) == ["strict", "2s"]
        within.close()
        one.execute("BEGIN")
        wait_for("the end of who does nothing in a transaction", lambda: "idle_transaction_timeout" in proxy.log_text())
        with pytest.raises(psycopg.OperationalError):
            one.execute("SELECT 1")
    assert proxy.stop() == 0


@pytest.mark.parametrize("coherence", ["strict", "off"])
@pytest.mark.parametrize("workers", [1, 2])
def test_behind_a_reload_nobody_gets_the_old_server(cluster, workers, coherence):
    """Not even what is idle: from the console's answer on, transactions begin on the new one."""
    where = f"host=127.0.0.1 port={cluster.port} dbname="
    proxy = Proxy(cluster, {"workers": workers, "coherence": coherence}, databases={"moves": where + "postgres"})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy.connect("moves", autocommit=False)) for _ in range(4)]
        console = stack.enter_context(proxy.connect("pgbouncer"))
        for now in "template1", "postgres", "template1":
            proxy.databases["moves"] = where + now
            proxy.write()
            console.execute("RELOAD")
            for client in clients:
                assert client.execute("SELECT current_database()").fetchone() == (now,)
            for client in clients:
                client.commit()
    assert proxy.stop() == 0


def test_who_uses_what_a_reload_has_removed_goes_on(cluster):
    proxy = Proxy(cluster, databases={name: f"host=127.0.0.1 port={cluster.port} dbname=postgres" for name in ("stays", "goes")})
    with proxy.connect("goes") as conn, proxy.connect("stays") as other:
        assert conn.execute("SELECT 1").fetchone() == (1,)
        del proxy.databases["goes"]
        proxy.settings["query_timeout"] = "77s"
        proxy.reload()
        wait_for("the new configuration", lambda: "configuration reloaded" in proxy.log_text())
        for i in range(20):
            assert conn.execute("SELECT %s::int", [i]).fetchone() == other.execute("SELECT %s::int", [i]).fetchone() == (i,)
    with pytest.raises(psycopg.OperationalError, match="goes"):
        proxy.connect("goes")
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
