"""The console: what operators, drivers and the exporters of PgBouncer ask, and what they order."""
import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import threading

import asyncpg
import psycopg
import psycopg2
import pytest
from psycopg.rows import dict_row

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import SYNC, Wire, bind, cancel, describe, errors, execute, kinds, parse, query, rows

pytestmark = pytest.mark.skipif(not PGWEIR, reason="needs pgweir itself")

SOCKET = ("type user database replication state addr port local_addr local_port connect_time request_time wait wait_us "
          "close_needed ptr link remote_pid tls application_name prepared_statements id")
STATS = ("server_assignment_count xact_count query_count {0} {1} xact_time query_time wait_time client_parse_count "
         "server_parse_count bind_count")
PREFIXED = "server_assignment_count xact_count query_count {} sent xact_time query_time wait_time client_parse_count " \
           "server_parse_count bind_count"
# Columns of PgBouncer 1.24, which ours begin with; "i" int4, "q" int8, "n" numeric, else text.
THEIRS = {
    "STATS": "database " + " ".join("total_" + c for c in PREFIXED.format("received").split()) + " " +
             " ".join("avg_" + c for c in PREFIXED.format("recv").split()),
    "STATS_TOTALS": "database " + STATS.format("bytes_received", "bytes_sent"),
    "STATS_AVERAGES": "database " + STATS.format("bytes_received", "bytes_sent"),
    "TOTALS": "name value",
    "SERVERS": SOCKET,
    "CLIENTS": SOCKET,
    "SOCKETS": SOCKET + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail",
    "ACTIVE_SOCKETS": SOCKET + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail",
    "POOLS": "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel "
             "sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts",
    "PEERS": "peer_id host port pool_size",
    "PEER_POOLS": "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login",
    "LISTS": "list items",
    "USERS": "name pool_size reserve_pool_size pool_mode max_user_connections current_connections "
             "max_user_client_connections current_client_connections",
    "DATABASES": "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode "
                 "load_balance_hosts max_connections current_connections max_client_connections "
                 "current_client_connections paused disabled",
    "CONFIG": "key value default changeable",
    "MEM": "name size used free memtotal",
    "DNS_HOSTS": "hostname ttl addrs",
    "DNS_ZONES": "zonename serial count",
    "VERSION": "version",
    "STATE": "key value",
}
OIDS = {"text": 25, "int4": 23, "int8": 20, "numeric": 1700}


@pytest.fixture(scope="module")
def made(cluster):
    """Pools of two backends, a stats user, a unix socket."""
    proxy = Proxy(cluster, {"default_pool_size": 2, "stats_users": "watcher", "unix_socket_dir": "/tmp",
                            "suspend_timeout": 5},
                  users={"postgres": "", "watcher": "", "nobody": ""})
    yield proxy
    assert proxy.alive(), proxy.log_text()[-2000:]
    assert proxy.stop() == 0, proxy.log_text()[-2000:]


@pytest.fixture(scope="module")
def database(cluster):
    """One for all tests of this file."""
    cluster.sql("CREATE DATABASE console_test")
    yield "console_test"
    cluster.drop_database("console_test")


@pytest.fixture(autouse=True)
def resumed(made):
    """Whatever a test leaves paused is not paused for the next one, and its connections are gone."""
    yield
    wait_for("the test's clients to be gone", lambda: {row["list"]: row["items"] for row in ask(made, "SHOW LISTS")}[
        "used_clients"] == 1)
    with made.connect("pgbouncer") as console:
        for order in ("RESUME", "RESUME console_test", "ENABLE console_test"):
            try:
                console.execute(order)
            except psycopg.errors.ObjectNotInPrerequisiteState:
                pass


def ask(proxy, command, user="postgres"):
    with psycopg.connect(proxy.dsn("pgbouncer", user), autocommit=True, row_factory=dict_row) as console:
        return console.execute(command).fetchall()


def one(found, **wanted):
    got = [row for row in found if all(row[key] == value for key, value in wanted.items())]
    assert len(got) == 1, (wanted, found)
    return got[0]


# --- what monitoring reads ---

@pytest.mark.parametrize("what", sorted(THEIRS))
def test_columns_are_those_of_pgbouncer(made, what):
    with made.connect("pgbouncer") as console:
        cursor = console.execute(f"SHOW {what}")
        names = [column.name for column in cursor.description]
        cursor.fetchall()
    theirs = THEIRS[what].split()
    assert names[:len(theirs)] == theirs


