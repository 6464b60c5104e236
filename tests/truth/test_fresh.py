"""No read through pgweir is ever older than what was acknowledged, or returned, before it began."""
import os
import signal
import time

import psycopg
import pytest

from conftest import CYCLES, LIST_CYCLES, cache_is_on, new_cluster, start_pair, stop_pair
from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import PG_BIN, as_pg_user, feed_plugins, new_dir, pg_version, reap, spawn, wait_for


def test_postgres_itself_is_fresh(cluster, truth):
    truth(cluster, [], "--async", "--ddl", hits=False).finish().fresh()
    truth(cluster, [], "--async", "--lists", "--parted", "--mirror", cycles=LIST_CYCLES, hits=False).finish().fresh()
    truth(cluster, [], "--async", "--points", hits=False).finish().fresh()


def test_the_checker_sees(cluster, truth):
    """A proxy that answers from a copy which nobody keeps up to date."""
    class Copy:
        def dsn(self):
            return cluster.dsn("copy")
    cluster.sql("CREATE DATABASE copy")
    cluster.sql("CREATE TABLE truth (id int PRIMARY KEY, version bigint); INSERT INTO truth SELECT i, 0 FROM generate_series(1, 16) i",
                "copy")
    got = truth(cluster, [Copy()], cycles=200, hits=False).finish()
    assert got.code in (1, 3)
    assert got.numbers["violations"] > 20
    cluster.sql("DROP DATABASE copy WITH (FORCE)")


@pytest.mark.parametrize("protocol", ["mix", pytest.param("simple", marks=pytest.mark.long),
                                      pytest.param("prepared", marks=pytest.mark.long)])
@pytest.mark.parametrize("commits", ["sync", "async"])
def test_fresh(cluster, pair, truth, commits, protocol):
    more = ["--async"] if commits == "async" else []
    truth(cluster, pair, "--protocol", protocol, "--pause", 4000, *more).finish().fresh()


@pytest.mark.parametrize("commits", ["sync", "async"])
def test_fresh_lists(cluster, pair, truth, commits):
    """Lists by owner, counts, pages and joins, whose rows move between owners."""
    more = ["--async"] if commits == "async" else []
    truth(cluster, pair, "--lists", "--rows", 30, "--writers", 4, "--readers", 8, "--pause", 8000, *more,
          cycles=LIST_CYCLES).finish().fresh()


