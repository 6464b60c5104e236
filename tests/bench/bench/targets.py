"""The targets: what is compared with what, and the limit. Ratios are medians over the pairs of one run."""
from dataclasses import dataclass

from .report import middle, ratio_of


@dataclass
class Target:
    group: str
    text: str
    value: object       # results -> number, None = not measured
    limit: float
    at_least: bool = False
    note: str = ""
    floor: object = None   # results -> the best that a program of this design could reach in the same run
    floor_text: str = ""   # what that is

    def judge(self, results):
        """(value, met); met is None when it was not measured."""
        value = self.value(results)
        if value is None:
            return None, None
        return value, value >= self.limit if self.at_least else value <= self.limit


def ratio(workload, party, other, metric="proxy"):
    def value(results):
        runs = results.runs.get(workload, {})
        return ratio_of(runs.get(party), runs.get(other), metric)
    return value


def single(name):
    return lambda results: results.singles.get(name)


def measured(group, text, name, limit, **more):
    """A single number; who measures its floor too calls that `name`_floor, and `name`_floor_text says what it is."""
    return Target(group, text, single(name), limit, floor=single(f"{name}_floor"), floor_text=FLOORS_OF_SINGLES.get(name, ""), **more)


ALONE = "PostgreSQL's answer to the statement of the proof, with nothing in between"
FLOORS_OF_SINGLES = {"memory_tls": "what OpenSSL alone needs for a connection",
                     **dict.fromkeys(("proof_idle", "proof_writes", "proof_idle_awake", "proof_writes_awake"), ALONE)}
SESSION = "session pooling, as Debian's PgBouncer 1.18 has no prepared statements in transaction pooling"
RELAY = "what a relay that understands nothing costs"


def against_bouncer(workload, what, limit, bouncer="pgbouncer", floor="relay", floor_text=RELAY, note=""):
    return Target("pass-through", f"{what}: CPU / PgBouncer", ratio(workload, "pass", bouncer), limit, note=note,
                  floor=ratio(workload, floor, bouncer), floor_text=floor_text)


def passing():
    protocols = (("simple", "pgbouncer", 1.05), ("extended", "pgbouncer", 1.05), ("prepared", "pgbouncer_s", 1.10))
    for protocol, _, limit in protocols:
        yield Target("pass-through", f"{protocol}: CPU / null relay", ratio(protocol, "pass", "relay"), limit)
    for protocol, bouncer, _ in protocols:
        yield against_bouncer(protocol, protocol, 1.0, bouncer, note=SESSION if bouncer == "pgbouncer_s" else "")
    yield against_bouncer("prepared", "prepared, a quarter less", 0.75, "pgbouncer_s", note=SESSION)
    for name, what in (("big", "1 MB result"), ("copy_out", "COPY out"), ("copy_in", "COPY in")):
        yield Target("pass-through", f"{what}: CPU / null relay", ratio(name, "pass", "relay"), 1.15)
        yield against_bouncer(name, what, 0.45)
    yield against_bouncer("two", "two reads in a transaction", 0.9)
    for name, party, bouncer in (*((protocol, "pass", bouncer) for protocol, bouncer, _ in protocols), ("two", "pass", "pgbouncer"),
                                 ("churn", "pass", "pgbouncer"), ("churn_tls", "pass", "pgbouncer"), ("join", "strict", "pgbouncer"),
                                 ("zipf", "strict", "pgbouncer"), ("mix_95_5", "strict", "pgbouncer"),
                                 ("mix_80_20", "strict", "pgbouncer")):
        yield Target("latency", f"{name}{', strict' if party == 'strict' else ''}: p99 / PgBouncer", ratio(name, party, bouncer, "p99"),
                     1.0, floor=ratio(name, "relay", bouncer, "p99"), floor_text="the relay's p99")