def test_types_are_those_of_pgbouncer(made):
    with made.connect("pgbouncer") as console:
        def types(what):
            return {column.name: column.type_code for column in console.execute(f"SHOW {what}").description}
        assert types("POOLS")["cl_active"] == types("LISTS")["items"] == OIDS["int4"]
        assert types("STATS")["total_xact_count"] == types("TOTALS")["value"] == OIDS["numeric"]
        assert types("CLIENTS")["connect_time"] == types("DATABASES")["host"] == OIDS["text"]
        assert types("DNS_HOSTS")["ttl"] == OIDS["int8"]


@pytest.mark.sanitizer
def test_the_numbers_are_right(made, database):
    with made.connect(database) as client, made.connect(database) as other:
        before = ask(made, "SHOW STATS")
        client.execute("SELECT 1")
        with client.transaction():
            client.execute("SELECT 2")
            client.execute("SELECT 3")
            other.execute("SELECT 4")
            pool = one(ask(made, "SHOW POOLS"), database=database)
            assert (pool["cl_active"], pool["sv_active"], pool["sv_idle"]) == (2, 1, 1)
            assert (pool["user"], pool["pool_mode"], pool["cl_waiting"], pool["maxwait"]) == ("postgres", "transaction", 0, 0)
            mine = one(ask(made, "SHOW CLIENTS"), database=database, state="active")
            server = one(ask(made, "SHOW SERVERS"), ptr=mine["link"])
            assert server["link"] == mine["ptr"] and server["database"] == database
            assert server["remote_pid"] == client.execute("SELECT pg_backend_pid()").fetchone()[0]
            assert (mine["transaction"], mine["addr"]) == ("open", "127.0.0.1")
            assert mine["port"] > 0
        after = one(ask(made, "SHOW STATS"), database=database)
    old = [row for row in before if row["database"] == database]
    old = old[0] if old else dict.fromkeys(after, 0)
    assert after["total_xact_count"] - old["total_xact_count"] == 3
    assert after["total_server_assignment_count"] - old["total_server_assignment_count"] == 3
    # SELECT 1, BEGIN, 2, 3, the pid, COMMIT; and the other's.
    assert after["total_query_count"] - old["total_query_count"] == 7
    for name in ("total_received", "total_sent", "total_xact_time", "total_query_time"):
        assert after[name] > old[name], name
    assert after["total_xact_time"] >= after["total_query_time"] / 2
    assert after["total_client_login_count"] - old["total_client_login_count"] == 0
    listed = {row["list"]: row["items"] for row in ask(made, "SHOW LISTS")}
    assert listed["pools"] >= 2 and listed["users"] >= 3 and listed["used_clients"] >= 1
    entry = one(ask(made, "SHOW DATABASES"), name=database)
    assert (entry["port"], entry["pool_size"], entry["paused"], entry["disabled"]) == (made.cluster.port, 2, 0, 0)


@pytest.mark.sanitizer
def test_waiting_clients_are_shown(made, database):
    with made.connect(database) as a, made.connect(database) as b, Wire(made.port).login(database=database) as c:
        for holder in (a, b):
            holder.execute("BEGIN")
            holder.execute("SELECT 1")
        c.send(query("SELECT 'served'"))
        wait_for("the third to wait", lambda: one(ask(made, "SHOW POOLS"), database=database)["cl_waiting"] == 1)
        row = one(ask(made, "SHOW CLIENTS"), database=database, state="waiting")
        assert row["wait_us"] > 0 or row["wait"] > 0
        a.execute("COMMIT")
        assert rows(c.until(b"Z")) == [[b"served"]]
        b.execute("COMMIT")


@pytest.mark.sanitizer
def test_the_cache_shows_itself(made, database):
    made.cluster.sql("CREATE TABLE cached (id int PRIMARY KEY, a text); INSERT INTO cached VALUES (1, 'x')", database)
    with made.connect(database) as client:
        wait_for("the cache to be on", lambda: any(row["database"] == database and row["state"] == "on"
                                                   for row in ask(made, "SHOW CACHE")))
        wait_for("a hit", lambda: client.execute("SELECT a FROM cached WHERE id = 1").fetchone() == ("x",) and
                 one(ask(made, "SHOW CACHE"), database=database)["hits"] > 0)
        def reasons():
            return {row["reason"]: row["statements"] for row in ask(made, f"SHOW REASONS {database}")}
        before = reasons()
        client.execute("SELECT * FROM cached FOR UPDATE")
        assert reasons()["ROW_LOCK"] == before["ROW_LOCK"] + 1
        assert sum(reasons().values()) == sum(before.values()) + 1
        client.execute("CREATE TEMP TABLE mine (a int)")
        feed = one(ask(made, "SHOW COHERENCE"), database=database)
        assert feed["feed"] == "streaming" and "/" in feed["position"]
        wait_for("the pin", lambda: ask(made, "SHOW PINS"))
        pin = one(ask(made, "SHOW PINS"), database=database)
        assert pin["pins"] == "temp" and pin["link"].startswith("s")


