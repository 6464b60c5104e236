"""row_version_check: an UPDATE or DELETE by primary key of a row that has changed since its transaction read it fails."""
import threading

import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.wire import SYNC, Wire, bind, describe, execute, kinds, parse, rows
from test_cache import PATIENT, Counted, warm

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the check is pgweir's")
LOST = psycopg.errors.SerializationFailure


@pytest.fixture(scope="module")
def db(cluster):
    name = "versions"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (999, 'warm');
        CREATE TABLE account (id int PRIMARY KEY, owner text, balance int NOT NULL);
        INSERT INTO account SELECT i, 'owner ' || i % 10, 0 FROM generate_series(1, 1000) i;
        CREATE TABLE pair (a uuid, b text, v int, PRIMARY KEY (b, a));
        INSERT INTO pair VALUES ('00000000-0000-0000-0000-000000000001', 'x', 0);
        CREATE TABLE part (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
        CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (100); INSERT INTO part VALUES (1, 0);
        CREATE FUNCTION touch(number int) RETURNS void LANGUAGE sql AS 'UPDATE account SET owner = owner WHERE id = number'""", name)
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    made = Proxy(cluster, {**PATIENT, "row_version_check": "on"})
    warm(made, db)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def balance(conn, number):
    return conn.execute("SELECT balance FROM account WHERE id = %s", (number,)).fetchone()[0]


def put(conn, number, value):
    return conn.execute("UPDATE account SET balance = %s WHERE id = %s", (value, number))


def elsewhere(cluster, db, number, change="balance = balance + 1"):
    cluster.sql(f"UPDATE account SET {change} WHERE id = {number}", db)


@pytest.mark.parametrize("read", [
    "SELECT balance FROM account WHERE id = {}", "SELECT * FROM account WHERE id IN ({}, 900)", "SELECT count(*) FROM account WHERE owner = 'x'",
    "SELECT a.balance FROM account a JOIN item i ON i.id = a.id + 0 WHERE a.id = {}", "SELECT balance, now() FROM account WHERE id = {}",
    "SELECT 1 AS one FROM account WHERE id = {}", "DECLARE c CURSOR FOR SELECT * FROM account; FETCH ALL c",
], ids=["key", "list", "table", "join", "unknown", "other column", "cursor"])
@pytest.mark.parametrize("write", ["UPDATE account SET balance = 5 WHERE id = {}", "DELETE FROM account AS a WHERE a.id = {} AND balance >= 0",
                                   "UPDATE account SET balance = 6 WHERE id IN ({}, 901) RETURNING id"], ids=["update", "delete", "in"])
def test_a_changed_row_is_not_written(cluster, proxy, db, read, write):
    with proxy.connect(db) as conn:
        with pytest.raises(LOST) as refused, conn.transaction():
            conn.execute(read.format(10), prepare=False)
            elsewhere(cluster, db, 10)
            conn.execute(write.format(10))
        assert "row_version_check" in refused.value.diag.message_detail and refused.value.diag.message_hint
        with conn.transaction(force_rollback=True):  # again: nothing has changed since
            conn.execute(read.format(10), prepare=False)
            assert conn.execute(write.format(10)).rowcount >= 1


def test_what_has_not_changed_is_written(cluster, proxy, db):
    with proxy.connect(db) as conn, Counted(proxy) as counted:
        with conn.transaction():
            before = balance(conn, 20)
            elsewhere(cluster, db, 21)  # another row
            assert put(conn, 20, before + 1).rowcount == 1
            assert put(conn, 20, before + 2).rowcount == 1  # its own change is none of others
            with conn.transaction():
                put(conn, 20, before + 3)
            with conn.transaction(force_rollback=True):
                put(conn, 20, before + 4)
            conn.execute("SELECT touch(20)")
            assert put(conn, 20, before + 5).rowcount == 1
            assert put(conn, 22, 7).rowcount == 1  # never read
            assert balance(conn, 5000 - 4999) == 0
        with conn.transaction():
            assert conn.execute("SELECT balance FROM account WHERE id = 5000").fetchall() == []
            assert put(conn, 5000, 1).rowcount == 0  # was not there, is not there
        assert balance(conn, 20) == before + 5
        put(conn, 20, 0)  # no transaction block, nothing to compare
    assert counted.rise("row_checks") >= 6 and counted.rise("row_conflicts") == 0


def test_hits_of_the_cache_count_as_reads(cluster, proxy, db):
    with proxy.connect(db) as conn:
        for _ in range(20):
            balance(conn, 30)
        with pytest.raises(LOST), Counted(proxy) as counted, conn.transaction():
            balance(conn, 30), balance(conn, 30)
            elsewhere(cluster, db, 30)
            put(conn, 30, 1)
        assert counted.rise("cache_hits") >= 1 and counted.rise("row_conflicts") == 1


def test_gone_rows(cluster, proxy, db):
    with proxy.connect(db) as conn:
        with pytest.raises(LOST), conn.transaction():
            balance(conn, 40)
            cluster.sql("DELETE FROM account WHERE id = 40", db)
            put(conn, 40, 1)
        with conn.transaction():
            balance(conn, 41)
            assert conn.execute("DELETE FROM account WHERE id = 41").rowcount == 1
            assert put(conn, 41, 1).rowcount == 0  # its own doing


def test_the_transaction_has_failed_as_any_other(cluster, proxy, db):
    with proxy.connect(db) as conn:
        conn.execute("BEGIN")
        balance(conn, 50)
        elsewhere(cluster, db, 50)
        with pytest.raises(LOST):
            put(conn, 50, 1)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            balance(conn, 50)
        assert conn.execute("COMMIT").statusmessage == "ROLLBACK"
        # A savepoint brings it back, and what was read before it still counts.
        with conn.transaction():
            before = balance(conn, 51)
            elsewhere(cluster, db, 51)
            with pytest.raises(LOST), conn.transaction():
                put(conn, 51, before + 10)
            with pytest.raises(LOST), conn.transaction():
                put(conn, 51, before + 10)
            put(conn, 52, 3)
        assert balance(conn, 51) == before + 1 and balance(conn, 52) == 3


@pytest.mark.parametrize("simple", [True, False], ids=["simple", "extended"])
def test_on_the_wire(cluster, proxy, db, simple):
    def read(wire):
        if simple:
            return wire.simple("SELECT balance FROM account WHERE id = 60")
        wire.send(parse("", "SELECT balance FROM account WHERE id = $1", [23]), bind("", "", [b"60"]), execute(), SYNC)
        return wire.until(b"Z")

    def write(wire):
        if simple:
            return wire.simple("UPDATE account SET balance = 1 WHERE id = 60")
        wire.send(parse("", "SELECT 1"), bind("", ""), execute(), parse("", "UPDATE account SET balance = $1 WHERE id = $2", [23, 23]),
                  bind("", "", [b"1", b"\0\0\0\x3c"], [0, 1]), describe("P"), execute(), parse("", "SELECT 2"), bind("", ""), execute(), SYNC)
        return wire.until(b"Z")
    with Wire(proxy.port).login(database=db) as wire:
        wire.simple("BEGIN")
        read(wire)
        good = write(wire)
        assert kinds(good) == ("CZ" if simple else "12DC12nC12DCZ") and good[-1][1] == b"T"
        wire.simple("ROLLBACK")
        wire.simple("BEGIN")
        read(wire)
        elsewhere(cluster, db, 60)
        bad = write(wire)
        assert kinds(bad) == ("EZ" if simple else "12DC1EZ") and bad[-1][1] == b"E"
        assert b"C40001\0" in bad[-2][1]
        assert b"C25P02\0" in wire.simple("SELECT 1")[0][1]
        assert wire.simple("ROLLBACK")[-1][1] == b"I"
        assert rows(wire.simple("SELECT 1")) == [[b"1"]]


def test_locks_of_others_are_waited_for(cluster, proxy, db):
    """The comparison is made under the lock, so the one who comes second is refused."""
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("BEGIN"), two.execute("BEGIN")
        balance(one, 70), balance(two, 70)
        put(one, 70, 5)
        outcome = []

        def second():
            try:
                put(two, 70, 6)
            except psycopg.Error as error:
                outcome.append(error)
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        one.execute("COMMIT")
        thread.join()
        assert isinstance(outcome[0], LOST)
        two.execute("ROLLBACK")
        assert balance(one, 70) == 5
        # Whoever rolls back has changed nothing.
        one.execute("BEGIN"), two.execute("BEGIN")
        balance(one, 70), balance(two, 70)
        put(one, 70, 7)
        one.execute("ROLLBACK")
        assert put(two, 70, 8).rowcount == 1
        two.execute("COMMIT")


def test_a_subtransaction_of_another_counts(cluster, proxy, db):
    """Snapshots do not list subtransactions: one that ran when the row was read, and whose transaction ends later."""
    with cluster.connect(db) as other, proxy.connect(db) as conn, proxy.connect(db) as third:
        other.execute("BEGIN; INSERT INTO item VALUES (1, 'so that it is running')")
        other.execute("SAVEPOINT a")
        put(other, 80, 9)
        put(third, 81, 1)  # a later transaction has ended: xmax is beyond the subtransaction
        conn.execute("BEGIN")
        before = balance(conn, 80)
        other.execute("COMMIT")
        with pytest.raises(LOST):
            put(conn, 80, before + 1)
        conn.execute("ROLLBACK")
        # One that runs on all the time, and is older, is no reason.
        other.execute("BEGIN; INSERT INTO item VALUES (2, 'again')")
        put(third, 82, 1)
        with conn.transaction():
            before = balance(conn, 82)
            assert put(conn, 82, before + 1).rowcount == 1
        other.execute("ROLLBACK")


def test_other_keys_and_partitions(cluster, proxy, db):
    one = "00000000-0000-0000-0000-000000000001"
    with proxy.connect(db) as conn:
        for change, refused in (("v = v", True), (None, False)):
            conn.execute("BEGIN")
            conn.execute("SELECT v FROM pair WHERE a = %s AND b = %s", (one, "x"), prepare=False)
            if change:
                cluster.sql(f"UPDATE pair SET {change}", db)
            if refused:
                with pytest.raises(LOST):
                    conn.execute("UPDATE pair SET v = 2 WHERE b = 'x' AND a = '" + one + "'")
            else:
                conn.execute("UPDATE pair SET v = 2 WHERE b = 'x' AND a = '" + one + "'")
            conn.execute("ROLLBACK")
        for read, write in (("part", "part"), ("part", "part_low"), ("part_low", "part")):
            with pytest.raises(LOST), conn.transaction():
                conn.execute(f"SELECT v FROM {read} WHERE id = 1")
                cluster.sql("UPDATE part SET v = v + 1 WHERE id = 1", db)
                conn.execute(f"UPDATE {write} SET v = 0 WHERE id = 1")


def test_off_and_on(cluster, proxy, db):
    with proxy.connect(db) as conn, Counted(proxy) as counted:
        conn.execute("SET pgweir.row_version_check = off")
        for local in (False, True):
            conn.execute("BEGIN")
            if local:
                conn.execute("SET LOCAL pgweir.row_version_check = on")
            before = balance(conn, 90)
            elsewhere(cluster, db, 90)
            if local:
                with pytest.raises(LOST):
                    put(conn, 90, before)
            else:
                put(conn, 90, before)
            conn.execute("ROLLBACK")
        conn.execute("SET pgweir.row_version_check = on")
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with pytest.raises(LOST, match="could not serialize access due to concurrent update") as error, conn.transaction():
            balance(conn, 91)
            elsewhere(cluster, db, 91)
            put(conn, 91, 1)
        assert error.value.diag.message_detail is None  # PostgreSQL's own
        conn.isolation_level = None
        with conn.transaction():  # what is not by primary key is not looked at, and counted
            balance(conn, 92)
            conn.execute("UPDATE account SET balance = balance + 1 WHERE id BETWEEN 92 AND 93")
    assert counted.rise("row_conflicts") == 1 and counted.rise("row_unchecked") == 1


def test_without_a_picture_of_the_tables_it_does_not_guess(cluster, db):
    proxy = Proxy(cluster, {"cache_size": "0", "row_version_check": "on"})
    with proxy.connect(db) as conn:
        put(conn, 95, 1)
        with conn.transaction():
            put(conn, 95, 2)  # nothing was read
            conn.execute("INSERT INTO item VALUES (95, '')")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState), conn.transaction():
            assert balance(conn, 95) == 2
            conn.execute("INSERT INTO item VALUES (96, '')")
            put(conn, 95, 3)
        assert balance(conn, 95) == 2
    assert proxy.stop() == 0


def test_what_a_lost_lock_has_shown(cluster, proxy, db):
    """A locking read needs no comparison, until its savepoint is rolled back."""
    with proxy.connect(db) as conn:
        conn.execute("BEGIN; SAVEPOINT a")
        before = conn.execute("SELECT balance FROM account WHERE id = 96 FOR UPDATE").fetchone()[0]
        put(conn, 96, before)
        conn.execute("ROLLBACK TO a")
        elsewhere(cluster, db, 96)
        with pytest.raises(LOST):
            put(conn, 96, before + 1)
        conn.execute("ROLLBACK")
        conn.execute("BEGIN; SAVEPOINT a")
        before = conn.execute("SELECT balance FROM account WHERE id = 96 FOR UPDATE").fetchone()[0]
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / 0")  # the lock is gone with this
        conn.execute("ROLLBACK TO a")
        elsewhere(cluster, db, 96)
        with pytest.raises(LOST):
            put(conn, 96, before + 1)
        conn.execute("ROLLBACK")


def test_waiting_for_a_lock_is_no_reason(cluster, proxy, db):
    """What was read behind the wait is as new as it can be."""
    for sql in ("SELECT pg_advisory_xact_lock(7)", "SELECT balance FROM account WHERE id = 97 FOR UPDATE"):
        with proxy.connect(db) as one, proxy.connect(db) as two:
            one.execute("BEGIN"), two.execute("BEGIN")
            one.execute(sql)
            thread = threading.Thread(target=lambda: two.execute(sql))
            thread.start()
            thread.join(0.2)
            assert thread.is_alive()
            put(one, 97, balance(one, 97) + 1)
            one.execute("COMMIT")
            thread.join()
            assert put(two, 97, balance(two, 97) + 1).rowcount == 1
            two.execute("COMMIT")


def test_a_weak_lock_is_a_read(cluster, proxy, db):
    with proxy.connect(db) as conn, pytest.raises(LOST), conn.transaction():
        before = conn.execute("SELECT balance FROM account WHERE id = 98 FOR KEY SHARE").fetchone()[0]
        elsewhere(cluster, db, 98)
        put(conn, 98, before + 1)


@pytest.mark.parametrize("text", ["BEGIN; SELECT balance FROM account WHERE id = 99", "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT * FROM account"])
def test_several_statements_in_a_text(cluster, proxy, db, text):
    with Wire(proxy.port).login(database=db) as wire:
        wire.simple(text)
        assert kinds(wire.simple("UPDATE account SET balance = 1 WHERE id = 99; UPDATE account SET balance = 2 WHERE id = 100")) == "CCZ"
        wire.simple("ROLLBACK")
        wire.simple(text)
        elsewhere(cluster, db, 99)
        got = wire.simple("UPDATE account SET balance = 2 WHERE id = 100; UPDATE account SET balance = 1 WHERE id = 99")
        assert kinds(got) == "EZ" and b"C40001\0" in got[0][1]
        wire.simple("ROLLBACK")


@pytest.mark.parametrize("check", ["on", "off"])
def test_read_modify_write_by_many(cluster, db, check):
    """Two pgweirs and programs that write directly: with the check every increment counts, without it some are lost."""
    proxies = [Proxy(cluster, {**PATIENT, "row_version_check": check, "default_pool_size": 8}) for _ in range(2)]
    hot = range(101, 104)
    cluster.sql("UPDATE account SET balance = 0 WHERE id BETWEEN 101 AND 103", db)
    for proxy in proxies:
        warm(proxy, db)
    done, problems = [0] * 8, []

    def through(index):
        with proxies[index % 2].connect(db, prepare_threshold=0 if index % 4 < 2 else None) as conn:
            for turn in range(40):
                number = hot[(turn + index) % len(hot)]
                while True:
                    try:
                        with conn.transaction():
                            value = balance(conn, number)
                            if turn % 3 == 0:
                                conn.execute("SELECT pg_sleep(0.001)")
                            with conn.transaction():
                                put(conn, number, value + 1)
                        break
                    except (LOST, psycopg.errors.DeadlockDetected):
                        continue
                done[index] += 1

    def directly(index):
        with cluster.connect(db) as conn:
            for turn in range(80):
                conn.execute("UPDATE account SET balance = balance + 1 WHERE id = %s", (hot[turn % len(hot)],))
                done[index] += 1

    def guarded(work, index):
        try:
            work(index)
        except Exception as error:  # a thread's failure is the test's
            problems.append(error)
    threads = [threading.Thread(target=guarded, args=(directly if i >= 6 else through, i)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems
    with cluster.connect(db) as conn:
        total = conn.execute("SELECT sum(balance) FROM account WHERE id BETWEEN 101 AND 103").fetchone()[0]
    conflicts = sum(proxy.metrics().count("row_conflicts") for proxy in proxies)
    hits = sum(proxy.metrics().count("cache_hits") for proxy in proxies)
    print(f"{check}: {sum(done)} increments, {total} counted, {conflicts} conflicts, {hits} hits")
    if check == "on":
        assert total == sum(done) and conflicts > 0
    else:
        assert total < sum(done) and conflicts == 0
    for proxy in proxies:
        assert proxy.stop() == 0
