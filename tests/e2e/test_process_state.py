"""What functions in Perl, Python and Tcl, and dblink, keep in the server process: nothing takes it away, so who has run one keeps its server
connection, which ends with it."""
import contextlib

import psycopg
import pytest

from pgweir_test.proxy import Proxy, only_pgweir
from pgweir_test.tools import wait_for

DATABASE = "process_state"
MAKE = r"""
    CREATE EXTENSION plperl; CREATE EXTENSION plpython3u; CREATE EXTENSION pltcl; CREATE EXTENSION dblink;
    CREATE FUNCTION perl_put(text) RETURNS void LANGUAGE plperl AS '$_SHARED{x} = $_[0]';
    CREATE FUNCTION perl_get() RETURNS text LANGUAGE plperl AS 'return $_SHARED{x}';
    CREATE FUNCTION perl_count() RETURNS int LANGUAGE plperl AS 'return ++$n';
    CREATE FUNCTION python_put(v text) RETURNS void LANGUAGE plpython3u AS 'GD["x"] = v';
    CREATE FUNCTION python_get() RETURNS text LANGUAGE plpython3u AS 'return GD.get("x")';
    CREATE FUNCTION python_count() RETURNS int LANGUAGE plpython3u AS $$
SD["n"] = SD.get("n", 0) + 1
return SD["n"]
$$;
    CREATE FUNCTION tcl_put(text) RETURNS void LANGUAGE pltcl AS 'global x; set x $1; return {}';
    CREATE FUNCTION tcl_get() RETURNS text LANGUAGE pltcl AS 'global x; if {[info exists x]} {return $x}; return_null';
    CREATE FUNCTION tcl_count() RETURNS int LANGUAGE pltcl AS 'if {[info exists GD(n)]} {incr GD(n)} else {set GD(n) 1}; return $GD(n)';
    CREATE FUNCTION over_put() RETURNS void LANGUAGE sql AS $$SELECT perl_put('mine')$$;
    CREATE FUNCTION over_over() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM over_put(); END';
    CREATE VIEW looked AS SELECT perl_get() AS x;
    CREATE FUNCTION pulled() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM over_put(); RETURN NULL; END';
    CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE);
    CREATE TRIGGER pull AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION pulled();
    CREATE TABLE defaults (id int, v int DEFAULT perl_count());
    CREATE FUNCTION clean_perl(int) RETURNS int LANGUAGE plperl AS
        $$my ($x) = @_; my @r = map { $_ * 2 } (1..$x); foreach my $y (sort { $a <=> $b } @r) { $x += $y; } return $x;$$;
    CREATE FUNCTION clean_python(v text) RETURNS text LANGUAGE plpython3u AS $$
import json
x = json.loads(v)
x["b"] = x["a"] == 1
return json.dumps(x)
$$;
    CREATE FUNCTION clean_tcl(int) RETURNS int LANGUAGE pltcl AS 'set x 1; return [expr {$x + $1}]';
"""
# What leaves something, and who sees it.
KEEPS = {
    "%_SHARED": ("SELECT perl_put('mine')", "SELECT perl_get()"),
    "a variable that nothing declares": ("SELECT perl_count()", "SELECT perl_count()"),
    "GD of Python": ("SELECT python_put('mine')", "SELECT python_get()"),
    "SD of Python": ("SELECT python_count()", "SELECT python_count()"),
    "a global of Tcl": ("SELECT tcl_put('mine')", "SELECT tcl_get()"),
    "in SQL in PL/pgSQL": ("SELECT over_over()", "SELECT perl_get()"),
    "seen by a view": ("SELECT perl_put('mine')", "SELECT x FROM looked"),
    "a trigger behind a foreign key": ("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1); DELETE FROM parent", "SELECT perl_get()"),
    "GD of Tcl": ("SELECT tcl_count()", "SELECT tcl_count()"),
    "a default": ("INSERT INTO defaults VALUES (1)", "SELECT perl_count()"),
    "DO": ("DO LANGUAGE plperl $$ $_SHARED{x} = 'mine' $$", "SELECT perl_get()"),
    "DO that calls": ("DO $$ BEGIN PERFORM over_put(); END $$", "SELECT perl_get()"),
    "a name in escapes": ("SELECT U&\"p\\0065rl_put\"('mine')", "SELECT PERL_GET()"),
    "PREPARE": ("PREPARE p AS SELECT perl_put($1); EXECUTE p('mine'); DEALLOCATE p", "SELECT perl_get()"),
    "a function that is new": ("CREATE OR REPLACE FUNCTION fresh() RETURNS void LANGUAGE plperl AS '$_SHARED{x} = 5'; SELECT fresh()",
                               "SELECT perl_get()"),
    "rolled back": ("BEGIN; SELECT perl_put('mine'); ROLLBACK", "SELECT perl_get()"),
    "failed": ("DO LANGUAGE plperl $$ $_SHARED{x} = 'mine'; $$; SELECT perl_put('mine'), 1 / (SELECT 0)", "SELECT perl_get()"),
    "a text that is not analysed": ("SELECT perl_put('mine') /*" + "x" * 70000 + "*/", "SELECT perl_get()"),
}