@pytest.mark.sanitizer
def test_statements_and_explain(made, database):
    made.cluster.sql("CREATE TABLE told (id int PRIMARY KEY, a text); INSERT INTO told VALUES (1, 'x')", database)
    with made.connect(database) as client:
        wait_for("a hit", lambda: client.execute("SELECT a FROM told WHERE id = 1").fetchone() and any(
            row["statement"] == "SELECT a FROM told WHERE id = ?" and row["hits"] > 0
            for row in ask(made, f"SHOW STATEMENTS {database}")))
        assert any(row["relation"] == "public.told" for row in ask(made, "SHOW RELATIONS"))
        told = ask(made, f"EXPLAIN CACHE FOR {database} 'SELECT a FROM told WHERE id = 1'")
        values = {row["item"]: row["value"] for row in told}
        assert "told" in values["relation"], told
        told = ask(made, f"EXPLAIN CACHE FOR {database} 'DELETE FROM told WHERE a = ''x'' OR true'")
        assert {row["item"]: row["value"] for row in told}["verdict"] != values["verdict"], told
    assert made.cluster.sql("SELECT count(*) FROM told", database) == "1"  # nothing was run
    with made.connect("pgbouncer") as console:
        for text, error in ((f"EXPLAIN CACHE FOR {database}", psycopg.errors.SyntaxError),
                            ("EXPLAIN CACHE FOR pgbouncer 'SELECT 1'", psycopg.errors.InvalidCatalogName)):
            with pytest.raises(error):
                console.execute(text)


def test_names_that_were_resolved(cluster):
    proxy = Proxy(cluster, {"dns_max_ttl": 1000}, databases={"postgres": f"host=localhost port={cluster.port}"})
    with proxy.connect() as client:
        client.execute("SELECT 1")
        found = one(ask(proxy, "SHOW DNS_HOSTS"), hostname="localhost")
        assert "127.0.0.1" in found["addrs"].split(",") and 900 < found["ttl"] <= 1000
        listed = {row["list"]: row["items"] for row in ask(proxy, "SHOW LISTS")}
        assert (listed["dns_names"], listed["dns_queries"], listed["dns_zones"]) == (1, 0, 0)
        assert ask(proxy, "SHOW DNS_ZONES") == []
    assert proxy.stop() == 0


@pytest.mark.sanitizer
def test_cancel_requests_on_their_way(cluster):
    """To a peer that takes the connection and nothing more; its pool_size lets one through, the second waits."""
    proxy = Proxy(cluster, {"peer_id": 1}, start=False)
    with socket.create_server(("127.0.0.1", 0)) as peer:
        proxy.ini.write_text(proxy.ini.read_text() + f"[peers]\n2 = host=127.0.0.1 port={peer.getsockname()[1]} pool_size=1\n")
        proxy.start()
        held = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(2)]
        for sock in held:
            sock.sendall(struct.pack("!IIII", 16, 80877102, 2 << 17 | 1, 4711))
        wait_for("both", lambda: ask(proxy, "SHOW PEER_POOLS") == [{
            "peer_id": 2, "cl_active_cancel_req": 1, "cl_waiting_cancel_req": 1, "sv_active_cancel": 1, "sv_login": 0}])
        peer.accept()[0].close()
        peer.accept()[0].close()
        wait_for("the end of both", lambda: set(ask(proxy, "SHOW PEER_POOLS")[0].values()) == {2, 0})
        for sock in held:
            sock.close()
    assert proxy.stop() == 0


def test_descriptors_are_not_handed_out(made):
    with made.connect("pgbouncer") as console, pytest.raises(psycopg.errors.FeatureNotSupported, match="so_reuseport"):
        console.execute("SHOW FDS")


def test_help_lists_every_command(made):
    found = ask(made, "SHOW HELP")
    for words in [*("SHOW " + what for what in THEIRS), "PAUSE", "RESUME", "KILL_CLIENT", "SHUTDOWN", "SET", "SHOW PINS"]:
        assert any(row["command"].startswith(words) for row in found), words


def test_help_says_who_may(made):
    rights = {row["command"]: row["rights"] for row in ask(made, "SHOW HELP", user="watcher")}
    assert rights["SET key = value"] == rights["PAUSE [database]"] == "admin_users"
    assert rights["SHOW STATE"] == "stats_users"


def test_config_hides_secrets(made):
    found = {row["key"]: row for row in ask(made, "SHOW CONFIG")}
    assert found["default_pool_size"]["value"] == "2" and found["default_pool_size"]["changeable"] == "yes"
    assert found["listen_port"]["changeable"] == "no"


# --- protocols and drivers ---

