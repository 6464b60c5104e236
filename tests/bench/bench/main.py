"""tests/bench/run: the passes, and what comes out."""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import platform
import sys
import time

from . import cpu, floor, load, probes, report, targets, workloads
from .parties import Parties

QUICK = {"passes": 5, "seconds": 1.0}
TARGETS = {"passes": 5, "seconds": 1.0}
FULL = {"passes": 6, "seconds": 2.0}


class Results:
    def __init__(self):
        self.runs = collections.defaultdict(lambda: collections.defaultdict(list))
        self.singles = {}
        self.cores = len(os.sched_getaffinity(0))


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


def warm_up(work, names, parties, options, scripts):
    for name in names:
        if work.warm and name not in ("direct", "null", "uring", "redis"):
            try:
                work.warm(parties.get(name), max(1.0, options.seconds), scripts)
            except load.Failed as error:
                print(f"{work.name}: {error}", file=sys.stderr)


def run_workload(work, parties, options, scripts, results):
    names, absent = [], {}
    for name in work.parties:
        program = parties.lacks(name)
        if program:
            absent[name] = f"not measured, {program} is not installed"
        elif name not in (options.without or []):
            names.append(name)
    warm_up(work, names, parties, options, scripts)
    for turn in range(options.passes):
        runs = one_pass(work, names if turn % 2 == 0 else names[::-1], parties, options, scripts)
        for name in names:
            if name in runs:
                results.runs[work.name][name].append(runs[name])
            else:
                results.runs[work.name].pop(name, None)
        names = [name for name in names if name in runs]
    report.workload(work, results.runs[work.name], absent)
    sys.stdout.flush()


# --- what no load shows ---

def measure_memory(parties, options, scripts, results):
    n = 500 if options.quick else 5000
    for key, tls, count in (("memory", False, n), ("memory_tls", True, min(n, 1000))):
        for name in ("pass", "pgbouncer"):
            parties.drop(name)
        ours = probes.memory(parties.get("pass"), count, tls)
        theirs = None if parties.lacks("pgbouncer") else probes.memory(parties.get("pgbouncer"), count, tls)
        results.singles[key] = ours
        results.singles[f"{key}_bouncer"] = ours / theirs if theirs else None
        print(f"  {count} idle clients{' with TLS' if tls else ''}: {ours:.2f} KiB each, PgBouncer {load.number(theirs, 2)}")
    results.singles["memory_tls_floor"] = parties.tls_floor()
    print(f"  an idle SSL of OpenSSL alone: {results.singles['memory_tls_floor']:.2f} KiB")


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

    def measure(name, about):
        """The proof, and what PostgreSQL alone takes for its statement under the same conditions."""
        results.singles[name] = probes.proof(party, lambda p: one(p, 2, scripts))
        empty, results.singles[f"{name}_floor"] = parties.smallest_us()
        print(f"  proof, {about}: p50 {results.singles[name]:.0f} us; PostgreSQL alone {empty:.0f} us for an empty query, "
              f"{results.singles[f'{name}_floor']:.0f} us for the statement of the proof")

    for suffix, about, cores in (("", "", contextlib.nullcontext), ("_awake", ", no core asleep", probes.awake)):
        with cores():
            measure(f"proof_idle{suffix}", f"idle{about}")
            with probes.writes(parties.get("direct"), scripts["write"], 1000, 30):
                measure(f"proof_writes{suffix}", f"1,000 writes/s{about}")


def measure_change(parties, options, scripts, results):
    """CPU of pgweir for one change that somebody else writes: a small and a large cache get the same changes at the same time. All
    rows that change are in both."""
    both = [(name, parties.get(name)) for name in ("few", "many")]
    for name, party in both:
        workloads.flood_fill("some.list" if name == "few" else "many.list")(party, 1, scripts)
    write = workloads.bench("hot_write", clients=4, latency=False)
    for _ in range(options.passes):
        before = [cpu.seconds(party.pid) for _, party in both]
        n = write(parties.get("direct"), options.seconds * 2, scripts)["n"]
        for (name, party), was in zip(both, before):
            results.runs["change"][name].append({"proxy": (cpu.seconds(party.pid) - was) / n * 1e6})
    for name, party in both:
        entries = party.proxy.metrics().get("pgweir_cache_entries", 0)
        print(f"  CPU of one change with {entries:,.0f} entries: {report.middle(results.runs['change'][name], 'proxy'):.2f} us")


