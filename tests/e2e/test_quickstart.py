"""./quickstart as a new user meets it. PGWEIR_QUICKSTART_BUILD: a build directory to use, so that nothing is built twice."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import new_dir, psql, run, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not PGWEIR or not os.environ.get("PGWEIR_QUICKSTART_BUILD"), reason="PGWEIR_QUICKSTART_BUILD is not set")]


@pytest.fixture(scope="module")
def env():
    state = new_dir("quick")
    made = {**os.environ, "PGWEIR_QUICKSTART_DIR": str(state)}
    made.pop("DATABASE_URL", None)
    yield made
    run([ROOT / "quickstart", "--down"], env=made)
    assert not state.exists()


def shows_the_cache_at_work(text):
    lines = [line for line in text.splitlines() if "weir|" in line]
    assert [("cache" in line, line.split("weir|")[1].split()[0]) for line in lines] == [
        (False, "10"), (True, "10"), (False, "12"), (True, "12")], text


def test_shows_the_cache_at_work(env):
    text = run([ROOT / "quickstart", "--check"], env=env, timeout=400).stdout
    shows_the_cache_at_work(text)
    named = re.search(r"tail -f (\S+)", text)  # a build may take minutes
    assert named and os.path.exists(named.group(1)), text


def test_a_second_run_is_quick(env):
    began = time.monotonic()
    shows_the_cache_at_work(run([ROOT / "quickstart", "--check"], env=env).stdout)
    assert time.monotonic() - began < 30


def test_stays_until_ctrl_c_and_leaves_nothing_behind(env, tmp_path):
    log = tmp_path / "out"
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen([ROOT / "quickstart"], env=env, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_for("it to run", lambda: "Ctrl-C stops" in log.read_text(), 60)
        url = re.search(r"DATABASE_URL=(\S+)", log.read_text()).group(1)
        assert psql(url, "SELECT 6 * 7").stdout.strip() == "42"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
    left = subprocess.run(["pgrep", "-f", env["PGWEIR_QUICKSTART_DIR"]], capture_output=True, text=True).stdout
    assert left == ""


def test_uses_a_given_database(cluster, database):
    state = new_dir("given")
    cluster.sql("CREATE ROLE given_boss SUPERUSER LOGIN PASSWORD 'a'")
    env = {**os.environ, "PGWEIR_QUICKSTART_DIR": str(state), "DATABASE_URL": cluster.url(database, "given_boss:a")}
    shows_the_cache_at_work(run([ROOT / "quickstart", "--check"], env=env).stdout)
    run([ROOT / "quickstart", "--down"], env=env)
    assert cluster.sql("SELECT count(*) FROM pg_event_trigger", database) == "0"
    cluster.sql("DROP ROLE given_boss")
