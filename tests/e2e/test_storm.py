"""A storm: clients that send random messages, right and broken, through the same few backends as clients that behave.

The bystanders' answers are compared, byte for byte, with those of PostgreSQL itself, and so is the state of every backend when
the storm is over. PGWEIR_STORM_SECONDS (default 4) and PGWEIR_STORM_SEED make it long and other.
"""
import os
import random
import select
import socket
import struct
import threading
import time

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import PATIENCE, wait_for
from pgweir_test.wire import (FLUSH, SYNC, TERMINATE, Closed, Wire, bind, cancel, close, describe, execute, message,
                              parse, query)

pytestmark = pytest.mark.skipif(not PGWEIR, reason="poolers are not compared here")
SECONDS = float(os.environ.get("PGWEIR_STORM_SECONDS", "4"))
SEED = int(os.environ.get("PGWEIR_STORM_SEED", "1"))
POOL = 3
ATTACKERS = 6

# What a client may do to its own session, and to a table that the bystanders do not read.
STATEMENTS = """
SELECT 1|SELECT 1/0|SELECT * FROM nope|SELECT|;|/* nothing */|SELEC|SELECT 1; SELECT 2|SELECT 1; SELECT 1/0; SELECT 3
BEGIN|COMMIT|ROLLBACK|SAVEPOINT s|ROLLBACK TO s|RELEASE s|BEGIN ISOLATION LEVEL SERIALIZABLE|START TRANSACTION READ ONLY
BEGIN; INSERT INTO storm (v) VALUES ('a'); COMMIT|COMMIT AND CHAIN|END|ABORT
SET TimeZone TO 'Asia/Tokyo'|SET LOCAL TimeZone TO 'America/Lima'|SET search_path TO pg_catalog|RESET ALL|RESET search_path
SET statement_timeout = 5000|SET DateStyle TO 'German'|SET extra_float_digits = 0|SET bytea_output = 'escape'|SET nonsense = 1
SET default_transaction_read_only = on|SET standard_conforming_strings = off|SET client_encoding = 'LATIN1'|SET app.user = 'x'
SELECT set_config('work_mem', '1MB', false)|SELECT set_config('IntervalStyle', 'iso_8601', true)|SET ROLE storm_role|RESET ROLE
SET SESSION AUTHORIZATION storm_role|RESET SESSION AUTHORIZATION|SET session_replication_role = replica|SET ROLE nobody
INSERT INTO storm (v) VALUES ('x') RETURNING id|UPDATE storm SET v = 'y' WHERE id % 7 = 1|DELETE FROM storm WHERE id % 3 = 0
SELECT * FROM storm WHERE id = 1|SELECT count(*) FROM storm|SELECT name FROM item WHERE id = 3|SELECT * FROM item WHERE id IN (1, 2)
SELECT repeat('x', 300000)|SELECT i, repeat('y', 1000) FROM generate_series(1, 2000) i|SELECT pg_sleep(0.05)|SELECT pg_sleep(0.3)
COPY storm (v) FROM STDIN|COPY storm TO STDOUT|COPY (SELECT 1/0) TO STDOUT|COPY nope FROM STDIN|COPY storm (v) FROM STDIN (FORMAT binary)
PREPARE p AS SELECT 1|EXECUTE p|DEALLOCATE p|DEALLOCATE ALL|PREPARE q (int) AS SELECT $1|EXECUTE q (5)|DISCARD ALL|DISCARD PLANS
DECLARE c CURSOR WITH HOLD FOR SELECT 1|FETCH c|CLOSE c|CLOSE ALL|CREATE TEMP TABLE t (a int)|SELECT * FROM t|DROP TABLE t|DISCARD TEMP
LISTEN storm|NOTIFY storm, 'x'|UNLISTEN *|SELECT pg_notify('storm', 'y')|LISTEN other
SELECT pg_try_advisory_lock(7)|SELECT pg_advisory_unlock_all()|SELECT pg_try_advisory_xact_lock(8)|LOCK TABLE storm IN SHARE MODE NOWAIT
DO $$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$|DO $$ BEGIN RAISE NOTICE 'n'; END $$|DO $$ BEGIN RAISE 'e'; END $$
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'|SELECT pg_temp.f()|SELECT nextval('storm_id_seq')|VACUUM storm
EXPLAIN SELECT 1|SHOW TimeZone|SHOW ALL|VALUES (1), (2)|TABLE storm|CALL nope()|SELECT $1|SELECT $1::int + $2::int|SELECT E'\\'||'"'
""".replace("\n", "|").strip("|").split("|")
NAMES = ["", "", "", "a", "b", "pgweir_1", "x" * 70]
TYPES = b"BCDEHPQSFcdfpXRZKGT1\0\xff"


