"""A wire tap in front of a server: counts the messages of each kind in both directions."""
import collections
import socket
import struct
import threading


class Tap:
    """Listens on .port, passes everything on to `to`, without TLS. sent: from clients, received: from the server; Counters of b'Q', .."""

    def __init__(self, to):
        self.to = to
        self.sent, self.received = collections.Counter(), collections.Counter()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            for a, b, counter, untyped in ((client, server, self.sent, True), (server, client, self.received, False)):
                b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(a, b, counter, untyped), daemon=True).start()

    def _pass_on(self, a, b, counter, untyped):
        """The first message of a client has no type."""
        held = b""
        try:
            while data := a.recv(65536):
                held += data
                seen = collections.Counter()
                while len(held) >= (head := 4 if untyped else 5):
                    size = struct.unpack("!I", held[head - 4:head])[0] + head - 4
                    if len(held) < size:
                        break
                    if not untyped:
                        seen[held[:1]] += 1
                    held, untyped = held[size:], False
                with self.lock:
                    counter.update(seen)
                b.sendall(data)
        except OSError:
            pass
        for sock in (a, b):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def clear(self):
        with self.lock:
            self.sent.clear()
            self.received.clear()

    def close(self):
        self.listener.close()
