"""Messages of PostgreSQL's protocol 3 by name: words to bytes and back.

A message is its name and a list of words. A word is text; bytes that are no text are held as Latin-1, so that
every byte survives. NULL is the word \\N.
"""
import struct

NULL = "\\N"


def pack(word):
    return word.encode("latin-1")


def text(data):
    return bytes(data).decode("latin-1")


def cstr(word):
    return pack(word) + b"\0"


class Reader:
    """Takes a body apart; what is cut short raises struct.error or ValueError."""

    def __init__(self, body):
        self.body = body
        self.at = 0

    def take(self, n):
        if self.at + n > len(self.body):
            raise ValueError("body is too short")
        self.at += n
        return self.body[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack("!H", self.take(2))[0]

    def i32(self):
        return struct.unpack("!i", self.take(4))[0]

    def cstr(self):
        end = self.body.index(b"\0", self.at)
        found = text(self.body[self.at:end])
        self.at = end + 1
        return found

    def value(self):
        size = self.i32()
        return NULL if size < 0 else text(self.take(size))

    def rest(self):
        return text(self.take(len(self.body) - self.at))

    def ended(self):
        return self.at == len(self.body)


def value(word):
    return struct.pack("!i", -1) if word == NULL else struct.pack("!i", len(pack(word))) + pack(word)


# --- the parts that need more than a list of fields ---

def codes(words):
    return struct.pack(f"!H{len(words)}H", len(words), *map(int, words))


def split_options(words, *names):
    """Words like formats=1,0 out of the list: (rest, {name: [..]})."""
    found = {name: [] for name in names}
    rest = []
    for word in words:
        name, equal, values = word.partition("=")
        if equal and name in found:
            found[name] = values.split(",")
        else:
            rest.append(word)
    return rest, found


def bind_body(words):
    (portal, name, *values), more = split_options(words, "formats", "results")
    return (cstr(portal) + cstr(name) + codes(more["formats"]) + struct.pack("!H", len(values)) +
            b"".join(map(value, values)) + codes(more["results"]))


def bind_words(r):
    words = [r.cstr(), r.cstr()]
    formats = [str(r.u16()) for _ in range(r.u16())]
    words += [r.value() for _ in range(r.u16())]
    results = [str(r.u16()) for _ in range(r.u16())]
    return words + ["formats=" + ",".join(formats)] * bool(formats) + ["results=" + ",".join(results)] * bool(results)


def parse_body(words):
    name, query, *oids = words
    return cstr(name) + cstr(query) + struct.pack(f"!H{len(oids)}I", len(oids), *map(int, oids))


def parse_words(r):
    return [r.cstr(), r.cstr()] + [str(r.i32()) for _ in range(r.u16())]


def description_body(words):
    body = struct.pack("!H", len(words))
    for word in words:
        name, _, oid = word.partition(":")
        body += cstr(name) + struct.pack("!IHIhiH", 0, 0, int(oid or 25), -1, -1, 0)
    return body


def description_words(r):
    words = []
    for _ in range(r.u16()):
        name = r.cstr()
        _, _, oid, _, _, _ = struct.unpack("!IHIhiH", r.take(18))
        words.append(name if oid == 25 else f"{name}:{oid}")
    return words


def row_body(words):
    return struct.pack("!H", len(words)) + b"".join(map(value, words))


def error_body(words):
    code, message, *more = words
    severity = more[0] if more else "ERROR"
    return b"".join(kind + cstr(word) for kind, word in
                    ((b"S", severity), (b"V", severity), (b"C", code), (b"M", message))) + b"\0"


def error_words(r):
    found = {}
    while (kind := r.u8()) != 0:
        found[chr(kind)] = r.cstr()
    return [found["C"], found["M"], found["S"]]


def copy_body(words):
    kind, count = int(words[0]), int(words[1])
    return struct.pack(f"!BH{count}H", kind, count, *[kind] * count)


def copy_words(r):
    kind, count = r.u8(), r.u16()
    r.take(2 * count)
    return [str(kind), str(count)]


def call_body(words):
    oid, *values = words
    return struct.pack("!IHH", int(oid), 0, len(values)) + b"".join(map(value, values)) + struct.pack("!H", 0)


def call_words(r):
    oid, _, count = r.i32(), r.u16(), r.u16()
    return [str(oid)] + [r.value() for _ in range(count)] + [] * r.u16()


def many(take):
    """Words as long as there are bytes."""
    def words(r):
        found = []
        while not r.ended():
            found.append(take(r))
        return found
    return words


def nothing(_words):
    return b""


def no_words(_r):
    return []


def strings(count):
    return (lambda words: b"".join(map(cstr, words)), lambda r: [r.cstr() for _ in range(count)])


def target():
    return (lambda words: pack(words[0]) + cstr(words[1]), lambda r: [chr(r.u8()), r.cstr()])


RAW = (lambda words: pack(words[0]) if words else b"", lambda r: [r.rest()])
EMPTY = (nothing, no_words)

FRONT = {
    "Query": (b"Q", *strings(1)),
    "Parse": (b"P", parse_body, parse_words),
    "Bind": (b"B", bind_body, bind_words),
    "Describe": (b"D", *target()),
    "Execute": (b"E", lambda w: cstr(w[0]) + struct.pack("!i", int(w[1]) if len(w) > 1 else 0),
                lambda r: [r.cstr()] + ([str(n)] if (n := r.i32()) else [])),
    "Close": (b"C", *target()),
    "Sync": (b"S", *EMPTY),
    "Flush": (b"H", *EMPTY),
    "Terminate": (b"X", *EMPTY),
    "FunctionCall": (b"F", call_body, call_words),
    "CopyData": (b"d", *RAW),
    "CopyDone": (b"c", *EMPTY),
    "CopyFail": (b"f", *strings(1)),
    "Password": (b"p", *strings(1)),
}
BACK = {
    "Auth": (b"R", lambda w: struct.pack("!I", int(w[0])), lambda r: [str(r.i32())]),
    "ParameterStatus": (b"S", *strings(2)),
    "BackendKey": (b"K", *RAW),
    "Ready": (b"Z", *RAW),
    "RowDescription": (b"T", description_body, description_words),
    "DataRow": (b"D", row_body, lambda r: [r.value() for _ in range(r.u16())]),
    "Complete": (b"C", *strings(1)),
    "Error": (b"E", error_body, error_words),
    "Notice": (b"N", error_body, error_words),
    "Notification": (b"A", lambda w: struct.pack("!I", int(w[0])) + cstr(w[1]) + cstr(w[2]),
                     lambda r: [str(r.i32()), r.cstr(), r.cstr()]),
    "ParseComplete": (b"1", *EMPTY),
    "BindComplete": (b"2", *EMPTY),
    "CloseComplete": (b"3", *EMPTY),
    "NoData": (b"n", *EMPTY),
    "ParameterDescription": (b"t", lambda w: struct.pack(f"!H{len(w)}I", len(w), *map(int, w)),
                             lambda r: [str(r.i32()) for _ in range(r.u16())]),
    "PortalSuspended": (b"s", *EMPTY),
    "EmptyQuery": (b"I", *EMPTY),
    "CopyIn": (b"G", copy_body, copy_words),
    "CopyOut": (b"H", copy_body, copy_words),
    "CopyBoth": (b"W", copy_body, copy_words),
    "CopyData": (b"d", *RAW),
    "CopyDone": (b"c", *EMPTY),
    "FunctionResult": (b"V", lambda w: value(w[0]), lambda r: [r.value()]),
    "Negotiate": (b"v", lambda w: struct.pack("!II", int(w[0]), len(w) - 1) + b"".join(map(cstr, w[1:])),
                  lambda r: [str(r.i32())] + [r.cstr() for _ in range(r.i32())]),
}
NAME_OF = {id(table): {kind: name for name, (kind, _, _) in table.items()} for table in (FRONT, BACK)}


def frame(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def encode(table, name, words):
    """The bytes of a message. Raw gives its words as they are; Header makes a type and a length only."""
    if name == "Raw":
        return b"".join(map(pack, words))
    if name == "Header":
        return pack(words[0]) + struct.pack("!I", int(words[1]))
    kind, body, _ = table[name]
    return frame(kind, body(words))


def decode(table, kind, body):
    """(name, words) of a message; a body that does not fit its type raises ValueError."""
    name = NAME_OF[id(table)].get(kind)
    if name is None:
        return f"type {kind!r}", [text(body)]
    reader = Reader(body)
    try:
        words = table[name][2](reader)
    except (struct.error, IndexError) as error:
        raise ValueError(f"{name} is malformed: {error}") from error
    if not reader.ended():
        raise ValueError(f"{name} has {len(body) - reader.at} bytes too many")
    return name, words
