"""What no load shows: memory of idle clients, allocations of a hit, the time of a proof, cost against size."""
import contextlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading

from pgweir_test.tools import PG_BIN, wait_for

from . import cpu, load


def _startup():
    body = struct.pack("!I", 196608) + b"user\0postgres\0database\0bench\0application_name\0idle\0\0"
    return struct.pack("!I", len(body) + 4) + body


def _until_ready(sock):
    got = b""
    while not got.endswith(b"Z\0\0\0\x05I"):
        more = sock.recv(65536)
        if not more:
            raise load.Failed(f"closed during the login: {got[-200:]!r}")
        got += more


def _open(party, tls):
    sock = socket.create_connection(("127.0.0.1", party.port))
    if tls is not None:
        sock.sendall(struct.pack("!II", 8, 80877103))
        if sock.recv(1) != b"S":
            raise load.Failed("no TLS")
        sock = tls.wrap_socket(sock)
    sock.sendall(_startup())
    _until_ready(sock)
    sock.sendall(b"Q\0\0\0\x0dSELECT 1\0")
    _until_ready(sock)
    return sock


@contextlib.contextmanager
def idle_clients(party, n, tls=False):
    """n clients that have logged in, asked something, and are idle."""
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    socks = []
    try:
        for _ in range(n):
            socks.append(_open(party, context))
        yield
    finally:
        for sock in socks:
            sock.close()


def memory(party, n, tls=False):
    """KiB of the process for one more idle client; the first hundred make pools and tables."""
    with idle_clients(party, 100, tls):
        before = cpu.private_kib(party.pid)
        with idle_clients(party, n, tls):
            return (cpu.private_kib(party.pid) - before) / n


def allocations(party, run):
    """Calls of malloc, calloc and realloc for one transaction more: a long run less a short one, as both have the logins and the pages
    of the stats port. run(party, seconds)."""
    counts = []
    for seconds in (1, 4):
        before = party.mallocs()
        n = run(party, seconds)["n"]
        counts.append((n, party.mallocs() - before))
    (few, mallocs), (many, more) = counts
    return max(0.0, (more - mallocs) / (many - few)) if many > few else None


def proof(party, run):
    """Median time from asking for the proof to serving, in microseconds, from the program's own histogram."""
    before = _buckets(party)
    run(party)
    after = _buckets(party)
    rows = sorted((edge, after[edge] - before.get(edge, 0.0)) for edge in after)
    total = rows[-1][1] if rows else 0
    below, low = 0.0, 0.0
    for edge, count in rows:
        if total and count >= total / 2:
            return (low + (edge - low) * (total / 2 - below) / max(count - below, 1)) * 1e6
        below, low = count, edge
    return None


def _buckets(party):
    return {float(labels["le"]): value for name, labels, value in party.proxy.metrics().rows
            if name == "pgweir_fresh_duration_seconds_bucket" and labels["le"] != "+Inf"}


@contextlib.contextmanager
def writes(party, script, rate, seconds):
    """So many writes a second straight to PostgreSQL meanwhile."""
    process = subprocess.Popen([PG_BIN / "pgbench", "-n", "-c", "4", "-R", str(rate), "-T", str(round(seconds)), "-f", script,
                                party.dsn()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def awake():
    """No core sleeps meanwhile: on each one turns a process that gives way to everything else at once. In a virtual machine a core that
    sleeps is the host's, and waking it takes longer than all that is measured here."""
    turning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        for core, process in enumerate(turning):
            os.sched_setaffinity(process.pid, {core})
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        yield
    finally:
        for process in turning:
            process.kill()
            process.wait()


__all__ = ["memory", "allocations", "proof", "idle_clients", "writes", "awake", "threading", "wait_for"]
