"""What a write costs: only the answers that it touches, and always those."""
import random

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from test_cache import PATIENT, Counted

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
DB = "precise"


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql("""
        CREATE TABLE author (id int PRIMARY KEY, name text);
        CREATE TABLE post (id int PRIMARY KEY, author_id int, status text, title text, big text);
        CREATE TABLE logged (id int PRIMARY KEY, author_id int, title text);
        ALTER TABLE logged REPLICA IDENTITY FULL;
        CREATE TABLE keyless (author_id int, title text);
        CREATE TABLE child (id int PRIMARY KEY, author_id int REFERENCES author ON DELETE CASCADE);
        CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE odd (id int PRIMARY KEY, n numeric, f float8, c char(4), ci text COLLATE insensitive, t text);
        INSERT INTO author SELECT i, 'author ' || i FROM generate_series(1, 9) i;
        INSERT INTO post SELECT i, 1 + i % 9, 'live', 'post ' || i FROM generate_series(1, 90) i;
        INSERT INTO logged SELECT id, author_id, title FROM post;
        INSERT INTO keyless SELECT author_id, title FROM post;
        INSERT INTO child SELECT id, author_id FROM post;
        INSERT INTO odd VALUES (1, 1.0, 0, 'a', 'x', 'a'), (2, 2, 1, 'b', 'y', 'b'), (3, NULL, NULL, NULL, NULL, NULL);
    """, DB)
    yield DB
    cluster.drop_database(DB)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, PATIENT)
    with made.connect(db) as conn:
        wait_for("the cache to be on", lambda: rises(made, lambda: conn.execute("SELECT name FROM author WHERE id = 9")))
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def rises(proxy, read, counter="cache_hits"):
    with Counted(proxy) as counted:
        read()
    return counted.rise(counter) > 0


class Cached:
    """A statement that is in the cache; `stays` and `falls` tell what the next read of it found there."""

    def __init__(self, proxy, cluster, conn, sql, params=None):
        self.proxy, self.cluster, self.conn, self.sql, self.params = proxy, cluster, conn, sql, params
        self.settle()

    def read(self):
        return self.conn.execute(self.sql, self.params).fetchall()

    def settle(self):
        wait_for(f"a hit of {self.sql}", lambda: rises(self.proxy, self.read))

    def right(self):
        with self.cluster.connect(DB) as direct:
            assert sorted(self.read(), key=repr) == sorted(direct.execute(self.sql, self.params).fetchall(), key=repr)

    def stays(self, write):
        self.settle()
        self.cluster.sql(write, DB)
        with Counted(self.proxy) as counted:
            self.read()
        # A proof may come late on a busy machine, but the entry must not have fallen.
        assert counted.rise("cache_misses") == 0, f"{self.sql} fell by {write}"
        self.right()

    def falls(self, write):
        self.settle()
        self.cluster.sql(write, DB)
        with Counted(self.proxy) as counted:
            self.read()
        assert counted.rise("cache_misses") == 1, f"{self.sql} did not fall by {write}"
        self.right()


@pytest.fixture
def cached(proxy, cluster, db):
    with proxy.connect(db, prepare_threshold=None) as conn:  # a statement's name is part of the key
        yield lambda sql, params=None: Cached(proxy, cluster, conn, sql, params)


@pytest.mark.parametrize("sql,params", [
    ("SELECT id, title FROM post WHERE author_id = 4 ORDER BY id", None),
    ("SELECT id, title FROM post WHERE author_id = %s ORDER BY id", (4,)),
    ("SELECT * FROM post p WHERE p.author_id IN (4, 8) AND status = 'live' ORDER BY title LIMIT 50", None),
], ids=["literal", "parameter", "list"])
def test_writes_to_one_owners_rows_cost_no_other_owner(cached, sql, params):
    mine = cached(sql, params)
    mine.stays("INSERT INTO post VALUES (1000, 5, 'live', 'x')")
    mine.stays("UPDATE post SET title = 'y' WHERE id = 1000")
    mine.stays("UPDATE post SET author_id = 6 WHERE id = 1000")
    mine.stays("UPDATE post SET id = 1001 WHERE id = 1000")
    mine.stays("DELETE FROM post WHERE id = 1001")
    mine.stays("UPDATE post SET title = title || '!' WHERE author_id = 5")
    mine.falls("INSERT INTO post VALUES (1002, 4, 'live', 'x')")
    mine.falls("UPDATE post SET title = 'y' WHERE id = 1002")
    mine.falls("UPDATE post SET author_id = 5 WHERE id = 1002")   # leaves
    mine.falls("UPDATE post SET author_id = 4 WHERE id = 1002")   # comes
    mine.falls("UPDATE post SET id = 1003 WHERE id = 1002")
    mine.falls("DELETE FROM post WHERE id = 1003")
    mine.stays("DELETE FROM post WHERE id = 1003")


