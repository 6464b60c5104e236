"""What one client's session leaves on a shared server connection reaches nobody else."""
import psycopg
import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import Wire, errors, rows

pytestmark = pytest.mark.skipif(not PGWEIR, reason="other poolers leak here")


@pytest.fixture(scope="module")
def db(cluster):
    name = "isolated"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("""
        CREATE SCHEMA other;
        CREATE TABLE public.t (id int PRIMARY KEY, v text);
        CREATE TABLE other.t (id int PRIMARY KEY, v text);
        INSERT INTO public.t VALUES (1, 'public'), (12, 'twelve');
        INSERT INTO other.t VALUES (1, 'other');
        CREATE TABLE w (id serial PRIMARY KEY, x int);
        CREATE FUNCTION turn() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM set_config('search_path', 'other', false), set_config('app.seen', 'yes', false); RETURN NULL; END $$;
        CREATE TRIGGER turn AFTER INSERT ON w FOR EACH ROW EXECUTE FUNCTION turn();
    """, name)
    yield name
    cluster.drop_database(name)


@pytest.fixture(scope="module")
def proxy(cluster, db):
    """One server connection: every client gets what the one before left."""
    made = Proxy(cluster, {"default_pool_size": "1", "probe_patience": "300ms"})
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


def test_a_trigger_changes_only_its_own_session(proxy, db):
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("INSERT INTO w (x) VALUES (1)")
        assert one.execute("SELECT v FROM t WHERE id = 1").fetchone() == ("other",)
        for _ in range(3):
            assert two.execute("SELECT v FROM t WHERE id = 1").fetchone() == ("public",)
        assert two.execute("SELECT current_setting('app.seen', true)").fetchone()[0] in (None, "")
    with proxy.connect(db) as three:
        assert three.execute("SELECT v FROM t WHERE id = 1").fetchone() == ("public",)


def test_an_update_of_pg_settings_is_a_set(proxy, db):
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("UPDATE pg_settings SET setting = '7168' WHERE name = 'work_mem'")
        assert one.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert two.execute("SHOW work_mem").fetchone() == ("4MB",)


def test_a_parameter_that_is_set_to_what_another_had_is_reported(proxy, db):
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("SET DateStyle = 'German'")
        two.execute("SET DateStyle = 'German'")
        assert two.info.parameter_status("DateStyle") == "German, DMY"
        two.execute("RESET DateStyle")
        assert two.info.parameter_status("DateStyle") == "ISO, MDY"


def test_a_refused_set_closes_nobody(proxy, db):
    with proxy.connect(db) as one, proxy.connect(db) as two:
        with pytest.raises(psycopg.Error):
            one.execute("SET max_connections = 5")
        assert two.execute("SELECT 1").fetchone() == (1,)
        assert one.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_timeout_meets_nobody_elses_settings(proxy, db):
    """pgweir's own statements, of which there are many here, run on the connection that has it."""
    settings = [f"SET app.busy{i} = 'x'" for i in range(150)]
    own = ("SET work_mem = '{}MB'", "SELECT set_config('search_path', 'other' || {}, false)", "BEGIN; SET LOCAL work_mem = '{}MB'; COMMIT")
    with Wire(proxy.port).login(database=db) as hasty, Wire(proxy.port).login(database=db) as other:
        other.simple("; ".join(settings))
        hasty.simple("SET statement_timeout = 1")
        for i in range(150):
            failed = errors(hasty.simple(own[i % 3].format(i + 1)))
            assert failed in ([], ["57014"], ["25P02"])
            if failed:
                hasty.simple("ROLLBACK")
            assert errors(other.simple("SELECT current_setting('app.busy149')")) == []
        wait_for("the timeout to go", lambda: errors(hasty.simple("ROLLBACK") + hasty.simple("RESET statement_timeout")) == [])
        assert rows(hasty.simple("SHOW statement_timeout")) == [[b"0"]]
        assert rows(other.simple("SHOW app.busy149")) == [[b"x"]]


