"""pgbench through the proxy: protocols, reconnects, TLS, many clients on a small pool."""
import threading

import pytest

from pgweir_test.certs import certs
from pgweir_test.proxy import DIRECT, PGBOUNCER, Proxy
from pgweir_test.tools import SLOW, pgbench

pytestmark = [pytest.mark.sanitizer, pytest.mark.load]
MODES = ["simple", "extended"] + ([] if PGBOUNCER else ["prepared"])
TRANSACTIONS = 60 if SLOW else 400


@pytest.fixture(scope="module")
def bench(cluster, proxy):
    """A database that pgbench -i has filled through the proxy."""
    cluster.sql("CREATE DATABASE bench")
    pgbench(proxy.dsn("bench"), "-i", "-s", "2", "--foreign-keys")
    yield "bench"
    cluster.drop_database("bench")


def balances_agree(cluster):
    """pgbench keeps four sums equal; a lost or doubled statement shows here."""
    sums = {cluster.sql(f"SELECT coalesce(sum({column}), 0) FROM {table}", "bench")
            for table, column in (("pgbench_accounts", "abalance"), ("pgbench_tellers", "tbalance"),
                                  ("pgbench_branches", "bbalance"), ("pgbench_history", "delta"))}
    assert len(sums) == 1, sums


def test_init_has_filled_the_tables(cluster, bench):
    assert cluster.sql("SELECT count(*) FROM pgbench_accounts", bench) == "200000"


@pytest.mark.parametrize("mode", MODES)
def test_runs_tpcb(cluster, proxy, bench, mode):
    before = int(cluster.sql("SELECT count(*) FROM pgbench_history", bench))
    pgbench(proxy.dsn(bench), "-n", "-M", mode, "-c", "8", "-j", "2", "-t", TRANSACTIONS)
    assert int(cluster.sql("SELECT count(*) FROM pgbench_history", bench)) == before + 8 * TRANSACTIONS
    balances_agree(cluster)


@pytest.mark.parametrize("mode", MODES)
def test_runs_select_only(proxy, bench, mode):
    result = pgbench(proxy.dsn(bench), "-n", "-S", "-M", mode, "-c", "8", "-j", "2", "-t", TRANSACTIONS)
    assert f"number of transactions actually processed: {8 * TRANSACTIONS}/{8 * TRANSACTIONS}" in result.stdout


def test_reconnects_for_each_transaction(proxy, bench):
    pgbench(proxy.dsn(bench), "-n", "-C", "-S", "-c", "4", "-j", "2", "-t", max(20, TRANSACTIONS // 8))


def test_pipelines(proxy, bench, tmp_path):
    script = tmp_path / "pipeline.sql"
    script.write_text(r"""\set aid random(1, 200000)
\startpipeline
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 0 WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
END;
SELECT 1;
\endpipeline
""")
    pgbench(proxy.dsn(bench), "-n", "-M", "extended", "-f", script, "-c", "4", "-j", "2", "-t", TRANSACTIONS)


@pytest.mark.skipif(DIRECT, reason="no pool")
def test_many_clients_share_a_small_pool(cluster, bench):
    """200 clients, 20 backends, never more, and everybody is served."""
    cluster.sql("CREATE ROLE crowd SUPERUSER LOGIN")
    small = Proxy(cluster, {"default_pool_size": 20, "max_client_conn": 300}, users={"crowd": "", "postgres": ""})
    most, done = [0], threading.Event()

    def watch():
        while not done.wait(0.05):
            now = int(cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'crowd'"))
            most[0] = max(most[0], now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        pgbench(small.dsn(bench, "crowd"), "-n", "-c", "200", "-j", "2", "-t", max(5, TRANSACTIONS // 20))
    finally:
        done.set()
        watcher.join()
    balances_agree(cluster)
    assert 0 < most[0] <= 20, most
    assert small.stop() == 0
    cluster.sql("DROP ROLE crowd")


def test_runs_over_tls_on_both_sides(cluster, bench):
    made = certs()
    secure = Proxy(cluster, {"client_tls_sslmode": "require", "client_tls_cert_file": made.server,
                             "client_tls_key_file": made.server_key, "server_tls_sslmode": "verify-full",
                             "server_tls_ca_file": made.ca})
    dsn = secure.dsn(bench, sslmode="verify-full", sslrootcert=made.ca)
    pgbench(dsn, "-n", "-M", MODES[-1], "-c", "8", "-j", "2", "-t", TRANSACTIONS // 2)
    pgbench(dsn, "-n", "-C", "-S", "-c", "4", "-j", "2", "-t", "10")
    assert secure.stop() == 0
