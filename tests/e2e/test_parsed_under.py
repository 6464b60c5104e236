"""PostgreSQL turns literals into values when it parses, under the settings of that moment. A prepared statement keeps that meaning
whatever its client sets later and whichever server connection it meets, and gives it to nobody else."""
from contextlib import ExitStack, contextmanager

import pytest

from pgweir_test.proxy import DIRECT, PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import FLUSH, SYNC, Wire, bind, close, cstr, describe, errors, execute, message, parse, query, rows
from test_cache import PATIENT, Counted, warm

pytestmark = pytest.mark.skipif(not PGWEIR and not DIRECT, reason="PgBouncer 1.18 has no prepared statements in transaction mode")
DB = "parsed_under"
DATE, DMY, MDY = "SELECT extract(month FROM '01/02/2020'::date)::int", "SET datestyle = 'ISO, DMY'", "SET datestyle = 'ISO, MDY'"
# setting, its values at the Parse and later, a text whose meaning it changes
MEANINGS = {
    "DateStyle": ("'ISO, DMY'", "'ISO, MDY'", DATE),
    "TimeZone": ("'Asia/Tokyo'", "'UTC'", "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::int"),
    "IntervalStyle": ("sql_standard", "postgres", "SELECT extract(epoch FROM '-1 2:00:00'::interval)::int"),
    "standard_conforming_strings": ("off", "on", "SELECT length('a\\tb')"),
    "backslash_quote": ("on", "off", "SELECT length(E'a\\'b')"),
    "transform_null_equals": ("on", "off", "SELECT count(*) FROM (VALUES (1), (NULL)) v(i) WHERE i = NULL"),
    "array_nulls": ("off", "on", "SELECT ('{NULL}'::text[])[1] IS NULL"),
    "lc_monetary": ("'C'", "'C.UTF-8'", "SELECT '1.5'::money::numeric"),
    "client_encoding": ("LATIN1", "UTF8", b"SELECT length('\xe9') + ascii('\xe9')"),
}


def run(name):
    return bind("", name) + execute()


FAIL = parse("", "SELECT 1/0") + bind("", "") + execute()


def parse_bytes(name, text):
    return parse(name, text) if isinstance(text, str) else message(b"P", cstr(name) + text + b"\0\0\0")


def sql(text):
    """By the extended protocol and a name of its own: the unnamed statement stays."""
    return parse("sql", text) + bind("sql", "sql") + execute("sql") + close("P", "sql") + close("S", "sql")


def where_aside(got):
    """A failed transaction refuses a Parse, or a Bind, in another function of PostgreSQL's."""
    kind, body = got
    return (kind, b"\0".join(part for part in body.split(b"\0") if part[:1] not in b"FLR")) if kind == b"E" else got


@pytest.fixture(scope="module")
def db(cluster):
    cluster.sql(f"CREATE DATABASE {DB} ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0")
    cluster.sql(f"ALTER DATABASE {DB} SET escape_string_warning = off")  # said only by the server connection that parses
    cluster.sql("""CREATE TABLE t (id int PRIMARY KEY, at timestamptz); INSERT INTO t VALUES (1, '2020-01-01 00:00+00'), (2, '2019-12-31 15:00+00');
                   CREATE TABLE days (day date PRIMARY KEY, name text); INSERT INTO days VALUES ('2020-01-02', 'January'), ('2020-02-01', 'February');
                   CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 1000) i;
                   CREATE FUNCTION touch() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';""", DB)
    yield DB
    cluster.drop_database(DB)


@pytest.fixture(scope="module", params=["cached", "passed on"])
def proxy(cluster, db, request):
    """Two server connections, so that a statement does meet another."""
    made = Proxy(cluster, {"default_pool_size": 2, "ignore_startup_parameters": None, "cache_size": "64MB" if request.param == "cached" else 0})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.fixture
def both(proxy, cluster, db):
    """A client of pgweir and one of PostgreSQL."""
    with Wire(proxy.port).login(database=db) as ours, Wire(cluster.port).login(database=db) as real:
        yield Both(proxy, ours, real)


