"""Ports, deadlines, processes and PostgreSQL's own programs."""
import atexit
import fcntl
import functools
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PG_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
PG_SERVER_BIN = pathlib.Path(os.environ.get("PGWEIR_PG_SERVER", PG_BIN))  # initdb, pg_ctl, postgres: of another version (tests/versions)
SLOW = bool(os.environ.get("PGWEIR_TEST_SLOW"))
PATIENCE = 60.0 if SLOW else 20.0  # seconds; a test that needs all of it has failed anyway
PG_OS_USER = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

_base = None


@functools.lru_cache
def pg_version():
    """The major version of the server."""
    said = subprocess.run([PG_SERVER_BIN / "postgres", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return int(said.split()[2].split(".")[0])


def feed_plugins():
    """Those that pgweir takes with this server."""
    return ["test_decoding", "pgoutput"] if pg_version() >= 15 else ["test_decoding"]


def base_dir():
    """The directory of this run. Short, because it holds unix sockets; open, because postgres enters it."""
    global _base
    if _base is None:
        given = os.environ.get("PGWEIR_TEST_TMP")
        _base = pathlib.Path(given or tempfile.mkdtemp(prefix="pgw-", dir="/tmp"))
        if not given and not os.environ.get("PGWEIR_TEST_KEEP"):
            atexit.register(shutil.rmtree, _base, ignore_errors=True)
        _base.mkdir(parents=True, exist_ok=True)
        _base.chmod(0o755)
    return _base


def new_dir(name, owner=None):
    path = pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=base_dir()))
    path.chmod(0o755)
    if owner and os.geteuid() == 0:
        entry = pwd.getpwnam(owner)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


def _claim(port):
    """Takes a port for this process: the lock on its file goes with the process, however it ends. Returns the lock, None when
    another process has it."""
    claims = pathlib.Path(tempfile.gettempdir()) / f"pgweir-ports-{os.geteuid()}"
    claims.mkdir(exist_ok=True)
    handle = open(claims / str(port), "ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def free_port():
    """A port that nobody listens on. Kept below the range that the kernel hands to clients, and claimed, since several
    processes look for ports at the same time. Claimed first and tried then: trying means to bind it for a moment, and the
    server for which another process has claimed it may be about to."""
    for port in range(21000 + os.getpid() % 4000 * 2, 32000):
        if port in free_port.given:
            continue
        claim = _claim(port)
        if claim is None:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        free_port.given[port] = claim
        return port
    raise RuntimeError("no free port")


free_port.given = {}


def wait_for(what, condition, patience=None):
    """Returns the first true value of condition(); what it raises counts as not yet."""
    end = time.monotonic() + (patience or PATIENCE)
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except Exception as error:  # the thing that is waited for is not there yet
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting for {what}: {last!r}")
        time.sleep(0.02)


def as_pg_user(command):
    """PostgreSQL refuses to run as root."""
    if os.geteuid() == 0:
        return ["setpriv", f"--reuid={PG_OS_USER}", f"--regid={PG_OS_USER}", "--init-groups", *map(str, command)]
    return [str(part) for part in command]


def run(command, env=None, check=True, timeout=None, stdin=None):
    """Runs a program to its end; returns its result with text output."""
    result = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True,
                            timeout=timeout or PATIENCE * 6, env={**os.environ, **(env or {})})
    if check and result.returncode != 0:
        raise AssertionError(f"{command} ended with {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


def psql(dsn, sql=None, *args, check=True, stdin=None, timeout=None):
    """Runs psql on a URL or connection string; returns the result."""
    command = [PG_BIN / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn, *args]
    if sql is not None:
        command += ["-c", sql]
    return run(command, check=check, stdin=stdin, timeout=timeout)


def pgbench(dsn, *args, check=True, timeout=None):
    """Runs pgbench; returns the result. It fails when a client was aborted."""
    result = run([PG_BIN / "pgbench", *args, dsn], check=check, timeout=timeout)
    if check:
        assert "aborted" not in result.stderr, result.stderr
    return result


_processes = []


def spawn(command, log, env=None):
    """Starts a background process that ends with this one at the latest."""
    handle = open(log, "ab")
    # Whoever runs the tests in the background may have SIGINT ignored, and programs that were ended by it would not end.
    command = ["env", "--default-signal=INT", *command]
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=handle,
                               stderr=handle, env={**os.environ, **(env or {})})
    handle.close()
    _processes.append(process)
    return process


def reap(process, how=signal.SIGTERM, patience=None):
    """Ends a process of spawn() and returns its exit code."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(patience or PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise AssertionError(f"{process.args[2]} did not end on signal {how}")
        finally:
            _processes.remove(process)
    elif process in _processes:
        _processes.remove(process)
    return process.returncode


@atexit.register
def _end_all():
    for process in _processes:
        if process.poll() is None:
            process.kill()


# A run that is cancelled still ends its clusters (pytest turns this into a normal exit).
def _on_term(_signal, _frame):
    raise SystemExit(143)


signal.signal(signal.SIGTERM, _on_term)