@pytest.mark.parametrize("commits", ["sync", "async"])
def test_fresh_points(cluster, pair, truth, commits):
    """Reads by key that are answered by rows of lists and of other reads: columns of one row, and rows of one answer, of one moment."""
    more = ["--async"] if commits == "async" else []
    before = [proxy.metrics().count("cache_row_hits") for proxy in pair]
    truth(cluster, pair, "--points", "--rows", 20, "--writers", 3, "--readers", 9, "--pause", 8000, *more,
          cycles=CYCLES // 4).finish().fresh()
    if PGWEIR:
        rises = [proxy.metrics().count("cache_row_hits") - old for proxy, old in zip(pair, before)]
        print("row hits", rises)
        assert sum(rises) > 0


@pytest.mark.skipif(not PGWEIR, reason="needs the cache")
def test_fresh_points_refreshed_in_place(cluster, truth):
    """The same while changed rows go on by themselves."""
    pair = start_pair(cluster, {"refresh_in_place": "on"})
    try:
        truth(cluster, pair, "--points", "--rows", 20, "--writers", 3, "--readers", 9, "--pause", 8000, "--async",
              cycles=CYCLES // 4).finish().fresh()
        rises = [proxy.metrics().count("cache_refreshes") for proxy in pair]
        print("refreshes", rises)
        assert sum(rises) > 0
    finally:
        stop_pair(pair)


def test_fresh_lists_under_identity_full(cluster, pair, truth):
    """The same when old rows are shown."""
    cluster.sql("DROP TABLE IF EXISTS owned")
    with truth(cluster, pair, "--lists", "--rows", 30, "--pause", 8000, cycles=LIST_CYCLES) as run:
        wait_for("the table to be filled", lambda: cluster.sql("SELECT to_regclass('owned') IS NOT NULL") == "t")
        cluster.sql("ALTER TABLE owned REPLICA IDENTITY FULL")
    run.fresh()


@pytest.mark.parametrize("plugin", feed_plugins())
def test_fresh_lists_of_a_partitioned_table(cluster, truth, plugin):
    """The same, and with each version rows move between partitions."""
    cluster.sql("CREATE PUBLICATION pgweir FOR ALL TABLES")
    pair = start_pair(cluster, {"feed_plugin": plugin})
    try:
        truth(cluster, pair, "--lists", "--parted", "--rows", 30, "--writers", 4, "--readers", 8, "--pause", 8000, "--async",
              cycles=LIST_CYCLES).finish().fresh()
    finally:
        stop_pair(pair)
        cluster.sql("DROP PUBLICATION pgweir")


def test_fresh_by_triggers_and_cascades(cluster, pair, truth):
    """Half of the reads are of a table that no statement writes."""
    truth(cluster, pair, "--mirror", "--pause", 4000, "--async", cycles=CYCLES // 2).finish().fresh()


def test_fresh_without_a_pause(cluster, pair, truth):
    """Hardly a hit, but every fill has a commit in its way."""
    truth(cluster, pair, "--async", hits=False).finish().fresh()


def test_fresh_with_few_writers(cluster, pair, truth):
    """Mostly hits: this is what a cache is for."""
    got = truth(cluster, pair, "--writers", 1, "--readers", 12, "--rows", 40, cycles=min(300, CYCLES // 8)).finish().fresh()
    assert got.numbers["reads"] > 300


def test_fresh_while_tables_change(cluster, pair, truth):
    got = truth(cluster, pair, "--ddl", "--async", "--writers", 2, "--readers", 10).finish().fresh()
    assert got.numbers["alterations"] > 3


@pytest.mark.skipif(not PGWEIR or "pgoutput" not in feed_plugins(), reason="needs the cache, and a server of which pgweir takes that")
def test_fresh_with_pgoutput(cluster, truth):
    """The other decoder: rows, DDL by the event trigger, asynchronous commits."""
    cluster.sql("CREATE PUBLICATION pgweir FOR ALL TABLES")
    pair = start_pair(cluster, {"feed_plugin": "pgoutput"})
    try:
        truth(cluster, pair, "--pause", 4000, "--async").finish().fresh()
        truth(cluster, pair, "--points", "--rows", 20, "--writers", 3, "--readers", 9, "--pause", 8000, "--async",
              cycles=CYCLES // 4).finish().fresh()
        got = truth(cluster, pair, "--ddl", "--writers", 2, "--readers", 10).finish().fresh()
        assert got.numbers["alterations"] > 3
    finally:
        stop_pair(pair)
        cluster.sql("DROP PUBLICATION pgweir")


@pytest.fixture(scope="module")
def preparing():
    """A PostgreSQL that allows for prepared transactions."""
    made = new_cluster(max_prepared_transactions="20")
    made.sql("CREATE PUBLICATION pgweir FOR ALL TABLES")
    yield made
    made.remove()


@pytest.mark.skipif(not PGWEIR, reason="needs the cache")
@pytest.mark.parametrize("settings", [{}, {"refresh_in_place": "on"}, *({"feed_plugin": plugin} for plugin in feed_plugins()[1:])], ids=str)
def test_fresh_with_commits_of_two_phases(preparing, truth, settings):
    """What is decoded as one transaction was written in one session and is committed by a later statement, of whomever."""
    pair = start_pair(preparing, settings)
    try:
        truth(preparing, pair, "--two-phase", "--pause", 4000, "--async").finish().fresh()
        truth(preparing, pair, "--two-phase", "--points", "--rows", 20, "--writers", 3, "--readers", 9, "--pause", 8000, "--async",
              cycles=LIST_CYCLES).finish().fresh()
    finally:
        stop_pair(pair)


needs_standby = pytest.mark.skipif(pg_version() > 15, reason="pg_receivewal is that of 15")


def hung_standby(cluster):
    """A synchronous standby that has stopped answering: nobody's synchronous commit ends any more."""
    wal = new_dir("standby", owner="postgres")
    process = spawn(as_pg_user([PG_BIN / "pg_receivewal", "-D", wal, "--synchronous", "--no-loop",
                                "-d", cluster.dsn(None, application_name="hung").replace("dbname=None", "")]),
                    wal / "log")
    cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'hung'")
    cluster.reload()
    wait_for("the standby to be synchronous", lambda: cluster.sql(
        "SELECT sync_state FROM pg_stat_replication WHERE application_name = 'hung'") == "sync")
    return process


def let_go(cluster, process):
    cluster.sql("ALTER SYSTEM RESET synchronous_standby_names")
    cluster.reload()
    process.send_signal(signal.SIGCONT)
    reap(process)


@needs_standby
def test_fresh_with_a_hung_standby(cluster, pair, truth):
    process = hung_standby(cluster)
    try:
        process.send_signal(signal.SIGSTOP)
        got = truth(cluster, pair, "--hung", seconds=max(20, CYCLES // 100), hits=False).finish().fresh()
        assert got.numbers["cycles"] > 50
    finally:
        let_go(cluster, process)
    # What hung is let go, and the cache goes on.
    truth(cluster, pair).finish().fresh()


def pauses(standby, process):
    """Until the process has ended: commits are in the feed, and can't be seen for a while."""
    while process.poll() is None:
        standby.send_signal(signal.SIGSTOP)
        time.sleep(0.1)  # the pause itself
        standby.send_signal(signal.SIGCONT)
        time.sleep(0.03)


@needs_standby
@pytest.mark.skipif(not PGWEIR, reason="needs the cache")
def test_fresh_points_refreshed_beside_a_standby_that_pauses(cluster, truth):
    """The feed shows new versions of rows that nobody can see yet."""
    pair = start_pair(cluster, {"refresh_in_place": "on"})
    standby = hung_standby(cluster)
    try:
        with truth(cluster, pair, "--points", "--writers", 3, "--readers", 9, "--rows", 12, "--pause", 8000,
                   cycles=10**9, seconds=max(8, CYCLES // 400), hits=False) as run:
            pauses(standby, run.process)
        run.fresh()
    finally:
        let_go(cluster, standby)
        stop_pair(pair)


def private_table(cluster):
    cluster.sql("""DROP TABLE IF EXISTS private; CREATE TABLE private (id int PRIMARY KEY, v int);
        INSERT INTO private VALUES (1, 1);
        DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$""")


def read_private(conn):
    return conn.execute("SELECT v FROM private WHERE id = 1").fetchone()


@pytest.mark.skipif(not PGWEIR, reason="needs the cache")
def test_revoke_counts_at_once(cluster, pair):
    private_table(cluster)
    with cluster.connect() as owner, pair[0].connect(user="reader") as a, pair[1].connect(user="reader") as b:
        def hit(conn, proxy):
            before = proxy.metrics().count("cache_hits")
            assert read_private(conn) == (1,)
            return proxy.metrics().count("cache_hits") > before
        for turn in range(80):
            owner.execute("GRANT SELECT ON private TO reader")
            # In some turns the answer is surely cached, in others GRANT and REVOKE follow each other closely.
            for conn, proxy in ((a, pair[0]), (b, pair[1])) if turn % 4 == 0 else ():
                wait_for("a hit", lambda conn=conn, proxy=proxy: hit(conn, proxy))
            for conn in (a, b) * (turn % 4):
                assert read_private(conn) == (1,)
            owner.execute("REVOKE SELECT ON private FROM reader")
            for conn in (a, b):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    read_private(conn)


@pytest.mark.skipif(not PGWEIR, reason="needs the cache")
def test_a_right_that_was_there_for_a_moment(cluster, pair):
    """The stream is late: when it tells of the GRANT, the catalog looks as before again. What was filled in between must go."""
    private_table(cluster)
    with cluster.connect() as owner, pair[0].connect(user="reader") as a, pair[1].connect(user="reader") as b:
        for _ in range(5):
            for proxy in pair:
                wait_for("the cache to be on", lambda proxy=proxy: cache_is_on(proxy))
            streams = [pid for pid, in owner.execute("SELECT pid FROM pg_stat_replication")]
            assert len(streams) == 2
            for pid in streams:
                os.kill(pid, signal.SIGSTOP)
            try:
                owner.execute("GRANT SELECT ON private TO reader")
                assert read_private(a) == read_private(b) == (1,)
                owner.execute("REVOKE SELECT ON private FROM reader")
            finally:
                for pid in streams:
                    os.kill(pid, signal.SIGCONT)
            for proxy in pair:
                wait_for("the cache to be on", lambda proxy=proxy: cache_is_on(proxy))
            for conn in (a, b):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    read_private(conn)
