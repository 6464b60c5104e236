"""`pgweir setup` and `pgweir doctor` against servers that are well and that are not."""
import os

import pytest

from pgweir_test.cluster import Cluster
from pgweir_test.proxy import BINARY, PGWEIR, Proxy
from pgweir_test.tools import PG_BIN, free_port, pg_version, run, wait_for

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="pgweir's own commands"), pytest.mark.versions]


def pgweir(*args, env=None, stdin=None):
    return run([BINARY, *args], check=False, timeout=60, env=env, stdin=stdin)


def doctor(url, *args):
    """(exit status, lines without ok)."""
    result = pgweir("doctor", url, *args)
    assert result.stderr == "", result.stderr
    lines = result.stdout.splitlines()
    assert all(len(line.split(": ", 2)) == 3 for line in lines), lines
    return result.returncode, [line for line in lines if line.split(": ")[1] != "ok"]


@pytest.fixture
def role(cluster):
    """A role without any right; dropped with what was granted to it."""
    cluster.sql("CREATE ROLE rightless LOGIN")
    yield "rightless"
    for dbname in cluster.sql("SELECT datname FROM pg_database WHERE datallowconn").split():
        cluster.sql("DROP OWNED BY rightless", dbname)
    cluster.sql("DROP ROLE rightless")


def test_a_healthy_server_has_no_findings(cluster, database):
    cluster.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", database)
    result = pgweir("doctor", cluster.url(database))
    assert result.returncode == 0, result.stdout
    assert f"{database}: ok: wal_level is logical" in result.stdout
    assert "1 of 1 tables and views can be cached" in result.stdout
    assert all(": ok: " in line for line in result.stdout.splitlines()), result.stdout
    assert pgweir("doctor", "-q", cluster.url(database)).stdout == ""
    assert cluster.sql(f"SELECT count(*) FROM pg_replication_slots WHERE database = '{database}'") == "0"


def test_each_table_that_is_not_cached_well_has_its_line(cluster, database):
    cluster.sql("""
        CREATE TABLE good (id int PRIMARY KEY);
        CREATE TABLE "no ""key" (v int);
        CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
        CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE odd (id text COLLATE loose PRIMARY KEY);
        CREATE UNLOGGED TABLE light (id int PRIMARY KEY);
        CREATE TABLE guarded (id int PRIMARY KEY); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
        CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY HASH (id);
        CREATE TABLE part0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        CREATE TABLE odd_parts (id int) PARTITION BY HASH (id);
        CREATE UNLOGGED TABLE odd_part0 PARTITION OF odd_parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);""", database)
    status, lines = doctor(cluster.url(database))
    assert status == 0, lines
    text = "\n".join(lines)
    for words in ('"public"."no ""key" has no primary key', '"public"."nothing" does not show its primary key',
                  'ALTER TABLE "public"."nothing" REPLICA IDENTITY DEFAULT;', 'key of "public"."odd"',
                  'unlogged table "public"."light" is not cached', 'table "public"."guarded" is not cached',
                  'row level security', 'partitioned table "public"."odd_parts" is not cached'):
        assert words in text, (words, text)
    assert "good" not in text and '."part' not in text and "pg_" not in text
    assert all(line.startswith(f"{database}: note: ") for line in lines)


def test_a_missing_trigger_is_a_warning_and_setup_makes_it(cluster, database):
    url = cluster.url(database)
    cluster.sql("DROP SCHEMA pgweir CASCADE", database)
    status, lines = doctor(url)
    assert status == 1 and len(lines) == 1 and "no event trigger" in lines[0] and "fix: pgweir setup" in lines[0], lines
    assert pgweir("setup", "--apply", "--role", "postgres", url).returncode == 0
    assert doctor(url) == (0, [])
    cluster.sql("ALTER EVENT TRIGGER pgweir_ddl ENABLE", database)
    status, lines = doctor(url)
    assert status == 1 and "ALTER EVENT TRIGGER pgweir_ddl ENABLE ALWAYS;" in lines[0], lines
    cluster.sql("ALTER EVENT TRIGGER pgweir_ddl ENABLE ALWAYS; CREATE OR REPLACE FUNCTION pgweir.note_ddl() RETURNS "
                "event_trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN NULL; END $$", database)
    status, lines = doctor(url)
    assert status == 1 and "not the one of this version" in lines[0], lines


def test_a_role_without_rights_is_an_error_and_setup_gives_them(cluster, database, role):
    url = cluster.url(database, role)
    status, lines = doctor(url)
    assert status == 2 and any("error: no replication" in line and "REPLICATION" in line for line in lines), lines
    done = pgweir("setup", "--apply", "--admin", cluster.url(), "--role", role, url)
    assert done.returncode == 0, done.stderr
    assert doctor(url) == (0, [])


