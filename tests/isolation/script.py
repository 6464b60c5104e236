"""Random scripts of session operations.

A script is a list of Op. Which operations follow does not depend on answers, so that one script runs on any server; what a
client may hold (a transaction, a pin) is tracked only to keep the number of holders below the size of the pool, because
one operation runs at a time and nobody would let go.
"""
import random
from dataclasses import dataclass

from pgweir_test.wire import FLUSH, SYNC, bind, close, describe, execute, parse, query

FREE, PIN, BEGIN, END, UNPIN = "", "pin", "begin", "end", "unpin"


@dataclass
class Op:
    """data: what is sent, then `syncs` ReadyForQuery are read. kind `connect` has startup parameters in data,
    `leave` and `vanish` end the connection with and without Terminate."""
    client: int
    text: str
    data: object = b""
    syncs: int = 1
    holds: str = FREE
    kind: str = "send"
    quiet: bool = False  # sends notifications


VALUES = {
    "work_mem": ["'7MB'", "'9MB'", "64", "DEFAULT", "'bogus'"],
    "search_path": ["s1", "s2", "s2, s1", '"$user", public', "''", '"S1"', "public, s1", "DEFAULT"],
    "TimeZone": ["'UTC'", "'Asia/Tokyo'", "'America/New_York'", "'+3'", "'Nowhere/At_all'", "DEFAULT"],
    "DateStyle": ["'ISO, DMY'", "'German'", "'SQL, MDY'", "ISO", "'Elsewhere'"],
    "IntervalStyle": ["'iso_8601'", "'postgres'", "'sql_standard'"],
    "application_name": ["'One'", "'one'", "''", "'a''b'", "'" + "n" * 60 + "'", "'" + "m" * 80 + "'"],
    "client_encoding": ["'UTF8'", "'LATIN1'", "'SQL_ASCII'", "'nonsense'"],
    "statement_timeout": ["'90s'", "'91s'", "0", "-5"],
    "extra_float_digits": ["0", "3", "1", "99"],
    "bytea_output": ["'escape'", "'hex'"],
    "standard_conforming_strings": ["on", "off"],
    "default_transaction_read_only": ["on", "off", "off"],
    "default_transaction_isolation": ["'repeatable read'", "'read committed'"],
    "enable_seqscan": ["on", "off"],
    "row_security": ["on", "off"],
    "client_min_messages": ["notice", "warning", "error"],
    "app.tenant": ["'1'", "'2'", "''", "'long " + "x" * 300 + "'"],
    "role": ["alice", "bob", "none", "nobody_such"],
    "lc_messages": ["'C'"],
    "max_connections": ["5"],
    "no_such_setting": ["1"],
}
NAMES = list(VALUES)
LOOKS = [
    "SELECT '2024-01-01 12:00+00'::timestamptz, '2024-02-03'::date", "SELECT '1 day 02:03:04'::interval", "SELECT 0.1::float8 * 3",
    "SELECT '\\x0102ff'::bytea", "SELECT name FROM who", "SELECT current_user, session_user", "SELECT name FROM secret ORDER BY 1",
    "SELECT current_schemas(false)", "SELECT 'a\\tb'", "SELECT 1; SELECT 2", "SELECT 1; SELECT 1/0; SELECT 3", "", ";", "SELECT", "SELEC 1",
    "SELECT 1/0", "SELECT * FROM nowhere", "SHOW transaction_isolation", "SHOW transaction_read_only", "TABLE shared",
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "SELECT name, is_holdable FROM pg_cursors WHERE name LIKE 'c_' ORDER BY 1", "SELECT * FROM pg_listening_channels() ORDER BY 1",
    "DO $$ BEGIN RAISE NOTICE 'noted'; END $$", "SELECT x FROM tt ORDER BY 1",
]
TEXTS = ["SELECT '01/02/2020'::date - '2020-01-01'::date, $1::int", "SELECT extract(epoch FROM '2024-01-01 12:00'::timestamptz)::int, $1::int",
         "SELECT length('a\\tb') + extract(epoch FROM '-1 2:00:00'::interval)::int, $1::int", "SELECT $1::int + 1", "SELECT '2024-01-01 12:00+00'::timestamptz, $1::int", "SELECT name, $1::int FROM who", "SELECT generate_series(1, $1::int)",
         "SELECT 10 / $1::int", "INSERT INTO t{c} VALUES ($1::int) RETURNING i", "SELECT x + $1::int FROM tt", "SELEC $1"]