def test_settings_of_a_superuser_do_not_meet_a_role_that_may_not_set_them(cluster, proxy, db):
    cluster.sql("DROP ROLE IF EXISTS plain; CREATE ROLE plain", db)
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("SET lc_messages = 'C'")
        two.execute("SET ROLE plain")
        assert one.execute("SELECT current_user").fetchone() != ("plain",)
        assert two.execute("SELECT current_user").fetchone() == ("plain",)
        assert one.execute("SHOW lc_messages").fetchone() == ("C",)
        two.execute("RESET ROLE")


def test_a_custom_setting_survives_a_probe(proxy, db):
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("SET app.tenant = 'mine'")
        one.execute("DO $$ BEGIN NULL; END $$")
        two.execute("SELECT 1")
        assert one.execute("SELECT current_setting('app.tenant')").fetchone() == ("mine",)
        assert two.execute("SELECT current_setting('app.tenant', true)").fetchone()[0] in (None, "")


def test_a_custom_setting_whose_name_is_data_is_kept(proxy, db):
    with proxy.connect(db) as one, proxy.connect(db) as two:
        one.execute("SELECT set_config(%s, %s, false)", ["app.param", "mine"])
        one.execute("SELECT set_config(n, v, false) FROM (VALUES ('app.first', '1'), ('app.second', '2')) AS x(n, v)")
        two.execute("SELECT 1")
        for name, value in (("app.param", "mine"), ("app.first", "1"), ("app.second", "2")):
            assert one.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
            assert two.execute("SELECT current_setting(%s, true)", [name]).fetchone()[0] in (None, "")
        one.execute("BEGIN")
        one.execute("SELECT set_config(%s, %s, false)", ["app.param", "gone"])
        one.execute("ROLLBACK")
        two.execute("SELECT 1")
        assert one.execute("SELECT current_setting('app.param')").fetchone() == ("mine",)


def test_nobody_reads_the_statements_of_others(proxy, db):
    look = "SELECT statement FROM pg_prepared_statements"
    with proxy.connect(db, prepare_threshold=0) as one, proxy.connect(db, prepare_threshold=None) as two:
        one.execute("SET DateStyle = 'German'")
        assert one.execute("SELECT 'a secret' || %s", [1]).fetchone() == ("a secret1",)
        two.execute("SELECT 1")
        assert two.execute(look).fetchall() == []
        two.execute("BEGIN")
        assert two.execute(look.upper()).fetchall() == []
        two.execute("COMMIT")
        two.execute("PREPARE mine AS SELECT 2")
        assert two.execute(look).fetchall() == [("PREPARE mine AS SELECT 2",)]
        two.execute("DEALLOCATE mine")
        assert one.execute("SELECT 'a secret' || %s", [1]).fetchone() == ("a secret1",)
        assert one.execute(look, prepare=False).fetchall() == [("SELECT 'a secret' || $1",)]
        assert one.execute("SHOW DateStyle", prepare=False).fetchone() == ("German, DMY",)
        one.execute("RESET DateStyle")


