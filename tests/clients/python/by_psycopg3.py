"""psycopg 3: extended protocol, binary parameters, statements named after the fifth use, pipelines."""
import threading

import psycopg
from steps import LONG, URL, ZONES, fails, ok, serve

conns = [psycopg.connect(URL) for _ in ZONES]


def value(conn, sql, args=None, **more):
    return conn.execute(sql, args, **more).fetchone()[0]


def connect():
    for conn in conns:
        with conn.transaction():
            assert value(conn, "SELECT 1") == 1


def settings():
    for conn, zone in zip(conns, ZONES):
        conn.autocommit = True
        conn.execute("SELECT set_config('TimeZone', %s, false)", (zone,))
    for _ in range(3):
        assert tuple(value(conn, "SHOW TimeZone") for conn in conns) == ZONES
        assert tuple(conn.info.parameter_status("TimeZone") for conn in conns) == ZONES


def crud():
    for conn in conns:
        for binary in (False, True):
            for name in ("it's \\ ü", LONG):
                row = value(conn, "INSERT INTO item (name, n) VALUES (%s, %s) RETURNING id", (name, None), binary=binary)
                for prepare in (None, True):
                    read = conn.execute("SELECT name, n FROM item WHERE id = %s", (row,), binary=binary, prepare=prepare)
                    assert read.fetchall() == [(name, None)]
                assert conn.execute("UPDATE item SET name = %s WHERE id = %s", ("new", row)).rowcount == 1
                assert value(conn, "SELECT name FROM item WHERE id = %s", (row,), binary=binary) == "new"
                assert conn.execute("DELETE FROM item WHERE id = %s", (row,)).rowcount == 1
                assert conn.execute("SELECT name FROM item WHERE id = %s", (row,)).fetchall() == []
    conn = conns[0]
    with conn.cursor() as cur:
        cur.executemany("INSERT INTO item (id, name) VALUES (%s, %s)", [(i, "v") for i in range(500, 520)])
    with conn.pipeline():
        cursors = [conn.execute("SELECT id FROM item WHERE id = %s", (i,)) for i in range(500, 520)]
        conn.execute("UPDATE item SET name = 'w' WHERE id = 500")
        after = conn.execute("SELECT name FROM item WHERE id = %s", (500,))
        assert [cur.fetchone()[0] for cur in cursors] == list(range(500, 520))
        assert after.fetchone() == ("w",)
    with conn.transaction(), conn.cursor("named") as cur:
        cur.itersize = 7
        cur.execute("SELECT id FROM item WHERE id BETWEEN 500 AND 519 ORDER BY id")
        assert [row[0] for row in cur] == list(range(500, 520))


def transactions():
    one, two = conns[:2]
    with one.transaction():
        one.execute("INSERT INTO item (id, name) VALUES (600, 'a')")
        assert two.execute("SELECT name FROM item WHERE id = 600").fetchall() == []
        try:
            with one.transaction():
                one.execute("UPDATE item SET name = 'b' WHERE id = 600")
                raise KeyError
        except KeyError:
            pass
    assert value(two, "SELECT name FROM item WHERE id = 600") == "a"
    with one.transaction() as tx:
        one.execute("DELETE FROM item WHERE id = 600")
        raise psycopg.Rollback(tx)
    assert value(two, "SELECT name FROM item WHERE id = 600") == "a"


def prepared():
    for turn in range(8):
        for i, conn in enumerate(conns):  # _pg3_0 means something else on each
            assert value(conn, f"SELECT %s::int + {i}", (turn,), prepare=True) == turn + i
    for i, conn in enumerate(conns):
        conn.prepare_threshold = 2
        conn.prepared_max = 3
        for turn in range(20):  # and thrown away by DEALLOCATE
            assert value(conn, f"SELECT %s::int + {turn % 5}", (i,), prepare=True) == turn % 5 + i


def errors():
    for conn in conns:
        for state, sql in (("23505", "INSERT INTO item (id, name) VALUES (1, 'twice')"), ("42P01", "SELECT * FROM nope"), ("22012", "SELECT 1/0")):
            fails(state, lambda: conn.execute(sql))
        conn.autocommit = False
        fails("22012", lambda: conn.execute("SELECT %s::int / 0", (1,)))
        fails("25P02", lambda: conn.execute("SELECT 1"))
        conn.rollback()
        conn.autocommit = True
        assert value(conn, "SELECT 1") == 1


def timeout():
    conns[0].execute("SET statement_timeout = 100")
    fails("57014", lambda: conns[0].execute("SELECT pg_sleep(30)"))
    assert value(conns[1], "SHOW statement_timeout") == "0"
    conns[0].execute("RESET statement_timeout")


def cancel():
    stop = threading.Event()

    def ask():
        while not stop.wait(0.1):
            conns[0].cancel()
    asker = threading.Thread(target=ask)
    asker.start()
    fails("57014", lambda: conns[0].execute("SELECT pg_sleep(30)"))
    stop.set()
    asker.join()


def copy():
    conn = conns[2]
    with conn.cursor() as cur, conn.transaction() as tx:
        with cur.copy("COPY item (id, name) FROM STDIN") as out:
            for i in range(10000, 15000):
                out.write_row((i, "copied"))
        with cur.copy("COPY (SELECT id, name FROM item WHERE id >= 10000 ORDER BY id) TO STDOUT (FORMAT binary)") as back:
            back.set_types(["int4", "text"])
            assert list(back.rows()) == [(i, "copied") for i in range(10000, 15000)]
        raise psycopg.Rollback(tx)

    def bad():
        with conn.cursor() as cur, cur.copy("COPY item (id, name) FROM STDIN") as out:
            out.write("x\ty\n")
    fails("22P02", bad)
    assert value(conn, "SELECT 1") == 1


def listen():
    hears, says = conns[:2]
    hears.execute("LISTEN channel")
    says.execute("NOTIFY channel, 'hello'")
    assert next(hears.notifies()).payload == "hello"
    hears.execute("UNLISTEN *")


def get(conn, row):
    return value(conns[conn], "SELECT name FROM item WHERE id = %s", (row,))


def put(conn, row, name):
    with conns[conn].transaction():
        conns[conn].execute("UPDATE item SET name = %s WHERE id = %s", (name, row))


for step in (connect, settings, crud, transactions, prepared, errors, timeout, cancel, copy, listen):
    step()
    ok(step.__name__)
serve(get, put)