class Client:
    """What the generator believes of one client."""

    def __init__(self, number):
        self.number, self.open, self.pinned = number, False, False

    def holds(self):
        return self.open or self.pinned

    def after(self, op):
        """Follows one operation; where its success is not certain, the client is taken to hold."""
        if op.holds == BEGIN:
            self.open = True
        elif op.holds == END:
            self.open = False
        elif op.holds == PIN:
            self.pinned = True
        elif op.holds == UNPIN and not self.open:
            self.pinned = False
        if op.kind in ("leave", "vanish", "connect"):
            self.open = self.pinned = False


class Generator:
    def __init__(self, seed, clients, pool, vanish=True):
        self.random = random.Random(seed)
        self.clients = [Client(i) for i in range(clients)]
        self.pool, self.vanish, self.ops, self.serial = pool, vanish, [], 0

    def pick(self, *choices):
        return self.random.choice(choices)

    def add(self, client, text, data, holds=FREE, syncs=1, **more):
        op = Op(client.number, text, data, syncs, holds, **more)
        client.after(op)
        self.ops.append(op)

    def sql(self, client, text, holds=FREE, **more):
        """A statement by the simple or the extended protocol. client_encoding may be anything: ASCII only."""
        if ";" in text.strip(";") or self.random.random() < 0.6:
            return self.add(client, text, query(text), holds, **more)
        if self.random.random() < 0.3:
            data = parse("", text) + describe("S", "") + SYNC + bind("", "") + execute() + SYNC
            return self.add(client, f"[parse | run] {text}", data, holds, syncs=2, **more)
        return self.add(client, f"[extended] {text}", parse("", text) + bind("", "") + describe("P") + execute() + SYNC, holds, **more)

    # Each of these adds one operation.

    def setting(self, client):
        name = self.pick(*NAMES)
        value = self.pick(*VALUES[name])
        quoted = value if value.startswith("'") else "'" + value.replace("'", "''") + "'"
        self.sql(client, self.pick(
            f"SET {name} = {value}", f"SET {name} TO {value}", f"SET SESSION {name} = {value}", f"SET LOCAL {name} = {value}",
            f"SHOW {name}", f"SHOW {name}", f"RESET {name}", f"SELECT current_setting('{name}')",
            f"SELECT set_config('{name}', {quoted}, false)", f"SELECT set_config('{name}', {quoted}, true)",
            f"SELECT change('{name}', {quoted})",
            # Inside one text a DEFAULT is the server's, not that of the startup packet.
            f"SELECT 1; SET {name} = {'1' if value == 'DEFAULT' else value}; SHOW {name}",
            f"DO $$ BEGIN PERFORM set_config('{name}', {quoted}, false); END $$",
            f"SET {name} = {value}; SELECT 1/0"))

    def odd_setting(self, client):
        self.sql(client, self.pick(
            "RESET ALL", "SET TIME ZONE 'Europe/Berlin'", "SET TIME ZONE LOCAL", "SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE",
            "SET NAMES 'UTF8'", "SET NAMES", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, ISOLATION LEVEL REPEATABLE READ",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET SCHEMA 's1'", "RESET ROLE", "SET ROLE NONE",
            "SET SESSION AUTHORIZATION alice", "RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION DEFAULT",
            "SET LOCAL ROLE bob", "SET TRANSACTION READ ONLY", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SHOW ALL_OF_IT"))

    def set_by_parameter(self, client):
        name = self.pick(*NAMES)
        value = self.pick(*VALUES[name]).strip("'")
        data = parse("", "SELECT set_config($1, $2, false)") + bind("", "", [name.encode(), value.encode()]) + execute() + SYNC
        self.add(client, f"SELECT set_config('{name}', '{value}', false) by parameters", data)

    def look(self, client):
        self.sql(client, self.pick(*LOOKS))

    def begin(self, client):
        self.sql(client, self.pick("BEGIN", "BEGIN", "START TRANSACTION", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ",
                                   "BEGIN READ WRITE"), BEGIN)

    def end(self, client):
        self.sql(client, self.pick("COMMIT", "COMMIT", "END", "ROLLBACK", "ABORT"), END)

    def inside(self, client):
        self.sql(client, self.pick("SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT b", "RELEASE a", "RELEASE b",
                                   "SELECT 1/0", "SAVEPOINT a"))

    def chain(self, client):
        self.sql(client, self.pick("COMMIT AND CHAIN", "ROLLBACK AND CHAIN"), BEGIN if client.open else FREE)

    def data(self, client):
        n, value = client.number, self.random.randrange(9)
        other = self.pick(*self.clients).number
        self.sql(client, self.pick(f"INSERT INTO t{n} VALUES ({value})", f"UPDATE t{n} SET i = i + 1 WHERE i = {value}",
                                   f"DELETE FROM t{n} WHERE i = {value}", f"SELECT i FROM t{other} ORDER BY i",
                                   f"SELECT count(*) FROM t{n}", f"INSERT INTO t{n} VALUES (1), (2) RETURNING i",
                                   f"INSERT INTO t{n} VALUES ('x')"))

    def prepared(self, client):
        name, text = self.pick("p1", "p2", "p3", "p4", ""), self.pick(*TEXTS).format(c=client.number)
        number = self.pick(b"1", b"2", b"0", b"4", b"x")
        run = bind("", name, [number], result_formats=self.pick((), (1,))) + execute("", self.pick(0, 0, 2))
        shown = f"'{name}' ({text})"
        choice = self.random.randrange(10)
        if choice < 3:
            self.add(client, f"parse {shown}", parse(name, text) + SYNC)
        elif choice < 6:
            self.add(client, f"run '{name}' with {number}", run + SYNC)
        elif choice == 6:
            self.add(client, f"describe '{name}'", describe("S", name) + SYNC)
        elif choice == 7:
            self.add(client, f"close '{name}'", close("S", name) + SYNC)
        elif choice == 8:
            self.add(client, f"close, parse, run {shown}", close("S", name) + parse(name, text, (23,)) + describe("S", name) + run + SYNC)
        else:
            self.sql(client, self.pick(f"DEALLOCATE {name or 'p1'}", "DEALLOCATE ALL", "DEALLOCATE PREPARE p2"))

    def portal(self, client):
        portal = self.pick("c1", "c2", "")
        # PostgreSQL 15 may crash at an Execute of the unnamed portal behind a simple query that has failed in a transaction block.
        again = "c1" if portal == "" and client.open else portal
        self.add(client, *self.pick(
            (f"portal '{portal}' of series, 2 rows", parse("", "SELECT generate_series(1, 5)") + bind(portal, "") + execute(portal, 2) + SYNC),
            (f"execute '{again}', 2 rows", execute(again, 2) + SYNC), (f"describe portal '{portal}'", describe("P", portal) + SYNC),
            (f"close portal '{portal}'", close("P", portal) + SYNC)))

    def pipeline(self, client):
        """Several statements behind one or several Syncs, some of them wrong."""
        parts, shown, syncs = [], [], 0
        for _ in range(self.random.randrange(2, 6)):
            text = self.pick("SELECT 1", "SELECT 1/0", "SHOW work_mem", "SET work_mem = '5MB'", "SELECT current_setting('TimeZone')",
                             f"INSERT INTO t{client.number} VALUES (8)", "SET TimeZone = 'Asia/Tokyo'", "SELECT name FROM who", "SELECT 'x'::int")
            name = self.pick("", "", "p1", "p3")
            parts.append(parse(name, text) + bind("", name) + self.pick(describe("P"), b"") + execute())
            shown.append(f"'{name}' {text}")
            if self.random.random() < 0.4:
                parts.append(SYNC)
                shown.append("Sync")
                syncs += 1
            elif self.random.random() < 0.2:
                parts.append(FLUSH)
        if self.random.random() < 0.3:
            parts.append(SYNC + query("SHOW work_mem"))
            shown.append("Sync; query SHOW work_mem")
            syncs += 2
        else:
            parts.append(SYNC)
            syncs += 1
        self.add(client, "pipeline: " + "; ".join(shown), b"".join(parts), syncs=syncs)

    def pins(self, client):
        n = self.random.randrange(1, 5)
        self.sql(client, self.pick(
            "CREATE TEMP TABLE tt AS SELECT 1 AS x", "CREATE TEMP TABLE tt (x int) ON COMMIT DROP", "CREATE TEMP TABLE IF NOT EXISTS tt (x int)",
            "CREATE TEMP VIEW tv AS SELECT 1 AS x", "INSERT INTO tt VALUES (3)", "SELECT x FROM tt ORDER BY 1",
            f"SELECT pg_try_advisory_lock({n})", f"SELECT pg_try_advisory_lock_shared({n})", f"SELECT pg_try_advisory_xact_lock({n})",
            f"SELECT pg_advisory_unlock({n})", "PREPARE q1 AS SELECT 42", "PREPARE q2 (int) AS SELECT $1 + 1", "EXECUTE q1", "EXECUTE q2 (3)",
            "EXECUTE q2 (3)", "DEALLOCATE q1", "PREPARE p1 AS SELECT 'sql'", "DECLARE ch CURSOR WITH HOLD FOR SELECT generate_series(1, 5)",
            "FETCH 2 FROM ch", "MOVE 1 FROM ch", "CLOSE ch", "DROP TABLE tt", "LISTEN news", "LISTEN other", "UNLISTEN news", "FETCH 1 FROM cs",
            "DECLARE cs SCROLL CURSOR FOR SELECT generate_series(1, 5)"), PIN)

    def unpin(self, client):
        for text in ("ROLLBACK", "SET SESSION AUTHORIZATION DEFAULT", "RESET ROLE", "CLOSE ALL", "SELECT pg_advisory_unlock_all()", "DEALLOCATE ALL",
                     "UNLISTEN *"):
            self.add(client, text, query(text), END if text == "ROLLBACK" else FREE)
        self.add(client, "DISCARD TEMP", query("DISCARD TEMP"), UNPIN)

    def discard(self, client):
        text = self.pick("DISCARD ALL", "DISCARD ALL", "DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES")
        self.sql(client, text, UNPIN if text == "DISCARD ALL" else FREE)

    def notify(self, client):
        self.serial += 1
        self.sql(client, self.pick(f"NOTIFY news, 'n{self.serial}'", f"SELECT pg_notify('other', 'o{self.serial}')", "NOTIFY news"), quiet=True)

    def again(self, client):
        """Leaves and comes back with other startup parameters."""
        self.add(client, "leaves", b"X\0\0\0\4", syncs=0, kind="leave")
        self.connect(client)

    def vanishes(self, client):
        self.add(client, "vanishes", b"", syncs=0, kind="vanish")
        self.connect(client)

    def connect(self, client):
        startup = {}
        for name, values in (("application_name", ["App", "app"]), ("TimeZone", ["UTC", "Asia/Tokyo"]), ("DateStyle", ["German", "ISO, DMY"]),
                             ("client_encoding", ["UTF8", "LATIN1"]), ("options", ["-c work_mem=6MB", "-c search_path=s1 -c app.tenant=9",
                                                                                 "-c statement_timeout=80s"])):
            if self.random.random() < 0.25:
                startup[name] = self.pick(*values)
        self.add(client, f"connects with {startup}", startup, kind="connect")
        # Asked for later in a transaction, one that nobody has set is empty where a pooled connection has seen it before.
        self.add(client, "SET app.tenant = ''", query("SET app.tenant = ''"))

    def script(self, length):
        """`length` operations, the connects and the goodbyes of the end not counted."""
        for client in self.clients:
            self.connect(client)
        base = len(self.ops)
        while len(self.ops) - base < length:
            client = self.pick(*self.clients)
            holders = sum(other.holds() for other in self.clients if other is not client)
            room = client.holds() or holders < self.pool - 1
            actions = [(self.setting, 30), (self.odd_setting, 6), (self.set_by_parameter, 4), (self.look, 20), (self.data, 12),
                       (self.prepared, 20), (self.portal, 3), (self.pipeline, 8), (self.discard, 3), (self.notify, 2), (self.inside, 1),
                       (self.again, 1)]
            if self.vanish:
                actions.append((self.vanishes, 1))
            if client.open:
                actions += [(self.end, 25), (self.inside, 15), (self.chain, 2), (self.portal, 8)]
            elif room:
                actions.append((self.begin, 12))
            if room:
                actions.append((self.pins, 12))
            if client.holds():
                actions.append((self.unpin, 3))
            self.random.choices([a for a, _ in actions], [w for _, w in actions])[0](client)
        return self.ops


def fits(ops, clients, pool):
    """True when a part of a script is still one that may run: connected clients, never too many holders."""
    state, there = [Client(i) for i in range(clients)], set()
    for op in ops:
        if op.kind == "connect":
            if op.client in there:
                return False
            there.add(op.client)
        elif op.client not in there:
            return False
        if op.kind in ("leave", "vanish"):
            there.discard(op.client)
        state[op.client].after(op)
        if sum(client.holds() for client in state) >= pool:
            return False
    return True