def test_psql_asks(made):
    made.connect().close()  # makes a pool
    done = subprocess.run(["psql", "-X", "-A", "-t", made.dsn("pgweir"), "-c", "show pools"], capture_output=True, text=True)
    assert done.returncode == 0 and "transaction" in done.stdout
    done = subprocess.run(["psql", "-X", "-A", "-t", made.dsn("pgweir"), "-c", "show state; show version"],
                          capture_output=True, text=True)
    assert "active|yes" in done.stdout and "PgBouncer 1." in done.stdout


def test_psycopg_asks_in_binary_and_in_transactions(made):
    made.psql("SELECT 1")  # something for the totals to count
    with psycopg.connect(made.dsn("pgbouncer")) as console:  # not autocommit: it sends BEGIN
        for binary in (True, False):
            for _ in range(7):  # the last ones are prepared
                cursor = console.cursor(binary=binary)
                total = cursor.execute("SHOW TOTALS").fetchall()
                assert total[1][0] == "total_xact_count" and total[1][1] > 0
                assert cursor.execute("SHOW LISTS").fetchall()[0][0] == "databases"
        with pytest.raises(psycopg.errors.SyntaxError):
            console.execute("SHOW nothing")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            console.execute("SHOW STATE")
        console.rollback()
        console.execute("SHOW STATE")


def test_psycopg2_asks(made):
    console = psycopg2.connect(made.dsn("pgbouncer"))
    console.autocommit = True
    with console.cursor() as cursor:
        cursor.execute("SHOW VERSION;")
        assert "1.24" in cursor.fetchone()[0]
    console.close()


def test_asyncpg_asks(made):
    async def run():
        console = await asyncpg.connect(host="127.0.0.1", port=made.port, user="postgres", database="pgbouncer")
        found = await console.fetch("SHOW POOLS")
        again = await console.fetch("SHOW MEM")
        await console.close()
        return found, again
    found, again = asyncio.run(run())
    assert isinstance(found[0]["cl_active"], int) and again[0]["used"] > 100000


@pytest.mark.sanitizer
def test_rows_come_in_pieces(made):
    """Execute with a row limit, as JDBC does with a fetch size."""
    with Wire(made.port).login(database="pgbouncer") as wire:
        wire.send(parse("", "SHOW LISTS") + bind("", "") + describe("P") + execute("", 5) + execute("", 5) +
                  execute("", 5) + execute("", 5) + SYNC)
        got = wire.until(b"Z")
        assert kinds(got) == "12T" + "DDDDDs" * 2 + "DDDDC" + "CZ"


def test_extended_errors(made):
    with Wire(made.port).login(database="pgbouncer") as wire:
        for batch, state in ((parse("a", "SHOW nothing"), "42601"), (parse("a", "SHOW STATE; SHOW LISTS"), "42601"),
                             (bind("", "none"), "26000"), (execute("none"), "34000"),
                             (parse("", "SHOW STATE") + bind("", "", [b"x"]), "08P01")):
            wire.send(batch + describe("S", "ignored") + SYNC)
            assert errors(wire.until(b"Z")) == [state]
        wire.send(parse("a", "SHOW STATE") + SYNC)
        wire.until(b"Z")
        wire.send(parse("a", "SHOW STATE") + SYNC)
        assert errors(wire.until(b"Z")) == ["42P05"]
        wire.send(parse("", "") + bind("", "") + execute("") + SYNC)
        assert kinds(wire.until(b"Z")) == "12IZ"


@pytest.mark.parametrize("text", ["SHOW", "SHOW POOLS, CLIENTS", "PAUSE 'a", "KILL_CLIENT x", "KILL_CLIENT", "SET a",
                                  "SHUTDOWN SOON", "SELECT * FROM t", "\"SHOW\" pools", "ENABLE", "SHOW POOLS a b"])
def test_syntax_errors_are_postgresqls(made, text):
    with made.connect("pgbouncer") as console, pytest.raises(psycopg.errors.SyntaxError):
        console.execute(text)


@pytest.mark.parametrize("text, named", [("SHOW work_mem", "SHOW work_mem"), ("SELECT version()", "SELECT version")])
def test_what_is_no_command_is_named(made, text, named):
    with made.connect("pgbouncer") as console, pytest.raises(psycopg.errors.SyntaxError, match=f'no command "{named}"'):
        console.execute(text)


def test_forgiving_words(made):
    with made.connect("pgweir") as console:
        for text in ("show Pools;", "/* why */ SHOW \n STATE -- here", ";;SHOW STATE", "SET extra_float_digits = 3",
                     "SET SESSION application_name TO 'x'", "SET TIME ZONE 'UTC'", "BEGIN READ ONLY", "COMMIT",
                     "DISCARD ALL", "SHOW client_encoding", "SELECT 1", ""):
            console.execute(text)


