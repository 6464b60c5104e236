"""Every client of the table, through one pgweir whose pool is smaller than the client's connections.

A client is a program of its own. It gets DATABASE_URL, opens four connections (or lets its pool do it) on a pool of two,
goes through the steps that its row names and says `ok STEP` after each. Then it says `serve` and obeys lines on its standard
input: `get I ID` answers with the name of the row, read through its connection I, and `put I ID NAME` writes it and
answers `done`. So the rounds of `no_answer_is_stale` are the same for all: a write straight on PostgreSQL, or by
another connection of the client, then a read that must see it, again and again until the cache has answered.
"""
import os
import pathlib
import subprocess
import threading
from dataclasses import dataclass, field

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import PATIENCE, new_dir, wait_for

HERE = pathlib.Path(__file__).parent
ROUNDS = 8
CONNECTIONS = 4
# What a client can do, in the order in which the programs do it:
#   connect       four connections, all answer
#   settings      each has a TimeZone of its own, which stays its own while the backends change
#   crud          insert, read, update, delete, with the client's own ways: returning, null, not ASCII, 300 kB
#   transactions  commit, rollback, savepoints; the write is seen by the others after the commit and not before
#   prepared      statements of the same name (where the client names them) that differ between the connections
#   errors        23505, 42P01, 22012 and 25P02 as the client shows them; the connection lives on
#   timeout       statement_timeout: 57014
#   cancel        the client's own way to cancel: 57014
#   copy          in, out, and bad data: 22P02
#   listen        a notification from another connection
# For the last three an ORM lends the driver's connection below it.
STEPS = ("connect", "settings", "crud", "transactions", "prepared", "errors", "timeout", "cancel", "copy", "listen")


@dataclass
class Client:
    """A row. `lacks`: steps that it has no means for. `large`: only with `run --all`, which installs what it needs."""
    name: str
    folder: str
    command: list
    lacks: tuple = ()
    large: bool = False
    build: list = None       # runs once, in `folder`
    env: dict = field(default_factory=dict)


def python(name, *lacks, folder="python", large=False):
    return Client(name, folder, ["/usr/bin/python3", f"by_{name}.py"], lacks, large)


def node(name, *lacks, args=(), folder="node", large=False):
    return Client("_".join([name, *args]), folder, ["node", f"by_{name}.mjs", *args], lacks, large)


def c(name):
    out = new_dir("c") / name
    return Client(name, "c", [str(out)], build=["cc", "-Wall", "-Wextra", "-Werror", "-I/usr/include/postgresql",
                                                f"{name}.c", "-o", str(out), "-lpq"])


def go(name):
    """Debian's Go libraries are sources for a GOPATH; ours is one more."""
    out = new_dir("go")
    (out / "src").mkdir()
    (out / "src" / "pgweir.test").symlink_to(HERE / "go")
    return Client(name, "go", [str(out / name)], large=True, build=["go", "build", "-o", str(out / name), f"./{name}"],
                  env={"GO111MODULE": "off", "GOFLAGS": "", "GOPATH": f"{out}:/usr/share/gocode"})


def script(name, folder, command, *lacks):
    return Client(name, folder, command, lacks, large=True)


CLIENTS = [
    c("libpq"),
    python("psycopg2"),
    python("psycopg3"),
    python("asyncpg"),
    python("sqlalchemy"),
    python("django"),
    node("pg"),
    node("postgresjs"),
    node("knex"),
    node("sequelize"),
    node("typeorm"),
    node("drizzle", args=["pg"]),
    node("drizzle", args=["js"]),  # Parse, Describe, Flush first, every time
    node("mikroorm7"),
    node("mikroorm6", folder="node/mikro6"),
    node("prisma", folder="node/prisma", large=True),
    Client("jdbc", "java", ["java", "-cp", "/usr/share/java/postgresql.jar", "Client.java"]),
    go("pgx"),
    go("lib_pq"),
    script("ruby_pg", "ruby", ["ruby", "by_pg.rb"]),
    script("activerecord", "ruby", ["ruby", "by_activerecord.rb"]),
    script("php_pgsql", "php", ["php", "by_pgsql.php"]),
    script("php_pdo", "php", ["php", "by_pdo.php"], "cancel"),
    script("dbd_pg", "perl", ["perl", "by_dbd_pg.pl"]),
    python("psqlodbc", "copy", "listen", folder="odbc", large=True),
]


