"""Prints what was measured: one table a workload, then the targets."""
from statistics import median

FLOORS = ("relay", "null", "pgbouncer", "pgbouncer_s", "redis", "pgpool", "direct", "few", "few_strict")


def middle(runs, metric):
    values = [run[metric] for run in runs if run.get(metric) is not None]
    return median(values) if values else None


def ratio_of(ours, theirs, metric):
    """Median of the pairs' ratios, None where there is nothing to divide."""
    pairs = [a[metric] / b[metric] for a, b in zip(ours or [], theirs or []) if a.get(metric) is not None and b.get(metric)]
    return median(pairs) if pairs else None


def cell(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def _measured(name, runs):
    share = middle(runs, "hits")
    line = f"  {name:12}{cell(middle(runs, 'tps'), 0):>10}"
    for metric, width, digits in (("p50", 9, 0), ("p95", 9, 0), ("p99", 9, 0), ("proxy", 11, 2), ("server", 11, 2),
                                  ("client", 10, 2)):
        line += f"{cell(middle(runs, metric), digits):>{width}}"
    return line + (f"   {share:.0f} % hits" if share else "")


def _parts(name, runs):
    """Of a mix, what each of its scripts took."""
    titles = dict.fromkeys(title.rsplit(" ", 1)[0] for run in runs for title in run if " " in title)
    return [f"  {name + ', ' + title:26} " + ", ".join(f"{metric} {cell(middle(runs, title + ' ' + metric), 0)}" for metric in ("p50", "p95", "p99"))
            for title in titles]


def workload(work, runs, absent):
    """CPU in microseconds for one transaction, medians of the passes; then the medians of the pairs' ratios."""
    names = [name for name in work.parties if runs.get(name)]
    print(f"\n{work.name}: {work.what}")
    print(f"  {'':12}{'tps':>10}{'p50 us':>9}{'p95':>9}{'p99':>9}{'proxy CPU':>11}{'PG CPU':>11}{'client':>10}")
    for name in names:
        print(_measured(name, runs[name]))
    for line in (line for name in names for line in _parts(name, runs[name])):
        print(line)
    for other in (name for name in names if name in FLOORS):
        for name in (name for name in names if name != other and name not in FLOORS):
            ratios = [f"{title} {cell(ratio_of(runs[name], runs[other], metric), 2)}"
                      for title, metric in (("throughput", "tps"), ("p99", "p99"), ("CPU: proxy", "proxy"), ("PostgreSQL", "server"),
                                            ("client", "client"))]
            print(f"  {name + ' / ' + other:26} " + ", ".join(ratios))
    for name, why in {**work.skip, **absent}.items():
        print(f"  {name}: {why}")


def targets(rows, results):
    print(f"\n{'':2}{'target':58}{'measured':>10}{'limit':>10}   ")
    group = None
    counts = {True: 0, False: 0, None: 0}
    missed = []
    for row in rows:
        value, good = row.judge(results)
        counts[good] += 1
        if value is None:
            continue
        if row.group != group:
            group = row.group
            print(f"  {group}")
        if not good:
            missed.append((row, value))
        limit = f"{'>=' if row.at_least else '<='} {row.limit:.2f}"
        print(f"    {row.text:56}{value:>10.2f}{limit:>10}   {'met' if good else 'NOT MET'}{'  (' + row.note + ')' if row.note else ''}")
    print(f"\n{counts[True]} met, {counts[False]} not met" + (f", {counts[None]} not measured" if counts[None] else ""))
    for row, value in missed:
        floor = row.floor(results) if row.floor else None
        print(f"  {row.group}, {row.text}: {value:.2f}"
              + (f"; the floor of this run is {floor:.2f}, {row.floor_text}" if floor is not None else ""))
