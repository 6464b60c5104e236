"""psycopg2: simple queries, literals in the text, BEGIN in front of the first statement."""
import below
import psycopg2
import psycopg2.extras
from steps import LONG, URL, ZONES, fails, ok, serve

conns = [psycopg2.connect(URL) for _ in ZONES]


def run(conn, sql, args=None):
    with conn.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchall() if cur.description else cur.rowcount


def value(conn, sql, args=None):
    return run(conn, sql, args)[0][0]


def settings():
    for conn, zone in zip(conns, ZONES):
        conn.set_session(autocommit=True)
        run(conn, "SET TimeZone TO %s", (zone,))
    for _ in range(3):
        assert tuple(value(conn, "SHOW TimeZone") for conn in conns) == ZONES
    for conn in conns:
        conn.autocommit = False


def crud():
    for conn in conns:
        for name in ("it's \\ ü", LONG):
            row = value(conn, "INSERT INTO item (name, n) VALUES (%s, %s) RETURNING id", (name, None))
            assert run(conn, "SELECT name, n FROM item WHERE id = %s", (row,)) == [(name, None)]
            assert run(conn, "UPDATE item SET name = %s WHERE id = %s", ("new", row)) == 1
            assert value(conn, "SELECT name FROM item WHERE id = %s", (row,)) == "new"
            conn.commit()
            assert run(conn, "DELETE FROM item WHERE id = %s", (row,)) == 1
            assert run(conn, "SELECT name FROM item WHERE id = %s", (row,)) == []
            conn.commit()
    psycopg2.extras.execute_values(conns[0].cursor(), "INSERT INTO item (id, name) VALUES %s", [(i, "v") for i in range(500, 520)])
    conns[0].commit()
    with conns[1].cursor("named") as cur:  # a server-side cursor
        cur.itersize = 7
        cur.execute("SELECT id FROM item WHERE id BETWEEN 500 AND 519 ORDER BY id")
        assert [row[0] for row in cur] == list(range(500, 520))
    conns[1].rollback()


def transactions():
    one, two = conns[:2]
    run(one, "INSERT INTO item (id, name) VALUES (600, 'a')")
    assert run(two, "SELECT name FROM item WHERE id = 600") == []
    two.rollback()
    run(one, "SAVEPOINT s")
    run(one, "UPDATE item SET name = 'b' WHERE id = 600")
    run(one, "ROLLBACK TO s")
    one.commit()
    assert value(two, "SELECT name FROM item WHERE id = 600") == "a"
    two.rollback()
    run(one, "DELETE FROM item WHERE id = 600")
    one.rollback()
    assert value(two, "SELECT name FROM item WHERE id = 600") == "a"
    two.rollback()
    one.set_session(isolation_level="SERIALIZABLE", readonly=True)
    assert value(one, "SELECT name FROM item WHERE id = 600") == "a"
    fails("25006", lambda: run(one, "DELETE FROM item"))
    one.rollback()
    one.set_session(isolation_level="READ COMMITTED", readonly=False)


def prepared():
    """SQL PREPARE, the only kind that psycopg2 can make; at most one fits beside another client on two backends."""
    conn = conns[0]
    conn.autocommit = True
    run(conn, "PREPARE s (int) AS SELECT $1 + 1")
    for i in range(5):
        assert value(conn, "EXECUTE s (%s)", (i,)) == i + 1
        fails("26000", lambda: run(conns[1], "EXECUTE s (1)"))
        conns[1].rollback()
    run(conn, "DEALLOCATE s")
    conn.autocommit = False


def errors():
    for conn in conns:
        fails("23505", lambda: run(conn, "INSERT INTO item (id, name) VALUES (1, 'twice')"))
        fails("25P02", lambda: run(conn, "SELECT 1"))
        conn.rollback()
        for state, sql in (("42P01", "SELECT * FROM nope"), ("22012", "SELECT 1/0")):
            fails(state, lambda: run(conn, sql))
            conn.rollback()
        assert value(conn, "SELECT 1") == 1
        conn.rollback()


def timeout():
    conn = psycopg2.connect(URL, options="-c statement_timeout=100")
    fails("57014", lambda: run(conn, "SELECT pg_sleep(30)"))
    conn.close()
    assert value(conns[0], "SHOW statement_timeout") == "0"
    conns[0].rollback()


def get(conn, row):
    with conns[conn]:  # BEGIN .. COMMIT
        return value(conns[conn], "SELECT name FROM item WHERE id = %s", (row,))


def put(conn, row, name):
    with conns[conn]:
        run(conns[conn], "UPDATE item SET name = %s WHERE id = %s", (name, row))


def connect():
    for conn in conns:
        assert value(conn, "SELECT 1") == 1
        conn.rollback()


for step in (connect, settings, crud, transactions, prepared, errors, timeout):
    step()
    ok(step.__name__)
below.steps(conns[0], conns[1])
serve(get, put)
