"""What is run against whom. A workload names its parties in the order of a pass; passes alternate: A B, B A, A B, .."""
import random
from dataclasses import dataclass, field

from . import load

ROWS = 100_000
HOT = 1_000          # rows of the reads that are to be hits
BIG_ROWS = 8_000     # about 1 MB
SALES = 16_000       # their join costs PostgreSQL 2 ms on a fast machine, 4 on a slow one
COPIES_OUT, COPIES_IN = 200, 80

SCHEMA = f"""
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
INSERT INTO pgbench_accounts SELECT i, 1, 0, '' FROM generate_series(1, {ROWS}) i;
CREATE TABLE big (id int PRIMARY KEY, body text);
INSERT INTO big SELECT i, repeat('x', 110) FROM generate_series(1, {BIG_ROWS}) i;
CREATE UNLOGGED TABLE sink (id int, body text);
CREATE TABLE shops (id int PRIMARY KEY, name text);
INSERT INTO shops SELECT i, 'shop ' || i FROM generate_series(1, 50) i;
CREATE TABLE sales (id int PRIMARY KEY, shop int, amount int);
INSERT INTO sales SELECT i, i % 50 + 1, i % 97 FROM generate_series(1, {SALES}) i;
VACUUM ANALYZE;
CHECKPOINT;
"""

POINT = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
WRITE = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"
VARIANT = "SELECT abalance, :v FROM pgbench_accounts WHERE aid = :aid;\n"  # several answers of one row
SCRIPTS = {
    "point": f"\\set aid random(1, {ROWS})\n" + POINT,
    "hot": f"\\set aid random(1, {HOT})\n" + POINT,
    "some": f"\\set aid random(1, {HOT})\n\\set v 0\n" + VARIANT,
    "hot_write": f"\\set aid random(1, {HOT})\n" + WRITE,
    "zipf": f"\\set aid random_zipfian(1, {ROWS}, 1.05)\n" + POINT,
    "zipf_write": f"\\set aid random_zipfian(1, {ROWS}, 1.05)\n" + WRITE,
    "write": f"\\set aid random(1, {ROWS})\n" + WRITE,
    "two": f"\\set aid random(1, {ROWS})\nBEGIN;\n{POINT}{POINT}END;\n",
    "big": "SELECT * FROM big;\n",
    "join": "SELECT s.name, count(*), sum(x.amount) FROM sales x JOIN shops s ON s.id = x.shop GROUP BY s.name;\n",
    "copy_out": "COPY big TO STDOUT;\n",
}


@dataclass
class Workload:
    name: str
    parties: list
    what: str
    run: object                      # (party, seconds, scripts) -> result
    warm: object = None              # the same, once before the first pass
    quick: bool = False
    target: bool = False             # a row of the table needs it, though it is not quick
    skip: dict = field(default_factory=dict)  # party -> why it cannot


def bench(*names, **more):
    """A pgbench run of these scripts; name@weight."""
    def run(party, seconds, scripts):
        files = []
        for name in names:
            script, _, weight = name.partition("@")
            files.append(f"{scripts[script]}{'@' + weight if weight else ''}")
        return load.pgbench(party, files, seconds=seconds, **more)
    return run


def copies(name, n):
    def run(party, seconds, scripts):
        return load.psql(party, scripts[name], n)
    return run


def _redis(clients):
    return lambda party, seconds, scripts: load.redis(party, clients, round(40000 * seconds))


def hits(script, clients, protocol="simple", latency=True):
    """Reads from a cache; Redis gets its own client."""
    ours, theirs = bench(script, protocol=protocol, clients=clients, latency=latency), _redis(clients)

    def run(party, seconds, scripts):
        return (theirs if party.name == "redis" else ours)(party, seconds, scripts)
    return run


def fill(script, protocol="simple"):
    """Until what is to be hit has been read once."""
    return bench(script, protocol=protocol, clients=16, latency=False)


def flood_fill(name):
    """Each query of a list once."""
    def run(party, seconds, scripts):
        return load.Flood(party, scripts["flood"], scripts[name], 0, block=1).run(once=True)
    return run