@pytest.fixture(scope="module")
def database(cluster):
    cluster.sql(f"CREATE DATABASE {DATABASE}")
    cluster.sql(MAKE, DATABASE)
    yield cluster
    cluster.drop_database(DATABASE)


@pytest.fixture
def proxy(database):
    made = Proxy(database, {"default_pool_size": 3, "workers": 1, "coherence": "off"})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def run(conn, sql):
    with contextlib.suppress(psycopg.errors.DivisionByZero):
        conn.execute(sql)


def pids(cluster):
    return set(cluster.sql(f"SELECT pid FROM pg_stat_activity WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()").split())


def pinned(proxy):
    with proxy.connect("pgbouncer") as console:
        return [row for row in console.execute("SHOW PINS").fetchall() if "process" in row]


@only_pgweir
@pytest.mark.parametrize("what", KEEPS)
def test_it_is_its_owner_s(database, proxy, what):
    """On every connection of the pool a new client sees what it sees on a new connection to PostgreSQL, and the owner what it has left."""
    put, get = KEEPS[what]
    with database.connect(DATABASE) as real, database.connect(DATABASE) as fresh:
        run(real, put)
        mine, others = real.execute(get).fetchone(), fresh.execute(get).fetchone()
    with contextlib.ExitStack() as stack:
        owner = stack.enter_context(proxy.connect(DATABASE))
        idle = [stack.enter_context(proxy.connect(DATABASE, autocommit=False)) for _ in range(2)]
        for each in idle:
            each.execute("SELECT 1")
        for each in idle:
            each.commit()
        run(owner, put)
        assert owner.execute(get).fetchone() == mine != others
        assert len(pinned(proxy)) == 1
        for each in idle:
            assert each.execute(get).fetchone() == others
        before = pids(database)
        for each in (owner, *idle):
            each.close()
        wait_for("its server connections to end", lambda: not before & pids(database))
        with proxy.connect(DATABASE) as later:
            assert later.execute(get).fetchone() == others


@only_pgweir
def test_dblink_s_connections(database, proxy):
    name = f"SELECT dblink_connect('c', 'host=127.0.0.1 port={database.port} dbname={DATABASE} user=postgres')"
    with proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as other:
        owner.execute(name)
        with proxy.connect(DATABASE) as third:
            for conn in other, third:
                assert conn.execute("SELECT dblink_get_connections()").fetchone() == (None,)
        assert owner.execute("SELECT * FROM dblink('c', 'SELECT 7') t(x int)").fetchone() == (7,)


@only_pgweir
@pytest.mark.parametrize("how", ["SELECT {}", "DO $$ BEGIN PERFORM {}; END $$", "CREATE OR REPLACE FUNCTION calls() RETURNS void LANGUAGE plpgsql AS "
                                 "'BEGIN PERFORM {}; END'; DO $$ BEGIN PERFORM pg_sleep(4); END $$; SELECT calls()"])
def test_a_temporary_slot_goes_with_its_client(database, proxy, how):
    left = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'passing'"
    call = "pg_create_physical_replication_slot('passing', false, true)"
    with proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as other:
        owner.execute(how.format(call if "FUNCTION" not in how else call.replace("'", "''")))
        other.execute("SELECT 1")
        assert owner.execute(left).fetchone() == (1,)
        assert len(pinned(proxy)) == 1
    wait_for("the slot to go", lambda: database.sql(left) == "0")


@only_pgweir
def test_a_backup_ends_where_it_began(database, proxy):
    with proxy.connect(DATABASE) as owner, proxy.connect(DATABASE, autocommit=False) as other:
        owner.execute("SELECT pg_backup_start('one', true)")
        for _ in range(3):
            other.execute("SELECT 1")
            owner.execute("SELECT 2")
            other.commit()
        assert owner.execute("SELECT labelfile LIKE '%LABEL: one%' FROM pg_backup_stop(false)").fetchone() == (True,)