class Program:
    """A running client."""

    def __init__(self, client, url):
        self.client = client
        self.log = new_dir("client") / "stderr"
        with open(self.log, "wb") as stderr:
            self.process = subprocess.Popen(client.command, cwd=HERE / client.folder, text=True, bufsize=1,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                            env={**os.environ, "DATABASE_URL": url, **client.env})
        self.watchdog = threading.Timer(PATIENCE * 4, self.process.kill)
        self.watchdog.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.watchdog.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def line(self):
        text = self.process.stdout.readline()
        assert text, f"{self.client.name} ended with {self.process.wait()}: {self.log.read_text()[-3000:]}"
        return text.rstrip("\n")

    def steps(self):
        """The steps that it has gone through."""
        done = []
        while True:
            text = self.line()
            if text == "serve":
                return done
            word, step = text.split()
            assert word == "ok", text
            done.append(step)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.line()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()[-3000:]


@pytest.fixture(scope="module")
def narrow(cluster):
    """A pgweir with two backends for each database and user."""
    made = Proxy(cluster, {"default_pool_size": 2, "query_wait_timeout": 20, "ignore_startup_parameters": ""})
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.fixture(scope="module")
def template(cluster):
    """What every client finds: `item`, with a hundred rows."""
    setup = (HERE.parents[1] / "docs" / "setup.sql").read_text()
    cluster.sql("CREATE DATABASE client_template")
    cluster.sql(setup, "client_template")
    cluster.sql("CREATE TABLE item (id serial PRIMARY KEY, name text NOT NULL, n int UNIQUE);"
                "INSERT INTO item (id, name) SELECT i, 'item ' || i FROM generate_series(1, 100) i;"
                "ALTER SEQUENCE item_id_seq RESTART 1000; ANALYZE item", "client_template")
    return "client_template"


@pytest.fixture
def database(cluster, template, request):
    name = f"c_{request.node.callspec.id}"
    cluster.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield name
    cluster.drop_database(name)


def why_not(proxy):
    """What the counters say about statements that were not served."""
    return {str(labels or name): value for name, labels, value in proxy.metrics().rows
            if value and "reason" in labels}


def no_answer_is_stale(program, proxy, direct):
    """Reads after writes, by whomever; each until the cache has answered."""
    def read(row, expected):
        hits = proxy.metrics().count("cache_hits") if PGWEIR else 0

        def answered():
            for conn in range(CONNECTIONS):
                seen = program.ask("get", conn, row)
                assert seen == expected, f"connection {conn} read {seen!r}, written was {expected!r}"
            return not PGWEIR or proxy.metrics().count("cache_hits") > hits
        stale = []

        def until():
            try:
                return answered()
            except AssertionError as error:  # wait_for would try again
                stale.append(error)
                return True
        try:
            wait_for("an answer from the cache", until)
        except AssertionError as error:
            raise AssertionError(f"{error}; {why_not(proxy)}") from error
        assert not stale, stale

    for number in range(ROUNDS):
        row, name = 1 + number % 3, f"round_{number}"
        if number % 2:
            assert program.ask("put", number % CONNECTIONS, row, name) == "done"
        else:
            direct.execute("UPDATE item SET name = %s WHERE id = %s", (name, row))
        read(row, name)
    direct.execute("DELETE FROM item WHERE id = 1")
    direct.execute("INSERT INTO item (id, name) VALUES (1, 'again')")
    read(1, "again")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_client(cluster, narrow, database, client):
    if client.large and os.environ.get("PGWEIR_CLIENTS") != "all":
        pytest.skip("tests/clients/run --all")
    if client.build:
        built = subprocess.run(client.build, cwd=HERE / client.folder, env={**os.environ, **client.env},
                               capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
    with Program(client, narrow.url(database)) as program, cluster.connect(database) as direct:
        assert program.steps() == [step for step in STEPS if step not in client.lacks]
        no_answer_is_stale(program, narrow, direct)
        program.end()