def flood(name):
    """Blocks of what is in the cache already. Behind a read that is PostgreSQL's, so is the rest of its block: on a machine that is too
    busy to prove in time, that is all that would be measured."""
    def run(party, seconds, scripts):
        result = load.Flood(party, scripts["flood"], scripts[name], seconds * 2).run()
        if party.proxy and result["hits"] < 99:
            raise load.Failed(f"{party.name}: only {result['hits']:.0f} % hits; is the machine busy?")
        return result
    return run


def misses(n):
    """Queries that nobody has asked yet: each is a miss and is stored. Both parties get the same ones."""
    def run(party, seconds, scripts):
        asked = misses.asked[party.name] = misses.asked.get(party.name, 0) + 1
        path = scripts["some.list"].with_name("misses.list")
        _write_list(path, ((aid, asked * 100) for aid in range(1, n + 1)))
        return load.Flood(party, scripts["flood"], path, 0, block=1).run(once=True)
    misses.asked = {}
    return run


def by_party(**runs):
    """Each party its own."""
    return lambda party, seconds, scripts: runs[party.name.removesuffix("_strict")](party, seconds, scripts)


NO_PREPARED = "has no prepared statements in transaction pooling; measured in session pooling instead"
COUNTS = (1, 8, 128)

ALL = [
    Workload("simple", ["relay", "pgbouncer", "pass", "direct"], "point reads, simple protocol, 32 clients, no cache",
             bench("point"), quick=True),
    Workload("extended", ["relay", "pgbouncer", "pass"], "the same, extended protocol", bench("point", protocol="extended"),
             quick=True),
    Workload("prepared", ["relay", "pgbouncer_s", "pass"], "the same, prepared statements", bench("point", protocol="prepared"),
             quick=True, skip={"pgbouncer": NO_PREPARED}),
    *[Workload(f"{protocol}_{n}", ["relay", "pgbouncer_s" if protocol == "prepared" else "pgbouncer", "pass"],
               f"point reads, {protocol} protocol, {n} client{'s' if n > 1 else ''}, no cache",
               bench("point", protocol=protocol, clients=n))
      for protocol in ("simple", "extended", "prepared") for n in COUNTS],
    Workload("two", ["relay", "pgbouncer", "pass"], "explicit transaction of two reads, 32 clients", bench("two"), quick=True),
    Workload("big", ["relay", "pgbouncer", "pass"], f"1 MB result of {BIG_ROWS} rows, 4 clients",
             bench("big", clients=4, latency=False), quick=True),
    Workload("copy_out", ["relay", "pgbouncer", "pass"], "COPY TO STDOUT of 1 MB, one psql", copies("copies_out", COPIES_OUT), quick=True),
    Workload("copy_in", ["relay", "pgbouncer", "pass"], "COPY FROM STDIN of 1 MB, one psql", copies("copies_in", COPIES_IN), quick=True),
    Workload("churn", ["null", "pgbouncer", "pass"], "connect, one read, disconnect; 8 clients",
             bench("point", clients=8, reconnect=True), quick=True),
    Workload("churn_tls", ["pgbouncer", "pass"], "the same over TLS",
             bench("point", clients=8, reconnect=True, tls=True), quick=True),
    Workload("tls", ["pgbouncer", "pass"], "point reads over TLS, 32 clients", bench("point", tls=True)),
    Workload("hit", ["null", "uring", "redis", "strict", "bounded", "direct"], f"hits: {HOT} rows, simple protocol, 32 clients",
             hits("hot", 32), fill("hot"), quick=True),
    Workload("hit_extended", ["null", "strict", "bounded", "direct"], "the same, extended protocol",
             hits("hot", 32, "extended"), fill("hot", "extended")),
    Workload("hit_prepared", ["null", "strict", "bounded", "direct"], "the same, prepared statements",
             hits("hot", 32, "prepared"), fill("hot", "prepared")),
    Workload("hit_one", ["null", "redis", "strict", "bounded", "direct"], "hits, one client",
             hits("hot", 1, "simple"), fill("hot"), quick=True),
    Workload("hit_pgpool", ["pgpool", "strict"], "hits, 32 clients, pgpool-II's query cache", hits("hot", 32), fill("hot")),
    Workload("join", ["null", "direct", "pgbouncer", "strict", "bounded"], "join and aggregate of some milliseconds, 8 clients",
             bench("join", clients=8), bench("join", clients=1), quick=True),
    Workload("zipf", ["null", "direct", "pgbouncer", "strict", "bounded"], f"zipf reads over {ROWS} rows, 32 clients",
             hits("zipf", 32), fill("zipf"), target=True),
    Workload("mix_95_5", ["direct", "pgbouncer", "strict", "bounded"], "95 % zipf reads, 5 % writes", bench("zipf@95", "zipf_write@5"),
             fill("zipf"), target=True),
    Workload("mix_80_20", ["direct", "relay", "pgbouncer", "pass", "strict", "bounded"], "80 % zipf reads, 20 % writes",
             bench("zipf@80", "zipf_write@20"), fill("zipf"), target=True),
    Workload("flood", ["null", "bounded", "bounded2"], "hits, 300 queries in one send, 16 clients that cost little; one and two "
             "workers", flood("some.list"), flood_fill("some.list"), target=True),
    Workload("workers", ["bounded", "bounded2"], "hits with one and with two workers, 32 clients", hits("hot", 32), fill("hot"),
             target=True),
    Workload("misses", ["bounded", "bounded2"], "reads that miss and are stored, one and two workers, 16 clients", misses(5000),
             target=True),
    Workload("workers_pass", ["pass", "pass2"], "no cache, one and two workers, 32 clients", bench("point"), target=True),
    Workload("idle", ["few", "crowd"], "hits without and with 5,000 idle clients, bounded, 32 clients", bench("some", latency=False),
             flood_fill("some.list"), target=True),
    Workload("entries", ["few", "many"], f"hits of {HOT} answers, alone and among many, bounded, 32 clients",
             bench("some", latency=False), by_party(few=flood_fill("some.list"), many=flood_fill("many.list")), target=True),
    Workload("entries_all", ["few", "many"], "the same, but all that is there is read",
             by_party(few=bench("some", latency=False), many=bench("many", latency=False)), target=True),
    Workload("entries_strict", ["few_strict", "many_strict"], "the same, strict",
             by_party(few=bench("some", latency=False), many=bench("many", latency=False)),
             by_party(few=flood_fill("some.list"), many=flood_fill("many.list")), target=True),
]