class Both:
    def __init__(self, proxy, ours, real):
        self.proxy, self.ours, self.real = proxy, ours, real

    def do(self, *parts, syncs=1):
        """The same to both; the answers are the same. Those of PostgreSQL."""
        got = []
        for wire in (self.ours, self.real):
            wire.send(*parts)
            got.append([where_aside(message) for _ in range(syncs) for message in wire.until(b"Z")])
        assert got[0] == got[1]
        return got[0]

    @contextmanager
    def elsewhere(self, turn):
        """From now on the other server connection is the one that is free; `turn` 0: the same as before."""
        with ExitStack() as stack:
            if turn % 2 == 1 and PGWEIR:
                other = stack.enter_context(self.proxy.connect(dbname=DB, autocommit=False))
                other.execute("SELECT pg_backend_pid()").fetchone()
            yield


WAYS = {
    "set between": ([[sql("SET {name} = {first}")], "PARSE", [sql("SET {name} = {then}")]], []),
    "reset between": ([[sql("SET {name} = {first}")], "PARSE", [sql("RESET {name}")]], []),
    "set local at the Parse": ([[sql("SET {name} = {then}")], [sql("BEGIN")], [sql("SET LOCAL {name} = {first}")], "PARSE", [sql("COMMIT")]], []),
    "set local, and at once the Parse": ([[sql("SET {name} = {then}")], [sql("BEGIN"), sql("SET LOCAL {name} = {first}"), "PARSE"], [sql("COMMIT")]], []),
    "set in its transaction": ([[sql("BEGIN")], [sql("SET {name} = {first}")], "PARSE", [sql("COMMIT")], [sql("SET {name} = {then}")]], []),
    "set in its transaction, and again": ([[sql("SET {name} = {then}")], [sql("BEGIN")], [sql("SET {name} = {first}")], "PARSE", [sql("SET {name} = {then}")], [sql("COMMIT")]], []),
    "set in a pipeline": ([[sql("SET {name} = {first}"), "PARSE", sql("SET {name} = {then}")]], []),
    "rolled back": ([[sql("SET {name} = {then}")], [sql("BEGIN")], [sql("SET {name} = {first}")], "PARSE", [sql("ROLLBACK")]], []),
    "rolled back to a savepoint": ([[sql("SET {name} = {then}")], [sql("BEGIN")], [sql("SAVEPOINT p")], [sql("SET {name} = {first}")], "PARSE",
                                    [sql("ROLLBACK TO p")], "USE", [sql("COMMIT")]], []),
    "set_config": ([[sql("SELECT set_config('{name}', {quoted_first}, false)")], "PARSE", [sql("SELECT set_config('{name}', {quoted_then}, false)")]], []),
    "used under SET": ([[sql("SET {name} = {first}")], "PARSE"], [[sql("BEGIN")], [sql("SET {name} = {then}")], "USE", [sql("COMMIT")], [sql("SET {name} = {first}")]]),
    "used under SET LOCAL": ([[sql("SET {name} = {first}")], "PARSE"], [[sql("BEGIN")], [sql("SET LOCAL {name} = {then}")], "USE", [sql("COMMIT")]]),
    "used under SET LOCAL, at once": ([[sql("SET {name} = {first}")], "PARSE"], [[sql("BEGIN"), sql("SET LOCAL {name} = {then}"), "USE", sql("COMMIT")]]),
    "used in the pipeline of the SET": ([[sql("SET {name} = {first}")], "PARSE"], [[sql("SET {name} = {then}"), "USE"], [sql("SET {name} = {first}")]]),
    "used behind the SET, and rolled back": ([[sql("SET {name} = {first}")], "PARSE"], [[sql("BEGIN")], [sql("SET {name} = {then}")], "USE", [sql("ROLLBACK")]]),
    "in a transaction": ([[sql("SET {name} = {first}")], "PARSE", [sql("SET {name} = {then}")]], [[sql("BEGIN")], "USE", [sql("SHOW {name}")], [sql("COMMIT")]]),
}


def fill(part, **values):
    """The lengths are counted anew."""
    text = part
    for key, value in values.items():
        text = text.replace(("{" + key + "}").encode(), value.encode())
    if text == part:
        return part
    size = int.from_bytes(part[1:5], "big")
    first = part[5:size + 1]
    for key, value in values.items():
        first = first.replace(("{" + key + "}").encode(), value.encode())
    return message(part[:1], first) + part[size + 1:]