@pytest.mark.parametrize("params", [None, [0]])
def test_nobody_reads_the_statements_that_hide_sequences(cluster, db, params):
    """What stands in front of a look at the view, so that it cannot read another one's currval(), is in the view no more."""
    look = "SELECT name FROM pg_prepared_statements WHERE %s = 0" if params else "SELECT name FROM pg_prepared_statements"
    made = Proxy(cluster, {"default_pool_size": 1})
    with made.connect(db, prepare_threshold=None) as one, made.connect(db, prepare_threshold=None) as two:
        one.execute("CREATE SEQUENCE IF NOT EXISTS seen")
        for _ in range(3):
            one.execute("SELECT nextval('seen')")
            assert two.execute(look, params).fetchall() == []
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.mark.parametrize("make, use, drop", [
    ("CREATE TEMP TABLE own (i int)", "SELECT * FROM own", "DROP TABLE own"),
    ("CREATE STATISTICS pg_temp.own ON id, v FROM public.t", "ALTER STATISTICS pg_temp.own SET STATISTICS 5",
     "DROP STATISTICS pg_temp.own"),
    ("CREATE COLLATION pg_temp.own FROM \"C\"", "SELECT 'a' COLLATE pg_temp.own", "DROP COLLATION pg_temp.own"),
    ("CREATE FUNCTION pg_temp.own() RETURNS int LANGUAGE sql AS 'SELECT 1'", "SELECT pg_temp.own()", "DROP FUNCTION pg_temp.own"),
    ("CREATE TYPE pg_temp.own AS (i int)", "SELECT NULL::pg_temp.own", "DROP TYPE pg_temp.own"),
])
def test_whatever_is_temporary_stays_with_its_session(cluster, db, make, use, drop):
    proxy = Proxy(cluster, {"default_pool_size": "2", "workers": "1"})
    with proxy.connect(db) as one, proxy.connect(db) as two, proxy.connect(db) as three:
        one.execute(make)
        for other in (two, three):
            other.execute("SELECT 1")
            with pytest.raises(psycopg.Error):
                other.execute(use)
        one.execute(use)
        one.execute(drop)
        with pytest.raises(psycopg.Error):
            one.execute(use)
    assert proxy.stop() == 0


def test_a_loaded_library_goes_with_its_session(proxy, db):
    with proxy.connect(db) as one:
        one.execute("LOAD 'auto_explain'")
        assert one.execute("SHOW auto_explain.log_min_duration").fetchone() == ("-1",)
    with proxy.connect(db) as two:
        with pytest.raises(psycopg.errors.UndefinedObject):
            two.execute("SHOW auto_explain.log_min_duration")


def test_the_driver_keeps_what_it_asked_for_at_its_start(proxy, db):
    with proxy.connect(db, options="-c DateStyle=German") as one:
        one.execute("SET DateStyle = 'SQL'")
        one.execute("RESET ALL")
        assert one.execute("SHOW DateStyle").fetchone() == ("German, DMY",)
        assert one.info.parameter_status("DateStyle") == "German, DMY"


def test_without_a_feed_ddl_costs_no_connections_and_its_code_is_seen(cluster, database):
    """A plain pooler hears of code by the DDL that passes through it."""
    proxy = Proxy(cluster, {"default_pool_size": "1", "coherence": "off", "workers": "2"})
    with proxy.connect(database) as one, proxy.connect(database) as two:
        for i in range(10):
            one.execute(f"CREATE TABLE t{i} (i int)")
            one.execute(f"TRUNCATE t{i}")
            one.execute("DO $$BEGIN NULL; END$$")
        assert proxy.metrics().count("backends_opened") <= 4
        one.execute("CREATE FUNCTION turn() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN PERFORM set_config('work_mem', '7MB', false); RETURN NULL; END $$")
        one.execute("CREATE TRIGGER turn AFTER INSERT ON t0 FOR EACH ROW EXECUTE FUNCTION turn()")
        for turn in range(2):  # at once, and when new server connections have told of it
            one.execute("INSERT INTO t0 VALUES (1)")
            assert two.execute("SHOW work_mem").fetchone() == ("4MB",)
            assert one.execute("SHOW work_mem").fetchone() == ("7MB",)
            one.execute("RESET work_mem")
            opened = proxy.metrics().count("backends_opened")

            def asked_again():
                two.execute("SELECT 1")
                return proxy.metrics().count("backends_opened") > opened
            if turn == 0:
                wait_for("the database to be looked at anew", asked_again)
    with proxy.connect(database) as one, proxy.connect(database) as two:
        one.execute(f'ALTER DATABASE "{database}" SET work_mem = \'6MB\'')
        with proxy.connect(database) as three:
            assert three.execute("SHOW work_mem").fetchone() == ("6MB",)
    assert proxy.stop() == 0
