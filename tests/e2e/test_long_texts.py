"""A text that is too long to be analysed, or to be held: what it does to its session is kept, and nobody else's."""
import psycopg
import pytest

from pgweir_test.proxy import PGBOUNCER, Proxy

pytestmark = pytest.mark.skipif(PGBOUNCER, reason="PgBouncer keeps nothing")
SIZES = {"held": 70_000, "streamed": 140_000}
# What is run, and what shows it.
KEPT = {
    "role": ("SET ROLE long_other", "SELECT current_user::text"),
    "local role": ("BEGIN; SET LOCAL ROLE long_other; COMMIT", "SELECT current_user::text"),
    "search_path": ("SET search_path = a, b", "SHOW search_path"),
    "a date": ("SET datestyle = 'German'", "SELECT '2020-01-02'::date::text"),
    "time zone": ("SET timezone = 'Asia/Tokyo'", "SHOW timezone"),
    "encoding": ("SET client_encoding = 'LATIN1'", "SHOW client_encoding"),
    "read only": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW default_transaction_read_only"),
    "statement_timeout": ("SET statement_timeout = '7s'", "SHOW statement_timeout"),
    "application_name": ("SET application_name = 'long'", "SHOW application_name"),
    "set_config": ("SELECT set_config('long.x', 'v', false)", "SELECT current_setting('long.x', true)"),
    "custom": ("SET long.y = 'v'", "SELECT current_setting('long.y', true)"),
    "RESET ALL": ("RESET ALL", "SHOW application_name"),
    "DISCARD ALL": ("DISCARD ALL", "SHOW search_path"),
    "temporary table": ("CREATE TEMP TABLE mine AS SELECT 5 AS i", "SELECT i FROM mine"),
    "advisory lock": ("SELECT pg_advisory_lock(7)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
    "PREPARE": ("PREPARE mine AS SELECT 9", "EXECUTE mine"),
    "cursor": ("DECLARE mine CURSOR WITH HOLD FOR SELECT 3", "FETCH 1 FROM mine"),
}


@pytest.fixture(scope="module")
def proxy(cluster):
    cluster.sql("CREATE ROLE long_other; GRANT long_other TO postgres")
    made = Proxy(cluster, {"default_pool_size": 2})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


def answer(conn, text, **how):
    try:
        cursor = conn.execute(text, **how)
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else cursor.statusmessage
    except psycopg.Error as error:
        return error.sqlstate


@pytest.mark.parametrize("pad", ["front", "back"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_its_session_is_as_on_postgres(cluster, proxy, size, extended, pad):
    comment = f"/*{'x' * size}*/"
    for name, (does, shows) in KEPT.items():
        if extended and ";" in does:
            continue
        seen = []
        for where in (cluster, proxy):
            with where.connect(prepare_threshold=None) as one, where.connect(prepare_threshold=None) as two:
                text = comment + does if pad == "front" else does + comment
                seen.append([answer(one, text, prepare=extended)] + [answer(conn, shows) for conn in (two, one, two, one)])
        assert seen[0] == seen[1], name