class Attacker(threading.Thread):
    """Connects, sends, reads what comes without waiting for it, leaves in one way or another, again and again."""

    def __init__(self, port, seed, end):
        super().__init__(daemon=True)
        self.port, self.random, self.end, self.sessions, self.problem = port, random.Random(seed), end, 0, None

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.session()
                self.sessions += 1
        except Exception as error:  # pylint: disable=broad-except
            self.problem = error

    def session(self):
        pick = self.random
        if pick.random() < 0.1:
            return self.bad_startup()
        try:
            wire = Wire(self.port)
            wire.startup(database="storm", application_name=f"storm {pick.randint(0, 3)}", **pick.choice([{}, {}, {"TimeZone": "Asia/Tokyo"}]))
            for kind, body in wire.until(b"Z"):
                if kind == b"K":
                    wire.pid, wire.key = struct.unpack("!I", body[:4])[0], body[4:]
        except (Closed, OSError):
            return None
        wire.sock.settimeout(2)
        try:
            for _ in range(pick.randint(1, 25)):
                self.step(wire)
            self.leave(wire)
        except OSError:  # it was thrown out, or sends more than anybody reads
            pass
        wire.sock.close()
        return None

    def bad_startup(self):
        pick = self.random
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
            try:
                sock.sendall(pick.choice([b"", os.urandom(pick.randint(1, 60)), struct.pack("!II", 8, 80877103),
                                          struct.pack("!II", pick.choice([0, 7, 9, 4000, 2**31]), 196608) + b"user\0a\0",
                                          struct.pack("!II", 16, 80877102) + os.urandom(8)]))
            except OSError:
                pass

    def step(self, wire):
        pick, what = self.random, self.random.random()
        if what < 0.45:
            wire.send(query(pick.choice(STATEMENTS)))
        elif what < 0.8:
            wire.send(*[self.extended() for _ in range(pick.randint(1, 9))], pick.choice([SYNC, SYNC, SYNC, FLUSH, b""]))
        elif what < 0.9:
            wire.send(*[message(b"d", os.urandom(pick.choice([0, 5, 5000]))) for _ in range(pick.randint(0, 5))],
                      pick.choice([message(b"c"), message(b"f", b"no\0"), b""]))
        elif what < 0.93:
            wire.send(self.broken())
        elif what < 0.97 and wire.pid is not None:
            try:
                cancel(self.port, wire.pid, wire.key)
            except (Closed, OSError):
                pass
        if pick.random() < 0.7:
            self.read(wire, pick.choice([0, 0.005, 0.05]))

    def extended(self):
        pick, name = self.random, self.random.choice(NAMES)
        return pick.choice([
            lambda: parse(name, pick.choice(STATEMENTS), pick.choice([[], [23], [25, 25], [99999]])),
            lambda: parse(name, "SELECT name FROM item WHERE id = $1", pick.choice([[], [23], [25]])),
            lambda: bind(pick.choice(NAMES), name, pick.choice([[], [b"1"], [b"1", None], [b"\0\0\0\1"]]), pick.choice([[], [0], [1], [7], [1, 0]]),
                         pick.choice([[], [0], [1], [0, 1]])),
            lambda: describe(pick.choice("SPX"), name),
            lambda: execute(name, pick.choice([0, 0, 1, 2**31])),
            lambda: close(pick.choice("SP"), name),
            lambda: query(pick.choice(STATEMENTS)),
            lambda: pick.choice([SYNC, FLUSH])])()

    def broken(self):
        pick, body = self.random, os.urandom(self.random.choice([0, 1, 4, 30, 300]))
        kind = bytes([pick.choice(TYPES)])
        return pick.choice([
            message(kind, body), os.urandom(pick.randint(1, 50)), message(kind, b"a" * 5 + b"\0" * 9),
            kind + struct.pack("!I", pick.choice([0, 3, 2**31 - 1, 2**32 - 1, 1 << 20])) + body,
            message(b"F", struct.pack("!IHHIH", pick.choice([1, 1598, 99999]), 0, 0, 0, 0)),
            message(b"B", b"\0\0" + struct.pack("!HHi", 0, 1, pick.choice([-2, 5, 2**31 - 1])))])

    def read(self, wire, patience):
        while select.select([wire.sock], [], [], patience)[0]:
            if not wire.sock.recv(1 << 16):
                raise OSError("closed")
            if self.random.random() < 0.3:
                return

    def leave(self, wire):
        how = self.random.randrange(5)
        if how == 0:
            wire.send(TERMINATE)
        elif how == 1:
            wire.send(query("SELECT pg_sleep(5)"))
        elif how == 2:  # in the middle of a message
            wire.send(query("SELECT 'cut'")[:self.random.randint(1, 12)])
        elif how == 3:
            wire.sock.shutdown(socket.SHUT_WR)
            self.read(wire, 0.05)
        else:  # RST
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def script(number):
    """What a bystander sends, and what it gets must not depend on anybody else."""
    row = 1 + number % 20
    yield query("SELECT current_user, session_user, current_setting('TimeZone'), current_setting('search_path'), "
                "current_setting('DateStyle'), current_setting('statement_timeout'), current_setting('role'), "
                "current_setting('session_replication_role'), current_setting('bytea_output'), '\\x01'::bytea, 1.1::float8")
    yield query(f"SELECT * FROM item WHERE id = {row}")
    yield parse("mine", "SELECT name, $1::int + 1 FROM item WHERE id = $1", [23]) + bind("", "mine", [str(row).encode()]) + describe("P") + execute() + SYNC
    yield bind("", "mine", [b"7"], result_formats=[1]) + execute() + close("S", "mine") + SYNC
    yield query("SELECT 1/0")
    yield query("BEGIN")
    yield query(f"UPDATE own SET v = {number} WHERE id = 1")
    yield query("SELECT v FROM own WHERE id = 1")
    yield query("SAVEPOINT s; UPDATE own SET v = 0; ROLLBACK TO s")
    yield query("SELECT * FROM t")
    yield query("ROLLBACK")
    yield query(f"UPDATE own SET v = {number} WHERE id = 2 RETURNING v")
    yield query("SELECT * FROM own ORDER BY id")
    yield query("EXECUTE p")
    yield query("SELECT count(*) FROM pg_listening_channels(); SELECT count(*) FROM pg_cursors; SELECT to_regclass('pg_temp.t')")
    yield query("SELECT locktype, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'")
    yield query("COPY (SELECT * FROM item WHERE id < 5 ORDER BY id) TO STDOUT")