def measure_floor(parties, options, scripts, results):
    """What a pass is made of, beside the relay and PgBouncer."""
    if floor.lacks():
        print(f"  floor: {floor.lacks()}")
        return
    print("  what one transaction is made of (per cent of the proxy's time; instructions outside of the kernel)")
    for protocol, bouncer in (("simple", "pgbouncer"), ("extended", "pgbouncer"), ("prepared", "pgbouncer_s")):
        def run(party, seconds=options.seconds, transactions=0):
            return load.pgbench(party, [scripts["point"]], protocol, seconds=seconds, latency=False, transactions=transactions)

        for name in ("relay", bouncer, "pass"):
            if parties.lacks(name):
                continue
            party = parties.get(name)
            run(party)
            counts = floor.counts(party, lambda: run(party)["n"])
            shares = floor.shares(party, lambda: run(party, 3 * options.seconds))
            ours = floor.instructions(lambda within: parties.fresh(name, within), lambda other, n: run(other, transactions=n)["n"])
            print(f"  {protocol:9} {name:12}" + "".join(f" {key} {number:.3f}" for key, number in counts.items())
                  + "".join(f" {key} {share:.1f} %" for key, share in shares.items()) + f" instructions {ours:,.0f}", flush=True)


SINGLES = {"memory": measure_memory, "allocations": measure_allocations, "proof": measure_proof,
           "change": measure_change, "floor": measure_floor}
ASKED_FOR = ("floor",)  # by its name, or with all of them
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
    singles = [name for name in SINGLES if wanted(name, name in QUICK_SINGLES, name not in ASKED_FOR)]
    return works, singles


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run")
    parser.add_argument("--quick", action="store_true", help="the main workloads, about 5 minutes")
    parser.add_argument("--targets", action="store_true", help="what the table of targets needs, about 12 minutes")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this workload; may be repeated")
    parser.add_argument("--without", action="append", metavar="PARTY", help="leave a party out, e.g. pgpool")
    parser.add_argument("--passes", type=int, help="pairs of each comparison")
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--entries", type=int, help="answers in the large cache: 100,000, or 1,000,000 when everything is run")
    parser.add_argument("--json", metavar="FILE", help="write every measurement there")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    options = parser.parse_args()
    options.full = not (options.quick or options.targets or options.only)
    options.entries = options.entries or (10 if options.full else 1) * workloads.ROWS
    for key, value in (QUICK if options.quick else TARGETS if options.targets else FULL).items():
        if getattr(options, key) is None:
            setattr(options, key, value)
    return options


def binary():
    """The program, and a warning where it is no release build."""
    path = pathlib.Path(os.environ["PGWEIR_BIN"])
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is not there: meson setup build -Db_lto=true && ninja -C build proxy/pgweir, or set PGWEIR_BIN")
    about = path.resolve().parents[1] / "meson-info" / "intro-buildoptions.json"
    kinds = [row["value"] for row in json.loads(about.read_text()) if row["name"] == "buildtype"] if about.exists() else []
    return "" if kinds in ([], ["release"]) else f"; NOT A RELEASE BUILD: {kinds[0]}"


def measure(works, singles, parties, options, results):
    parties.cluster.sql(workloads.SCHEMA.replace("VACUUM ANALYZE;\nCHECKPOINT;", ""), "bench")
    parties.cluster.sql("VACUUM ANALYZE", "bench")
    scripts = workloads.write_scripts(pathlib.Path(parties.dir), parties.programs, options.entries)
    for i, work in enumerate(works):
        run_workload(work, parties, options, scripts, results)
        parties.keep(name for later in works[i + 1:] for name in later.parties)
    print()
    for name in singles:
        try:
            SINGLES[name](parties, options, scripts, results)
        except load.Failed as error:
            print(f"  {name}: {error}")
        parties.keep([])


def main():
    options = arguments()
    if options.list:
        for work in workloads.ALL:
            print(f"{work.name:16} {work.what}; {', '.join(work.parties)}")
        print("\n".join(SINGLES))
        return
    works, singles = chosen(options)
    warning, status = binary(), 0
    began, results, parties = time.monotonic(), Results(), None
    try:
        print(f"{platform.machine()}, {platform.release()}, {results.cores} cores, load {os.getloadavg()[0]:.1f}; {options.passes} pairs of "
              f"{options.seconds:g} s; CPU in us for one transaction{warning}", flush=True)
        parties = Parties()
        measure(works, singles, parties, options, results)
    except (KeyboardInterrupt, SystemExit):  # a SIGTERM is the latter
        print("\ninterrupted; this is what there is")
        status = 130
    finally:
        if parties is not None:
            parties.stop()
    report.targets(targets.ALL, results)
    print(f"{time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}{warning}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"runs": results.runs, "singles": results.singles}, indent=1))
    sys.exit(status)


if __name__ == "__main__":
    main()