# --- rights ---

def test_stats_users_look_and_touch_nothing(made):
    assert ask(made, "SHOW POOLS", user="watcher")
    for order in ("PAUSE", "RELOAD", "KILL_CLIENT 1", "SET log_level = info", "SHUTDOWN", "SHOW FDS"):
        with psycopg.connect(made.dsn("pgbouncer", "watcher"), autocommit=True) as console:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                console.execute(order)


def test_others_are_not_let_in(made):
    with pytest.raises(psycopg.OperationalError, match="not allowed"):
        psycopg.connect(made.dsn("pgbouncer", "nobody"))


def test_the_owner_of_the_process_is_let_in_by_the_socket(made):
    with psycopg.connect(f"host=/tmp port={made.port} dbname=pgbouncer user=pgbouncer", autocommit=True) as console:
        console.execute("RELOAD")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(made.dsn("pgbouncer", "pgbouncer"))


def test_a_password_is_asked_for(cluster):
    proxy = Proxy(cluster, {"auth_type": "scram-sha-256"}, users={"postgres": "open sesame"})
    with pytest.raises(psycopg.OperationalError):
        proxy.connect("pgbouncer", dsn={"password": "wrong"})
    with proxy.connect("pgbouncer", dsn={"password": "'open sesame'"}) as console:
        assert console.execute("SHOW STATE").fetchall()
    assert proxy.stop() == 0


# --- orders ---

class Ordered(threading.Thread):
    """A command that waits, in a thread of its own."""

    def __init__(self, proxy, command, dbname="pgbouncer"):
        super().__init__()
        self.proxy, self.dbname = proxy, dbname
        self.command, self.error, self.rows = command, None, None
        self.start()

    def run(self):
        try:
            with self.proxy.connect(self.dbname) as conn:
                cursor = conn.execute(self.command)
                self.rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            self.error = error

    def ended(self):
        self.join(20)
        assert not self.is_alive(), self.command
        return self


def backends(proxy, database):
    return proxy.cluster.sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND "
                             "backend_type = 'client backend' AND application_name NOT LIKE 'pgweir%'")


@pytest.mark.sanitizer
@pytest.mark.parametrize("by_name", [True, False])
def test_pause_waits_for_transactions_and_holds_new_ones(made, database, by_name):
    name = f' "{database}"' if by_name else ""
    with made.connect(database) as client, made.connect(database) as other:
        other.execute("SELECT 1")
        client.execute("BEGIN")
        client.execute("CREATE TEMP TABLE held (a int) ON COMMIT DROP")
        pause = Ordered(made, "PAUSE" + name)
        wait_for("the pause", lambda: one(ask(made, "SHOW POOLS"), database=database)["paused"] == 1)
        queued = Ordered(made, "SELECT 'queued'", database)
        wait_for("the new statement to wait",
                 lambda: one(ask(made, "SHOW POOLS"), database=database)["cl_waiting"] == 1)
        assert pause.is_alive()  # the transaction is open
        client.execute("INSERT INTO held VALUES (1)")
        client.execute("COMMIT")
        assert pause.ended().error is None
        one_pool = one(ask(made, "SHOW POOLS"), database=database)
        assert (one_pool["sv_active"], one_pool["sv_idle"], one_pool["cl_waiting"]) == (0, 0, 1)
        assert queued.is_alive()
        with made.connect("pgbouncer") as console:
            console.execute("RESUME" + name)
        assert queued.ended().rows == [("queued",)]
        assert client.execute("SELECT 2").fetchone() == (2,)


def test_the_log_says_why_a_server_connection_ends(cluster):
    proxy = Proxy(cluster, {"log_level": "debug", "log_format": "json", "server_idle_timeout": 1})

    def reasons():
        logged = [json.loads(line) for line in proxy.log_text().splitlines() if '"server connection closed"' in line]
        return [line["reason"] for line in logged if line.get("database") == "postgres"]

    with proxy.connect("postgres") as client, proxy.connect("pgbouncer") as console:
        client.execute("SELECT 1")
        console.execute("PAUSE")
        assert reasons() == ["paused"]
        console.execute("RESUME")
        client.execute("BEGIN")
        client.execute("SELECT pg_backend_pid()")
        console.execute("RECONNECT")
        client.execute("COMMIT")
        wait_for("the old one to go", lambda: len(reasons()) == 2)
        client.execute("SELECT 1")
        wait_for("the new one to go", lambda: len(reasons()) == 3)
    assert reasons()[1].startswith("RECONNECT") and reasons()[2] == "server_idle_timeout"
    assert proxy.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_gets_an_idle_one_behind_reconnect(cluster, workers):
    """Whoever asks first, and in whichever worker it is idle."""
    proxy = Proxy(cluster, {"workers": workers, "default_pool_size": 3})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy.connect("postgres")) for _ in range(6)]
        console = stack.enter_context(proxy.connect("pgbouncer"))

        def pids(of):
            for client in of:
                client.execute("BEGIN")
            found = {client.execute("SELECT pg_backend_pid()").fetchone()[0] for client in of}
            for client in of:
                client.execute("COMMIT")
            return found
        for _ in range(5):
            old = pids(clients[:3]) | pids(clients[3:])
            assert len(old) == 3
            console.execute("RECONNECT")
            assert not (pids(clients[:2]) | pids(clients[4:])) & old
            assert len(ask(proxy, "SHOW SERVERS")) <= 3
    assert proxy.stop() == 0


