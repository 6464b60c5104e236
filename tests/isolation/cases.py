"""The cases of the leak matrix: what a client does, and a look that tells whether its state is there.

Nobody writes down what a look ought to show: the same steps on connections of their own, straight on PostgreSQL, say it.
"""
from pgweir_test.wire import SYNC, bind, close, describe, errors, execute, parse, rows


class Case:
    """do: steps of the owner. see: the look. other: steps of the second client, before `do`.
    free: steps of the owner that end what pins it. keeps: who looks is pinned to its end, too. A step is SQL or a function of a
    Wire."""

    def __init__(self, group, name, do, see, other=(), free=(), startup=None, keeps=False):
        self.group, self.name = group, name
        self.do, self.see, self.other, self.free = listed(do), see, listed(other), listed(free)
        self.startup, self.keeps = startup or {}, keeps


def listed(steps):
    return [steps] if isinstance(steps, str) or callable(steps) else list(steps)


def step(wire, what):
    """Runs one step to its ReadyForQuery."""
    return wire.simple(what) if isinstance(what, str) else what(wire)


def seen(messages):
    """What a look has shown: its rows, its errors."""
    return [[None if value is None else value.decode() for value in row] for row in rows(messages)], errors(messages)


def sends(*parts):
    """A step that sends these messages and a Sync."""
    def run(wire):
        wire.send(*parts, SYNC)
        return wire.until(b"Z")
    return run


def by_extended(sql, *values):
    return sends(parse("", sql), bind("", "", [v.encode() for v in values]), execute())


def runs(name, *values):
    """Binds and executes a prepared statement."""
    return sends(bind("", name, [v.encode() for v in values]), execute())


def setting(name):
    return f"SELECT current_setting('{name}')"


LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
WHO = "SELECT session_user, current_user"
TZ_LITERAL = "SELECT '2024-01-01 12:00'::timestamptz AT TIME ZONE 'UTC'"