def test_joins_carry_the_owner(cached):
    mine = cached("SELECT a.id, a.name, p.id, p.title FROM author a LEFT JOIN post p ON p.author_id = a.id WHERE a.id = 6")
    mine.stays("INSERT INTO post VALUES (1000, 5, 'live', 'x')")
    mine.stays("UPDATE post SET title = 'y' WHERE id = 1000")
    mine.stays("UPDATE author SET name = 'other' WHERE id = 5")
    mine.falls("UPDATE post SET author_id = 6 WHERE id = 1000")
    mine.falls("UPDATE post SET author_id = 5 WHERE id = 1000")
    mine.stays("DELETE FROM post WHERE id = 1000")
    mine.falls("UPDATE author SET name = 'mine' WHERE id = 6")
    mine.falls("UPDATE post SET author_id = 5 WHERE author_id = 6")   # the last: NULLs appear
    assert mine.read() == [(6, "mine", None, None)]
    mine.falls("UPDATE post SET author_id = 6 WHERE id % 9 = 5")


def test_answers_that_do_not_show_their_rows_fall_to_updates(cached):
    count = cached("SELECT count(*) FROM post WHERE author_id = 4")
    count.stays("INSERT INTO post VALUES (1000, 5, 'live', 'x')")
    count.falls("UPDATE post SET author_id = 4 WHERE id = 1000")
    count.falls("UPDATE post SET author_id = 5 WHERE id = 1000")
    count.falls("DELETE FROM post WHERE id = 1000")
    anti = cached("SELECT a.id, p.id FROM author a LEFT JOIN post p ON p.author_id = a.id AND p.status = 'gone' "
                  "WHERE p.id IS NULL AND a.name = 'author 3'")
    anti.falls("INSERT INTO post VALUES (1000, 3, 'gone', 'x')")
    anti.falls("UPDATE post SET status = 'back' WHERE id = 1000")
    anti.falls("DELETE FROM post WHERE id = 1000")


def test_old_values_are_known_under_identity_full(cached):
    count = cached("SELECT count(*), max(title) FROM logged WHERE author_id = 4")
    count.stays("INSERT INTO logged VALUES (1000, 5, 'x')")
    count.stays("UPDATE logged SET title = 'y' WHERE id = 1000")
    count.falls("UPDATE logged SET author_id = 4 WHERE id = 1000")
    count.falls("UPDATE logged SET author_id = NULL WHERE id = 1000")
    count.stays("UPDATE logged SET author_id = 5 WHERE id = 1000")
    count.stays("DELETE FROM logged WHERE id = 1000")
    count.falls("DELETE FROM logged WHERE author_id = 4 AND id < 20")


def test_a_table_without_key(cached, cluster):
    mine = cached("SELECT title FROM keyless WHERE author_id = 4")
    mine.stays("INSERT INTO keyless VALUES (5, 'x')")
    mine.falls("INSERT INTO keyless VALUES (4, 'x')")
    mine.falls("DELETE FROM keyless WHERE author_id = 5 AND title = 'x'")
    cluster.sql("ALTER TABLE keyless REPLICA IDENTITY NOTHING", DB)
    mine.falls("UPDATE keyless SET title = 'z' WHERE author_id = 4")


def test_rows_that_others_write_for_us(cached, cluster):
    """A cascade; COPY of many rows; writes without triggers; TRUNCATE."""
    mine = cached("SELECT id FROM child WHERE author_id = 7")
    other = cached("SELECT id FROM child WHERE author_id = 8")
    cluster.sql("UPDATE post SET author_id = 6 WHERE author_id = 8", DB)
    mine.stays("DELETE FROM author WHERE id = 8")
    assert other.read() == []
    mine.stays("COPY child FROM PROGRAM 'seq -f \"%.0f,5\" 2000 2700' WITH (FORMAT csv)")
    mine.falls("COPY child FROM PROGRAM 'seq -f \"%.0f,7\" 4000 4010' WITH (FORMAT csv)")
    mine.stays("SET session_replication_role = replica; INSERT INTO child VALUES (5000, 99)")
    mine.falls("SET session_replication_role = replica; INSERT INTO child VALUES (5001, 7)")
    mine.falls("TRUNCATE child")


