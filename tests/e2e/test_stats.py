"""The stats port: what scrapers, probes and people see, and who may."""
import base64
import contextlib
import json
import os
import pathlib
import resource
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pgweir_test.certs import certs
from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import PATIENCE, new_dir, wait_for

pytestmark = pytest.mark.skipif(not PGWEIR, reason="needs pgweir itself")
DASHBOARD = pathlib.Path(__file__).resolve().parents[1] / "dashboard"


@pytest.fixture(scope="module")
def shop(cluster):
    """A database with something to read."""
    cluster.sql("CREATE DATABASE stats_test")
    cluster.sql("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'n' || i "
                "FROM generate_series(1, 100) i", "stats_test")
    yield "stats_test"
    cluster.drop_database("stats_test")


def get(url, who=None, context=None, **headers):
    """(status, headers, text)"""
    if who:
        headers["Authorization"] = "Basic " + base64.b64encode(who.encode()).decode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10, context=context) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def work(proxy, shop):
    """Hits, misses, several reasons, a pin."""
    client = proxy.connect(shop)
    wait_for("the cache", lambda: proxy.metrics().one("pgweir_cache_on", database=shop) == 1)
    before = proxy.metrics().one("pgweir_pool_hits_total", database=shop)
    wait_for("hits", lambda: client.execute("SELECT name FROM item WHERE id = 1").fetchone() and
             proxy.metrics().one("pgweir_pool_hits_total", database=shop) >= before + 3)
    client.execute("SELECT * FROM item WHERE id = 2 FOR UPDATE")
    wait_for("the last one's pin to go", lambda: proxy.metrics().one("pgweir_pins", reason="temp") == 0)
    client.execute("CREATE TEMP TABLE IF NOT EXISTS mine (a int)")
    wait_for("the pin", lambda: proxy.metrics().one("pgweir_pins", reason="temp") == 1)
    return client


