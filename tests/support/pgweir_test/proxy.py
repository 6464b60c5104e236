"""The program under test: pgweir, or a stand-in that proves the harness."""
import os
import signal
import socket
import urllib.error
import urllib.request

import psycopg
import pytest

from .metrics import Metrics
from .tools import PATIENCE, as_pg_user, free_port, new_dir, psql, reap, spawn, wait_for

BINARY = os.environ.get("PGWEIR_BIN", "build/pgweir")
DIRECT = BINARY == "direct"
PGBOUNCER = BINARY.endswith("pgbouncer")
PGWEIR = not DIRECT and not PGBOUNCER
# Keys that PgBouncer 1.18 does not know.
OURS = {"stats_port", "stats_addr", "cache_size", "coherence", "defer_begin", "workers", "cache_max_result",
        "max_prepared_statements", "probe_patience", "probe_patience_max", "feed_user", "feed_password"}


class Proxy:
    """Writes an ini, starts the binary on it, waits until it serves."""

    def __init__(self, cluster, settings=None, databases=None, users=None, hba=None, env=None, start=True,
                 address="127.0.0.1", within=()):
        """It listens on `address`; `within` goes in front of its command (another network namespace)."""
        self.cluster, self.address, self.within = cluster, address, list(within)
        self.dir = new_dir("weir", owner="postgres" if PGBOUNCER else None)
        self.port = cluster.port if DIRECT else free_port()
        self.stats_port = free_port()
        self.ini = self.dir / "pgweir.ini"
        self.log = self.dir / "log"
        self.env = env or {}
        self.databases = databases or {"*": f"host=127.0.0.1 port={cluster.port}"}
        self.users = {"postgres": ""} if users is None else users
        self.settings = {
            "listen_addr": address, "listen_port": self.port, "unix_socket_dir": "",
            "auth_type": "trust", "auth_file": self.dir / "users.txt", "pool_mode": "transaction",
            "default_pool_size": 20, "max_client_conn": 500, "admin_users": "postgres",
            "stats_port": self.stats_port, "stats_addr": address, "server_login_retry": 1, "feed_user": "postgres",
            "ignore_startup_parameters": "extra_float_digits,options", **(settings or {})}
        if hba is not None:
            (self.dir / "hba.conf").write_text(hba)
            self.settings["auth_hba_file"] = self.dir / "hba.conf"
        self.process = None
        self.write()
        if start:
            self.start()

    def write(self):
        """The ini and the user file as they are now; a reload makes them count."""
        lines = ["[databases]"] + [f"{name} = {where}" for name, where in self.databases.items()]
        lines += ["", "[pgbouncer]"]
        for key, value in self.settings.items():
            if value is not None and not (PGBOUNCER and key in OURS):
                lines.append(f"{key} = {value}")
        self.ini.write_text("\n".join(lines) + "\n")
        quote = '"{}" "{}"'.format
        (self.dir / "users.txt").write_text("".join(quote(user, secret) + "\n" for user, secret in self.users.items()))

    def start(self):
        if DIRECT:
            return self
        command = [*self.within, BINARY, self.ini]
        if PGBOUNCER:
            command = as_pg_user(command)
        self.process = spawn(command, self.log, env=self.env)
        (self.dir / "pid").write_text(str(self.process.pid))
        wait_for("the proxy to serve", self._serves)
        return self

    def _serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}: {self.log_text()[-2000:]}")
        if PGWEIR:
            return self.http("/healthz")[0] == 200
        socket.create_connection((self.address, self.port)).close()
        return True

    def stop(self, how=signal.SIGTERM):
        """Ends it; a clean end exits 0."""
        if self.process is None:
            return 0
        code = reap(self.process, how)
        self.process = None
        return 0 if PGBOUNCER else code

    def signal(self, how):
        if self.process:
            self.process.send_signal(how)

    def reload(self):
        self.write()
        self.signal(signal.SIGHUP)

    def alive(self):
        return DIRECT or self.process.poll() is None

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def http(self, path):
        """(status, text) of a page of the stats port."""
        if not PGWEIR:
            pytest.skip("the stand-in has no stats port")
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.stats_port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        return Metrics(self.http("/metrics")[1])

    def dsn(self, dbname="postgres", user="postgres", **more):
        parts = {"host": self.address, "port": self.port, "dbname": dbname, "user": user, "connect_timeout": 10,
                 **more}
        return " ".join(f"{key}={value}" for key, value in parts.items() if value is not None)

    def url(self, dbname="postgres", user="postgres", password=None):
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{self.address}:{self.port}/{dbname}"

    def connect(self, dbname="postgres", user="postgres", dsn=None, **more):
        """A psycopg connection through the proxy, autocommit unless told otherwise."""
        return psycopg.connect(self.dsn(dbname, user, **(dsn or {})), **{"autocommit": True, **more})

    def psql(self, sql, *args, dbname="postgres", **more):
        return psql(self.dsn(dbname), sql, *args, **more)

    def rss_kib(self):
        """Its resident memory."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise AssertionError("no VmRSS")


def only_pgweir(test):
    """For what the stand-ins cannot do."""
    return pytest.mark.skipif(not PGWEIR, reason="needs pgweir itself")(test)


__all__ = ["Proxy", "only_pgweir", "DIRECT", "PGBOUNCER", "PGWEIR", "PATIENCE"]
