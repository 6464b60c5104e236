"""The story: two instances of a NestJS + MikroORM API behind pgweir, and somebody with psql.

A GET must never be older than a write that was finished before the GET began, whoever wrote and whoever reads.
PGWEIR_STORY_ROUNDS sets the number of rounds (default 300).
"""
import http.client
import json
import os
import pathlib
import random
import subprocess
import threading

import pytest

from pgweir_test.proxy import PGBOUNCER, PGWEIR, Proxy
from pgweir_test.tools import PG_BIN, free_port, new_dir, reap, spawn, wait_for

HERE = pathlib.Path(__file__).parent
ROUNDS = int(os.environ.get("PGWEIR_STORY_ROUNDS", "300"))
BOOKS = 40


class Api:
    """One instance of the API; each thread has its own connection to it."""

    def __init__(self, url):
        self.port = free_port()
        self.log = new_dir("api") / "log"
        self.process = spawn(["node", HERE / "story" / "dist" / "main.js"], self.log,
                             env={"DATABASE_URL": url, "PORT": str(self.port)})
        self.local = threading.local()
        wait_for("the API", lambda: self.call("GET", "/books?ids=0") == [])

    def call(self, method, path, body=None):
        """Node closes connections that were idle for five seconds, perhaps just now: a GET is then asked again on a new one."""
        try:
            return self._call(method, path, body)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            if method != "GET" or self.process.poll() is not None:
                raise
            return self._call(method, path, body)

    def _call(self, method, path, body=None):
        conn = getattr(self.local, "conn", None)
        if conn is None:
            conn = self.local.conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            conn.request(method, path, json.dumps(body) if body is not None else None,
                         {"Content-Type": "application/json"})
            reply = conn.getresponse()
            text = reply.read()
        except Exception:
            conn.close()
            self.local.conn = None
            raise
        if reply.status >= 300 and reply.status != 404:
            raise AssertionError(f"{method} {path}: {reply.status} {text!r} {self.log.read_text()[-2000:]}")
        return json.loads(text) if text and reply.status != 404 else None

    def version(self, book):
        found = self.call("GET", f"/books/{book}")
        return found["version"] if found else None


class Psql:
    """A psql that stays open, straight on PostgreSQL."""

    def __init__(self, dsn):
        self.process = subprocess.Popen([PG_BIN / "psql", "-X", "-q", "-A", "-t", "-d", dsn], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def do(self, sql):
        self.process.stdin.write(sql + ";\n\\echo done\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        assert line == "done", line

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


class Watchers:
    """Reads books all the time through both instances: a version may never fall below what was finished."""

    def __init__(self, apis, floors):
        self.apis, self.floors, self.problems, self.reads = apis, floors, [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.watch, args=(api, seed)) for seed, api in enumerate(apis)]

    def watch(self, api, seed):
        source = random.Random(seed)
        try:
            while not self.stop.is_set():
                book = source.randint(1, BOOKS)
                floor = self.floors[book]
                if source.random() < 0.8:
                    seen = [api.version(book)]
                else:
                    seen = [one["version"] for one in api.call("GET", f"/books/{book}/twice")]
                self.reads += 1
                if any(version < floor for version in seen):
                    self.problems.append((book, floor, seen))
        except Exception as error:
            self.problems.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def one_round(number, apis, psql, floors, source):
    """One write by somebody, then a read on the other instance. Returns what was wrong, or None."""
    book, version = source.randint(1, BOOKS), number + 1
    here, there = (apis[0], apis[1]) if number % 2 else (apis[1], apis[0])
    here.version(book), there.version(book)
    writer = number % 4
    if writer in (0, 1):
        here.call("PATCH", f"/books/{book}", {"version": version, "title": f"by an API, {version}"})
    elif writer == 2:
        psql.do(f"UPDATE book SET version = {version}, title = 'by psql' WHERE id = {book}")
    else:
        psql.do(f"BEGIN; DELETE FROM book WHERE id = {book}; "
                f"INSERT INTO book (id, title, version) VALUES ({book}, 'again', {version}); COMMIT")
    floors[book] = version
    for api in (there, here, there):
        seen = api.version(book)
        if seen != version:
            return f"round {number}: book {book} has version {version}, the API said {seen} (writer {writer})"
    listed = {one["id"]: one["version"] for one in here.call("GET", f"/books?ids={book},{1 + book % BOOKS}")}
    if listed[book] != version or listed[1 + book % BOOKS] < floors[1 + book % BOOKS]:
        return f"round {number}: the list said {listed}"
    return None


@pytest.mark.parametrize("proxies", [1, 2], ids=["one pgweir", "a pgweir for each instance"])
def test_no_read_is_stale(cluster, proxies):
    cluster.sql("DROP TABLE IF EXISTS book; CREATE TABLE book (id serial PRIMARY KEY, title text NOT NULL, "
                "version int NOT NULL, changed timestamptz NOT NULL DEFAULT now());"
                f"INSERT INTO book (title, version) SELECT 'book ' || i, 0 FROM generate_series(1, {BOOKS}) i")
    weirs = [Proxy(cluster, {"pool_mode": "session"} if PGBOUNCER else None) for _ in range(proxies)]
    apis = [Api(weirs[i % proxies].url()) for i in range(2)]
    psql = Psql(cluster.dsn())
    floors, source, stale = dict.fromkeys(range(1, BOOKS + 1), 0), random.Random(1), []
    with Watchers(apis, floors) as watchers:
        for number in range(ROUNDS):
            wrong = one_round(number, apis, psql, floors, source)
            if wrong:
                stale.append(wrong)
    psql.close()
    for api in apis:
        reap(api.process)
    assert not stale, stale[:5]
    assert not watchers.problems, watchers.problems[:5]
    assert watchers.reads > ROUNDS / 10
    print(f"{ROUNDS} rounds, {watchers.reads} reads by the watchers, none stale")
    for weir in weirs:
        if PGWEIR:
            hits = weir.metrics().count("cache_hits")
            print(f"answers from the cache: {hits:.0f}")
            assert hits > ROUNDS / 2
        assert weir.stop() == 0
