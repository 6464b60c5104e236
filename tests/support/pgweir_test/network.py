"""Lines that can be cut and lines that are slow: what a network does to a proxy, without leaving this machine."""
import contextlib
import ctypes
import os
import random
import socket
import threading
import time

from .tools import run

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def namespaces_work():
    """Only root may make network namespaces, and not in every container."""
    return os.geteuid() == 0 and run(["unshare", "--net", "true"], check=False).returncode == 0


def netem_works():
    """Can this kernel lose, delay and reorder packets? tests/truth/netem brings one that can."""
    return namespaces_work() and run(["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem"], check=False).returncode == 0


def _call(name, *args):
    if getattr(_libc, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), name)


class Line:
    """A pair of interfaces: `here` is an address of ours, `there` one of the other machine."""

    def __init__(self, number, namespace):
        self.name, self.far, self.namespace = f"pgwline{number}", f"far{number}", namespace
        self.here, self.there = f"10.231.{number}.1", f"10.231.{number}.2"
        run(["ip", "link", "add", self.name, "type", "veth", "peer", "name", "far", "netns", namespace])
        run(["ip", "address", "add", f"{self.here}/30", "dev", self.name])
        run(["ip", "link", "set", self.name, "up"])
        run(["ip", "-n", namespace, "link", "set", "far", "name", self.far])
        run(["ip", "-n", namespace, "address", "add", f"{self.there}/30", "dev", self.far])
        run(["ip", "-n", namespace, "link", "set", self.far, "up"])

    def cut(self):
        """Packets vanish; nobody is told."""
        run(["ip", "link", "set", self.name, "down"])

    def mend(self):
        run(["ip", "link", "set", self.name, "up"])

    def disturb(self, *how):
        """Both ways, from now on; in the words of tc-netem(8)."""
        run(["tc", "qdisc", "replace", "dev", self.name, "root", "netem", *how])
        run(["tc", "-n", self.namespace, "qdisc", "replace", "dev", self.far, "root", "netem", *how])

    def calm(self):
        for where, name in (([], self.name), (["-n", self.namespace], self.far)):
            run(["tc", *where, "qdisc", "delete", "dev", name, "root"], check=False)


class Machines:
    """This process in a network of its own, and a second machine. What is started here afterwards is here as well;
    `within` goes in front of a command that belongs on the other one."""

    def __init__(self, lines):
        self.namespace = f"pgw{os.getpid()}"
        self.within = ["ip", "netns", "exec", self.namespace]
        self.old = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _call("unshare", CLONE_NEWNET)
        run(["ip", "link", "set", "lo", "up"])
        run(["ip", "netns", "add", self.namespace])
        run(["ip", "-n", self.namespace, "link", "set", "lo", "up"])
        self.lines = [Line(number, self.namespace) for number in range(1, lines + 1)]

    def leave(self):
        run(["ip", "netns", "delete", self.namespace])
        _call("setns", self.old, CLONE_NEWNET)
        os.close(self.old)


class SlowLine:
    """A relay to a port of this machine. Each connection has a delay of its own and each way of it jitters; bytes stay in order.
    So one connection's news is late where another's is not."""

    def __init__(self, to_port, delay_s, seed):
        self.to_port, self.delay_s, self.dice = to_port, delay_s, random.Random(seed)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to_port))
            except OSError:
                return
            longest = self.delay_s * self.dice.random()
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink, longest), daemon=True).start()

    def _carry(self, source, sink, longest):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(longest * self.dice.random())  # the delay itself
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
