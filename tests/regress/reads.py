"""Between psql and pgweir: every SELECT of the suite that can be cached is answered from the cache, too, and compared.

For each SELECT that the suite sends:
  - it is sent once, and how pgweir counted it says whether it can be cached, or the reason why not;
  - if it can, it is sent again until the cache has answered it, and then once more past the cache (pgweir.coherence = off, a setting
    of the same session): both answers must be the same bytes;
  - outside of transactions a row of a table that it reads is then deleted by somebody else, directly, and put back. After each of
    the two the next answer, and the one that the cache gives after it, must again be the bytes of PostgreSQL.
"""
import collections
import http.client
import re
import socket
import struct
import threading
import time

import psycopg
from psycopg import sql as quoted

SELECT = re.compile(rb"\s*(--[^\n]*\n\s*|/\*.*?\*/\s*)*(select|table|values|with|\()", re.I | re.S)
COUNTED = re.compile(r'^pgweir_(?:pass_total\{[^}]*reason="(\w+)"\}|(cache_hits|cache_misses)_total(?:\{[^}]*\})?) (\S+)$', re.M)
TRIES = 40
ROWS_SORTED = 1000


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def texts_equal(one, other):
    """The same rows, whatever their order."""
    return sorted(one) == sorted(other)


# What turns the cache off for a whole database (reason CAST), as statements that drop it.
USERS_CASTS = """
    SELECT format('DROP CAST (%%s AS %%s) CASCADE', castsource::regtype, casttarget::regtype)
    FROM pg_cast x JOIN pg_proc f ON f.oid = castfunc WHERE {own}
    UNION SELECT format('DROP OPERATOR FAMILY %%s.%%I USING %%I CASCADE', opfnamespace::regnamespace, opfname, amname)
    FROM pg_amproc JOIN pg_proc f ON f.oid = amproc JOIN pg_opfamily o ON o.oid = amprocfamily JOIN pg_am a ON a.oid = opfmethod
    WHERE {own}""".format(own="f.oid >= 16384 AND NOT (provolatile = 'i' AND prolang IN (12, 13))").replace("%%", "%")


class Count:
    """pgweir's counters, by one HTTP connection."""

    def __init__(self, port):
        self.port = port
        self.conn = None
        self.lock = threading.Lock()

    def now(self):
        with self.lock:
            for attempt in range(3):
                try:
                    if self.conn is None:
                        self.conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                    self.conn.request("GET", "/metrics")
                    text = self.conn.getresponse().read().decode()
                    break
                except (http.client.HTTPException, OSError):
                    self.conn = None
                    if attempt == 2:
                        raise
        counts = collections.Counter()
        for reason, name, value in COUNTED.findall(text):
            counts[reason or name] += int(float(value))
        return counts


