"""What the Python clients share: they run their steps, then serve reads and writes. See test_clients.py."""
import os
import sys

URL = os.environ["DATABASE_URL"]
ZONES = ("UTC", "Europe/Berlin", "Asia/Tokyo", "America/Lima")
LONG = "ü" * 150_000


def say(text):
    print(text, flush=True)


def ok(step):
    say(f"ok {step}")


def serve(get, put):
    """get(conn, id) -> name and put(conn, id, name), until standard input ends."""
    say("serve")
    for line in sys.stdin:
        word, conn, row, *name = line.split()
        if word == "get":
            say(get(int(conn), int(row)))
        else:
            put(int(conn), int(row), name[0])
            say("done")


def fails(state, call):
    """The call must raise an error with this SQLSTATE, wherever the client keeps it."""
    try:
        call()
    except Exception as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        found = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        assert found == state, f"{found} in place of {state}: {error!r}"
        return
    raise AssertionError(f"no error {state}")
