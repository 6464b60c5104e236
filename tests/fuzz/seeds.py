#!/usr/bin/python3
"""Writes the small seed corpora. Those of decoding/ and pgoutput/ were recorded from PostgreSQL 15 and
are not made here.

  tests/fuzz/seeds.py     rewrites tests/fuzz/corpus/<target>/*
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent / "corpus"


def put(target, name, data):
    path = HERE / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def message(kind, *parts):
    body = b"".join(parts)
    return kind + struct.pack("!I", len(body) + 4) + body


def packet(*parts):
    body = b"".join(parts)
    return struct.pack("!I", len(body) + 4) + body


def u16(v):
    return struct.pack("!H", v)


def u32(v):
    return struct.pack("!I", v & 0xFFFFFFFF)


def u64(v):
    return struct.pack("!Q", v & 0xFFFFFFFFFFFFFFFF)


def startup():
    pairs = b"user\0bob\0database\0app\0options\0-c a=b --work-mem=1MB -csearch_path=x\\ y\0_pq_.z\0001\0\0"
    put("startup", "hello30", packet(u32(0x30000), pairs))
    put("startup", "hello32", packet(u32(0x30002), pairs))
    put("startup", "version2", packet(u32(0x20000), b"junk"))
    put("startup", "ssl", packet(u32(80877103)))
    put("startup", "gss", packet(u32(80877104)))
    put("startup", "cancel", packet(u32(80877102), u32(7), b"abcd"))
    put("startup", "cancel32", packet(u32(80877102), u32(7), b"k" * 32))
    put("startup", "tls", b"\x16\x03\x01")


def front():
    put("front", "simple", message(b"Q", b"select 1\0"))
    put("front", "extended", message(b"P", b"s\0select $1\0", u16(1), u32(23))
        + message(b"B", b"p\0s\0", u16(1), u16(1), u16(2), u32(4), u32(7), u32(-1), u16(2), u16(0), u16(1))
        + message(b"D", b"Pp\0") + message(b"E", b"p\0", u32(0)) + message(b"C", b"Ss\0") + message(b"S"))
    put("front", "password", message(b"p", b"secret\0"))
    put("front", "sasl", message(b"p", b"SCRAM-SHA-256\0", u32(8), b"n,,n=,r="))


def back():
    put("back", "login", message(b"R", u32(10), b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0") + message(b"R", u32(5), b"salt")
        + message(b"R", u32(0)) + message(b"S", b"TimeZone\0UTC\0") + message(b"K", u32(1), b"abcd")
        + message(b"v", u32(0x30000), u32(1), b"_pq_.x\0") + message(b"Z", b"I"))
    put("back", "rows", message(b"T", u16(1), b"id\0", u32(1), u16(1), u32(23), u16(4), u32(-1), u16(0))
        + message(b"D", u16(2), u32(1), b"7", u32(-1)) + message(b"C", b"SELECT 1\0"))
    put("back", "error", message(b"E", b"SFATAL\0VFATAL\0C08P01\0Mno\0Dd\0Hh\0\0") + message(b"A", u32(1), b"c\0p\0"))
    put("back", "scram", message(b"p", b"r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"))


def scram():
    proof = b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    put("scram", "plain", b"\0n,,n=,r=abc\nc=biws,r=abcXYZ,p=" + proof)
    put("scram", "could", b"\0y,,n=,r=abc\nc=eSws,r=abcXYZ,x=y,p=" + proof)
    put("scram", "plus", b"\3p=tls-server-end-point,,n=,r=abc\nc=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsMDEyMzQ1Njc4OWFi"
        b"Y2RlZjAxMjM0NTY3ODlhYmNkZWY=,r=abcXYZ,p=" + proof)
    put("scram", "verifier", b"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        b"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")


def replication():
    put("replication", "data", b"w" + u64(1 << 32) + u64(2 << 32) + u64(-5) + b"BEGIN 728")
    put("replication", "keepalive", b"k" + u64(1 << 32) + u64(7) + b"\1")
    put("replication", "lsn", b"16/B374D848")
    put("replication", "snapshot", b"4294967290:4294967301:4294967290,4294967299")


def datum():
    head = u32(1) + u32(1)
    for i, value in enumerate([b"true", b"\\x00ff27", b"name", b"-7", b" +0042 ", b"text", b"", b"9223372036854775807",
                               b"4294967295", b"{61626364-6566-6768-696a-6b6c6d6e6f70}"]):
        put("datum", f"value{i}", bytes([i, 0]) + value)
    put("datum", "ints", b"\4\0{1, -2,NULL,\"3\"}")
    put("datum", "texts", b"\5\0{a b,\"c,\\\"d\\\\\",NULL,\"\"}")
    put("datum", "binary", b"\4\1" + head + u32(23) + u32(3) + u32(1) + u32(4) + u32(7) + u32(-1) + u32(4) + u32(-1))
    put("datum", "bytes", b"\1\0{\"\\\\x6162\",\"\\\\x\"}")


def ini():
    put("ini", "whole", b"""[databases]
