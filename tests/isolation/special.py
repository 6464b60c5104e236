"""The cases that are conversations of their own: LISTEN, sequences, clients that vanish, cancel requests.

Each takes a Stage (matrix) and returns one of matrix's words.
"""
import time

from pgweir_test.wire import FLUSH, Closed, bind, errors, execute, parse, query, rows

from cases import seen


def one(wire, sql):
    """The only value of a query, or its SQLSTATE."""
    values, failed = seen(wire.simple(sql))
    return failed[0] if failed else values[0][0]


# --- L7 -----------------------------------------------------------------------------------------------

def heard(wire, patience):
    """The payloads of the notifications that come within this time."""
    got, end = [], time.monotonic() + patience
    while time.monotonic() < end:
        wire.sock.settimeout(max(0.01, end - time.monotonic()))
        try:
            kind, body = wire.recv()
        except TimeoutError:
            break
        if kind == b"A":
            got.append(body[4:].split(b"\0")[1].decode())
    wire.sock.settimeout(stage_patience)
    return got


stage_patience = 20.0


def listens(stage, *steps):
    """The owner listens; the second client runs something, so that a pooler would move the backend."""
    owner, other = stage.client(), stage.client()
    for sql in steps:
        owner.simple(sql)
    blocked = stage.look(other, "SELECT 1") is None
    stage.origin_sql("NOTIFY news, 'hello'")
    got = heard(owner, 1.0)
    stray = [] if blocked else heard(other, 0.3)
    if not stray and not blocked:  # the notification may come with the next answer
        stray = [1 for kind, _ in other.simple("SELECT 1") if kind == b"A"]
    late = [1 for kind, _ in owner.simple("UNLISTEN *") if kind == b"A"] if not got else []
    if blocked:
        stage.finish(other)
    return stage.word(leaked=stray, lost=not got and not late, pinned=blocked)


def listen(stage):
    return listens(stage, "LISTEN news")


def listen_in_transaction(stage):
    return listens(stage, "BEGIN", "LISTEN news", "COMMIT")


def listen_rolled_back(stage):
    """Nobody may hear it."""
    owner, other = stage.client(), stage.client()
    for sql in ("BEGIN", "LISTEN news", "ROLLBACK"):
        owner.simple(sql)
    other.simple("SELECT 1")
    stage.origin_sql("NOTIFY news, 'hello'")
    return stage.word(leaked=heard(owner, 0.3) + heard(other, 0.3))


def listen_channels(stage):
    """pg_listening_channels() of the second client."""
    owner, other = stage.client(), stage.client()
    owner.simple("LISTEN news")
    theirs = stage.look(other, "SELECT count(*) FROM pg_listening_channels()")
    mine = one(owner, "SELECT count(*) FROM pg_listening_channels()")
    owner.simple("UNLISTEN *")
    blocked = theirs is None
    if blocked:
        theirs = stage.finish(other)
    return stage.word(leaked=theirs != ([["0"]], []), lost=mine != "1", pinned=blocked)


# --- L8 -----------------------------------------------------------------------------------------------

def sequence(stage, look, first, second):
    """The owner draws a number, the second client looks, draws one of its own; then both look."""
    owner, other = stage.client(), stage.client()
    mine = one(owner, f"SELECT nextval('{first}')")
    before = stage.look(other, look)
    if before is None:
        after = one(owner, look)
        owner.send(b"X\0\0\0\4")
        owner.sock.close()
        return stage.word(leaked=stage.finish(other)[1] != ["55000"], lost=after != mine, pinned=True)
    theirs = one(other, f"SELECT nextval('{second}')")
    after = one(owner, look)
    own = one(other, look)
    leaked = before[1] != ["55000"] or after not in (mine, "55000")
    if not leaked and (after == "55000" or own == "55000"):
        return "declined"
    return stage.word(leaked=leaked, lost=own != theirs)


def lastval(stage):
    return sequence(stage, "SELECT lastval()", "numbers", "numbers2")


def currval(stage):
    return sequence(stage, "SELECT currval('numbers')", "numbers", "numbers")


# --- L11 ----------------------------------------------------------------------------------------------

def gone(stage, *steps, look="SELECT (SELECT count(*) FROM work), current_setting('work_mem')", want=None):
    """The owner does this and vanishes; the next client must see nothing of it."""
    want = want or (["0", "4MB"], [])
    stage.origin_sql("TRUNCATE work")
    owner, other = stage.client(), stage.client()
    for what in steps:
        if isinstance(what, str):
            owner.simple(what)
        else:
            what(owner)
    owner.sock.close()
    time.sleep(0.2)
    shown = stage.look(other, look, patience=8)
    if shown is None:
        return "stuck"
    other.simple("BEGIN")
    other.simple("COMMIT")
    again = stage.look(stage.client(), look, patience=8)
    left = stage.origin_sql("SELECT count(*) FROM work")
    return stage.word(leaked=shown != ([want[0]], []) or again != ([want[0]], []) or left != "0")