@pytest.mark.parametrize("name", ["s", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("setting", MEANINGS)
def test_what_it_meant_at_its_parse(both, setting, way, name):
    first, then, text = MEANINGS[setting]
    values = {"name": setting, "first": first, "then": then, "quoted_first": "'" + first.strip("'") + "'", "quoted_then": "'" + then.strip("'") + "'"}
    words = {"PARSE": parse_bytes(name, text), "USE": run(name)}
    before, uses = WAYS[way]

    def go(steps):
        for step in steps:
            parts = [step] if isinstance(step, str) else step
            got = both.do(*[words[part] if isinstance(part, str) else fill(part, **values) for part in parts], SYNC)
            assert not errors(got), (step, errors(got))

    go(before)
    for turn in range(4):
        with both.elsewhere(turn):
            go(uses or ["USE", [sql("SHOW {name}")], "USE"])
    with both.elsewhere(1):
        both.do(describe("S", name), SYNC)
        both.do(bind("p", name), describe("P", "p"), execute("p"), SYNC)


def prepared(both):
    """The client has `dmy`, parsed under DMY, and is under MDY."""
    both.do(sql(DMY), SYNC)
    both.do(parse("dmy", DATE), SYNC)
    both.do(sql(MDY), SYNC)


def test_in_front_of_set_transaction(both):
    """What is asked in front of it must not be a query; nor does a statement that has no literals need one."""
    both.do(parse("level", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), parse("date", DATE), SYNC)
    both.do(sql(DMY), sql("SET TIME ZONE 'Asia/Tokyo'"), SYNC)
    for turn in range(3):
        with both.elsewhere(turn):
            both.do(sql("BEGIN"), SYNC)
            assert not errors(both.do(run("level"), SYNC))
            both.do(run("date"), sql("SHOW transaction_isolation"), SYNC)
            both.do(sql("COMMIT"), SYNC)


def test_what_cannot_run_in_a_pipeline(both):
    """VACUUM refuses to run behind anything else."""
    both.do(parse("vacuum", "VACUUM t"), SYNC)
    both.do(sql(DMY), SYNC)
    for turn in range(3):
        with both.elsewhere(turn):
            assert not errors(both.do(run("vacuum"), SYNC))


def test_the_unnamed_portal_stays(both):
    prepared(both)
    for turn in range(3):
        with both.elsewhere(turn):
            both.do(parse("n", "SELECT i FROM generate_series(1, 5) i"), bind("", "n"), execute("", 2), bind("other", "dmy"), execute("other"), execute("", 2),
                    close("S", "n"), SYNC)


def test_in_a_failed_transaction(both):
    prepared(both)
    for turn in range(3):
        with both.elsewhere(turn):
            both.do(sql("BEGIN"), SYNC, query("SELECT 1/0"), syncs=2)
            assert errors(both.do(run("dmy"), SYNC)) == ["25P02"]
            both.do(sql("ROLLBACK"), SYNC)
            assert rows(both.do(run("dmy"), SYNC)) == [[b"2"]]


def test_in_pipelines(both):
    prepared(both)
    for turn in range(3):
        with both.elsewhere(turn):
            both.do(sql("BEGIN"), SYNC, run("dmy"), SYNC, sql("SET LOCAL datestyle = 'ISO, YMD'"), SYNC, run("dmy"), SYNC, run("dmy"), sql("SHOW datestyle"), SYNC,
                    sql("COMMIT"), SYNC, run("dmy"), sql("SHOW datestyle"), SYNC, syncs=7)
            both.do(sql("BEGIN"), run("dmy"), sql(DMY), run("dmy"), parse("now", DATE), run("now"), sql("ROLLBACK"), run("now"), run("dmy"), SYNC,
                    run("now"), run("dmy"), sql("SHOW datestyle"), close("S", "now"), SYNC, syncs=2)
            both.do(sql(DMY), parse("now", DATE), FAIL, SYNC, run("now"), SYNC, run("dmy"), sql("SHOW datestyle"), close("S", "now"), SYNC, syncs=3)
            both.do(sql("BEGIN"), SYNC, sql("SAVEPOINT a"), sql(DMY), parse("now", DATE), SYNC, FAIL, SYNC, sql("ROLLBACK TO a"), SYNC,
                    run("now"), run("dmy"), SYNC, parse("then", DATE), run("then"), SYNC, sql("COMMIT"), SYNC, run("now"), run("then"), SYNC,
                    close("S", "now"), close("S", "then"), SYNC, syncs=9)


def test_behind_a_batch_that_fails(both):
    """What is asked in it is skipped with it, and asked again in the next."""
    both.do(sql(MDY), SYNC)
    for turn in range(4):
        with both.elsewhere(turn):
            both.do(run("nobody"), sql(DMY), parse("", DATE), run(""), SYNC, sql(DMY), parse("s", DATE), run("s"), SYNC, run("s"), sql("SHOW datestyle"), SYNC,
                    close("S", "s"), close("S", "sql"), sql(MDY), SYNC, syncs=4)


def test_several_meanings_of_one_text(both):
    styles = ["ISO, DMY", "ISO, MDY", "German", "SQL, DMY", "SQL, MDY", "Postgres, DMY"]
    for i, style in enumerate(styles):
        both.do(sql(f"SET datestyle = '{style}'"), parse(f"s{i}", DATE), SYNC)
    for turn in range(4):
        with both.elsewhere(turn):
            for i in range(len(styles)):
                both.do(run(f"s{i}"), SYNC)
    both.do(sql("BEGIN"), SYNC)
    for i, style in enumerate(styles):
        both.do(sql(f"SET LOCAL datestyle = '{style}'"), parse(f"t{i}", DATE), *[run(f"s{k}") for k in range(len(styles))], SYNC)
    both.do(*[run(f"t{k}") for k in range(len(styles))], SYNC)
    both.do(sql("COMMIT"), SYNC)
    with both.elsewhere(1):
        both.do(*[run(f"{kind}{k}") for k in range(len(styles)) for kind in "st"], SYNC)


def test_a_client_that_flushes(both):
    prepared(both)
    for turn in range(2):
        with both.elsewhere(turn):
            for wire in (both.ours, both.real):
                wire.send(sql("BEGIN"), SYNC)
                wire.until(b"Z")
                wire.send(sql("SET LOCAL datestyle = 'German'") + run("dmy") + FLUSH)
                assert rows(wire.until(b"D")) == [[b"2"]]
                wire.send(parse("f", DATE) + describe("S", "f") + FLUSH)
                wire.until(b"T")
                wire.send(sql("SET LOCAL datestyle = 'ISO, MDY'") + run("f") + SYNC)
                assert rows(wire.until(b"Z")) == [[b"2"]]
                wire.send(sql("COMMIT"), close("S", "f"), SYNC)
                wire.until(b"Z")


def test_sql_that_executes_it(both):
    prepared(both)
    for turn in range(3):
        with both.elsewhere(turn):
            both.do(sql("EXECUTE dmy"), SYNC)
            both.do(sql("BEGIN"), SYNC, sql("SET LOCAL datestyle = 'German'"), SYNC, query("EXECUTE dmy"), query("COMMIT"), syncs=4)


def test_behind_discard_all(both):
    prepared(both)
    both.do(sql("DISCARD ALL"), SYNC)
    for turn in range(2):
        with both.elsewhere(turn):
            assert errors(both.do(run("dmy"), SYNC)) == ["26000"]
            both.do(parse("dmy", DATE), run("dmy"), close("S", "dmy"), SYNC)


def test_a_text_in_another_encoding(both):
    """é is one byte at its Parse, and none by itself later; names too."""
    both.do(sql("SET client_encoding = 'LATIN1'"), SYNC)
    both.do(parse_bytes("s", b"SELECT 1 AS \"n\xe9e\", U&'\\00e9' || '\xe9'"), SYNC)
    both.do(sql("SET client_encoding = 'UTF8'"), SYNC)
    for turn in range(3):
        with both.elsewhere(turn):
            assert not errors(both.do(describe("S", "s"), run("s"), SYNC))


@pytest.fixture
def one(cluster, db):
    """One server connection for all."""
    made = Proxy(cluster, {"default_pool_size": 1, "ignore_startup_parameters": None})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.mark.parametrize("use", [[], ["BEGIN", "SET LOCAL datestyle = 'ISO, MDY'"]], ids=["SET", "SET LOCAL"])
def test_the_meaning_that_it_has_for_another(one, cluster, db, use):
    """What makes PostgreSQL parse a statement anew - here ANALYZE of its table, as autovacuum does it - lets it have the settings of who runs it."""
    text = "SELECT name FROM days WHERE day = '01/02/2020'"
    with Wire(one.port).login(database=db) as first, Wire(one.port).login(database=db) as second:
        for wire in (first, second):
            wire.send(sql(DMY), parse("s", text), run("s"), SYNC)
            assert rows(wire.until(b"Z")) == [[b"February"]]
        if not use:
            first.simple(MDY)
        for turn in range(3):
            for text in use:
                first.simple(text)
            cluster.sql("ANALYZE days", db)
            first.send(run("s"), SYNC)
            first.until(b"Z")
            if use:
                first.simple("COMMIT")
            second.send(run("s"), SYNC)
            assert rows(second.until(b"Z")) == [[b"February"]]


def test_it_is_not_parsed_more_often_than_needed(one, db):
    """Settings that no literal knows of, and texts without one."""
    def reparses():
        return one.metrics().count("reparses")

    with Wire(one.port).login(database=db) as wire:
        wire.send(parse("plain", "SELECT $1::int + 1"), parse("dmy", DATE), run("dmy"), bind("", "plain", [b"1"]), execute(), SYNC)
        wire.until(b"Z")
        before = reparses()
        for text in ("SET application_name = 'x'", "SET statement_timeout = '80s'", "SET app.tenant = '1'", "SET work_mem = '5MB'", "SET lock_timeout = '70s'",
                     "SET search_path = public"):
            wire.simple(text)
            wire.simple("BEGIN")
            wire.simple(text.replace("SET ", "SET LOCAL "))
            wire.send(run("dmy"), bind("", "plain", [b"1"]), execute(), parse("new", DATE), run("new"), close("S", "new"), SYNC)
            assert rows(wire.until(b"Z")) == [[b"1"], [b"2"], [b"1"]]
            wire.simple("COMMIT")
        assert reparses() == before
        for text in (DMY, "SET TIME ZONE 'Asia/Tokyo'", "SET transform_null_equals = on"):
            wire.simple(text)
            for _ in range(3):
                wire.send(bind("", "plain", [b"1"]), execute(), SYNC)
                assert rows(wire.until(b"Z")) == [[b"2"]]
        assert reparses() == before
        for _ in range(3):
            wire.send(run("dmy"), SYNC)
            assert rows(wire.until(b"Z")) == [[b"1"]]
        assert reparses() == before + 1


def test_a_transaction_with_other_settings_shares_its_statements(one, db):
    """SET LOCAL of what changes no literal: what is prepared behind it is what others prepare."""
    with Wire(one.port).login(database=db) as wire:
        for _ in range(5):
            wire.simple("BEGIN")
            wire.simple("SET LOCAL app.tenant = '7'"), wire.simple("SET LOCAL work_mem = '6MB'"), wire.simple("SET LOCAL statement_timeout = '80s'")
            wire.send(parse("s", DATE), run("s"), close("S", "s"), SYNC)
            wire.until(b"Z")
            wire.simple("COMMIT")
    with one.connect("pgbouncer") as console:
        cursor = console.execute("SHOW STATS")
        names = [column.name for column in cursor.description]
        assert [row[names.index("total_server_parse_count")] for row in cursor if row[0] == db] == [1]


@pytest.mark.skipif(not PGWEIR, reason="the cache is pgweir's")
def test_answers_from_the_cache(cluster, db):
    made = Proxy(cluster, {**PATIENT, "default_pool_size": 2, "ignore_startup_parameters": None})
    try:
        warm(made, db)
        text = "SELECT name FROM days WHERE day = '01/02/2020'"
        with Wire(made.port).login(database=db) as first, Wire(made.port).login(database=db) as second:
            for wire, style in ((first, DMY), (second, MDY)):
                wire.simple(style)
                wire.send(parse("s", text), SYNC)
                wire.until(b"Z")
                wire.simple(MDY if style == DMY else DMY)

            def ask(wire, text):
                wire.send(text, SYNC)
                return rows(wire.until(b"Z"))

            for _ in range(6):
                assert (ask(first, run("s")), ask(second, run("s"))) == ([[b"February"]], [[b"January"]])
                assert ask(first, parse("", text) + run("")) == [[b"January"]] and ask(second, parse("", text) + run("")) == [[b"February"]]
            first.simple(DMY)

            def hit():
                with Counted(made) as counted:
                    assert ask(first, run("s")) == [[b"February"]]
                return counted.rise("cache_hits") > 0

            wait_for("an answer from the cache, under the settings of its Parse again", hit)
            first.simple("SET application_name = 'other'"), first.simple("SET work_mem = '9MB'"), first.simple("SET work_mem = '4MB'")
            wait_for("an answer from the cache", hit)
    finally:
        assert made.stop() == 0, made.log_text()[-2000:]
