"""Which functions and views may change a session unseen is told by their sources. Those are read by the first login to a server, and again only
when there is other code: thousands of functions must not make every login slow."""
import contextlib

import pytest

from pgweir_test.proxy import PGWEIR, Proxy
from pgweir_test.tools import wait_for
from pgweir_test.wire import Wire, rows

pytestmark = pytest.mark.skipif(not PGWEIR, reason="the counters are pgweir's")


@pytest.fixture(scope="module")
def db(cluster):
    name = "looked_at"
    cluster.sql(f"CREATE DATABASE {name}")
    cluster.sql("CREATE TABLE plain (i int)", name)
    yield name
    cluster.drop_database(name)


@pytest.fixture(params=["with a feed", "without"])
def proxy(request, cluster, db):
    made = Proxy(cluster, {"workers": 1} if request.param == "with a feed" else {"workers": 1, "coherence": "off"})
    yield made
    assert made.stop() == 0, made.log_text()[-2000:]


CHANGES = ["CREATE FUNCTION looked() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
           "CREATE OR REPLACE FUNCTION looked() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END'",
           "CREATE VIEW looks AS SELECT i FROM plain", "ALTER TABLE plain ALTER i SET DEFAULT 1",
           "CREATE POLICY looks ON plain USING (i > 0)", "ALTER TABLE plain ADD CHECK (i > 0)",
           "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
           "CREATE TRIGGER look BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION look()", "DROP FUNCTION looked()"]


def test_sources_are_read_again_only_when_there_is_other_code(proxy, cluster, db):
    def looks():
        return proxy.metrics().count("code_looks")

    with contextlib.ExitStack() as open_ones:
        def another():
            """A session that keeps a new server connection. One that was opened ahead, as on a busy machine, has its user first."""
            opened, new = proxy.metrics().count("backends_opened"), 0
            for _ in range(5):
                wire = open_ones.enter_context(Wire(proxy.port).login(database=db))
                wire.simple("BEGIN")
                wire.simple("SELECT pg_backend_pid()")
                new = proxy.metrics().count("backends_opened") - opened
                if new > 0:
                    break
            return new

        wait_for("a login to read nothing", lambda: (before := looks(), another()) and looks() == before)
        before = looks()
        assert another() == 1
        assert looks() == before
        if proxy.settings.get("coherence") == "off":
            for change in CHANGES:
                before = looks()
                cluster.sql(change, db)
                assert another() == 1 and looks() == before + 1, change
                assert another() == 1 and looks() == before + 1, change


def test_code_that_came_between_two_logins_is_known_to_the_second(proxy, cluster, db):
    """It sets something for the session: the next client must not find it there, whoever has the connection then."""
    cluster.sql("DROP FUNCTION IF EXISTS sneak()", db)
    with Wire(proxy.port).login(database=db) as first:
        first.simple("BEGIN")
        first.simple("SELECT pg_backend_pid()")
        cluster.sql("CREATE FUNCTION sneak() RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.sneaked', 'yes', false) $$", db)
        before = proxy.metrics().count("code_looks")
        with Wire(proxy.port).login(database=db) as second:
            assert rows(second.simple("SELECT sneak()")) == [[b"yes"]]
            assert proxy.metrics().count("code_looks") > before
            with Wire(proxy.port).login(database=db) as third:
                assert rows(third.simple("SELECT coalesce(current_setting('app.sneaked', true), '')")) == [[b""]]
            assert rows(second.simple("SELECT current_setting('app.sneaked', true)")) == [[b"yes"]]
    cluster.sql("DROP FUNCTION sneak()", db)
