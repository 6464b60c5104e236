"""Who is measured: a PostgreSQL, the proxies in front of it, and the floors and peers beside them.

Each party has a port, a process whose CPU time counts as the proxy's, and the PostgreSQL behind it (or none)."""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess

from pgweir_test.certs import certs
from pgweir_test.cluster import Cluster
from pgweir_test.proxy import Proxy
from pgweir_test.tools import as_pg_user, free_port, new_dir, reap, spawn, wait_for

from . import probes

HERE = pathlib.Path(__file__).resolve().parents[1]
POOL = 32       # server connections of a pool: as many as the standard load has clients, so that a relay can be compared
CLIENTS = 6000
PGBOUNCER = "/usr/sbin/pgbouncer"
PGPOOL = "/usr/sbin/pgpool"
PG_INCLUDE = subprocess.run(["pg_config", "--includedir"], check=True, capture_output=True, text=True).stdout.strip()
PEERS = {"pgbouncer": (PGBOUNCER,), "pgbouncer_s": (PGBOUNCER,), "pgpool": (PGPOOL,), "redis": ("redis-server", "redis-benchmark")}
URING = pathlib.Path("/usr/include/liburing.h")
IDLE = 5000     # clients of the crowded party


def compile_programs():
    """The C programs of this folder; returns where they are."""
    made = new_dir("programs")
    command = ["cc", "-O2", "-D_GNU_SOURCE", f"-I{HERE.parents[1]}"]
    uring = [("null_uring", ["-luring"])] if URING.exists() else []
    for name, more in (*uring, ("null_server", ["-levent_core"]), ("null_relay", ["-levent_core"]), ("flood", []),
                       ("smallest", [f"-I{PG_INCLUDE}", "-lpq"]), ("tls_floor", ["-lssl", "-lcrypto"]), ("count_malloc", ["-fPIC", "-shared"])):
        subprocess.run([*command, "-o", made / name, HERE / f"{name}.c", *more], check=True)
    return made


def _serves(port):
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    return True


class Party:
    """A started program; `pid` is None for PostgreSQL itself, whose time is counted apart."""

    def __init__(self, name, port, pid=None, cluster=None, process=None, proxy=None):
        self.name, self.port, self.pid = name, port, pid
        self.cluster, self.process, self.proxy = cluster, process, proxy
        self.before_stop = contextlib.ExitStack()

    def dsn(self, tls=False):
        return (f"host=127.0.0.1 port={self.port} dbname=bench user=postgres gssencmode=disable "
                f"sslmode={'require' if tls else 'disable'}")

    def stop(self):
        self.before_stop.close()
        if self.proxy is not None:
            self.proxy.stop()
        elif self.process is not None:
            reap(self.process)


