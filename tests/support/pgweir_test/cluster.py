"""A private PostgreSQL 15 cluster."""
import atexit
import os
import pwd
import shutil
import signal
import subprocess

import psycopg
from psycopg import pq

from .certs import certs
from .tools import PG_OS_USER, PG_SERVER_BIN, as_pg_user, free_port, new_dir, run, wait_for

SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "150",
    "shared_buffers": "'64MB'",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "'10min'",
    "log_min_messages": "warning",
    "log_line_prefix": "'%m [%p] %u@%d %a '",
    "logging_collector": "off",
    "max_wal_size": "'512MB'",
}
TRUST = """
local all         all                trust
host  all         all  127.0.0.1/32  trust
host  replication all  127.0.0.1/32  trust
"""


class Cluster:
    """initdb, start; stop() or the end of the run removes it."""

    def __init__(self, settings=None, hba=TRUST, tls=False):
        self.dir = new_dir("pg", owner=PG_OS_USER)
        self.data = self.dir / "data"
        self.log = self.dir / "log"
        self.port = free_port()
        self.settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": f"'{self.dir}'",
                         **(settings or {})}
        run(as_pg_user([PG_SERVER_BIN / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                        "--locale=C.UTF-8", "--no-sync"]))
        if tls:
            self.use_tls()
        self.write_settings()
        self.write_hba(hba)
        self.start()
        atexit.register(self.remove)

    def use_tls(self):
        """TLS with the test CA's certificate; client certificates are checked when hba asks for them."""
        made = certs()
        for source, name in ((made.server, "server.crt"), (made.server_key, "server.key"), (made.ca, "root.crt")):
            target = self.data / name
            shutil.copy(source, target)
            target.chmod(0o600)
            if os.geteuid() == 0:
                entry = pwd.getpwnam(PG_OS_USER)
                os.chown(target, entry.pw_uid, entry.pw_gid)
        self.settings.update(ssl="on", ssl_ca_file="'root.crt'")

    def write_settings(self):
        lines = [f"{key} = {value}" for key, value in self.settings.items()]
        (self.data / "postgresql.auto.conf").write_text("\n".join(lines) + "\n")

    def write_hba(self, text):
        (self.data / "pg_hba.conf").write_text(text)

    def pg_ctl(self, *args, check=True):
        return run(as_pg_user([PG_SERVER_BIN / "pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.log, *args]),
                   check=check)

    def start(self):
        try:
            self.pg_ctl("start")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()[-2000:]}") from None
        return self

    def stop(self, mode="fast"):
        if self.postmaster():
            self.pg_ctl("stop", "-m", mode, check=False)

    def restart(self):
        self.stop()
        self.start()

    def reload(self):
        self.pg_ctl("reload")

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.data, ignore_errors=True)

    def postmaster(self):
        """Its process id, or None."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    def kill9(self):
        """The crash that a user would see: all processes die at once. The postmaster is stopped first, so that nobody is born
        between the look and the kill: an orphan that waits for a lightweight lock of a dead process never ends, and PostgreSQL
        does not start beside it."""
        pid = self.postmaster()
        os.kill(pid, signal.SIGSTOP)
        wait_for("the postmaster to stop", lambda: _state(pid) == "T")
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        victims = [pid, *map(int, children)]
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for("the processes to be gone", lambda: all(_state(victim) in (None, "Z") for victim in victims))
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def start_again(self):
        """start() after kill9(): what it recovers may take longer than pg_ctl waits."""
        wait_for("PostgreSQL to start again", lambda: self.start())

    def dsn(self, dbname="postgres", user="postgres", **more):
        parts = {"host": "127.0.0.1", "port": self.port, "dbname": dbname, "user": user, **more}
        return " ".join(f"{key}={value}" for key, value in parts.items())

    def url(self, dbname="postgres", user="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}"

    def connect(self, dbname="postgres", user="postgres", **more):
        """A psycopg connection straight to PostgreSQL, autocommit unless told otherwise."""
        return psycopg.connect(self.dsn(dbname, user), **{"autocommit": True, **more})

    def sql(self, text, dbname="postgres"):
        """One simple query straight to PostgreSQL; returns its rows as psql -A -t would, without the cost of starting one."""
        conn = pq.PGconn.connect(self.dsn(dbname).encode())
        try:
            if conn.status != pq.ConnStatus.OK:
                raise AssertionError(conn.error_message.decode())
            conn.send_query(text.encode())
            results = list(iter(conn.get_result, None))
        finally:
            conn.finish()
        if not results or results[-1].status == pq.ExecStatus.FATAL_ERROR:
            raise AssertionError(f"{text}\n{results[-1].error_message.decode() if results else 'the connection has ended'}")
        return "\n".join("|".join((result.get_value(row, column) or b"").decode() for column in range(result.nfields))
                         for result in results for row in range(result.ntuples)).strip()

    def drop_database(self, name):
        """DROP DATABASE: the slot that a pgweir holds in it has to be ended first, or PostgreSQL refuses."""
        ender = f"SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE database = '{name}'"

        def drop():
            self.sql(ender)
            self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            return True
        wait_for(f"DROP DATABASE {name}", drop)


def _state(pid):
    """R, S, T, Z, ..; None = no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().split(")")[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