def _write_list(path, pairs):
    with open(path, "w", encoding="ascii") as file:
        file.writelines(VARIANT.replace(":aid", str(aid)).replace(":v", str(v)) for aid, v in pairs)


def write_scripts(directory, programs, entries):
    """The files that clients read. `entries`: answers that the large cache is to have, some of each row."""
    variants = max(1, entries // ROWS)
    paths = {"flood": programs / "flood"}
    texts = {**SCRIPTS, "many": f"\\set aid random(1, {ROWS})\n\\set v random(0, {variants - 1})\n" + VARIANT,
             "copies_out": SCRIPTS["copy_out"] * COPIES_OUT}
    data = directory / "rows"
    data.write_text("".join(f"{i}\t{'x' * 110}\n" for i in range(BIG_ROWS)))
    texts["copies_in"] = f"BEGIN;\nTRUNCATE sink;\n\\copy sink from '{data}'\nCOMMIT;\n" * COPIES_IN
    for name, text in texts.items():
        paths[name] = directory / f"{name}.sql"
        paths[name].write_text(text)
    # In another order than the table has, so that neighbours in the list are none in memory.
    for name, rows in (("some", HOT), ("many", ROWS)):
        pairs = [(aid, v) for aid in range(1, rows + 1) for v in range(variants if name == "many" else 1)]
        random.Random(1).shuffle(pairs)
        paths[f"{name}.list"] = directory / f"{name}.list"
        _write_list(paths[f"{name}.list"], pairs)
    return paths