class Parties:
    """Starts a party when it is asked for, once."""

    def __init__(self):
        self.programs = compile_programs()
        self.dir = new_dir("bench", owner="postgres")
        self.made = {}
        self.within = []        # in front of a program's command (floor.py)
        self.cluster = Cluster({"max_connections": "600", "shared_buffers": "'512MB'", "max_wal_size": "'4GB'"})
        self.cluster.sql("CREATE DATABASE bench")

    def lacks(self, name):
        """The program of a peer that is not installed here, or None."""
        if name == "uring":
            return None if URING.exists() else "liburing"
        return next((program for program in PEERS.get(name, ()) if shutil.which(program) is None), None)

    def get(self, name):
        if name not in self.made:
            self.made[name] = getattr(self, "_" + name)()
        return self.made[name]

    def fresh(self, name, within):
        """Another relay, pgweir or PgBouncer, inside of another program; the caller ends it."""
        self.within = within
        try:
            return getattr(self, "_" + name)()
        finally:
            self.within = []

    def keep(self, names):
        """Ends the others: what only waits still probes, and holds connections."""
        for name in set(self.made) - set(names):
            self.drop(name)

    def drop(self, name):
        party = self.made.pop(name, None)
        if party is not None:
            party.stop()

    def stop(self):
        for name in list(self.made):
            self.drop(name)
        self.cluster.remove()

    def _spawn(self, name, port, command, cluster=None):
        process = spawn(command, self.dir / f"{name}.log")
        wait_for(f"{name} to serve", lambda: process.poll() is None and _serves(port))
        return Party(name, port, process.pid, cluster, process)

    # --- PostgreSQL, floors ---

    def _direct(self):
        return Party("direct", self.cluster.port, None, self.cluster)

    def _relay(self):
        port = free_port()
        return self._spawn("relay", port, [*self.within, self.programs / "null_relay", port, self.cluster.port], self.cluster)

    def _null(self):
        port = free_port()
        return self._spawn("null", port, [self.programs / "null_server", port])

    def _uring(self):
        port = free_port()
        return self._spawn("uring", port, [self.programs / "null_uring", port])

    # --- pgweir ---

    def _pgweir(self, name, env=None, **settings):
        proxy = Proxy(self.cluster, {"default_pool_size": POOL, "max_client_conn": CLIENTS, "workers": 1,
                                     "listen_backlog": 1024, **self._tls(), **settings}, env=env, within=self.within)
        return Party(name, proxy.port, proxy.process.pid, self.cluster, proxy=proxy)

    def tls_floor(self):
        """KiB that OpenSSL alone keeps for an idle client."""
        made = certs()
        run = subprocess.run([self.programs / "tls_floor", made.server, made.server_key], check=True, stdout=subprocess.PIPE)
        return int(run.stdout) / 1024

    def smallest_us(self):
        """Microseconds, medians: PostgreSQL's answer to an empty query, and to the statement of the probe."""
        control = (HERE.parents[1] / "proxy" / "origin" / "control.h").read_text(encoding="utf-8")
        probe = re.search(r'CONTROL_PROBE_SQL \\\n\s*"([^"]+)"', control)[1]
        run = subprocess.run([self.programs / "smallest", self.get("direct").dsn(), probe], check=True, stdout=subprocess.PIPE)
        return [int(word) / 1000 for word in run.stdout.split()]

    def _tls(self):
        made = certs()
        return {"client_tls_sslmode": "allow", "client_tls_cert_file": made.server,
                "client_tls_key_file": made.server_key}

    def _pass(self):
        return self._pgweir("pass", coherence="off")

    def _pass2(self):
        return self._pgweir("pass2", coherence="off", workers=2)

    def _strict(self):
        return self._ready(self._pgweir("strict", cache_size="1GB"))

    def _bounded(self):
        return self._ready(self._pgweir("bounded", cache_size="1GB", coherence="bounded"))

    def _bounded2(self):
        return self._ready(self._pgweir("bounded2", cache_size="1GB", coherence="bounded", workers=2))

    # The same but for what is in the cache, or who is connected; workloads.py fills them.
    def _few(self):
        return self._ready(self._pgweir("few", cache_size="2GB", coherence="bounded"))

    def _many(self):
        return self._ready(self._pgweir("many", cache_size="2GB", coherence="bounded"))

    def _few_strict(self):
        return self._ready(self._pgweir("few_strict", cache_size="2GB"))

    def _many_strict(self):
        return self._ready(self._pgweir("many_strict", cache_size="2GB"))

    def _crowd(self):
        party = self._ready(self._pgweir("crowd", cache_size="2GB", coherence="bounded"))
        party.before_stop.enter_context(probes.idle_clients(party, IDLE))
        return party

    def _counted(self):
        """A strict one whose allocations are counted."""
        page = self.dir / "mallocs"
        party = self._pgweir("counted", {"LD_PRELOAD": str(self.programs / "count_malloc"), "COUNT_MALLOC": str(page)},
                             cache_size="1GB")
        party.mallocs = lambda: int.from_bytes(page.read_bytes()[:8], "little")
        return self._ready(party)

    def _ready(self, party):
        """Waits until its feed stands: the first login starts it."""
        with party.proxy.connect("bench") as conn:
            def hit():
                before = party.proxy.metrics().count("cache_hits")
                conn.execute("SELECT abalance FROM pgbench_accounts WHERE aid = 1").fetchall()
                return party.proxy.metrics().count("cache_hits") > before
            wait_for(f"{party.name} to serve from its cache", hit)
        return party

    # --- peers ---

    def _bouncer(self, name, mode):
        port = free_port()
        ini = self.dir / f"{name}.ini"
        users = self.dir / f"{name}.users"
        made = certs()
        key = self.dir / "bouncer.key"
        key.write_bytes(pathlib.Path(made.server_key).read_bytes())
        key.chmod(0o644)
        users.write_text('"postgres" ""\n')
        ini.write_text(f"""[databases]
bench = host=127.0.0.1 port={self.cluster.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
default_pool_size = {POOL if mode == 'transaction' else 128}
max_client_conn = {CLIENTS}
listen_backlog = 1024
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = allow
client_tls_cert_file = {made.server}
client_tls_key_file = {key}
""")
        return self._spawn(name, port, as_pg_user([*self.within, PGBOUNCER, ini]), self.cluster)

    def _pgbouncer(self):
        return self._bouncer("pgbouncer", "transaction")

    def _pgbouncer_s(self):
        return self._bouncer("pgbouncer_s", "session")

    def _pgpool(self):
        port, pcp = free_port(), free_port()
        conf = self.dir / "pgpool.conf"
        oids = new_dir("pgpool", owner="postgres")
        conf.write_text(f"""backend_clustering_mode = 'raw'
listen_addresses = '127.0.0.1'
port = {port}
pcp_port = {pcp}
unix_socket_directories = '{oids}'
pcp_socket_dir = '{oids}'
backend_hostname0 = '127.0.0.1'
backend_port0 = {self.cluster.port}
enable_pool_hba = off
num_init_children = 40
max_pool = 1
connection_cache = on
sr_check_period = 0
health_check_period = 0
load_balance_mode = off
memory_cache_enabled = on
memqcache_method = 'shmem'
memqcache_total_size = 64MB
memqcache_oiddir = '{oids}'
pid_file_name = '{oids}/pid'
logdir = '{oids}'
work_dir = '{oids}'
""")
        for name in ("pcp.conf", "pool_hba.conf"):
            (self.dir / name).write_text("")
        return self._spawn("pgpool", port, as_pg_user([PGPOOL, "-n", "-f", conf, "-F", self.dir / "pcp.conf", "-a",
                                                       self.dir / "pool_hba.conf"]), self.cluster)

    def _redis(self):
        port = free_port()
        party = self._spawn("redis", port, ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                                            "--appendonly", "no", "--dir", self.dir])
        subprocess.run(["redis-benchmark", "-p", str(port), "-t", "set", "-r", "1000", "-n", "20000", "-q"], check=True,
                       stdout=subprocess.DEVNULL)
        return party


def pgweir_binary():
    return os.environ.get("PGWEIR_BIN", "build/proxy/pgweir")