def gone_in_transaction(stage):
    return gone(stage, "BEGIN", "INSERT INTO work VALUES (1)", "SET work_mem = '7MB'")


def gone_in_failed_transaction(stage):
    return gone(stage, "BEGIN", "INSERT INTO work VALUES (1)", "SELECT 1/0")


def gone_in_implicit_transaction(stage):
    def open_implicit(wire):
        wire.send(parse("", "INSERT INTO work VALUES (1)"), bind("", ""), execute(), FLUSH)
        wire.until(b"C", b"E")
    return gone(stage, open_implicit)


def gone_with_lock_in_transaction(stage):
    return gone(stage, "BEGIN", "SELECT pg_advisory_lock(7)", look="SELECT count(*), 'x' FROM pg_locks WHERE locktype = 'advisory'",
                want=(["0", "x"], []))


def gone_with_temporary_table(stage):
    return gone(stage, "CREATE TEMP TABLE tt AS SELECT 1", look="SELECT to_regclass('pg_temp.tt')::text, 'x'", want=([None, "x"], []))


def gone_while_running(stage):
    """The query must not survive its client for long."""
    owner, other = stage.client(), stage.client()
    owner.send(query("SELECT pg_sleep(8) /* runaway */"))
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%runaway%' AND pid <> pg_backend_pid()"
    stage.until("the query to run", lambda: stage.origin_sql(running) == "1")
    owner.sock.close()
    shown = stage.look(other, "SHOW work_mem", patience=3)
    left = stage.origin_sql(running) != "0"
    if shown is None:
        return "stuck"
    return "LEAKED" if shown != ([["4MB"]], []) else "runs on" if left else "kept"


# --- L12 ----------------------------------------------------------------------------------------------

def late_cancel(stage):
    """A cancel request for a statement that is over must not hit the next user of its backend."""
    first, second = stage.client(), stage.client()
    for _ in range(25):
        first.simple("SELECT 1")
        second.send(query("SELECT pg_sleep(0.02), 7"))
        stage.cancel(first)
        if errors(second.until(b"Z")):
            return "LEAKED"
    return "kept"


def cancel_running(stage):
    """It stops the statement, and only it."""
    owner, other = stage.client(), stage.client()
    owner.send(query("SELECT pg_sleep(8)"))
    stage.until("the statement to run", lambda: stage.origin_sql(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(8)'") == "1")
    other.send(query("SELECT 7"))
    stage.cancel(owner)
    stopped = errors(owner.until(b"Z"))
    return stage.word(leaked=errors(other.until(b"Z")), lost=stopped != ["57014"])


def cancel_waiting(stage):
    """A client that waits for a backend is cancelled, stays, and the holder notices nothing."""
    holder, waiter = stage.client(), stage.client()
    holder.simple("BEGIN")
    holder.simple("SELECT 1")
    waiter.send(query("SELECT 1"))
    time.sleep(0.2)
    stage.cancel(waiter)
    try:
        stopped = errors(waiter.until(b"Z"))
    except Closed:
        stopped = None
    fine = rows(holder.simple("SELECT 7")) == [[b"7"]]
    holder.simple("COMMIT")
    if stopped is None or rows(waiter.simple("SELECT 2")) != [[b"2"]]:
        return "lost"
    return stage.word(leaked=not fine, lost=stopped != ["57014"])


SPECIAL = [
    ("L7", "LISTEN", listen),
    ("L7", "LISTEN in a transaction", listen_in_transaction),
    ("L7", "LISTEN rolled back", listen_rolled_back),
    ("L7", "pg_listening_channels()", listen_channels),
    ("L8", "lastval()", lastval),
    ("L8", "currval()", currval),
    ("L11", "gone in a transaction", gone_in_transaction),
    ("L11", "gone in a failed transaction", gone_in_failed_transaction),
    ("L11", "gone in an implicit transaction", gone_in_implicit_transaction),
    ("L11", "gone with a lock in a transaction", gone_with_lock_in_transaction),
    ("L11", "gone with a temporary table", gone_with_temporary_table),
    ("L11", "gone while its query runs", gone_while_running),
    ("L12", "cancel request that comes late", late_cancel),
    ("L12", "cancel of a running statement", cancel_running),
    ("L12", "cancel of a client that waits", cancel_waiting),
]
