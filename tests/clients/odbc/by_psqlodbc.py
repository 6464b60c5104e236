"""psqlODBC by pyodbc: _PLAN0x.. statements and DEALLOCATE, several statements in one message, savepoints of its own."""
import pathlib
import re
import sys
import threading

import pyodbc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
from steps import LONG, URL, ZONES, ok, serve  # noqa: E402

USER, HOST, PORT, DATABASE = re.fullmatch(r"\w+://(\w+)@([\w.]+):(\d+)/(\w+)", URL).groups()
DSN = f"Driver=PostgreSQL Unicode;Server={HOST};Port={PORT};Database={DATABASE};Uid={USER};"
# UseServerSidePrepare, and what a failed statement rolls back: 0 = nothing, 1 = the transaction, 2 = itself (a savepoint).
KINDS = ("UseServerSidePrepare=1;Protocol=7.4-2;", "UseServerSidePrepare=1;Protocol=7.4-1;", "UseServerSidePrepare=0;", "UseDeclareFetch=1;Fetch=7;")
conns = [pyodbc.connect(DSN + kind, autocommit=True) for kind in KINDS]


def value(conn, sql, *args):
    row = conn.execute(sql, *args).fetchone()
    return row[0] if row else None


def fails(state, call):
    try:
        call()
    except pyodbc.Error as error:
        assert error.args[0] == state, error
    else:
        raise AssertionError(f"no error {state}")


def connect():
    assert [value(conn, "SELECT 1") for conn in conns] == [1] * 4


def settings():
    for conn, zone in zip(conns, ZONES):
        conn.execute(f"SET TimeZone TO '{zone}'")
    for _ in range(3):
        assert tuple(value(conn, "SHOW TimeZone") for conn in conns) == ZONES


def crud():
    for conn in conns:
        for name in ("it's \\ ü", LONG):
            row = value(conn, "INSERT INTO item (name, n) VALUES (?, ?) RETURNING id", name, None)
            assert tuple(conn.execute("SELECT name, n FROM item WHERE id = ?", row).fetchone()) == (name, None)
            assert conn.execute("UPDATE item SET name = ? WHERE id = ?", "new", row).rowcount == 1
            assert value(conn, "SELECT name FROM item WHERE id = ?", row) == "new"
            assert conn.execute("DELETE FROM item WHERE id = ?", row).rowcount == 1
            assert value(conn, "SELECT name FROM item WHERE id = ?", row) is None
    conns[0].cursor().executemany("INSERT INTO item (id, name) VALUES (?, ?)", [(i, "v") for i in range(500, 520)])
    rows = conns[3].execute("SELECT id FROM item WHERE id BETWEEN 500 AND 519 ORDER BY id").fetchall()
    assert [row[0] for row in rows] == list(range(500, 520))
    assert conns[1].cursor().columns(table="item").fetchone()[3] == "id"


def transactions():
    one, two = conns[:2]
    one.autocommit = False
    one.execute("INSERT INTO item (id, name) VALUES (600, 'a')")
    assert value(two, "SELECT name FROM item WHERE id = 600") is None
    one.execute("SAVEPOINT s")
    one.execute("UPDATE item SET name = 'b' WHERE id = 600")
    one.execute("ROLLBACK TO s")
    one.commit()
    assert value(two, "SELECT name FROM item WHERE id = 600") == "a"
    one.execute("DELETE FROM item WHERE id = 600")
    one.rollback()
    assert value(two, "SELECT name FROM item WHERE id = 600") == "a"
    one.autocommit = True


def prepared():
    cursors = [conn.cursor() for conn in conns]
    for turn in range(8):
        for i, cur in enumerate(cursors):  # the text stays, so does the plan
            assert cur.execute(f"SELECT ?::int + {i}", turn).fetchone()[0] == turn + i
    for cur in cursors:
        cur.close()


def errors():
    for i, conn in enumerate(conns):
        fails("23505", lambda: conn.execute("INSERT INTO item (id, name) VALUES (1, 'twice')"))
        fails("42P01", lambda: conn.execute("SELECT * FROM nope"))
        fails("22012", lambda: conn.execute("SELECT 1/0"))
        conn.autocommit = False
        value(conn, "SELECT 1")
        fails("22012", lambda: conn.execute("SELECT 1/0"))
        if i == 0:  # rolled back to the driver's savepoint
            assert value(conn, "SELECT 2") == 2
        conn.rollback()
        conn.autocommit = True
        assert value(conn, "SELECT 1") == 1


def timeout():
    conns[0].execute("SET statement_timeout = 100")
    fails("57014", lambda: conns[0].execute("SELECT pg_sleep(30)"))
    assert value(conns[1], "SHOW statement_timeout") == "0"
    conns[0].execute("RESET statement_timeout")


def cancel():
    cur, stop = conns[0].cursor(), threading.Event()

    def ask():
        while not stop.wait(0.1):
            cur.cancel()
    asker = threading.Thread(target=ask)
    asker.start()
    fails("57014", lambda: cur.execute("SELECT pg_sleep(30)"))
    stop.set()
    asker.join()
    assert value(conns[0], "SELECT 1") == 1


for step in (connect, settings, crud, transactions, prepared, errors, timeout, cancel):
    step()
    ok(step.__name__)
serve(lambda conn, row: value(conns[conn], "SELECT name FROM item WHERE id = ?", row),
      lambda conn, row, name: conns[conn].execute("UPDATE item SET name = ? WHERE id = ?", name, row))
