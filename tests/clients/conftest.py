"""The clients' database and proxy."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from pgweir_test.cluster import Cluster  # noqa: E402
from pgweir_test.proxy import Proxy  # noqa: E402


@pytest.fixture(scope="session")
def cluster():
    made = Cluster()
    made.sql((pathlib.Path(__file__).resolve().parents[2] / "docs" / "setup.sql").read_text())
    yield made
    made.remove()


@pytest.fixture(scope="module")
def proxy(cluster):
    made = Proxy(cluster)
    yield made
    assert made.alive(), made.log_text()[-2000:]
    assert made.stop() == 0, made.log_text()[-2000:]