def test_pause_longer_than_query_wait_timeout(cluster):
    proxy = Proxy(cluster, {"query_wait_timeout": 1})
    with proxy.connect() as client, proxy.connect("pgbouncer") as console:
        client.execute("SELECT 1")
        console.execute("PAUSE postgres")
        waiting = Ordered(proxy, "SELECT 1", "postgres")
        wait_for("it to wait for longer", lambda: any(row["wait"] + row["wait_us"] / 1e6 > 1.3
                                                      for row in ask(proxy, "SHOW CLIENTS")))
        console.execute("RESUME postgres")
        assert waiting.ended().rows == [(1,)]
    assert proxy.stop() == 0


def test_a_database_moves_while_it_is_paused(cluster):
    """PAUSE, another server in the file, RELOAD, RESUME: who waits goes on there, and nothing cached of the old one is told."""
    for name in ("moves_from", "moves_to"):
        cluster.sql(f"CREATE DATABASE {name}")
        cluster.sql(f"CREATE TABLE here (id int PRIMARY KEY, name text); INSERT INTO here VALUES (1, '{name}')", name)
    where = "host=127.0.0.1 port={} dbname={}"
    proxy = Proxy(cluster, {"probe_patience": "300ms"}, databases={"shop": where.format(cluster.port, "moves_from")})
    with proxy.connect("shop") as client, proxy.connect("pgbouncer") as console:
        def asks():
            return client.execute("SELECT name FROM here WHERE id = 1").fetchone()[0]
        before = proxy.metrics().count("cache_hits")
        wait_for("a hit", lambda: asks() == "moves_from" and proxy.metrics().count("cache_hits") > before)
        console.execute("PAUSE shop")
        waiting = Ordered(proxy, "SELECT name FROM here WHERE id = 1", "shop")
        wait_for("it to wait", lambda: one(ask(proxy, "SHOW POOLS"), database="shop")["cl_waiting"] == 1)
        proxy.databases["shop"] = where.format(cluster.port, "moves_to")
        proxy.write()
        console.execute("RELOAD")
        assert waiting.is_alive()
        console.execute("RESUME shop")
        assert waiting.ended().rows == [("moves_to",)]
        for _ in range(20):
            assert asks() == "moves_to"
    assert proxy.stop() == 0
    for name in ("moves_from", "moves_to"):
        cluster.drop_database(name)


@pytest.mark.sanitizer
def test_a_pause_that_is_cancelled_ends(made, database):
    with made.connect(database) as client, Wire(made.port).login(database="pgbouncer") as wire:
        client.execute("BEGIN")
        client.execute("SELECT 1")
        wire.send(query(f'PAUSE "{database}"'))
        wait_for("the pause", lambda: one(ask(made, "SHOW POOLS"), database=database)["paused"] == 1)
        cancel(made.port, wire.pid, wire.key)
        assert errors(wire.until(b"Z")) == ["57014"]
        assert one(ask(made, "SHOW POOLS"), database=database)["paused"] == 0
        # An operator who vanishes while he waits.
        wire.send(query(f'PAUSE "{database}"'))
        wait_for("the pause", lambda: one(ask(made, "SHOW POOLS"), database=database)["paused"] == 1)
        wire.sock.close()
        wait_for("its end", lambda: one(ask(made, "SHOW POOLS"), database=database)["paused"] == 0)
        client.execute("COMMIT")


@pytest.mark.sanitizer
def test_kill_client(made, database):
    victim, spared = made.connect(database), made.connect(database)
    victim.execute("SELECT 1")
    spared.execute("SELECT 1")
    ids = sorted(row["id"] for row in ask(made, "SHOW CLIENTS") if row["database"] == database)
    with made.connect("pgbouncer") as console:
        console.execute(f"KILL_CLIENT {ids[0]}")
        with pytest.raises(psycopg.errors.UndefinedObject):
            console.execute(f"KILL_CLIENT {ids[0]}")
    with pytest.raises(psycopg.OperationalError, match="admin forced disconnect"):
        victim.execute("SELECT 1")
    assert spared.execute("SELECT 1").fetchone() == (1,)
    spared.close()


