"""tests/bench/run: the passes, and what comes out."""
import argparse
import collections
import json
import pathlib
import platform
import sys
import time

from . import load, probes, report, targets, workloads
from .parties import Parties

QUICK = {"passes": 5, "seconds": 1.0}
TARGETS = {"passes": 5, "seconds": 1.0}
FULL = {"passes": 6, "seconds": 2.0}


class Results:
    def __init__(self):
        self.runs = collections.defaultdict(lambda: collections.defaultdict(list))
        self.singles = {}


def one_pass(work, names, parties, options, scripts):
    """Each party once; one that fails three times (a busy machine may leave no second for it) is left out from here on."""
    runs = {}
    for name in names:
        for attempt in range(3):
            try:
                runs[name] = work.run(parties.get(name), options.seconds * (attempt + 1), scripts)
                break
            except load.Failed as error:
                last = error
        else:
            print(f"{work.name}: {last}", file=sys.stderr)
    return runs


def run_workload(work, parties, options, scripts, results):
    names = [name for name in work.parties if not options.without or name not in options.without]
    for name in names:
        if work.warm and name not in ("direct", "null", "redis"):
            try:
                work.warm(parties.get(name), max(1.0, options.seconds), scripts)
            except load.Failed as error:
                print(f"{work.name}: {error}", file=sys.stderr)
    for turn in range(options.passes):
        runs = one_pass(work, names if turn % 2 == 0 else names[::-1], parties, options, scripts)
        for name in names:
            if name in runs:
                results.runs[work.name][name].append(runs[name])
            else:
                results.runs[work.name].pop(name, None)
        names = [name for name in names if name in runs]
    report.workload(work, results.runs[work.name])
    sys.stdout.flush()


# --- what no load shows ---

def measure_memory(parties, options, scripts, results):
    n = 500 if options.quick else 5000
    for key, tls, count in (("memory", False, n), ("memory_tls", True, min(n, 1000))):
        for name in ("pass", "pgbouncer"):
            parties.drop(name)
        ours = probes.memory(parties.get("pass"), count, tls)
        theirs = probes.memory(parties.get("pgbouncer"), count, tls)
        results.singles[key] = ours
        results.singles[f"{key}_bouncer"] = ours / theirs if theirs else None
        print(f"  {count} idle clients{' with TLS' if tls else ''}: {ours:.2f} KiB each, PgBouncer {theirs:.2f} KiB")


def measure_allocations(parties, options, scripts, results):
    party = parties.get("counted")
    hot = workloads.hits("hot", 32, latency=False)
    hot(party, 2, scripts)
    results.singles["allocations"] = probes.allocations(party, lambda p, seconds: hot(p, seconds, scripts))
    print(f"  allocations for one hit: {load.number(results.singles['allocations'], 4)}")
    parties.drop("counted")


def measure_proof(parties, options, scripts, results):
    party = parties.get("strict")
    one = workloads.hits("hot", 1, latency=False)
    workloads.fill("hot")(party, 1, scripts)
    results.singles["proof_idle"] = probes.proof(party, lambda p: one(p, 2, scripts))
    with probes.writes(parties.get("direct"), scripts["write"], 1000, 30):
        results.singles["proof_writes"] = probes.proof(party, lambda p: one(p, 2, scripts))
    print(f"  proof: p50 {results.singles['proof_idle']:.0f} us idle, "
          f"{results.singles['proof_writes']:.0f} us under 1,000 writes/s")


def _cost(party, run, options, scripts):
    return sorted(run(party, options.seconds, scripts)["proxy"] for _ in range(5))[2]


