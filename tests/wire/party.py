"""Who takes part in a conversation: scripted clients and the connections of the fake server.

The fake server stands for what PostgreSQL sends rarely. Its login is played by itself; from then on a connection
does only what the script says.
"""
import socket
import struct
import threading

from frames import BACK, FRONT, Reader, decode, encode, frame, cstr

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
FLOOD = 1 << 20
NOTHING = (0, 0)
PARAMETERS = {"server_version": "15.19", "server_encoding": "UTF8", "client_encoding": "UTF8",
              "DateStyle": "ISO, MDY", "TimeZone": "Etc/UTC", "integer_datetimes": "on",
              "standard_conforming_strings": "on", "application_name": "", "is_superuser": "on",
              "session_authorization": "postgres", "IntervalStyle": "postgres"}
DEFAULTS = {"search_path": '"$user", public', "default_transaction_isolation": "read committed",
            "session_replication_role": "origin", "all": "0", "server": "1 1 0", "code": "0"}
CODE = {"code": "0", "hooks": "off", "customs": "", "readers": "", "keepers": ""}


class Failed(Exception):
    """The conversation went another way."""


class Party:
    """One socket; a thread reads it all the time, so that nobody's buffers fill up by accident."""

    def __init__(self, sock, reads, patience):
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.table = reads
        self.patience = patience
        self.buffer = bytearray()
        self.ended = False
        self.change = threading.Condition()
        self.hearing = threading.Event()
        self.hearing.set()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            self.hearing.wait()
            try:
                more = self.sock.recv(65536)
            except OSError:
                more = b""
            with self.change:
                self.buffer += more
                self.ended = not more
                self.change.notify_all()
            if not more:
                return

    def wait(self, condition, what):
        with self.change:
            if not self.change.wait_for(condition, self.patience):
                raise Failed(f"waited in vain for {what}; unread: {bytes(self.buffer[:80])!r}")

    def _size(self):
        return 1 + struct.unpack("!I", self.buffer[1:5])[0] if len(self.buffer) >= 5 else 5

    def _have_frame(self):
        return self.ended or (len(self.buffer) >= 5 and len(self.buffer) >= self._size())

    def take(self, what="a message"):
        """The next message as (name, words)."""
        self.wait(self._have_frame, what)
        size = self._size()
        if len(self.buffer) < size:
            raise Failed(f"closed instead of {what}; unread: {bytes(self.buffer[:80])!r}")
        kind, body = bytes(self.buffer[:1]), bytes(self.buffer[5:size])
        del self.buffer[:size]
        return decode(self.table, kind, body)

    def closed(self):
        self.wait(lambda: self.ended, "the end")
        if self.buffer:
            raise Failed(f"unread bytes before the end: {bytes(self.buffer[:80])!r}")

    def send(self, data, cut):
        """`cut`: byte by byte, long messages in pieces behind their headers. What no buffer holds goes out beside us, so
        that the other side can be played meanwhile."""
        if len(data) > FLOOD:
            threading.Thread(target=self._flood, args=(data,), daemon=True).start()
            return
        try:
            if not cut:
                self.sock.sendall(data)
                return
            at = 0
            while at < len(data):
                step = 1 if len(data) - at < 600 or at < 40 else 500
                self.sock.sendall(data[at:at + step])
                at += step
        except OSError as error:
            raise Failed(f"cannot send: {error}") from error

    def _flood(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # the conversation has ended

    def take_bytes(self, count):
        self.wait(lambda: self.ended or len(self.buffer) >= count, f"{count} bytes")
        if len(self.buffer) < count:
            raise Failed(f"closed after {len(self.buffer)} of {count} bytes")
        del self.buffer[:count]

    def close(self):
        self.hearing.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.shutdown(socket.SHUT_RD)
        self.sock.close()


class Client(Party):
    def __init__(self, port, patience):
        super().__init__(socket.create_connection(("127.0.0.1", port), timeout=patience), BACK, patience)
        self.key = None

    def startup(self, parameters, cut):
        pairs = {"user": "postgres", "database": "postgres", **parameters}
        body = struct.pack("!I", 196608) + b"".join(cstr(k) + cstr(v) for k, v in pairs.items()) + b"\0"
        self.send(struct.pack("!I", len(body) + 4) + body, cut)

    def login(self, parameters, cut):
        self.startup(parameters, cut)
        while True:
            name, words = self.take("the end of the login")
            if name == "BackendKey":
                self.key = words[0].encode("latin-1")
            elif name == "Error":
                raise Failed(f"login refused: {words}")
            elif name == "Ready":
                return

    def cancel(self, port):
        with socket.create_connection(("127.0.0.1", port), timeout=self.patience) as sock:
            sock.sendall(struct.pack("!II", 8 + len(self.key), CANCEL_REQUEST) + self.key)
            sock.settimeout(self.patience)
            sock.recv(1)


class Served(Party):
    """A connection of the proxy to the fake server."""

    def __init__(self, sock, number, patience):
        super().__init__(sock, FRONT, patience)
        self.pid = 1000 + number
        self.secret = 7000 + number
        self.cancelled = threading.Event()

    def say(self, name, *words):
        self.send(encode(BACK, name, list(words)), False)

    def login(self):
        """What PostgreSQL would do up to the proxy's own questions. A cancel request's key, or None when it logged in."""
        self.wait(lambda: self.ended or len(self.buffer) >= 8, "a startup packet")
        if len(self.buffer) < 8:
            return NOTHING  # a cancel request that was given up
        size, code = struct.unpack("!II", self.buffer[:8])
        if code == SSL_REQUEST:
            del self.buffer[:8]
            self.sock.sendall(b"N")
            return self.login()
        self.wait(lambda: len(self.buffer) >= size, "a whole startup packet")
        packet = bytes(self.buffer[8:size])
        del self.buffer[:size]
        if code == CANCEL_REQUEST:
            return struct.unpack("!II", packet)
        self.say("Auth", "0")
        for name, value in PARAMETERS.items():
            self.say("ParameterStatus", name, value)
        self.sock.sendall(frame(b"K", struct.pack("!II", self.pid, self.secret)))
        self.say("Ready", "I")
        self.answer("the setup query", "search_path", DEFAULTS)
        return None

    def answer(self, what, word, rows):
        """Takes a query with this word in it, and answers names with values."""
        name, words = self.take(what)
        if name != "Query" or word not in words[0]:
            raise Failed(f"not {what}: {name} {words}")
        self.say("RowDescription", "?column?", "current_setting")
        for pair in rows.items():
            self.say("DataRow", *pair)
        self.say("Complete", f"SELECT {len(rows)}")
        self.say("Ready", "I")

    def code(self):
        """What the proxy asks at the first login of a pool."""
        self.answer("the code query", "'hooks'", CODE)

    def probe(self, words):
        """Answers the proxy's question after a transaction whose text does not show what it did."""
        rows = [words[i:i + 3] for i in range(0, len(words), 3)]
        name, (asked,) = self.take("the probe")
        if name != "Query" or "pg_settings" not in asked:
            raise Failed(f"not a probe: {name} {asked[:100]}")
        for statement in asked.split(";"):
            tag = statement.split()[0]
            if tag != "SELECT":
                self.say("Complete", tag)
                continue
            answer = [["s", "statement_timeout", "0"]]
            if "pg_settings" in statement:
                answer = [["s", "role", "none"], ["s", "session_authorization", "postgres"], *rows]
            self.say("RowDescription", "?column?", "name", "current_setting")
            for row in answer:
                self.say("DataRow", *row)
            self.say("Complete", f"SELECT {len(answer)}")
        self.say("Ready", "I")


class Server:
    """Listens as PostgreSQL would; connections wait in `ready` in the order of their logins."""

    def __init__(self, port, patience):
        self.patience = patience
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.change = threading.Condition()
        self.ready = []
        self.made = []
        self.trouble = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.change:
                conn = Served(sock, len(self.made), self.patience)
                self.made.append(conn)
            threading.Thread(target=self._login, args=(conn,), daemon=True).start()

    def _login(self, conn):
        try:
            wanted = conn.login()
        except (Failed, OSError, ValueError) as error:
            self.trouble = error
            return
        with self.change:
            if wanted is None:
                self.ready.append(conn)
            else:
                for other in self.made:
                    if (other.pid, other.secret) == wanted:
                        other.cancelled.set()
            self.change.notify_all()
        if wanted is not None:
            conn.close()

    def connection(self, number):
        """The number-th connection that has logged in, from 1."""
        with self.change:
            if not self.change.wait_for(lambda: len(self.ready) >= number, self.patience):
                raise Failed(f"the proxy has not made connection {number}: {self.trouble}")
            return self.ready[number - 1]

    def stop_listening(self):
        """The port answers no more; connections stay."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self):
        try:
            self.stop_listening()
        except OSError:
            pass
        for conn in self.made:
            conn.close()