@only_pgweir
def test_a_replication_origin_is_its_owner_s(database, proxy):
    database.sql("SELECT pg_replication_origin_create('somewhere')", DATABASE)
    own = "SELECT pg_replication_origin_session_is_setup()"
    with proxy.connect(DATABASE) as owner, proxy.connect(DATABASE) as other, proxy.connect(DATABASE) as third:
        owner.execute("SELECT pg_replication_origin_session_setup('somewhere')")
        for _ in range(3):
            assert [conn.execute(own).fetchone()[0] for conn in (other, third, owner)] == [False, False, True]
    wait_for("the origin to be free", lambda: database.sql("SELECT pg_replication_origin_drop('somewhere')", DATABASE) == "")


@only_pgweir
def test_functions_that_keep_nothing_pin_nothing(database, proxy):
    with proxy.connect(DATABASE) as conn:
        for _ in range(5):
            assert conn.execute("SELECT clean_perl(3), clean_python('{\"a\": 1}'), clean_tcl(2)").fetchone() == (15, '{"a": 1, "b": true}', 3)
            assert conn.execute("SELECT count(*) FROM parent").fetchone() is not None  # only writes run its trigger
        assert pinned(proxy) == []


@only_pgweir
@pytest.mark.parametrize("change, put", [
    ("ALTER TABLE pulls RENAME TO drags", "INSERT INTO drags VALUES (1)"),
    ("ALTER TABLE whole ATTACH PARTITION pulls DEFAULT", "INSERT INTO whole VALUES (1)"),
    ("CREATE OPERATOR ==> (FUNCTION = perl_both, LEFTARG = int, RIGHTARG = int)", "SELECT 1 ==> 2")])
def test_what_leads_there_since(database, proxy, change, put):
    """No function is new, but another name, or another way."""
    database.sql("CREATE TABLE pulls (id int); CREATE TRIGGER pull AFTER INSERT ON pulls FOR EACH ROW EXECUTE FUNCTION pulled();"
                 "CREATE TABLE whole (id int) PARTITION BY LIST (id);"
                 "CREATE FUNCTION perl_both(int, int) RETURNS bool LANGUAGE plperl AS '$_SHARED{x} = $_[0]; return 1'", DATABASE)
    try:
        with proxy.connect(DATABASE, autocommit=False) as first, proxy.connect(DATABASE) as owner:
            first.execute("SELECT 1")
            database.sql(change, DATABASE)  # straight on the database, and no feed tells: the next server connection finds it
            owner.execute(put)
            owner.execute("SELECT 1")  # behind what is asked after that
            assert len(pinned(proxy)) == 1
            first.commit()
    finally:
        database.sql("DROP TABLE IF EXISTS pulls, drags, whole; DROP FUNCTION perl_both CASCADE", DATABASE)


@only_pgweir
def test_it_may_be_shared(database):
    proxy = Proxy(database, {"default_pool_size": 1, "coherence": "off", "pin_process_state": 0})
    with proxy.connect(DATABASE) as one, proxy.connect(DATABASE) as two:
        one.execute("SELECT perl_put('ours')")
        assert two.execute("SELECT perl_get()").fetchone() == ("ours",)
        assert pinned(proxy) == []
    assert proxy.stop() == 0


@only_pgweir
def test_a_function_that_another_one_has_made(database):
    """The feed tells of it."""
    proxy = Proxy(database, {"default_pool_size": 1, "workers": 1})
    database.sql("CREATE TABLE warm (id int PRIMARY KEY); INSERT INTO warm VALUES (1)", DATABASE)
    with proxy.connect(DATABASE) as conn:
        wait_for("a hit", lambda: conn.execute("SELECT id FROM warm WHERE id = 1").fetchone() and proxy.metrics().count("cache_hits") > 0)
        database.sql("CREATE FUNCTION late() RETURNS int LANGUAGE plperl AS 'return ++$_SHARED{late}'", DATABASE)

        def is_known():
            with proxy.connect(DATABASE) as one:
                one.execute("SELECT late()")
                one.execute("SELECT late()")  # behind what is asked after the first
                return len(pinned(proxy)) == 1
        wait_for("the function to be known", is_known)
        for _ in range(3):
            with proxy.connect(DATABASE) as one:
                assert [one.execute("SELECT late()").fetchone() for _ in range(2)] == [(1,), (2,)]
    assert proxy.stop() == 0
    database.sql("DROP TABLE warm; DROP FUNCTION late", DATABASE)