def converse(wire, data, hold):
    """The answer to one request, notices included. A bystander never waits longer than the options allow."""
    wire.send(data)
    got = []
    end = time.monotonic() + PATIENCE
    while not got or got[-1][0] != b"Z":
        got.append(wire.recv())
        assert time.monotonic() < end, f"no end after {PATIENCE} s: {got}"
    hold.append(got)
    return got


# The settings of plpgsql are there once somebody has used the language: only a value that is not the default counts.
STATE = """
SELECT name, setting, source FROM pg_settings WHERE name NOT IN ('application_name') AND source <> 'client'
    AND (name NOT LIKE 'plpgsql.%' OR source <> 'default') ORDER BY name;
SELECT name FROM pg_prepared_statements WHERE name !~ '^pgweir_';
SELECT * FROM pg_cursors;
SELECT pg_listening_channels();
SELECT classid, objid, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
SELECT c.relname FROM pg_class c WHERE relnamespace = pg_my_temp_schema();
SELECT proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema();
SELECT current_user, session_user"""


def states(proxy):
    """What POOL clients see that have a transaction, and so a backend, each."""
    conns = [proxy.connect("storm", dsn={"application_name": "after"}) for _ in range(POOL)]
    seen = []
    for conn in conns:
        conn.execute("BEGIN")
        conn.execute("SELECT pg_backend_pid()")
    for conn in conns:
        seen.append([conn.execute(sql).fetchall() for sql in STATE.split(";")])
    for conn in conns:
        conn.close()
    return seen


