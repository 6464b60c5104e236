"""Fixtures: one PostgreSQL for the run, one proxy for each module; whoever breaks things makes their own."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from pgweir_test.cluster import Cluster  # noqa: E402
from pgweir_test.proxy import Proxy  # noqa: E402

SETUP_SQL = pathlib.Path(__file__).resolve().parents[2] / "docs" / "setup.sql"


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL with TLS, trust on loopback, and the event trigger in template1."""
    made = Cluster(tls=True)
    for dbname in ("template1", "postgres"):
        made.sql(SETUP_SQL.read_text(), dbname)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def proxy(cluster):
    """pgweir with its defaults and trust, in front of `cluster`; it must end cleanly."""
    made = Proxy(cluster)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]


@pytest.fixture
def database(cluster, request):
    """The name of a database of its own for one test."""
    name = "d" + str(abs(hash(request.node.nodeid)) % 10**9)
    cluster.sql(f'CREATE DATABASE "{name}"')
    yield name
    cluster.drop_database(name)