SETTINGS = [
    Case("L1", "SET", "SET work_mem = '7MB'", "SHOW work_mem"),
    Case("L1", "SET, extended protocol", by_extended("SET work_mem = '7MB'"), by_extended("SHOW work_mem")),
    Case("L1", "SET in a transaction", ["BEGIN", "SET work_mem = '7MB'", "COMMIT"], "SHOW work_mem"),
    Case("L1", "SET behind a SELECT in a transaction", ["BEGIN", "SELECT 1", "SET work_mem = '7MB'", "COMMIT"], "SHOW work_mem"),
    Case("L1", "SET kept, a later one rolled back", ["SET work_mem = '7MB'", "BEGIN", "SET work_mem = '8MB'", "ROLLBACK"],
         "SHOW work_mem"),
    Case("L1", "SET rolled back to a savepoint", ["BEGIN", "SET work_mem = '7MB'", "SAVEPOINT a", "SET work_mem = '8MB'",
                                                  "ROLLBACK TO a", "COMMIT"], "SHOW work_mem"),
    Case("L1", "SET LOCAL does not last", ["SET work_mem = '7MB'", "BEGIN", "SET LOCAL work_mem = '8MB'", "COMMIT"],
         "SHOW work_mem"),
    Case("L1", "SET of several statements in one query", "SELECT 1; SET work_mem = '7MB'; SELECT 2", "SHOW work_mem"),
    Case("L1", "SET rejected", ["SET work_mem = '7MB'", "SET work_mem = 'bogus'"], "SHOW work_mem"),
    Case("L1", "RESET beside another's SET", ["SET work_mem = '7MB'", "RESET work_mem"], "SHOW work_mem",
         other="SET work_mem = '9MB'"),
    Case("L1", "RESET ALL beside another's SET", ["SET work_mem = '7MB'", "RESET ALL"], "SHOW work_mem",
         other="SET work_mem = '9MB'"),
    Case("L1", "values that differ in case", "SET application_name = 'Name'", "SHOW application_name",
         other="SET application_name = 'name'"),
    Case("L1", "a value of 2,000 bytes", "SET application_name = ''; SET app.long = '" + "x" * 2000 + "'",
         "SELECT length(current_setting('app.long', true)), 1 WHERE current_setting('app.long', true) <> ''"),
    Case("L1", "search_path", "SET search_path = tenant_a", "SELECT name FROM who"),
    Case("L1", "search_path, two tenants", "SET search_path = tenant_a", "SELECT name FROM who",
         other="SET search_path = tenant_b"),
    Case("L1", "search_path, quoted, case", 'SET search_path = "Tenant"', "SELECT name FROM who",
         other="SET search_path = tenant_a"),
    Case("L1", "search_path made empty", "SELECT set_config('search_path', '', false)", "SHOW search_path"),
    Case("L1", "app.tenant (custom)", "SET app.tenant = '42'", "SELECT nullif(current_setting('app.tenant', true), '')"),
    Case("L1", "statement_timeout", "SET statement_timeout = '91s'", "SHOW statement_timeout"),
    Case("L1", "SET TIME ZONE", "SET TIME ZONE 'Asia/Tokyo'", TZ_LITERAL),
    Case("L1", "time zone and a prepared literal", "SET TIME ZONE 'Asia/Tokyo'",
         sends(parse("", TZ_LITERAL), bind("", ""), execute()), other="SET TIME ZONE 'America/New_York'"),
    Case("L1", "SET NAMES", "SET NAMES 'LATIN1'", "SHOW client_encoding"),
    Case("L1", "default_transaction_read_only", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW transaction_read_only"),
    Case("L1", "default_transaction_isolation", "SET default_transaction_isolation = 'serializable'", "SHOW transaction_isolation"),
    Case("L1", "row_security", "SET row_security = off", "SHOW row_security"),
    Case("L1", "startup parameter", [], setting("TimeZone"), startup={"TimeZone": "Asia/Tokyo"}),
    Case("L1", "startup options=-c", [], setting("work_mem"), startup={"options": "-c work_mem=7MB"}),
    Case("L1", "startup options, RESET goes back to it", ["SET work_mem = '9MB'", "RESET work_mem"], setting("work_mem"),
         startup={"options": "-c work_mem=7MB"}),
    Case("L2", "set_config() in SELECT", "SELECT set_config('work_mem', '7MB', false)", "SHOW work_mem"),
    Case("L2", "set_config() with parameters", by_extended("SELECT set_config($1, $2, false)", "work_mem", "7MB"), "SHOW work_mem"),
    Case("L2", "set_config(), computed name", "SELECT set_config('work_' || 'mem', '7MB', false)", "SHOW work_mem"),
    Case("L2", "set_config() in a transaction", ["BEGIN", "SELECT set_config('work_mem', '7MB', false)", "COMMIT"], "SHOW work_mem"),
    Case("L2", "set_config() of a row's value", "SELECT set_config(name, value, false) FROM wishes", "SHOW work_mem"),
    Case("L2", "set_config(), local, does not last", ["SET work_mem = '7MB'", "SELECT set_config('work_mem', '8MB', true)"],
         "SHOW work_mem"),
    Case("L2", "UPDATE pg_settings", "UPDATE pg_settings SET setting = '7168' WHERE name = 'work_mem'", "SHOW work_mem"),
]

ROLES = [
    Case("L3", "SET ROLE", "SET ROLE alice", WHO),
    Case("L3", "SET ROLE, two clients", "SET ROLE alice", WHO, other="SET ROLE bob"),
    Case("L3", "SET ROLE in a transaction", ["BEGIN", "SET ROLE alice", "COMMIT"], WHO),
    Case("L3", "SET ROLE, then RESET ALL", ["SET ROLE alice", "RESET ALL"], WHO),
    Case("L3", "SET ROLE by set_config()", "SELECT set_config('role', 'alice', false)", WHO),
    Case("L3", "SET ROLE in DO", "DO $$ BEGIN EXECUTE 'SET ROLE alice'; END $$", WHO),
    Case("L3", "SET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION alice", WHO),
    Case("L3", "SET SESSION AUTHORIZATION in a transaction", ["BEGIN", "SET SESSION AUTHORIZATION alice", "COMMIT"], WHO),
    Case("L3", "row level security by role", "SET ROLE alice", "SELECT name FROM secret ORDER BY 1", other="SET ROLE bob"),
]

PREPARED = [
    Case("L4", "named statement", sends(parse("s1", "SELECT 41 + $1::int")), runs("s1", "1")),
    Case("L4", "one name, two texts", sends(parse("s1", "SELECT 41 + $1::int")), runs("s1", "1"),
         other=sends(parse("s1", "SELECT 'other' || $1"))),
    Case("L4", "unnamed statement over Sync", sends(parse("", "SELECT 41 + $1::int")), runs("", "1")),
    Case("L4", "unnamed statement, two clients", sends(parse("", "SELECT 41 + $1::int")), runs("", "1"),
         other=sends(parse("", "SELECT 'other' || $1"))),
    Case("L4", "prepared in a transaction rolled back", ["BEGIN", sends(parse("s1", "SELECT 41 + $1::int")), "ROLLBACK"],
         runs("s1", "1")),
    Case("L4", "Close beside another's name", [sends(parse("s1", "SELECT 1")), sends(close("S", "s1"))], runs("s1"),
         other=sends(parse("s1", "SELECT 'other'"))),
    Case("L4", "DEALLOCATE of a protocol name", [sends(parse("s1", "SELECT 1")), "DEALLOCATE s1"], runs("s1"),
         other=sends(parse("s1", "SELECT 'other'"))),
    Case("L4", "DEALLOCATE ALL", [sends(parse("s1", "SELECT 1")), "DEALLOCATE ALL"], runs("s1"),
         other=sends(parse("s1", "SELECT 'other'"))),
    Case("L4", "statement with tenant's search_path", ["SET search_path = tenant_a", sends(parse("s1", "SELECT name FROM who"))],
         runs("s1"), other=["SET search_path = tenant_b", sends(parse("s1", "SELECT name FROM who"))]),
    Case("L4", "Describe of a named statement", sends(parse("s1", "SELECT $1::int AS one")), sends(bind("", "s1", [b"7"]), describe("P"),
                                                                                                   execute())),
    Case("L4", "portal within a transaction", ["BEGIN", sends(parse("", "SELECT generate_series(1, 9)"), bind("c1", ""),
                                                              execute("c1", 2))], sends(execute("c1", 2)), free="COMMIT"),
    Case("L5", "PREPARE", "PREPARE q1 AS SELECT 42", "EXECUTE q1", free="DEALLOCATE q1"),
    Case("L5", "PREPARE, one name, two texts", "PREPARE q1 AS SELECT 42", "EXECUTE q1", free="DEALLOCATE q1",
         other=["PREPARE q1 AS SELECT 43", "DEALLOCATE q1"]),
    Case("L5", "PREPARE in a transaction", ["BEGIN", "PREPARE q1 AS SELECT 42", "COMMIT"], "EXECUTE q1", free="DEALLOCATE ALL"),
    Case("L5", "PREPARE in DO", "DO $$ BEGIN EXECUTE 'PREPARE q1 AS SELECT 42'; END $$", "EXECUTE q1", free="DEALLOCATE q1"),
]

PINS = [
    Case("L6", "temporary table", "CREATE TEMP TABLE tt AS SELECT 42 AS x", "SELECT x FROM tt", free="DROP TABLE tt"),
    Case("L6", "temporary table, DISCARD TEMP ends it", "CREATE TEMP TABLE tt AS SELECT 42 AS x", "SELECT x FROM tt",
         free="DISCARD TEMP"),
    Case("L6", "temporary table that hides a table", "CREATE TEMP TABLE wishes AS SELECT 42 AS x", "SELECT * FROM wishes",
         free="DROP TABLE wishes"),
    Case("L6", "SELECT INTO TEMP", "SELECT 42 AS x INTO TEMP tt", "SELECT x FROM tt", free="DROP TABLE tt"),
    Case("L6", "CREATE TABLE pg_temp.x", "CREATE TABLE pg_temp.tt AS SELECT 42 AS x", "SELECT x FROM tt", free="DROP TABLE tt"),
    Case("L6", "temporary view", "CREATE TEMP VIEW tv AS SELECT 42 AS x", "SELECT x FROM tv", free="DROP VIEW tv"),
    Case("L6", "temporary sequence", "CREATE TEMP SEQUENCE ts START 42", "SELECT nextval('ts') > 0", free="DROP SEQUENCE ts"),
    Case("L6", "temporary function", "CREATE FUNCTION pg_temp.tf() RETURNS int LANGUAGE sql AS 'SELECT 42'",
         "SELECT count(*) FROM pg_proc WHERE proname = 'tf' AND pronamespace = pg_my_temp_schema()",
         free="DROP FUNCTION pg_temp.tf"),
    Case("L6", "WITH HOLD cursor", ["BEGIN", "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT generate_series(1, 9)", "COMMIT"],
         "FETCH ABSOLUTE 2 FROM c", free="CLOSE c"),
    Case("L6", "WITH HOLD cursor, alone", "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT generate_series(1, 9)",
         "FETCH ABSOLUTE 2 FROM c", free="CLOSE ALL"),
    Case("L6", "session advisory lock", "SELECT pg_advisory_lock(7)", LOCKS, free="SELECT pg_advisory_unlock(7)"),
    Case("L6", "session advisory lock, try, shared", "SELECT pg_try_advisory_lock_shared(7)", LOCKS,
         free="SELECT pg_advisory_unlock_all()"),
    Case("L6", "advisory lock in a transaction rolled back", ["BEGIN", "SELECT pg_advisory_lock(7)", "ROLLBACK"], LOCKS,
         free="SELECT pg_advisory_unlock_all()"),
    Case("L6", "LOAD", "LOAD 'auto_explain'", "SHOW auto_explain.log_min_duration"),
]

UNSEEN = [
    Case("L9", "set_config() in a function", "SELECT change('work_mem', '7MB')", "SHOW work_mem"),
    Case("L9", "set_config() in DO", "DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); END $$", "SHOW work_mem"),
    Case("L9", "SET in a procedure", "CALL changes('7MB')", "SHOW work_mem"),
    Case("L9", "set_config() in a function, rolled back", ["SET work_mem = '6MB'", "BEGIN", "SELECT change('work_mem', '7MB')",
                                                           "ROLLBACK"], "SHOW work_mem"),
    Case("L9", "custom setting in a function", "SELECT change('app.tenant', '42')",
         "SELECT nullif(current_setting('app.tenant', true), '')"),
    Case("L9", "set_config() in a view", "SELECT * FROM changing", "SHOW work_mem"),
    Case("L9", "set_config() in a trigger", "INSERT INTO pulls VALUES (1)", "SHOW work_mem"),
    Case("L9", "set_config() behind an operator", "SELECT 'work_mem' ==> '7MB'", "SHOW work_mem"),
    Case("L9", "set_config() in a column's default", "INSERT INTO defaults (x) VALUES (1)", "SHOW work_mem"),
    Case("L9", "temporary table in DO", "DO $$ BEGIN CREATE TEMP TABLE tt AS SELECT 42 AS x; END $$", "SELECT x FROM tt",
         free="DROP TABLE tt"),
    Case("L9", "advisory lock in a function", "SELECT takes(7)", LOCKS, free="SELECT pg_advisory_unlock_all()"),
    Case("L9", "advisory lock in a trigger", "INSERT INTO locks VALUES (7)", LOCKS, free="SELECT pg_advisory_unlock_all()"),
    Case("L9", "SET ROLE in a function", "SELECT change('role', 'alice')", WHO),
    Case("L9", "prepared statement that calls a function", [sends(parse("s1", "SELECT change($1, $2)")),
                                                            runs("s1", "work_mem", "7MB")], "SHOW work_mem"),
]

DISCARDS = [
    Case("L10", "DISCARD ALL beside another's settings", ["SET work_mem = '7MB'", "DISCARD ALL"], "SHOW work_mem",
         other="SET work_mem = '9MB'"),
    Case("L10", "DISCARD ALL beside another's statement", [sends(parse("s1", "SELECT 1")), "DISCARD ALL"], runs("s1"),
         other=sends(parse("s1", "SELECT 'other'"))),
    Case("L10", "DISCARD ALL ends role and lock", ["SET ROLE alice", "SELECT pg_advisory_lock(7)", "DISCARD ALL", "SET work_mem = '7MB'"],
         f"SELECT current_user, current_setting('work_mem'), ({LOCKS})"),
    Case("L10", "DISCARD ALL goes back to startup", ["SET work_mem = '9MB'", "DISCARD ALL"], setting("work_mem"),
         startup={"options": "-c work_mem=7MB"}),
    Case("L10", "DISCARD ALL in DO fails", ["SET work_mem = '7MB'", "DO $$ BEGIN EXECUTE 'DISCARD ALL'; END $$"], "SHOW work_mem"),
    Case("L10", "DISCARD PLANS", ["SET work_mem = '7MB'", "DISCARD PLANS"], "SHOW work_mem"),
]

PROCESS = [
    Case("L13", "%_SHARED of PL/Perl", "SELECT perl_put('mine')", "SELECT perl_get()", keeps=True),
    Case("L13", "%_SHARED in a trigger", "INSERT INTO remembered VALUES (1)", "SELECT perl_get()", keeps=True),
    Case("L13", "%_SHARED in DO", "DO LANGUAGE plperl $$ $_SHARED{x} = 7 $$", "SELECT perl_get()", keeps=True),
    Case("L13", "%_SHARED, rolled back", ["BEGIN", "SELECT perl_put('mine')", "ROLLBACK"], "SELECT perl_get()", keeps=True),
    Case("L13", "a new function", "CREATE OR REPLACE FUNCTION perl_new() RETURNS int LANGUAGE plperl AS 'return ++$n'; SELECT perl_new()",
         "SELECT perl_new()", keeps=True),
]

CASES = SETTINGS + ROLES + PREPARED + PINS + UNSEEN + DISCARDS + PROCESS

SETUP = """
CREATE ROLE app LOGIN SUPERUSER; CREATE ROLE alice; CREATE ROLE bob;
CREATE SCHEMA tenant_a; CREATE SCHEMA tenant_b; CREATE SCHEMA "Tenant";
CREATE TABLE tenant_a.who AS SELECT 'a' AS name; CREATE TABLE tenant_b.who AS SELECT 'b' AS name;
CREATE TABLE "Tenant".who AS SELECT 'T' AS name; CREATE TABLE public.who AS SELECT 'public' AS name;
CREATE TABLE wishes AS SELECT 'work_mem' AS name, '7MB' AS value;
CREATE TABLE work (i int); CREATE TABLE secret (name text);
INSERT INTO secret VALUES ('alice'), ('bob'), ('app'); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secret USING (name = current_user); GRANT SELECT ON secret TO alice, bob;
CREATE EXTENSION plperl; CREATE TABLE remembered (x int);
CREATE FUNCTION perl_put(text) RETURNS void LANGUAGE plperl AS '$_SHARED{x} = $_[0]';
CREATE FUNCTION perl_get() RETURNS text LANGUAGE plperl AS 'return $_SHARED{x}';
CREATE FUNCTION perl_new() RETURNS int LANGUAGE plperl AS 'return ++$n';
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM perl_put(NEW.x::text); RETURN NEW; END';
CREATE TRIGGER remember BEFORE INSERT ON remembered FOR EACH ROW EXECUTE FUNCTION remember();
CREATE SEQUENCE numbers; CREATE SEQUENCE numbers2;
CREATE FUNCTION change(n text, v text) RETURNS text LANGUAGE plpgsql AS
    'BEGIN RETURN set_config(n, v, false); END';
CREATE OPERATOR ==> (FUNCTION = change, LEFTARG = text, RIGHTARG = text);
CREATE PROCEDURE changes(v text) LANGUAGE plpgsql AS 'BEGIN EXECUTE format(''SET work_mem = %L'', v); END';
CREATE VIEW changing AS SELECT change('work_mem', '7MB');
CREATE FUNCTION takes(k int) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(k); END';
CREATE TABLE pulls (x int); CREATE TABLE locks (x int);
CREATE TABLE defaults (x int, y text DEFAULT change('work_mem', '7MB'));
CREATE FUNCTION pulled() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM set_config(''work_mem'', ''7MB'', false); RETURN NEW; END';
CREATE FUNCTION locked() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_lock(NEW.x); RETURN NEW; END';
CREATE TRIGGER pull BEFORE INSERT ON pulls FOR EACH ROW EXECUTE FUNCTION pulled();
CREATE TRIGGER lock BEFORE INSERT ON locks FOR EACH ROW EXECUTE FUNCTION locked();
"""