class Session(threading.Thread):
    """One connection of psql."""

    def __init__(self, reads, front):
        super().__init__(daemon=True)
        self.reads = reads
        self.front = front
        self.back = socket.create_connection(("127.0.0.1", reads.proxy.port))
        for sock in (front, self.back):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffers = {front: b"", self.back: b""}
        self.status = b"I"

    # --- messages ---

    def read(self, sock, n):
        while len(self.buffers[sock]) < n:
            more = sock.recv(1 << 16)
            if not more:
                raise ConnectionError
            self.buffers[sock] += more
        taken, self.buffers[sock] = self.buffers[sock][:n], self.buffers[sock][n:]
        return taken

    def receive(self, sock):
        head = self.read(sock, 5)
        return head[:1], self.read(sock, struct.unpack("!I", head[1:])[0] - 4)

    def relay(self, to_front=True):
        """The answer up to ReadyForQuery, as it is; COPY FROM STDIN is handed up meanwhile."""
        got = []
        while True:
            kind, body = self.receive(self.back)
            got.append((kind, body))
            if to_front:
                self.front.sendall(message(kind, body))
            if kind == b"G":
                while True:
                    more, data = self.receive(self.front)
                    self.back.sendall(message(more, data))
                    if more in b"cf":
                        break
            if kind == b"Z":
                self.status = body
                return got

    def ask(self, text):
        """The answer of one simple query, not shown to psql."""
        self.back.sendall(message(b"Q", text + b"\0"))
        return self.relay(to_front=False)

    # --- the session ---

    def run(self):
        try:
            size = self.read(self.front, 4)
            self.back.sendall(size + self.read(self.front, struct.unpack("!I", size)[0] - 4))
            self.relay()
            while True:
                kind, body = self.receive(self.front)
                if kind == b"Q" and self.reads.candidate(body[:-1]):
                    self.select(body[:-1])
                    continue
                self.back.sendall(message(kind, body))
                if kind in b"QSF":
                    self.reads.settled = False
                    self.relay()
        except (ConnectionError, OSError):
            pass
        finally:
            self.front.close()
            self.back.close()

    def select(self, text):
        tally = self.reads.tally
        tally["seen"] += 1
        self.reads.settle()
        before = self.reads.count.now()
        self.back.sendall(message(b"Q", text + b"\0"))
        first = self.relay(to_front=False)
        try:
            if any(kind in (b"E", b"G", b"H") for kind, _ in first):
                tally["an error, or none of its kind"] += 1
                self.reads.settled = False
                return
            rise = self.reads.count.now() - before
            if not rise["cache_hits"] and not rise["cache_misses"]:
                tally["reason " + "+".join(sorted(rise)) if rise else "reason none counted"] += 1
                self.reads.settled = self.reads.settled and "TXN_WROTE" not in rise
                return
            tally["cacheable"] += 1
            self.compare(text)
        finally:
            for kind, body in first:
                self.front.sendall(message(kind, body))

    # --- the comparison ---

    def hit(self, text):
        """The answer that the cache gives, or None when it gives none."""
        for attempt in range(TRIES):
            before = self.reads.count.now()
            got = self.ask(text)
            if (self.reads.count.now() - before)["cache_hits"]:
                return got
            time.sleep(0.001 * attempt)
        return None

    def past_the_cache(self, text):
        self.ask(b"SET pgweir.coherence = off")
        got = self.ask(text)
        self.ask(b"RESET pgweir.coherence")
        return got

    def same(self, text, one, direct, when):
        if one == direct:
            return True
        tally = self.reads.tally
        if len(one) < ROWS_SORTED and texts_equal(one, direct):
            tally["the same rows in another order"] += 1
            return True
        tally["DIFFERENT"] += 1
        print(f"DIFFERENT {when}: {text.decode(errors='replace')}\n  cache {one[:6]}\n  PostgreSQL {direct[:6]}", flush=True)
        return False

    def compare(self, text):
        tally = self.reads.tally
        cached = self.hit(text)
        if cached is None:
            tally["cacheable, but never kept"] += 1
            self.reads.never(text)
            return
        tally["hit"] += 1
        if not self.same(text, cached, self.past_the_cache(text), "before a write") or self.status != b"I":
            return
        for change in self.reads.changes(self, text):
            tally["writes"] += change
            now = self.ask(text)  # it may be a hit or not, but it must be right
            direct = self.past_the_cache(text)
            if not self.same(text, now, direct, "right after a write"):
                return
            again = self.hit(text)
            if again is not None:
                tally["hits after a write"] += 1
                self.same(text, again, direct, "after a write")

    def tables(self, text):
        """What it reads, as PostgreSQL plans it."""
        self.ask(b"SET pgweir.coherence = off")
        plan = self.ask(b"EXPLAIN (VERBOSE, FORMAT JSON, COSTS OFF) " + text)
        self.ask(b"RESET pgweir.coherence")
        lines = b"".join(body[6:] for kind, body in plan if kind == b"D").decode(errors="replace")
        return sorted(set(re.findall(r'"Relation Name": "([^"\\]+)",\s*"Schema": "([^"\\]+)"', lines)))


