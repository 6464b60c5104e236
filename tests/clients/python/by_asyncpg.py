"""asyncpg: named statements, binary both ways, a pool that resets on release."""
import asyncio

import asyncpg
from steps import LONG, URL, ZONES, ok, serve

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


def wait(what):
    return loop.run_until_complete(what)


async def fails(state, what):
    try:
        await what
    except asyncpg.PostgresError as error:
        assert error.sqlstate == state, error
    else:
        raise AssertionError(f"no error {state}")


async def connect(conns):
    assert [await conn.fetchval("SELECT 1") for conn in conns] == [1] * 4
    async with asyncpg.create_pool(URL, min_size=4, max_size=8) as pool:
        assert await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(50)]) == list(range(50))


async def settings(conns):
    for conn, zone in zip(conns, ZONES):
        await conn.execute(f"SET TimeZone TO '{zone}'")
    for _ in range(3):
        assert tuple([await conn.fetchval("SHOW TimeZone") for conn in conns]) == ZONES


async def crud(conns):
    for conn in conns:
        for name in ("it's \\ ü", LONG):
            row = await conn.fetchval("INSERT INTO item (name, n) VALUES ($1, $2) RETURNING id", name, None)
            assert tuple(await conn.fetchrow("SELECT name, n FROM item WHERE id = $1", row)) == (name, None)
            assert await conn.execute("UPDATE item SET name = $1 WHERE id = $2", "new", row) == "UPDATE 1"
            assert await conn.fetchval("SELECT name FROM item WHERE id = $1", row) == "new"
            assert await conn.execute("DELETE FROM item WHERE id = $1", row) == "DELETE 1"
            assert await conn.fetch("SELECT name FROM item WHERE id = $1", row) == []
    await conns[0].executemany("INSERT INTO item (id, name) VALUES ($1, 'v')", [(i,) for i in range(500, 520)])
    rows = await conns[1].fetch("SELECT id FROM item WHERE id = any($1) ORDER BY id", list(range(500, 520)))
    assert [row["id"] for row in rows] == list(range(500, 520))
    async with conns[2].transaction():
        seen = [row["id"] async for row in conns[2].cursor("SELECT id FROM item WHERE id BETWEEN 500 AND 519 ORDER BY id", prefetch=7)]
    assert seen == list(range(500, 520))


async def transactions(conns):
    one, two = conns[:2]
    async with one.transaction():
        await one.execute("INSERT INTO item (id, name) VALUES (600, 'a')")
        assert await two.fetchval("SELECT name FROM item WHERE id = 600") is None
        try:
            async with one.transaction():
                await one.execute("UPDATE item SET name = 'b' WHERE id = 600")
                raise KeyError
        except KeyError:
            pass
    assert await two.fetchval("SELECT name FROM item WHERE id = 600") == "a"
    gone = one.transaction(isolation="serializable")
    await gone.start()
    await one.execute("DELETE FROM item WHERE id = 600")
    await gone.rollback()
    assert await two.fetchval("SELECT name FROM item WHERE id = 600") == "a"


async def prepared(conns):
    """Parse, Describe and Flush: the Sync comes with the first use, and until then the server connection is kept."""
    made = []
    for i, conn in enumerate(conns):
        made.append(await conn.prepare(f"SELECT $1::int + {i}", name="mine"))
        assert await made[-1].fetchval(1) == 1 + i
    for turn in range(8):
        for i, statement in enumerate(made):
            assert await statement.fetchval(turn) == turn + i


async def errors(conns):
    for conn in conns:
        await fails("23505", conn.execute("INSERT INTO item (id, name) VALUES (1, 'twice')"))
        await fails("42P01", conn.fetch("SELECT * FROM nope"))
        await fails("22012", conn.fetch("SELECT 1 / $1::int", 0))
        await conn.execute("BEGIN")
        await fails("22012", conn.execute("SELECT 1/0"))
        await fails("25P02", conn.execute("SELECT 1"))
        await conn.execute("ROLLBACK")
        assert await conn.fetchval("SELECT 1") == 1


async def timeout(conns):
    """Its own timeout cancels by a cancel request."""
    await conns[0].execute("SET statement_timeout = 100")
    await fails("57014", conns[0].execute("SELECT pg_sleep(30)"))
    assert await conns[1].fetchval("SHOW statement_timeout") == "0"
    await conns[0].execute("RESET statement_timeout")


async def cancel(conns):
    for conn in conns:
        try:
            await conn.execute("SELECT pg_sleep(30)", timeout=0.1)
        except asyncio.TimeoutError:
            assert await conn.fetchval("SELECT 1") == 1
        else:
            raise AssertionError("it slept")


async def copy(conns):
    conn = conns[2]
    await conn.copy_records_to_table("item", records=[(i, "copied") for i in range(10000, 15000)], columns=["id", "name"])
    got = bytearray()

    async def take(data):
        got.extend(data)
    await conn.copy_from_query("SELECT id, name FROM item WHERE id >= 10000 ORDER BY id", output=take)
    assert got.decode().splitlines() == [f"{i}\tcopied" for i in range(10000, 15000)]
    await conn.execute("DELETE FROM item WHERE id >= 10000")

    async def bad():
        yield b"x\ty\n"
    await fails("22P02", conn.copy_to_table("item", source=bad(), columns=["id", "name"]))


async def listen(conns):
    heard = loop.create_future()

    def hear(_conn, _pid, _channel, payload):
        heard.set_result(payload)
    await conns[0].add_listener("channel", hear)
    await conns[1].execute("SELECT pg_notify('channel', 'hello')")
    assert await asyncio.wait_for(heard, 20) == "hello"
    await conns[0].remove_listener("channel", hear)


async def write(conn, row, name):
    async with conn.transaction():
        await conn.execute("UPDATE item SET name = $1 WHERE id = $2", name, row)


async def connected():
    return [await asyncpg.connect(URL) for _ in ZONES]


four = wait(connected())
for step in (connect, settings, crud, transactions, prepared, errors, timeout, cancel, copy, listen):
    wait(asyncio.wait_for(step(four), 60))
    ok(step.__name__)
# fetchrow() and fetchval() ask for one row only, an Execute that goes to PostgreSQL.
serve(lambda conn, row: wait(four[conn].fetch("SELECT name FROM item WHERE id = $1", row))[0]["name"],
      lambda conn, row, name: wait(write(four[conn], row, name)))
