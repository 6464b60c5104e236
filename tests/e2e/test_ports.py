"""The harness itself: the ports that tests are given."""
import sys

from pgweir_test import tools

LOOK = """
import os, socket, sys
from pgweir_test import tools

os.getpid = lambda: (int(sys.argv[1]) - 21000) // 2
tried = []
class Socket(socket.socket):
    def bind(self, address):
        tried.append(address[1])
        super().bind(address)
socket.socket = Socket
given = tools.free_port()
print(given, *tried)
"""


def test_a_claimed_port_is_not_even_tried():
    """Whoever tries a port holds it for a moment, and a server that was to listen there found it in use."""
    mine = tools.free_port()
    support = str(tools.pathlib.Path(tools.__file__).resolve().parents[1])
    done = tools.run([sys.executable, "-c", LOOK, mine], env={"PYTHONPATH": support})
    given, *tried = map(int, done.stdout.split())
    assert given in tried and mine not in tried
