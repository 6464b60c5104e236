"""Partitioned tables: read through the root, through a partition of a partition, and directly, while rows come, go and move.
Through both decoders."""
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import feed_plugins, wait_for
from test_cache import PATIENT, Counted, never_hits

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
DB = "parted"


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB}")
    cluster.sql("""
        CREATE TABLE sale (id int, region text, owner int, amount int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
        CREATE TABLE sale_north PARTITION OF sale FOR VALUES IN ('n');
        CREATE TABLE sale_south PARTITION OF sale FOR VALUES IN ('s', 't') PARTITION BY LIST (region);
        CREATE TABLE sale_deep (amount int, gone int, owner int, region text NOT NULL, id int NOT NULL);
        ALTER TABLE sale_deep DROP COLUMN gone;
        ALTER TABLE sale_south ATTACH PARTITION sale_deep FOR VALUES IN ('s');
        CREATE TABLE sale_tail PARTITION OF sale_south FOR VALUES IN ('t');
        INSERT INTO sale SELECT i, substr('nst', 1 + i % 3, 1), i % 5, i FROM generate_series(1, 60) i;
        CREATE TABLE keyless (region text, v int) PARTITION BY LIST (region);
        CREATE TABLE keyless_n PARTITION OF keyless FOR VALUES IN ('n');
        ALTER TABLE keyless_n REPLICA IDENTITY FULL;
        INSERT INTO keyless VALUES ('n', 1), ('n', 2);
        CREATE TABLE half (id int) PARTITION BY LIST (id);
        CREATE UNLOGGED TABLE half_one PARTITION OF half FOR VALUES IN (1);
        CREATE TABLE half_two PARTITION OF half FOR VALUES IN (2);
        INSERT INTO half VALUES (1), (2);
        CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE TABLE afar (id int) PARTITION BY LIST (id);
        CREATE FOREIGN TABLE afar_one PARTITION OF afar FOR VALUES IN (1) SERVER files OPTIONS (program 'echo 1');
        CREATE PUBLICATION pgweir FOR TABLE sale, keyless;
    """, DB)
    yield DB
    cluster.drop_database(DB)


@pytest.fixture(scope="module", params=feed_plugins())
def proxy(request, cluster, db):
    made = Proxy(cluster, {**PATIENT, "feed_plugin": request.param})
    with made.connect(db) as conn:
        def hit():
            with Counted(made) as counted:
                conn.execute("SELECT amount FROM sale WHERE id = 60 AND region = 'n'")
            return counted.rise("cache_hits") > 0
        wait_for("the cache to be on", hit)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


class Reads:
    """Some statements, all in the cache; `after` makes a write and tells which of them are still there."""

    def __init__(self, proxy, cluster, conn, **sql):
        self.proxy, self.cluster, self.conn, self.sql = proxy, cluster, conn, sql

    def read(self, name):
        return self.conn.execute(self.sql[name]).fetchall()

    def settle(self, name):
        def hit():
            with Counted(self.proxy) as counted:
                self.read(name)
            return counted.rise("cache_hits") > 0
        wait_for(f"a hit of {self.sql[name]}", hit)

    def after(self, write, falls=None):
        """`falls` None: a change of the catalog, after which the cache may be off for a moment."""
        for name in self.sql:
            self.settle(name)
        self.cluster.sql(write, DB)
        fell = set()
        with self.cluster.connect(DB) as direct:
            for name, sql in self.sql.items():
                with Counted(self.proxy) as counted:
                    got = self.read(name)
                if counted.rise("cache_misses") > 0:
                    fell.add(name)
                assert sorted(got, key=repr) == sorted(direct.execute(sql).fetchall(), key=repr), (write, sql)
        assert falls is None or fell == set(falls.split()), (write, fell)


@pytest.fixture
def reads(proxy, cluster, db):
    with proxy.connect(db, prepare_threshold=None) as conn:
        yield lambda **sql: Reads(proxy, cluster, conn, **sql)


