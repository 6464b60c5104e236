"""A login that begins with other settings than PostgreSQL's own: what a client sets back to those is its own, and nobody else's."""
import contextlib

import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing")
TAINT = "DO $$ BEGIN PERFORM 1; END $$"
SHOW = {"statement_timeout": "SHOW statement_timeout", "role": "SELECT current_user::text", "lock_timeout": "SHOW lock_timeout"}


@pytest.fixture(scope="module", autouse=True)
def roles(cluster):
    cluster.sql("CREATE ROLE modest; CREATE ROLE app LOGIN; GRANT modest TO app; GRANT CREATE ON SCHEMA public TO modest, app;"
                "ALTER ROLE app SET statement_timeout = '31s'; ALTER ROLE app SET role = 'modest'; ALTER ROLE app SET lock_timeout = '7s'")


@pytest.fixture(scope="module", params=[1, 2])
def proxy(request, cluster):
    made = Proxy(cluster, {"default_pool_size": request.param}, users={"postgres": "", "app": ""})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.mark.parametrize("name, sets", [
    ("statement_timeout", "SET statement_timeout = 0"), ("statement_timeout", "SET statement_timeout = '5s'"),
    ("statement_timeout", "SET statement_timeout = '5s'; SET statement_timeout = 0"), ("statement_timeout", "SET statement_timeout = 0; RESET statement_timeout"),
    ("statement_timeout", "DO $$ BEGIN SET statement_timeout = 0; END $$"), ("statement_timeout", "SELECT set_config('statement_timeout', '0', false)"),
    ("lock_timeout", "SET lock_timeout = 0"), ("lock_timeout", "SET lock_timeout = '7s'"), ("role", "SET ROLE NONE"), ("role", "SET ROLE app"),
    ("role", "SET ROLE NONE; RESET ROLE"), ("role", "DO $$ BEGIN SET ROLE NONE; END $$"), ("role", "SET ROLE NONE; DISCARD TEMP")])
def test_is_as_on_postgres(cluster, proxy, name, sets):
    seen = []
    for where in (cluster, proxy):
        with contextlib.ExitStack() as stack:
            one, two = (stack.enter_context(where.connect(user="app")) for _ in range(2))

            def shown(conn):
                return conn.execute(SHOW[name]).fetchone()[0]
            log = [shown(one), shown(two)]
            for text in sets.split("; ") if "$$" not in sets else [sets]:
                one.execute(text)
                log += [shown(two), shown(one)]
            for taint in (two, one):
                taint.execute(TAINT)
                log += [shown(two), shown(one), shown(two)]
            with one.transaction(), contextlib.suppress(Exception):
                log += [shown(one)]
            with stack.enter_context(where.connect(user="app")) as three:
                log += [shown(three), shown(one)]
        seen.append(log)
    assert seen[0] == seen[1]