def measure_scaling(parties, options, scripts, results):
    """A fresh cache with the hot rows; the same with idle clients; then with as many answers as come in some time. Bounded, as the
    probes of strict hits cost what the machine has them cost."""
    parties.drop("bounded")
    party = parties.get("bounded")
    hot, write = workloads.hits("hot", 32, latency=False), workloads.bench("write", clients=4, latency=False)
    workloads.fill("hot")(party, 2, scripts)
    few = _cost(party, hot, options, scripts)
    few_change = _cost_of_changes(parties, party, write, options, scripts)
    with probes.idle_clients(party, 500 if options.quick else 5000):
        workloads.fill("hot")(party, 2, scripts)
        results.singles["idle"] = _cost(party, hot, options, scripts) / few
        print(f"  CPU of a hit with idle clients: {results.singles['idle'] * few:.2f} us, without {few:.2f} us")
    workloads.bench("many", clients=16, latency=False)(party, 120 if options.full else 15, scripts)
    entries = party.proxy.metrics().get("pgweir_cache_entries", 0)
    many = _cost(party, hot, options, scripts)
    results.singles["entries"] = many / few
    many_change = _cost_of_changes(parties, party, write, options, scripts)
    results.singles["change"] = many_change / few_change
    print(f"  CPU of a hit: {few:.2f} us with {workloads.HOT} entries, {many:.2f} us with {entries:.0f}; "
          f"of a change: {few_change:.2f} us, {many_change:.2f} us")


def _cost_of_changes(parties, party, write, options, scripts):
    """CPU of pgweir for one change that somebody else writes."""
    from . import cpu
    before = cpu.seconds(party.pid)
    n = write(parties.get("direct"), options.seconds * 2, scripts)["n"]
    return (cpu.seconds(party.pid) - before) / n * 1e6


SINGLES = {"memory": measure_memory, "allocations": measure_allocations, "proof": measure_proof,
           "scaling": measure_scaling}
QUICK_SINGLES = ("memory", "allocations", "proof")


def chosen(options):
    names = [work.name for work in workloads.ALL] + list(SINGLES)
    for name in options.only or []:
        if name not in names:
            sys.exit(f"no workload {name}; there are: {' '.join(names)}")
    def wanted(name, quick, target):
        if options.only:
            return name in options.only
        return quick if options.quick else target if options.targets else True

    works = [work for work in workloads.ALL if wanted(work.name, work.quick, work.quick or work.target)]
    singles = [name for name in SINGLES if wanted(name, name in QUICK_SINGLES, True)]
    return works, singles


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run")
    parser.add_argument("--quick", action="store_true", help="the main workloads, about 2 minutes")
    parser.add_argument("--targets", action="store_true", help="what the table of targets needs, about 10 minutes")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this workload; may be repeated")
    parser.add_argument("--without", action="append", metavar="PARTY", help="leave a party out, e.g. pgpool")
    parser.add_argument("--passes", type=int, help="pairs of each comparison")
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--json", metavar="FILE", help="write every measurement there")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    options = parser.parse_args()
    options.full = not (options.quick or options.targets or options.only)
    for key, value in (QUICK if options.quick else TARGETS if options.targets else FULL).items():
        if getattr(options, key) is None:
            setattr(options, key, value)
    return options


def main():
    options = arguments()
    if options.list:
        for work in workloads.ALL:
            print(f"{work.name:16} {work.what}; {', '.join(work.parties)}")
        print("\n".join(SINGLES))
        return
    works, singles = chosen(options)
    began, results, parties = time.monotonic(), Results(), Parties()
    try:
        parties.cluster.sql(workloads.SCHEMA.replace("VACUUM ANALYZE;\nCHECKPOINT;", ""), "bench")
        parties.cluster.sql("VACUUM ANALYZE", "bench")
        scripts = workloads.write_scripts(pathlib.Path(parties.dir))
        print(f"{platform.machine()}, {platform.release()}, {len(_cores())} cores; {options.passes} pairs of {options.seconds:g} s; "
              "CPU in us for one transaction")
        for work in works:
            run_workload(work, parties, options, scripts, results)
        print()
        for name in singles:
            SINGLES[name](parties, options, scripts, results)
        report.targets(targets.ALL, results)
        print(f"{time.monotonic() - began:.0f} s")
    finally:
        parties.stop()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"runs": results.runs, "singles": results.singles}, indent=1))


def _cores():
    import os
    return os.sched_getaffinity(0)


if __name__ == "__main__":
    main()