def test_kill_client_by_its_handle(made, database):
    victim = made.connect(database)
    mine = one(ask(made, "SHOW CLIENTS"), database=database)
    with made.connect("pgbouncer") as console:
        with pytest.raises(psycopg.errors.SyntaxError, match="id or the ptr"):
            console.execute(f"KILL_CLIENT s{mine['id']}")
        console.execute(f"KILL_CLIENT {mine['ptr']}")
    with pytest.raises(psycopg.OperationalError, match="admin forced disconnect"):
        victim.execute("SELECT 1")


@pytest.mark.sanitizer
def test_kill_database(made, database):
    with made.connect(database) as client:
        running = Ordered(made, "SELECT pg_sleep(60)", database)
        wait_for("it to run", lambda: one(ask(made, "SHOW POOLS"), database=database)["sv_active"] == 1)
        with made.connect("pgbouncer") as console:
            console.execute(f'KILL "{database}"')
            assert isinstance(running.ended().error, psycopg.OperationalError)
            with pytest.raises(psycopg.OperationalError):
                client.execute("SELECT 1")
            wait_for("its backends to be gone", lambda: backends(made, database) == "0")
            late = Ordered(made, "SELECT 'late'", database)
            wait_for("the next one to wait", lambda: one(ask(made, "SHOW POOLS"), database=database)["cl_waiting"] == 1)
            console.execute(f'RESUME "{database}"')
            assert late.ended().rows == [("late",)]


def test_disable_and_enable(made, database):
    with made.connect(database) as inside, made.connect("pgbouncer") as console:
        console.execute(f'DISABLE "{database}"')
        with pytest.raises(psycopg.OperationalError, match="disabled"):
            made.connect(database)
        assert inside.execute("SELECT 1").fetchone() == (1,)
        console.execute(f'ENABLE "{database}"')
        made.connect(database).close()
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            console.execute("DISABLE pgbouncer")


def test_names_that_nobody_could_connect_to(cluster):
    proxy = Proxy(cluster, databases={"only": f"host=127.0.0.1 port={cluster.port} dbname=postgres"})
    with proxy.connect("pgbouncer") as console:
        for order in ("PAUSE", "KILL", "RECONNECT", "WAIT_CLOSE", "DISABLE", "RESUME"):
            with pytest.raises(psycopg.errors.InvalidCatalogName):
                console.execute(f"{order} other")
        for what in ("POOLS", "CLIENTS", "SERVERS", "STATS", "CACHE", "REASONS"):
            with pytest.raises(psycopg.errors.InvalidCatalogName, match="no such database: other"):
                console.execute(f"SHOW {what} other")
            for known in ("only", "pgweir"):
                console.execute(f"SHOW {what} {known}")
        console.execute("PAUSE only")
    # Paused before its first client.
    waiting = threading.Thread(target=lambda: proxy.connect("only").close())
    waiting.start()
    wait_for("the login to wait", lambda: any(row["state"] == "waiting" for row in ask(proxy, "SHOW CLIENTS")))
    with proxy.connect("pgbouncer") as console:
        console.execute("RESUME only")
        waiting.join(20)
        assert not waiting.is_alive()
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            console.execute("RESUME only")
    assert proxy.stop() == 0


@pytest.mark.sanitizer
def test_reconnect_and_wait_close(made, database):
    with made.connect(database) as client, made.connect("pgbouncer") as console:
        client.execute("BEGIN")
        pid = client.execute("SELECT pg_backend_pid()").fetchone()[0]
        console.execute(f'RECONNECT "{database}"')
        waiting = Ordered(made, f'WAIT_CLOSE "{database}"')
        # By its process: one that was opened ahead may still be on its way in.
        assert one(ask(made, "SHOW SERVERS"), remote_pid=pid)["close_needed"] == 1
        assert waiting.is_alive()
        client.execute("COMMIT")
        assert waiting.ended().error is None
        assert client.execute("SELECT pg_backend_pid()").fetchone()[0] != pid


@pytest.mark.sanitizer
def test_suspend_takes_nothing_until_resume(made, database):
    with made.connect(database) as client, made.connect("pgbouncer") as console:
        client.execute("SELECT 1")
        running = Ordered(made, "SELECT pg_sleep(0.2)", database)
        wait_for("it to run", lambda: one(ask(made, "SHOW POOLS"), database=database)["sv_active"] == 1)
        console.execute("SUSPEND")
        assert running.ended().error is None  # what had begun has ended
        assert {row["key"]: row["value"] for row in ask(made, "SHOW STATE")}["suspended"] == "yes"
        held = Ordered(made, "SELECT 'held'", database)
        wait_for("bytes that nobody takes", lambda: [row for row in ask(made, "SHOW ACTIVE_SOCKETS")
                                                     if row["database"] == database and row["pkt_avail"] > 0])
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            console.execute("PAUSE")
        console.execute("RESUME")
        assert held.ended().rows == [("held",)]