def test_what_setup_prints_runs_in_psql_twice(cluster, database):
    proxy = Proxy(cluster, {"feed_user": 'odd "role', "feed_password": "secret"}, start=False)
    proxy.ini.write_text(proxy.ini.read_text().replace("[databases]\n", f"[databases]\napp = port={cluster.port} "
                                                       f"host=127.0.0.1 dbname={database}\n"))
    printed = pgweir("setup", "--publication", proxy.ini)
    assert printed.returncode == 0 and "secret" not in printed.stdout, printed.stderr
    sql = printed.stdout
    cluster.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE without (v int)", database)
    for _ in range(2):
        run([PG_BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn()], stdin=sql)
    assert cluster.sql("SELECT tablename FROM pg_publication_tables WHERE pubname = 'pgweir'", database) == "t"
    assert doctor(proxy.ini)[0] == 0
    applied = pgweir("setup", "--apply", "--admin", cluster.url(), proxy.ini)
    assert applied.returncode == 0 and "left out" not in applied.stdout, applied.stdout
    assert cluster.sql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname LIKE 'odd%'") == "t"
    cluster.sql('DROP OWNED BY "odd ""role"', database)
    cluster.sql('DROP ROLE "odd ""role"')


def test_setup_makes_a_role_with_its_password(cluster, database):
    url = cluster.url(database)
    done = pgweir("setup", "--apply", "--role", "fed", url, env={"PGWEIR_FEED_PASSWORD": "geheim"})
    assert done.returncode == 0 and "password: done" in done.stdout and "geheim" not in done.stdout, done.stderr
    kind = "SELECT rolreplication, rolsuper, left(rolpassword, 13) FROM pg_authid WHERE rolname = 'fed'"
    assert cluster.sql(kind) == "t|f|SCRAM-SHA-256"
    cluster.sql("DROP OWNED BY fed", database)
    cluster.sql("DROP ROLE fed")


def test_a_managed_services_administrator_gets_as_far_as_it_may(cluster, database):
    """rds_replication stands for REPLICATION there, and event triggers may not be had at all."""
    cluster.sql("CREATE ROLE rds_replication; CREATE ROLE boss LOGIN CREATEROLE; GRANT rds_replication TO boss WITH ADMIN OPTION")
    cluster.sql(f'ALTER DATABASE "{database}" OWNER TO boss')
    try:
        done = pgweir("setup", "--apply", cluster.url(database, "boss"))
        assert done.returncode == 0, done.stderr
        assert "event trigger: left out" in done.stdout, done.stdout
        assert cluster.sql("SELECT pg_has_role('pgweir', 'rds_replication', 'MEMBER')") == "t"
    finally:
        cluster.sql(f'ALTER DATABASE "{database}" OWNER TO postgres')
        cluster.sql("DROP OWNED BY boss, pgweir", database)
        cluster.sql("DROP ROLE IF EXISTS pgweir; DROP ROLE boss; DROP ROLE rds_replication")


@pytest.mark.skipif(pg_version() < 15, reason="pgoutput is refused")
def test_a_publication_that_is_missing_or_leaves_tables_out(cluster, database):
    proxy = Proxy(cluster, {"feed_plugin": "pgoutput"}, databases={database: f"host=127.0.0.1 port={cluster.port}"}, start=False)
    cluster.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE without (v int)", database)
    status, lines = doctor(proxy.ini)
    assert status == 2 and any("publication" in line and "does not exist" in line for line in lines), lines
    assert pgweir("setup", "--apply", "--publication", "--admin", cluster.url(), proxy.ini).returncode == 0
    status, lines = doctor(proxy.ini)
    assert status == 0 and len(lines) == 1 and '"without"' in lines[0], lines


def test_a_server_without_logical_wal():
    """Also: no walsender and no slot left to be had."""
    made = Cluster({"wal_level": "replica", "max_replication_slots": "0"})
    try:
        status, lines = doctor(made.url())
        assert status == 2, lines
        text = "\n".join(lines)
        assert "error: wal_level is replica; fix: ALTER SYSTEM SET wal_level = 'logical';" in text, text
        assert "max_replication_slots: all 0 are in use" in text and "fix: raise max_replication_slots" in text, text
    finally:
        made.remove()


def test_all_databases_behind_the_star(cluster):
    proxy = Proxy(cluster, start=False)
    result = pgweir("doctor", proxy.ini)
    assert "postgres: ok: " in result.stdout and "template1" not in result.stdout
    assert pgweir("setup", proxy.ini).returncode == 2
    assert "name the databases" in pgweir("setup", proxy.ini).stderr


@pytest.mark.parametrize("args, words", [
    (["doctor"], "Usage"), (["doctor", "--nonsense", "x"], "Usage"), (["setup"], "Usage"),
    (["doctor", "/does/not/exist"], "/does/not/exist"), (["setup", "--apply", "INI"], "--admin"),
    (["setup", "INI", "nowhere"], None), (["doctor", "postgres://127.0.0.1:1/x?user=a"], None)])
def test_wrong_use_is_told(cluster, args, words):
    proxy = Proxy(cluster, databases={"one": f"host=127.0.0.1 port={free_port()}"}, start=False)
    result = pgweir(*[str(proxy.ini) if arg == "INI" else arg for arg in args])
    assert result.returncode == 2
    assert (words or "") in result.stderr + result.stdout


def test_a_server_that_is_not_there():
    status, lines = doctor(f"postgres://me@127.0.0.1:{free_port()}/shop")
    assert status == 2 and len(lines) == 1 and lines[0].startswith("shop: error: cannot connect"), lines