@pytest.fixture(scope="module")
def storm(cluster):
    cluster.sql("CREATE DATABASE storm")
    cluster.sql("CREATE ROLE storm_role")
    cluster.sql("CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 100) i;"
                "CREATE TABLE own (id int PRIMARY KEY, v int); INSERT INTO own VALUES (1, 0), (2, 0);"
                "CREATE TABLE storm (id serial PRIMARY KEY, v text); GRANT ALL ON ALL TABLES IN SCHEMA public TO storm_role", "storm")
    cluster.sql("CREATE DATABASE calm TEMPLATE storm")  # where the same is said to PostgreSQL itself
    for name in ("storm", "calm"):
        cluster.sql(f"ALTER DATABASE {name} SET lock_timeout = '200ms'")
    yield "storm"
    cluster.drop_database("calm")
    cluster.drop_database("storm")
    cluster.sql("DROP ROLE storm_role")


def test_nobody_notices_a_storm(cluster, storm):
    proxy = Proxy(cluster, {"default_pool_size": POOL, "idle_transaction_timeout": 10, "query_timeout": 10, "pin_timeout": 1, "max_pinned": 1,
                            "client_idle_timeout": 30, "ignore_startup_parameters": "", "max_packet_size": 1 << 20})
    end = time.monotonic() + SECONDS
    attackers = [Attacker(proxy.port, SEED * 1000 + i, end) for i in range(ATTACKERS)]
    rounds = 0
    with Wire(proxy.port).login(database=storm) as through, Wire(cluster.port).login(database="calm") as direct:
        wires = (through, direct)
        for attacker in attackers:
            attacker.start()
        while time.monotonic() < end:
            rounds += 1
            for data in script(rounds):
                answers = []
                for wire in wires:
                    converse(wire, data, answers)
                assert answers[0] == answers[1], f"round {rounds}, {data!r} (seed {SEED})"
                assert proxy.alive(), proxy.log_text()[-3000:]
        for attacker in attackers:
            attacker.join(PATIENCE)
            assert not attacker.is_alive(), "an attacker hangs"
            assert attacker.problem is None, repr(attacker.problem)
        converse(through, query("SELECT 1"), [])
    sessions = sum(attacker.sessions for attacker in attackers)
    print(f"{sessions} sessions of attackers, {rounds} rounds of the bystander, seed {SEED}")
    assert sessions > SECONDS and rounds > 1
    wait_for("the attackers' transactions to end", lambda: not cluster.sql(
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = 'storm' AND (state <> 'idle' OR xact_start IS NOT NULL) AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"))
    with cluster.connect(storm, application_name="after") as conn:
        clean = [conn.execute(sql).fetchall() for sql in STATE.split(";")]
    for seen in states(proxy):
        for ours, theirs in zip(seen, clean):
            assert ours == theirs, (set(ours) ^ set(theirs), SEED)
    assert proxy.metrics().get("pgweir_clients", 0) == 0 or wait_for("all clients to be gone", lambda: proxy.metrics().get("pgweir_clients", 0) == 0)
    assert proxy.stop() == 0, proxy.log_text()[-3000:]