def test_suspend_does_not_wait_for_ever(cluster):
    proxy = Proxy(cluster, {"suspend_timeout": "300ms"})
    running = Ordered(proxy, "SELECT pg_sleep(60)", "postgres")
    # A server connection is active for the login, too.
    wait_for("it to run", lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'") == "1")
    with proxy.connect("pgbouncer") as console:
        console.execute("SUSPEND")
        assert isinstance(running.ended().error, psycopg.OperationalError)
        console.execute("RESUME")
    assert proxy.stop() == 0


@pytest.mark.sanitizer
def test_reload_and_set(made):
    with made.connect("pgbouncer") as console:
        def value(key):
            return {row[0]: row[1] for row in console.execute("SHOW CONFIG").fetchall()}[key]
        console.execute("SET query_wait_timeout = '7s'")
        assert value("query_wait_timeout") == "7"
        for order, error in (("SET listen_port = 1", psycopg.errors.InvalidParameterValue),
                             ("SET no_such_key = 1", psycopg.errors.InvalidParameterValue),
                             ("SET query_wait_timeout = soon", psycopg.errors.InvalidParameterValue)):
            with pytest.raises(error):
                console.execute(order)
        made.settings["query_wait_timeout"] = "9s"
        made.write()
        console.execute("RELOAD")
        assert value("query_wait_timeout") == "9"
        made.settings["query_wait_timeout"] = "soon"
        made.write()
        with pytest.raises(psycopg.errors.ConfigFileError, match="query_wait_timeout must"):
            console.execute("RELOAD")
        assert value("query_wait_timeout") == "9"
        del made.settings["query_wait_timeout"]
        made.write()
        console.execute("RELOAD")


@pytest.mark.parametrize("how", ["", "WAIT_FOR_SERVERS", "WAIT_FOR_CLIENTS"])
def test_shutdown(cluster, how):
    proxy = Proxy(cluster)
    client = proxy.connect()
    client.execute("BEGIN")
    client.execute("SELECT 1")
    console = proxy.connect("pgbouncer")
    try:
        console.execute(f"SHUTDOWN {how}")
    except psycopg.OperationalError:
        assert how == ""  # it may be gone before it can answer
    if how:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            console.execute("PAUSE")
        with pytest.raises(psycopg.OperationalError):
            proxy.connect()
        assert client.execute("SELECT 2").fetchone() == (2,)
        client.execute("COMMIT")
    if how == "WAIT_FOR_CLIENTS":
        assert client.execute("SELECT 3").fetchone() == (3,)
        client.close()
    wait_for("its end", lambda: proxy.process.poll() is not None)
    assert proxy.process.returncode == 0, proxy.log_text()[-2000:]


def _let_in(proxy):
    try:
        proxy.connect("pgbouncer").close()
    except psycopg.OperationalError:
        return False
    return True


def test_many_consoles_are_bounded(made):
    held = []
    with pytest.raises(psycopg.OperationalError, match="too many clients of the console"):
        for _ in range(110):
            held.append(made.connect("pgbouncer"))
    assert len(held) >= 90
    for console in held:
        console.close()
    wait_for("room again", lambda: _let_in(made))


def test_garbage_costs_only_its_sender(made):
    with Wire(made.port).login(database="pgbouncer") as wire:
        wire.send(b"\x01\xff\xff\xff\xff garbage")
        assert errors(wire.drain())[-1] == "08P01"
    with Wire(made.port).login(database="pgbouncer") as wire:
        wire.send(query("SHOW " + "x" * 100000))
        assert errors(wire.until(b"Z")) == ["42601"]
    assert ask(made, "SHOW STATE")


def test_what_is_ordered_is_logged(cluster):
    proxy = Proxy(cluster, {"log_format": "json"})
    with proxy.connect("pgbouncer") as console:
        console.execute("PAUSE postgres")
        console.execute("RESUME postgres")
        console.execute("SET feed_password = 'hush'")
    assert proxy.stop() == 0
    logged = [json.loads(line) for line in proxy.log_text().splitlines()]
    orders = [(line["command"], line["argument"]) for line in logged if line["event"] == "console command"]
    assert orders == [("PAUSE", "postgres"), ("RESUME", "postgres"), ("SET", "feed_password")]
    assert "hush" not in proxy.log_text()
    assert any(line["event"] == "client disconnected" and line.get("database") == "pgbouncer" for line in logged)