def test_only_what_a_write_touches_falls(reads):
    some = reads(one="SELECT * FROM sale WHERE id = 1 AND region = 's'", other="SELECT * FROM sale WHERE id = 2 AND region = 't'",
                 mine="SELECT id, region, amount FROM sale WHERE owner = 1", yours="SELECT id, region, amount FROM sale WHERE owner = 2",
                 count="SELECT count(*) FROM sale WHERE owner = 1", all="SELECT sum(amount) FROM sale",
                 leaf="SELECT amount FROM sale_deep WHERE id = 1 AND region = 's'", south="SELECT id, region FROM sale_south WHERE owner = 1",
                 north="SELECT sum(amount) FROM sale_north")
    some.after("UPDATE sale SET amount = amount + 1 WHERE id = 1", "one mine count all leaf south")
    some.after("UPDATE sale_deep SET amount = amount + 1 WHERE id = 1", "one mine count all leaf south")
    some.after("INSERT INTO sale VALUES (100, 't', 1, 5)", "mine count all south")
    some.after("INSERT INTO sale_tail VALUES (101, 't', 2, 5)", "yours all")
    some.after("UPDATE sale SET region = 'n' WHERE id = 101", "yours all count north")  # a DELETE there, an INSERT here
    some.after("UPDATE sale SET region = 's' WHERE id = 101", "yours all count north")
    some.after("DELETE FROM sale WHERE id IN (100, 101)", "mine yours count all south")
    some.after("UPDATE sale SET owner = 1 WHERE id = 2 AND region = 't'", "other mine yours count all south")
    some.after("UPDATE sale SET owner = 2 WHERE id = 2", "other mine yours count all south")
    some.after("COPY sale FROM PROGRAM 'seq -f \"%.0f,n,2,1\" 200 260' WITH (FORMAT csv)", "yours all north")
    some.after("TRUNCATE sale_tail", "other all mine yours count one south")
    some.after("TRUNCATE sale", "one other mine yours count all leaf south north")
    some.cluster.sql("INSERT INTO sale SELECT i, substr('nst', 1 + i % 3, 1), i % 5, i FROM generate_series(1, 60) i", DB)


def test_partitions_come_and_go(reads, cluster):
    some = reads(all="SELECT count(*) FROM sale", mine="SELECT id, region FROM sale WHERE owner = 1 ORDER BY 1, 2")
    cluster.sql("CREATE TABLE sale_west (LIKE sale INCLUDING ALL); INSERT INTO sale_west VALUES (300, 'w', 1, 1)", DB)
    some.after("ALTER TABLE sale ATTACH PARTITION sale_west FOR VALUES IN ('w')")
    some.after("INSERT INTO sale_west VALUES (301, 'w', 3, 1)", "all")
    some.after("ALTER TABLE sale DETACH PARTITION sale_west")
    some.after("ALTER TABLE sale ATTACH PARTITION sale_west FOR VALUES IN ('w')")
    some.after("ALTER TABLE sale DETACH PARTITION sale_west CONCURRENTLY")
    some.after("ALTER TABLE sale ATTACH PARTITION sale_west FOR VALUES IN ('w')")
    some.after("ALTER TABLE sale_west RENAME TO sale_wild")
    some.after("INSERT INTO sale VALUES (302, 'w', 1, 1)", "all mine")
    some.after("DROP TABLE sale_wild")


def test_a_partition_goes_while_others_still_read_it(reads, cluster, proxy, db):
    """DETACH .. CONCURRENTLY commits twice and waits in between for those who read the table: others miss the rows meanwhile."""
    cluster.sql("CREATE TABLE sale_east PARTITION OF sale FOR VALUES IN ('e'); INSERT INTO sale VALUES (400, 'e', 1, 1)", DB)
    some = reads(all="SELECT count(*) FROM sale")
    some.settle("all")
    with cluster.connect(DB, autocommit=False) as holder, cluster.connect(DB) as owner, cluster.connect(DB) as direct:
        holder.execute("SELECT count(*) FROM sale")
        before = some.read("all")
        owner.pgconn.send_query(b"ALTER TABLE sale DETACH PARTITION sale_east CONCURRENTLY")
        wait_for("the first commit", lambda: direct.execute("SELECT count(*) FROM sale").fetchall() != before)
        assert some.read("all") == direct.execute("SELECT count(*) FROM sale").fetchall()
        holder.commit()
        while owner.pgconn.get_result() is not None:
            pass
    cluster.sql("DROP TABLE sale_east", DB)


def test_a_root_without_key(reads):
    some = reads(n="SELECT v FROM keyless WHERE region = 'n'", s="SELECT v FROM keyless WHERE region = 's'")
    some.after("INSERT INTO keyless VALUES ('n', 3)", "n")
    some.after("UPDATE keyless SET v = 4 WHERE v = 3", "n")
    some.after("DELETE FROM keyless WHERE v = 4", "n")


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM half", "SELECT count(*) FROM afar", "SELECT id FROM half WHERE id = 2"])
def test_with_an_odd_partition_it_is_postgresqls(proxy, db, sql):
    with proxy.connect(db) as conn:
        never_hits(proxy, lambda: conn.execute(sql))