def hits():
    for party, limit in (("bounded", 1.25), ("strict", 1.45)):
        yield Target("hits", f"{party}: CPU / null server", ratio("hit", party, "null"), limit, floor=lambda results: 1.0,
                     floor_text="the null server itself, without a probe")
    for party in ("bounded", "strict"):
        yield Target("hits", f"{party}: CPU / Redis GET", ratio("hit", party, "redis"), 1.0, floor=ratio("hit", "null", "redis"),
                     floor_text="the null server")
    for party in ("bounded", "strict"):
        yield Target("hits", f"{party}: throughput / PostgreSQL", ratio("hit", party, "direct", "tps"), 2.5, True,
                     floor=ratio("hit", "null", "direct", "tps"), floor_text="the null server")
    for party in ("bounded", "strict"):
        yield Target("hits", f"{party}: PostgreSQL's CPU / direct", ratio("hit", party, "direct", "server"), 0.05)
    for party in ("bounded", "strict"):
        yield Target("hits", f"{party}: join of some ms, throughput / PostgreSQL", ratio("join", party, "direct", "tps"), 50, True,
                     floor=ratio("join", "null", "direct", "tps"), floor_text="the null server, with one row instead of fifty")
    yield Target("one client", "strict: p50 / PostgreSQL", ratio("hit_one", "strict", "direct", "p50"), 1.0)
    yield Target("one client", "bounded: p50 / null server", ratio("hit_one", "bounded", "null", "p50"), 1.1)
    for suffix, note in (("", ""), ("_awake", "no core asleep")):
        yield measured("one client", "proof, idle: p50 in us", f"proof_idle{suffix}", 25, note=note)
        yield measured("one client", "proof, 1,000 writes/s: p50 in us", f"proof_writes{suffix}", 60, note=note)


def resources():
    yield measured("memory", "idle client: KiB", "memory", 2.0)
    yield measured("memory", "idle client with TLS: KiB", "memory_tls", 12.0)
    yield Target("memory", "idle client with TLS: KiB / PgBouncer", single("memory_tls_bouncer"), 1.0)
    yield Target("memory", "allocations of a hit", single("allocations"), 0.01,
                 note="the probes' and the timers' included")
    yield Target("churn", "plain: CPU / PgBouncer", ratio("churn", "pass", "pgbouncer"), 1.0, floor=ratio("churn", "null", "pgbouncer"),
                 floor_text="the null server, which has no server to ask")
    yield Target("churn", "TLS: CPU / PgBouncer", ratio("churn_tls", "pass", "pgbouncer"), 1.0, note="pgbench resumes no session")


def most_of_two_workers(results):
    """What the cores leave to two workers: the client needs its share of them."""
    runs = results.runs.get("flood", {})
    one, two, client = (middle(runs.get(party) or [], metric) for party, metric in (("bounded", "proxy"), ("bounded2", "proxy"),
                                                                                  ("bounded2", "client")))
    return None if None in (one, two, client) else results.cores * one / (two + client)


def scaling():
    yield Target("scaling", "throughput of hits, two workers / one", ratio("flood", "bounded2", "bounded", "tps"), 1.7, True,
                 note="300 queries in one send", floor=most_of_two_workers, floor_text="all that the cores leave beside the client")
    for name, what, one, two in (("flood", "hit", "bounded", "bounded2"), ("workers", "hit, 32 clients of pgbench", "bounded", "bounded2"),
                                 ("misses", "miss and its store", "bounded", "bounded2"), ("workers_pass", "pass", "pass", "pass2")):
        yield Target("scaling", f"CPU of a {what}, two workers / one", ratio(name, two, one), 1 / 0.85,
                     note="1 / 0.85 is 1.7 times the throughput of one")
    yield Target("scaling", "CPU of a hit, 5,000 idle clients / none", ratio("idle", "crowd", "few"), 1.1)
    for name, what in (("entries", "a hit, the same 1,000 of many entries"), ("entries_all", "a hit, any of many entries"),
                       ("entries_strict", "a hit in strict, any of many")):
        suffix = "_strict" if name == "entries_strict" else ""
        yield Target("scaling", f"CPU of {what} / of 1,000", ratio(name, f"many{suffix}", f"few{suffix}"), 1.15)
    yield Target("scaling", "CPU of a change, many entries / 1,000", ratio("change", "many", "few"), 1.15)


ALL = [*passing(), *hits(), *resources(), *scaling()]
