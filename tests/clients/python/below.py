"""Cancel, COPY and LISTEN by psycopg2: what an ORM has no words for is done on the connection below it."""
import io
import select
import threading

from steps import fails, ok


def cancel(conn):
    stop = threading.Event()

    def ask():
        while not stop.wait(0.1):
            conn.cancel()
    asker = threading.Thread(target=ask)
    asker.start()
    with conn.cursor() as cur:
        fails("57014", lambda: cur.execute("SELECT pg_sleep(30)"))
    stop.set()
    asker.join()
    conn.rollback()


def copy(conn):
    with conn.cursor() as cur:
        cur.copy_expert("COPY item (id, name) FROM STDIN", io.StringIO("".join(f"{i}\tcopied\n" for i in range(10000, 15000))))
        out = io.StringIO()
        cur.copy_expert("COPY (SELECT id, name FROM item WHERE id >= 10000 ORDER BY id) TO STDOUT", out)
        assert out.getvalue().splitlines() == [f"{i}\tcopied" for i in range(10000, 15000)]
        fails("22P02", lambda: cur.copy_expert("COPY item (id, name) FROM STDIN", io.StringIO("x\ty\n")))
    conn.rollback()
    with conn.cursor() as cur:  # of a connection that commits by itself there is something left
        cur.execute("DELETE FROM item WHERE id >= 10000")
    conn.commit()


def listen(hears, says):
    before = hears.autocommit, says.autocommit
    hears.autocommit = says.autocommit = True
    with hears.cursor() as listener, says.cursor() as notifier:
        listener.execute("LISTEN channel")
        notifier.execute("NOTIFY channel, 'hello'")
        while not hears.notifies:
            assert select.select([hears], [], [], 20)[0], "nothing was heard"
            hears.poll()
        assert hears.notifies.pop().payload == "hello"
        listener.execute("UNLISTEN *")
    hears.autocommit, says.autocommit = before


def steps(first, second):
    """All of them, by two connections of the program that are at rest."""
    cancel(first)
    ok("cancel")
    copy(second)
    ok("copy")
    listen(first, second)
    ok("listen")