@pytest.mark.sanitizer
def test_promtool_has_nothing_to_say(proxy, shop):
    with work(proxy, shop):
        text = proxy.http("/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.sanitizer
def test_openmetrics_is_valid_and_labelled(proxy, shop):
    url = f"http://127.0.0.1:{proxy.stats_port}/metrics"
    with work(proxy, shop), contextlib.ExitStack() as busy:

        def one_has_waited():
            busy.enter_context(proxy.connect(shop, autocommit=False)).execute("SELECT 1")
            return proxy.metrics().one("pgweir_wait_duration_seconds_count", database=shop) > 0
        wait_for("one to wait for a server connection", one_has_waited)
        status, headers, text = get(url, Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        assert status == 200 and headers["Content-Type"].startswith("application/openmetrics-text")
        assert headers["Vary"] == "Accept"
        assert get(url)[1]["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for family in families.values():
        assert family.documentation, family.name
        assert family.name.startswith("pgweir")
        if family.name.endswith("_seconds"):
            assert family.unit == "seconds", family.name
        if family.name.endswith("_bytes"):
            assert family.unit == "bytes", family.name
    for name in ("query", "wait", "fresh", "connect"):
        family = families[f"pgweir_{name}_duration_seconds"]
        assert family.type == "histogram"
        counts = [s.value for s in family.samples if s.name.endswith("_count") and s.labels["database"] == shop]
        assert len(counts) == 1 and counts[0] > 0, name
    reasons = {s.labels["reason"]: s.value for s in families["pgweir_pass"].samples if s.labels["database"] == shop}
    assert reasons["ROW_LOCK"] >= 1
    hits = [s for s in families["pgweir_pool_hits"].samples if s.labels == {"database": shop, "user": "postgres"}]
    assert hits[0].value >= 3
    assert [s.value for s in families["pgweir_pins"].samples if s.labels == {"reason": "temp"}] == [1]


def test_names_of_clients_cannot_flood_the_labels(cluster):
    """With a * entry a client may ask for any database: it gets no series before its login has succeeded, and not many after."""
    proxy = Proxy(cluster, {"cache_size": 0}, databases={"*": f"host=127.0.0.1 port={cluster.port} dbname=postgres"})
    for i in range(40):
        proxy.connect(f"db{i:02}").execute("SELECT 1")
    text = proxy.http("/metrics")[1]
    names = {row[1]["database"] for row in proxy.metrics().rows if row[0] == "pgweir_query_duration_seconds_count"}
    assert len(names) == 32 and "" in names
    assert proxy.metrics().get("pgweir_query_duration_seconds_count") >= 40
    assert len(text.splitlines()) < 6000
    assert proxy.stop() == 0


@pytest.mark.sanitizer
def test_stats_json_is_complete(proxy, shop):
    with work(proxy, shop):
        found = json.loads(proxy.http("/stats.json")[1])
    one = [d for d in found["databases"] if d["database"] == shop][0]
    pool = [p for p in found["pools"] if p["database"] == shop][0]
    cache = [c for c in found["caches"] if c["database"] == shop][0]
    assert one["hits"] == pool["hits"] >= 3 and one["pass"]["ROW_LOCK"] >= 1
    assert cache["on"] and cache["state"] == "streaming" and cache["restarts"] == 0 and cache["last_error"] == ""
    assert found["clients"]["pins"]["temp"] == 1
    assert sum(one["durations"]["query"]["buckets"]) == one["durations"]["query"]["count"] > 0


def test_ready_is_not_the_cache(cluster):
    """Without wal_level, without a feed user, it still serves: ready, and the cache says why it is off."""
    proxy = Proxy(cluster, {"feed_user": "nobody_here"})
    proxy.connect().execute("SELECT 1")
    assert proxy.http("/readyz")[0] == 200
    wait_for("the reason", lambda: json.loads(proxy.http("/stats.json")[1])["caches"][0]["last_error"])
    assert proxy.metrics().one("pgweir_cache_on", database="postgres") == 0
    assert proxy.stop() == 0


def test_not_ready_when_no_backend_can_be_had(cluster):
    proxy = Proxy(cluster, databases={"postgres": "host=127.0.0.1 port=1"})
    assert proxy.http("/readyz")[0] == 200  # nobody has asked yet
    with pytest.raises(Exception):
        proxy.connect()
    assert proxy.http("/readyz")[0] == 503
    assert proxy.http("/healthz")[0] == 200
    assert proxy.stop() == 0


def test_not_ready_while_an_operator_holds_it(cluster):
    """Whether anybody has been served before or not."""
    for served in (False, True):
        proxy = Proxy(cluster)
        with proxy.connect("pgbouncer") as console, contextlib.ExitStack() as held:
            if served:
                held.enter_context(proxy.connect()).execute("SELECT 1")
            for command in ("SUSPEND", "PAUSE"):
                assert proxy.http("/readyz")[0] == 200
                console.execute(command)
                assert proxy.http("/readyz")[0] == 503, (command, served)
                assert proxy.http("/healthz")[0] == 200
                console.execute("RESUME")
                wait_for("it to be ready", lambda: proxy.http("/readyz")[0] == 200 or (
                    held.enter_context(proxy.connect()).execute("SELECT 1") and False))
        assert proxy.stop() == 0


def test_a_password_and_tls(cluster):
    made = certs()
    proxy = Proxy(cluster, {"stats_user": "eye", "stats_password": "it's :secret", "stats_tls_cert_file": made.server,
                            "stats_tls_key_file": made.server_key}, start=False)
    trusting = ssl.create_default_context(cafile=str(made.ca))
    trusting.check_hostname = False
    base = f"https://127.0.0.1:{proxy.stats_port}"

    def up():
        try:
            return get(base + "/healthz", context=trusting)[0] == 200
        except OSError:
            return False
    proxy._serves = up  # its own way of asking speaks plain HTTP
    proxy.start()
    for path in ("/", "/metrics", "/stats.json", "/nothing"):
        status, headers, text = get(base + path, context=trusting)
        assert status == 401 and headers["WWW-Authenticate"].startswith("Basic") and "pgweir_" not in text
        assert get(base + path, "eye:wrong", trusting)[0] == 401
        assert get(base + path, "eye:it's :secret", trusting)[0] == (404 if path == "/nothing" else 200)
    assert get(base + "/readyz", context=trusting)[0] == 200
    with pytest.raises(OSError):
        get(f"http://127.0.0.1:{proxy.stats_port}/healthz")
    # A handshake that never ends holds its place no longer than any other silence.
    assert "secret" not in proxy.log_text()
    assert proxy.stop() == 0


def test_a_name_without_a_password_lets_nobody_in(cluster):
    proxy = Proxy(cluster, {"stats_user": "eye"})
    base = f"http://127.0.0.1:{proxy.stats_port}"
    for who in (None, "eye:", "eye", "", ":"):
        assert get(base + "/metrics", who)[0] == 401, who
    assert get(base + "/metrics", Authorization="Basic ")[0] == 401
    assert get(base + "/readyz")[0] == 200
    assert "stats_user without stats_password" in proxy.log_text()
    assert proxy.stop() == 0


def test_a_password_without_a_name_is_noticed(cluster):
    proxy = Proxy(cluster, {"stats_password": "secret"})
    assert get(f"http://127.0.0.1:{proxy.stats_port}/metrics")[0] == 200
    assert "stats_password without stats_user" in proxy.log_text() and "secret" not in proxy.log_text()
    assert proxy.stop() == 0


def test_ten_thousand_connections_hurt_nobody(cluster, shop):
    """Half of them say nothing, half say nonsense, all at once; few are held, clients are served, and probes soon again."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(10000, hard - 500)
    proxy = Proxy(cluster, {"workers": 1})
    with proxy.connect(shop) as client, contextlib.ExitStack() as held:
        client.execute("SELECT 1")
        before = proxy.rss_kib()
        for number in range(wanted):
            sock = held.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", proxy.stats_port))
            if number % 2:
                with contextlib.suppress(OSError):
                    sock.send(b"\x16\x03\x01 GET\0 / nonsense\r\n\xff\r\n\r\n")
            if number % 200 == 0:
                began = time.monotonic()
                assert client.execute("SELECT name FROM item WHERE id = 1").fetchone() == ("n1",)
                assert time.monotonic() - began < PATIENCE / 4
                assert len(os.listdir(f"/proc/{proxy.process.pid}/fd")) < 200
        # The crowd is still there.
        wait_for("a probe's answer", lambda: proxy.http("/healthz")[0] == 200)
        assert proxy.rss_kib() - before < 32 * 1024
        assert client.execute("SELECT count(*) FROM item").fetchone() == (100,)
    wait_for("scrapes as before", lambda: proxy.http("/metrics")[0] == 200)
    assert proxy.stop() == 0


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("chromium") or os.environ.get("CHROMIUM")), reason="needs chromium")
def test_the_live_page_under_load(cluster, proxy, shop):
    modules = DASHBOARD / "node_modules" / ".package-lock.json"
    if not modules.exists() or modules.stat().st_mtime < (DASHBOARD / "package-lock.json").stat().st_mtime:
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=DASHBOARD, check=True)
    script = new_dir("look") / "read.sql"
    script.write_text("\\set id random(1, 100)\nSELECT name FROM item WHERE id = :id;\n")
    with work(proxy, shop):
        load = subprocess.Popen(["pgbench", "-n", "-M", "prepared", "-c", "4", "-T", "60", "-f", script, proxy.dsn(shop)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            done = subprocess.run(["node", "look.mjs", f"http://127.0.0.1:{proxy.stats_port}/", script.parent], cwd=DASHBOARD,
                                  capture_output=True, text=True, timeout=60)
        finally:
            load.terminate()
            load.wait()
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    assert seen["errors"] == [] and seen["foreign"] == []
    assert seen["state"] == "ready" and seen["paused"] == "paused"
    assert float(seen["hitRate"].rstrip(" %")) > 10
    assert seen["pools"] >= 1 and seen["poolsOfOne"] == 1 and shop in seen["databases"]
    assert "ROW_LOCK" in seen["pass"] and seen["pins"] == ["temp"]
    assert any("SELECT name FROM item" in text for text in seen["top"])
    assert "streaming" in seen["feeds"] and "cache on" in seen["feeds"]
    assert seen["keys"][:3] == ["skip", "database", "pause"] and "Pools" in " ".join(seen["keys"])
    assert seen["dark"] == "rgb(15, 20, 25)" and not seen["wide"] and not seen["widePhone"]
    for picture in ("light.png", "dark.png", "phone.png"):
        assert (script.parent / picture).stat().st_size > 20000
