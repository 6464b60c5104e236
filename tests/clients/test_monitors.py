"""The console by drivers of other languages, and by the programs that monitor PgBouncer, which must not see a difference."""
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.request

import psycopg2
import psycopg2.extras
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import free_port, reap, run, spawn, wait_for
from test_clients import HERE, go

pytestmark = pytest.mark.skipif(not PGWEIR, reason="needs pgweir itself")


@pytest.fixture(scope="module")
def watched(cluster):
    """A pgweir that has done something, and a user who may only look."""
    made = Proxy(cluster, {"stats_users": "watcher"}, users={"postgres": "", "watcher": ""})
    with made.connect() as client:
        made.client = client
        yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.fixture(autouse=True)
def used(watched):
    """There is a server connection: PAUSE closes them."""
    watched.client.execute("SELECT 1")


def ended_well(command, folder, url):
    done = subprocess.run(command, cwd=HERE / folder, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_jdbc(watched):
    url = f"postgresql://127.0.0.1:{watched.port}/pgbouncer?user=postgres"
    assert ended_well(["java", "-cp", "/usr/share/java/postgresql.jar", "Console.java"], "java", url) == ["ok"]


def test_node(watched):
    assert ended_well(["node", "console.mjs"], "node", watched.url("pgbouncer")) == ["ok"]


def test_telegraf_and_the_exporter_of_prometheus(watched):
    """What they ask, by their drivers."""
    if os.environ.get("PGWEIR_CLIENTS") != "all":
        pytest.skip("tests/clients/run --all")
    made = go("monitor")
    run(["env", "-C", HERE / made.folder, *made.build], env=made.env)
    url = watched.url("pgbouncer", "watcher") + "?sslmode=disable"
    assert ended_well(made.command, made.folder, url) == ["ok", "telegraf", "ok", "exporter"]


@pytest.mark.skipif(not shutil.which("prometheus-pgbouncer-exporter"), reason="needs Debian's exporter")
def test_debians_exporter(watched, tmp_path):
    """The program itself, with nothing but its own options."""
    port, log = free_port(), tmp_path / "log"
    process = spawn(["prometheus-pgbouncer-exporter", "--host", "127.0.0.1", "--port", port, "--pgbouncer-host", "127.0.0.1",
                     "--pgbouncer-port", watched.port, "--pgbouncer-user", "watcher"], log)
    try:
        text = wait_for("a scrape", lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode())
    finally:
        reap(process)
    assert "Traceback" not in log.read_text()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    assert found["pgbouncer_requests_total"][("postgres",)] >= 1
    for name in ("received_bytes_total", "sent_bytes_total", "query_microseconds_total"):
        assert found[f"pgbouncer_{name}"][("postgres",)] > 0, name
    assert sum(found["pgbouncer_active_clients"].values()) >= 1 and sum(found["pgbouncer_waiting_clients"].values()) == 0
    assert found["pgbouncer_pool_size"][("postgres",)] == 20 and found["pgbouncer_reserve_pool"][("postgres",)] == 0
    for name in ("databases", "users", "pools", "used_clients", "used_servers"):
        assert found[f"pgbouncer_{name}"][()] >= 1, name
    for name in ("free_clients", "login_clients", "free_servers", "dns_names", "dns_zones", "dns_queries", "dns_pending"):
        assert () in found[f"pgbouncer_{name}"], name


# The columns that Datadog's check reads, by the statement that it sends; a tag, then gauges and rates.
DATADOG = {
    "SHOW STATS": ("database", "total_xact_count total_query_count total_received total_sent total_query_time total_xact_time "
                   "total_wait_time avg_xact_count avg_query_count avg_wait_time avg_recv avg_sent avg_xact_time avg_query_time"),
    "SHOW POOLS": ("database user", "cl_active cl_waiting sv_active sv_idle sv_used sv_tested sv_login maxwait maxwait_us"),
    "SHOW DATABASES": ("name", "pool_size max_connections current_connections"),
    "SHOW CLIENTS": ("database user state", "connect_time request_time wait wait_us"),
    "SHOW SERVERS": ("database user state", "connect_time request_time"),
}


def test_datadog_asks(watched):
    """psycopg2, autocommit, rows as dictionaries; times by their format; the limits out of SHOW CONFIG; the version."""
    console = psycopg2.connect(host="127.0.0.1", port=watched.port, user="watcher", dbname="pgbouncer", password="")
    console.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    with console.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
        for query, (tags, columns) in DATADOG.items():
            cursor.execute(query)
            found = [row for row in cursor if row.get("database") != "pgbouncer"]
            assert found, query
            for row in found:
                assert all(isinstance(row[tag], str) for tag in tags.split()), (query, row)
                for column in columns.split():
                    if column.endswith("_time") and query in ("SHOW CLIENTS", "SHOW SERVERS"):
                        moment = time.mktime(time.strptime(re.findall(r"^[^ ]+ [^ ]+", row[column])[0], "%Y-%m-%d %H:%M:%S"))
                        assert abs(moment - time.mktime(time.gmtime())) < 3600
                    else:
                        assert float(row[column]) >= 0, (query, column)
        cursor.execute("SHOW CONFIG")
        limits = {row["key"]: row["value"] for row in cursor}
        for key in ("default_pool_size", "max_client_conn", "max_db_connections", "max_user_connections", "min_pool_size",
                    "reserve_pool_size"):
            assert float(limits[key]) >= 0, key
        cursor.execute("SHOW VERSION;")
        assert not console.notices and re.findall(r"\d+\.\d+\.\d+", cursor.fetchone()[0])
    console.close()