def test_unchanged_toast_is_not_unknown(cached):
    mine = cached("SELECT id, title, octet_length(big) FROM post WHERE author_id = 4 AND title = 'post 3' ORDER BY id")
    mine.falls("UPDATE post SET big = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) i) WHERE id = 3")
    mine.falls("UPDATE post SET title = 'other' WHERE id = 3")
    mine.falls("UPDATE post SET title = 'post 3' WHERE id = 3")
    toasted = cached("SELECT id FROM post WHERE big = (SELECT big FROM post WHERE id = 3) AND author_id = 4")
    toasted.falls("UPDATE post SET author_id = 5 WHERE id = 3")
    toasted.falls("UPDATE post SET author_id = 4 WHERE id = 3")


@pytest.mark.parametrize("condition,write", [
    ("n = 1", "UPDATE odd SET n = 1.00 WHERE id = 2"),
    ("f = 0", "UPDATE odd SET f = '-0' WHERE id = 2"),
    ("c = 'a'", "UPDATE odd SET c = 'a  ' WHERE id = 2"),
    ("ci = 'X'", "UPDATE odd SET ci = 'x' WHERE id = 2"),
    ("t = 'a'", "UPDATE odd SET t = 'a' WHERE id = 3"),
    ("t IS NULL", "UPDATE odd SET t = NULL WHERE id = 2"),
], ids=["numeric", "float", "char", "collation", "null", "is null"])
def test_odd_equality(cached, cluster, condition, write):
    cluster.sql("TRUNCATE odd; INSERT INTO odd VALUES (1, 1.0, 0, 'a', 'x', 'a'), (2, 2, 1, 'b', 'y', 'b'), "
                "(3, NULL, NULL, NULL, NULL, NULL)", DB)
    cached(f"SELECT id FROM odd WHERE {condition}").falls(write)
    cached(f"SELECT id FROM odd WHERE {condition} AND id < 10").falls("INSERT INTO odd SELECT 4, n, f, c, ci, t FROM odd WHERE " + write[-6:])


def test_citext(cached, proxy, cluster):
    """A type that brings operators of its own: who compares by it depends on the whole table."""
    cluster.sql("CREATE EXTENSION citext; CREATE TABLE folded (id int PRIMARY KEY, x citext); INSERT INTO folded VALUES (1, 'A'), (2, 'b')", DB)
    try:
        shown = cached("SELECT x FROM folded WHERE id = 1")
        compared = cached("SELECT id FROM folded WHERE x = 'a' ORDER BY id")
        for write in ("UPDATE folded SET x = 'a' WHERE id = 2", "UPDATE folded SET x = 'c' WHERE id = 1", "INSERT INTO folded VALUES (3, 'A')"):
            compared.falls(write)
            shown.right()
        shown.falls("UPDATE folded SET x = 'C' WHERE id = 1")
    finally:
        cluster.sql("DROP TABLE folded; DROP EXTENSION citext", DB)


def test_random_reads_between_random_writes(proxy, cluster, db):
    """Every read right after a write of somebody else is compared with PostgreSQL's own answer."""
    dice = random.Random(4)
    reads = ["SELECT id, title FROM post WHERE author_id = {a} ORDER BY id",
             "SELECT count(*) FROM post WHERE author_id = {a}",
             "SELECT id FROM post WHERE author_id = {a} AND status = '{s}' ORDER BY id LIMIT 2",
             "SELECT id FROM post WHERE author_id = {a} ORDER BY id LIMIT 2 OFFSET 1",
             "SELECT a.id, p.id, p.title FROM author a JOIN post p ON p.author_id = a.id WHERE a.id = {a} ORDER BY p.id",
             "SELECT p.id, a.name FROM post p LEFT JOIN author a ON a.id = p.author_id WHERE p.status = '{s}' AND p.author_id = {a} ORDER BY p.id",
             "SELECT id FROM author x WHERE EXISTS (SELECT 1 FROM post p WHERE p.author_id = {a} AND p.status = '{s}') ORDER BY id"]
    writes = ["INSERT INTO post VALUES ({i}, {a}, '{s}', 'n') ON CONFLICT (id) DO UPDATE SET author_id = {a}",
              "UPDATE post SET author_id = {a} WHERE id = {i}", "UPDATE post SET status = '{s}' WHERE id = {i}",
              "DELETE FROM post WHERE id = {i}", "UPDATE author SET name = '{s}' WHERE id = {a}"]
    with proxy.connect(db) as reader, cluster.connect(db) as direct, Counted(proxy) as counted:
        for _ in range(400):
            def fill(text):
                return text.format(a=dice.choice([1, 2, 3]), i=dice.randrange(100, 112), s=dice.choice(["live", "gone"]))
            direct.execute(fill(dice.choice(writes)))
            for _ in range(3):
                sql = fill(dice.choice(reads))
                assert reader.execute(sql).fetchall() == direct.execute(sql).fetchall(), sql
    assert counted.rise("cache_hits") > 100
