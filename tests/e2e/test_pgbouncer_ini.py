"""A pgbouncer.ini as people have it: hba file with an ident map, auth_query, includes, overrides, secrets from outside."""
import os
import pwd

import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import psql

pytestmark = pytest.mark.skipif(not PGWEIR, reason="options that PgBouncer 1.18 does not have")
ME = pwd.getpwuid(os.geteuid()).pw_name

MAIN = """;; taken over as it was
[databases]
%include databases.ini
* = host=127.0.0.1 port={port}

[users]
batch = pool_mode=session pool_size=1 max_user_client_connections=1

[pgbouncer]
%include {dir}/common.ini
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir = {dir}
auth_type = hba
auth_hba_file = {dir}/hba.conf
auth_ident_file = {dir}/ident.conf
auth_file = {dir}/users.txt
auth_user = asker
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename=$1
auth_dbname = postgres
server_reset_query = DISCARD ALL
ignore_startup_parameters = extra_float_digits
pkt_buf = 8192
stats_port = {stats}
"""


@pytest.fixture(scope="module")
def migrated(cluster):
    cluster.sql("CREATE ROLE asker SUPERUSER LOGIN; CREATE ROLE batch LOGIN PASSWORD 'b'; CREATE ROLE mapped LOGIN PASSWORD 'm';"
                "CREATE ROLE hidden LOGIN PASSWORD 'h'")
    proxy = Proxy(cluster, start=False, env={"SHOP_HOST": "127.0.0.1"})
    where = {"port": cluster.port, "dir": proxy.dir, "listen": proxy.port, "stats": proxy.stats_port}
    proxy.ini.write_text(MAIN.format(**where))
    (proxy.dir / "databases.ini").write_text(
        f"shop = host=${{env:SHOP_HOST}} port={cluster.port} dbname=template1 user=asker password='${{file:secret}}' "
        f"application_name=from_shop\nsmall = host=127.0.0.1 port={cluster.port} dbname=postgres max_db_client_connections=1\n")
    (proxy.dir / "secret").write_text("unused with trust\n")
    (proxy.dir / "common.ini").write_text("pool_mode = transaction\nmax_client_conn = 50\n")
    (proxy.dir / "hba.conf").write_text("local all mapped peer map=people\nlocal all all reject\n"
                                        "host all all 127.0.0.1/32 scram-sha-256\n")
    (proxy.dir / "ident.conf").write_text(f"people {ME} mapped\npeople /^(.*)x$ \\1\n")
    (proxy.dir / "users.txt").write_text('"asker" ""\n')
    proxy.start()
    yield proxy
    assert proxy.stop() == 0, proxy.log_text()
    cluster.sql("DROP ROLE asker, batch, mapped, hidden")


def login(proxy, dbname, user, password):
    return psycopg.connect(proxy.dsn(dbname, user), password=password, autocommit=True)


def test_ignored_keys_are_said_once(migrated):
    assert migrated.log_text().count("pkt_buf is accepted and ignored") == 1


def test_peer_with_an_ident_map(migrated):
    dsn = f"host={migrated.dir} port={migrated.port} dbname=postgres user="
    assert psql(dsn + "mapped", "SELECT current_user").stdout.strip() == "mapped"
    refused = psql(dsn + "hidden", "SELECT 1", check=False)
    assert refused.returncode != 0


def test_auth_query_finds_who_is_not_in_the_file(migrated):
    with login(migrated, "postgres", "hidden", "h") as conn:
        assert conn.execute("SELECT current_user").fetchone() == ("hidden",)
    with pytest.raises(psycopg.OperationalError):
        login(migrated, "postgres", "hidden", "wrong")


def test_auth_query_over_several_hosts(cluster):
    """Nobody listens on the first one."""
    cluster.sql("CREATE ROLE looker SUPERUSER LOGIN; CREATE ROLE sought LOGIN PASSWORD 's'")
    proxy = Proxy(cluster, {"auth_type": "scram-sha-256", "auth_user": "looker", "server_login_retry": 0.1,
                            "auth_query": "SELECT rolname, rolpassword FROM pg_authid WHERE rolname=$1"}, users={"looker": ""},
                  databases={"*": f"host=127.0.0.9,127.0.0.1 port={cluster.port} target_session_attrs=primary"})
    with login(proxy, "postgres", "sought", "s") as conn:
        assert conn.execute("SELECT current_user").fetchone() == ("sought",)
    with pytest.raises(psycopg.OperationalError):
        login(proxy, "postgres", "sought", "wrong")
    assert proxy.stop() == 0
    cluster.sql("DROP ROLE looker, sought")


def test_an_included_database_with_its_own_login(migrated):
    with login(migrated, "shop", "batch", "b") as conn:
        assert conn.execute("SELECT current_user, current_database(), current_setting('application_name')").fetchone() \
            == ("asker", "template1", "from_shop")


def test_overrides_of_a_user_and_of_a_database(migrated):
    with login(migrated, "postgres", "batch", "b") as conn:
        pids = {conn.execute("SELECT pg_backend_pid()").fetchone() for _ in range(3)}
        assert len(pids) == 1
        with pytest.raises(psycopg.OperationalError, match="max_user_client_connections"):
            login(migrated, "postgres", "batch", "b")
    with login(migrated, "small", "hidden", "h"):
        with pytest.raises(psycopg.OperationalError, match="max_db_client_connections"):
            login(migrated, "small", "hidden", "h")
