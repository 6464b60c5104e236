"""The targets: what is compared with what, and the limit. Ratios are medians over the pairs of one run."""
from dataclasses import dataclass
from statistics import median


@dataclass
class Target:
    group: str
    text: str
    value: object      # results -> number, None = not measured
    limit: float
    at_least: bool = False
    note: str = ""

    def judge(self, results):
        """(value, met); met is None when it was not measured."""
        value = self.value(results)
        if value is None:
            return None, None
        return value, value >= self.limit if self.at_least else value <= self.limit


def ratio(workload, party, other, metric="proxy", other_workload=None):
    """Median of the pairs' ratios."""
    def value(results):
        ours = results.runs.get(workload, {}).get(party)
        theirs = results.runs.get(other_workload or workload, {}).get(other)
        if not ours or not theirs:
            return None
        pairs = [a[metric] / b[metric] for a, b in zip(ours, theirs) if a[metric] is not None and b[metric]]
        return median(pairs) if pairs else None
    return value


def single(name):
    return lambda results: results.singles.get(name)


def passing():
    for protocol, bouncer, limit in (("simple", "pgbouncer", 1.05), ("extended", "pgbouncer", 1.05),
                                     ("prepared", "pgbouncer_s", 1.10)):
        yield Target("pass-through", f"{protocol}: CPU / null relay", ratio(protocol, "pass", "relay"), limit)
        yield Target("pass-through", f"{protocol}: CPU / PgBouncer", ratio(protocol, "pass", bouncer), 1.0,
                     note="PgBouncer in session pooling" if bouncer == "pgbouncer_s" else "")
        yield Target("pass-through", f"{protocol}: p99 / PgBouncer", ratio(protocol, "pass", bouncer, "p99"), 1.0)
    for name, what in (("big", "1 MB result"), ("copy_out", "COPY out"), ("copy_in", "COPY in")):
        yield Target("pass-through", f"{what}: CPU / null relay", ratio(name, "pass", "relay"), 1.15)
        yield Target("pass-through", f"{what}: CPU / PgBouncer", ratio(name, "pass", "pgbouncer"), 0.45)
    yield Target("pass-through", "two reads in a transaction: CPU / PgBouncer", ratio("two", "pass", "pgbouncer"), 0.9)


def hits():
    for party, limit in (("bounded", 1.25), ("strict", 1.45)):
        yield Target("hits", f"{party}: CPU / null server", ratio("hit", party, "null"), limit)
        yield Target("hits", f"{party}: CPU / Redis GET", ratio("hit", party, "redis"), 1.0)
        yield Target("hits", f"{party}: throughput / PostgreSQL", ratio("hit", party, "direct", "tps"), 2.5, True)
        yield Target("hits", f"{party}: PostgreSQL's CPU / direct", ratio("hit", party, "direct", "server"), 0.05)
        yield Target("hits", f"{party}: join, throughput / PostgreSQL", ratio("join", party, "direct", "tps"), 50, True)
    for name, what in (("zipf", "zipf"), ("mix_95_5", "95 % zipf reads, 5 % writes"), ("mix_80_20", "80 % zipf reads, 20 % writes")):
        for party in ("bounded", "strict"):
            yield Target("mixed", f"{what}, {party}: throughput / PostgreSQL", ratio(name, party, "direct", "tps"), 1.0, True)
            yield Target("mixed", f"{what}, {party}: PostgreSQL's CPU / direct", ratio(name, party, "direct", "server"), 1.0)
    yield Target("one client", "strict: p50 / PostgreSQL", ratio("hit_one", "strict", "direct", "p50"), 1.0)
    yield Target("one client", "bounded: p50 / null server", ratio("hit_one", "bounded", "null", "p50"), 1.1)
    yield Target("one client", "proof, idle: p50 in us", single("proof_idle"), 25)
    yield Target("one client", "proof, 1,000 writes/s: p50 in us", single("proof_writes"), 60)


def resources():
    yield Target("memory", "idle client: KiB", single("memory"), 2.0)
    yield Target("memory", "idle client with TLS: KiB", single("memory_tls"), 12.0)
    yield Target("memory", "idle client with TLS: KiB / PgBouncer", single("memory_tls_bouncer"), 1.0)
    yield Target("memory", "allocations of a hit", single("allocations"), 0.01,
                 note="the probes' and the timers' included; at one client each hit has a probe of its own")
    yield Target("churn", "plain: CPU / PgBouncer", ratio("churn", "pass", "pgbouncer"), 1.0)
    yield Target("churn", "TLS: CPU / PgBouncer", ratio("churn_tls", "pass", "pgbouncer"), 1.0)
    yield Target("scaling", "CPU of a hit, two workers / one", ratio("workers", "bounded2", "bounded"), 1 / 0.85,
                 note="1.7 times the throughput when the clients run elsewhere; throughput itself needs more than two cores")
    yield Target("scaling", "CPU of a pass, two workers / one", ratio("workers_pass", "pass2", "pass"), 1 / 0.85)
    yield Target("scaling", "CPU of a hit, many entries / 1,000", single("entries"), 1.15)
    yield Target("scaling", "CPU of a hit, many idle clients / none", single("idle"), 1.1)
    yield Target("scaling", "CPU of a change, many entries / 1,000", single("change"), 1.15)


ALL = [*passing(), *hits(), *resources()]