app = host=/run port=5432 dbname=a auth_user=b pool_size=3 connect_query='set x' coherence=bounded
* = host=a,b port=1,2 password="x"
[users]
bob = pool_mode=session max_user_connections=3
[peers]
1 = host=/run
[pgbouncer]
listen_port = 6432 ; behind
auth_type = scram-sha-256
default_pool_size = 20
server_lifetime = 1h
cache_size = 256MB
max_staleness = 5ms
""")
    put("ini", "broken", b"[pgbouncer\nlisten_prt = 1\n%include x\n = y\n[nothing]\na")


def hba():
    put("hba", "hba", b"\0" + b"""# comment
local all all trust
host app,"b c" +bob,/^x 10.0.0.0/8 scram-sha-256
hostssl all all ::1/128 cert map=m
hostnossl sameuser all 1.2.3.4 255.255.0.0 md5
host replication all all reject
""")
    put("hba", "ident", b"\1" + b"map bob bob\nmap /^(.*)@example\\.org$ \\1\nm \"a b\" all\n")
    put("hba", "users", b"\2" + b""""bob" "md5900150983cd24fb0d6963f7d28e17f72"
"a""b" "plain" ; rest
"c" "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVkc3RvcmVkc3RvcmVkc3RvcmVkc3RvcmU=:c3RvcmVkc3RvcmVkc3RvcmVkc3RvcmVkc3RvcmU="
""")


def plain():
    for i, text in enumerate([
            b"select \"a\".* from \"t\" as \"a\" where \"a\".id = 17 and b in ('x', 'it''s', -4) limit 2",
            b"select $1::int, a->>'k', -1, 2-3, 4 - -5, x=-6 from t where s like '%a\\_b' -- end",
            b"select 1.5, .5, 1e3, 0x10, e'a\\n', n'x', u&'d', b'01', 99999999999, 'a' 'b', 'c'\n'd' /* x */",
            b"insert into t (a, b) values (1, 'x'), (2, E'y') returning *"]):
        put("plain", f"text{i}", text)


def http():
    who = b"Authorization: Basic Ym9iOnMzY3JldA==\r\n"
    put("http", "healthz", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    put("http", "metrics", b"GET /metrics?a=b#c HTTP/1.1\r\n" + who + b"Accept: application/openmetrics-text\r\n\r\n")
    put("http", "stats", b"GET http://u@[::1]:1/stats.json HTTP/1.0\r\nConnection: keep-alive\r\n" + who + b"\r\n")
    put("http", "root", b"HEAD / HTTP/1.1\r\nauthorization:\tbasic  Ym9iOnMzY3JldA==\r\n\r\n")
    put("http", "refused", b"GET /metrics HTTP/1.1\r\nAuthorization: Basic Ym9iOg==\r\n\r\n\xffGET /x%2f%zz HTTP/1.1\n\n")
    put("http", "folded", b"GET /readyz HTTP/1.1\r\nA: b\r\n c\r\nA: d\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
    put("http", "post", b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n\xfdabc\xffBREW / HTTP/1.1\r\n\r\n")
    put("http", "chunked", b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n")
    put("http", "crowd", b"GET /\xfeGET /readyz HTTP/1.1\r\n\xfeOPTIONS * HTTP/1.1\r\n\r\n\xfeCONNECT a:1 HTTP/1.1\r\n\r\n\xfe HTTP/9.9\r\n\r\n")


for make in (startup, front, back, scram, replication, datum, ini, hba, plain, http):
    make()
