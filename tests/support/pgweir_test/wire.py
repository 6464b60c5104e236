"""A raw client of PostgreSQL's protocol 3, for what no driver would ever send."""
import socket
import struct

from .tools import PATIENCE

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL_3_0 = 196608
PROTOCOL_3_2 = 196610


class Closed(Exception):
    """The server closed the connection."""


def message(kind, body=b""):
    """A typed message with a right length."""
    return kind + struct.pack("!I", len(body) + 4) + body


def cstr(text):
    return text.encode() + b"\0"


def query(sql):
    return message(b"Q", cstr(sql))


def parse(name, sql, types=()):
    return message(b"P", cstr(name) + cstr(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(portal, name, values=(), formats=(), result_formats=()):
    body = cstr(portal) + cstr(name) + struct.pack(f"!H{len(formats)}H", len(formats), *formats)
    body += struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value
    return message(b"B", body + struct.pack(f"!H{len(result_formats)}H", len(result_formats), *result_formats))


def describe(kind, name=""):
    return message(b"D", kind.encode() + cstr(name))


def execute(portal="", rows=0):
    return message(b"E", cstr(portal) + struct.pack("!I", rows))


def close(kind, name=""):
    return message(b"C", kind.encode() + cstr(name))


SYNC = message(b"S")
FLUSH = message(b"H")
TERMINATE = message(b"X")


class Wire:
    """One connection. Messages come back as (type, body)."""

    def __init__(self, port, host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.parameters = {}
        self.key = None
        self.pid = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def send_slowly(self, data):
        """Byte by byte, each in a packet of its own as far as the kernel lets us."""
        for i in range(len(data)):
            self.sock.sendall(data[i:i + 1])

    def _fill(self, size):
        while len(self.buffer) < size:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed(self.buffer)
            self.buffer += more

    def byte(self):
        """The untyped answer to an SSLRequest or GSSENCRequest."""
        self._fill(1)
        answer, self.buffer = self.buffer[:1], self.buffer[1:]
        return answer

    def recv(self):
        self._fill(5)
        kind, size = self.buffer[:1], struct.unpack("!I", self.buffer[1:5])[0]
        self._fill(size + 1)
        body, self.buffer = self.buffer[5:size + 1], self.buffer[size + 1:]
        return kind, body

    def until(self, *kinds):
        """All messages up to and with the first one of these types."""
        got = []
        while True:
            got.append(self.recv())
            if got[-1][0] in kinds:
                return got

    def drain(self):
        """All messages until the server closes."""
        got = []
        try:
            while True:
                got.append(self.recv())
        except Closed:
            return got

    def at_end(self):
        """True when the server has closed the connection and nothing is left to read."""
        try:
            self._fill(1)
        except Closed:
            return True
        return False

    def startup(self, user="postgres", database="postgres", version=PROTOCOL_3_0, **more):
        """Sends the startup packet only."""
        pairs = {"user": user, "database": database, **more}
        body = struct.pack("!I", version) + b"".join(cstr(k) + cstr(v) for k, v in pairs.items()) + b"\0"
        self.send(struct.pack("!I", len(body) + 4) + body)

    def login(self, **more):
        """Startup with trust up to the first ReadyForQuery; keeps parameters and the cancel key."""
        self.startup(**more)
        got = self.until(b"Z", b"E")
        for kind, body in got:
            if kind == b"S":
                name, value, _ = body.split(b"\0")
                self.parameters[name.decode()] = value.decode()
            elif kind == b"K":
                self.pid, self.key = struct.unpack("!I", body[:4])[0], body[4:]
        if got[-1][0] == b"E":
            raise AssertionError(error_fields(got[-1][1]))
        return self

    def simple(self, sql):
        """A simple query and everything up to ReadyForQuery."""
        self.send(query(sql))
        return self.until(b"Z")


def request(code):
    """An untyped request such as SSLRequest."""
    return struct.pack("!II", 8, code)


def cancel(port, pid, key, host="127.0.0.1"):
    """Sends a CancelRequest and waits for the close."""
    with socket.create_connection((host, port), timeout=PATIENCE) as sock:
        sock.sendall(struct.pack("!III", 12 + len(key), CANCEL_REQUEST, pid) + key)
        sock.recv(1)


def error_fields(body):
    """{'S': 'ERROR', 'C': '08P01', ...} of an ErrorResponse or NoticeResponse."""
    return {part[:1].decode(): part[1:].decode(errors="backslashreplace") for part in body.split(b"\0") if part}


def errors(messages):
    """The SQLSTATEs of the ErrorResponses among these messages."""
    return [error_fields(body)["C"] for kind, body in messages if kind == b"E"]


def rows(messages):
    """The DataRows among these messages as lists of bytes or None."""
    got = []
    for kind, body in messages:
        if kind != b"D":
            continue
        count, at, row = struct.unpack("!H", body[:2])[0], 2, []
        for _ in range(count):
            size = struct.unpack("!i", body[at:at + 4])[0]
            at += 4
            row.append(None if size < 0 else body[at:at + size])
            at += max(size, 0)
        got.append(row)
    return got


def kinds(messages):
    """The message types in order, as one string; ParameterStatus and notices left out."""
    return b"".join(kind for kind, _ in messages if kind not in b"SN").decode()


def told(kind, body):
    """A message without what no two servers share."""
    if kind == b"E":
        fields = error_fields(body)
        return fields["S"], fields["C"], fields["M"], fields.get("P")
    return kind, body


def turns(port, script, counts=None):
    """What comes behind each part; how many messages that are is told by who goes first."""
    got = []
    with Wire(port).login() as wire:
        for i, data in enumerate(script):
            wire.send(data)
            part = []
            while counts is None or len(part) < counts[i]:
                if counts is None:
                    wire.sock.settimeout(0.05)
                try:
                    kind, body = wire.recv()
                except socket.timeout:
                    break
                if kind != b"S":
                    part.append(told(kind, body))
            got.append(part)
        wire.sock.settimeout(PATIENCE)
        wire.send(query("SELECT 'end'"))
        got.append([told(*answer) for answer in wire.until(b"Z") if answer[0] != b"S"])
    return got