class Reads:
    """Listens for psql at .port."""

    def __init__(self, proxy, cluster, dbname):
        self.proxy = proxy
        self.count = Count(proxy.stats_port)
        self.tally = collections.Counter()
        self.unkept = []
        self.settled = False
        self.warm = proxy.connect("regression", prepare_threshold=None)
        self.writer = cluster.connect(dbname)
        self.writer.execute("SET session_replication_role = replica; SET lock_timeout = '200ms'; SET statement_timeout = '10s'; "
                            "SET client_encoding = latin1")  # bytes as they are: the database is SQL_ASCII
        self.turn = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def doubled(self):
        return self.tally["hit"]

    def _accept(self):
        while True:
            try:
                front, _ = self.listener.accept()
            except OSError:
                return
            Session(self, front).start()

    def close(self):
        self.listener.close()
        self.warm.close()
        self.writer.close()

    def candidate(self, text):
        return SELECT.match(text) is not None and b";" not in text.rstrip(b"; \n\t")

    def settle(self):
        """Waits until the feed has come to what the suite did last, so that no statement passes because of DDL before it."""
        for attempt in range(0 if self.settled else 400):
            before = self.count.now()
            self.warm.execute("SELECT v FROM pgweir_warm.t WHERE v = 1").fetchall()
            rise = self.count.now() - before
            if rise["cache_hits"]:
                break
            if rise["CAST"]:
                self.tally["read while nothing is cached (reason CAST)"] += 1
                break
            time.sleep(0.0005 * min(attempt, 20))
        self.settled = True

    def make_cacheable(self):
        """What a test has left that turns the cache off is dropped."""
        for drop, in self.writer.execute(USERS_CASTS).fetchall():
            print(f"left by the suite: {drop}", flush=True)
            self.writer.execute(drop)
        self.settled = False

    def never(self, text):
        if len(self.unkept) < 20:
            self.unkept.append(text.decode(errors="replace").strip()[:200])

    def changes(self, session, text):
        """Deletes a row of a table that the statement reads, and puts it back: yields after each."""
        tables = session.tables(text)
        if not tables:
            return
        self.turn += 1
        name, schema = tables[self.turn % len(tables)]
        table = quoted.Identifier(schema, name)
        try:
            row = self.writer.execute(quoted.SQL("SELECT ctid::text FROM ONLY {} ORDER BY hashtext(ctid::text || {}) LIMIT 1").format(
                table, quoted.Literal(str(self.turn)))).fetchone()
            columns = self.writer.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
                (table.as_string(self.writer),)).fetchall()
            if row is None or not columns:
                return
            gone = self.writer.execute(quoted.SQL("DELETE FROM ONLY {} pgweir_row WHERE ctid = {} RETURNING pgweir_row::text").format(
                table, quoted.Literal(row[0]))).fetchone()
        except psycopg.Error as error:
            self.tally[f"no write: {type(error).__name__}"] += 1
            return
        if gone is None:
            return
        yield 1
        names = quoted.SQL(", ").join(quoted.Identifier(column) for column, in columns)
        try:
            self.writer.execute(quoted.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM (SELECT ({}::{}).*) pgweir_row").format(
                table, names, names, quoted.Literal(gone[0]), table))
        except psycopg.Error as error:
            self.tally[f"not put back: {type(error).__name__}"] += 1
            return
        yield 1

    def report(self):
        tally = self.tally
        print(f"{tally['seen']} SELECTs seen, {tally['cacheable']} cacheable, {tally['hit']} answered from the cache, "
              f"{tally['writes']} writes, {tally['hits after a write']} answers from the cache after one, "
              f"{tally['DIFFERENT']} different, {tally['the same rows in another order']} in another order")
        for name, n in sorted(tally.items(), key=lambda item: -item[1]):
            if name not in ("seen", "cacheable", "hit", "writes", "hits after a write", "DIFFERENT", "the same rows in another order"):
                print(f"  {n:6} {name}")
        for text in self.unkept:
            print(f"  never kept: {text}")
        return tally["DIFFERENT"] + (tally["hit"] == 0)
