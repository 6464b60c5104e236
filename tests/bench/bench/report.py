"""Prints what was measured: one table a workload, then the targets."""
from statistics import median

FLOORS = ("relay", "null", "pgbouncer", "pgbouncer_s", "redis", "pgpool", "direct")


def middle(runs, metric):
    values = [run[metric] for run in runs if run.get(metric) is not None]
    return median(values) if values else None


def cell(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def workload(work, runs):
    """CPU in microseconds for one transaction, medians of the passes; ratios are medians of the pairs."""
    names = [name for name in work.parties if runs.get(name)]
    others = [name for name in names if name in FLOORS]
    print(f"\n{work.name}: {work.what}")
    head = f"  {'':12}{'tps':>10}{'p50 us':>9}{'p95':>9}{'p99':>9}{'proxy CPU':>11}{'PG CPU':>11}{'client':>10}"
    print(head + "".join(f"{'/ ' + name:>13}" for name in others))
    for name in names:
        share = middle(runs[name], "hits")
        line = f"  {name:12}{cell(middle(runs[name], 'tps'), 0):>10}"
        for metric, width in (("p50", 9), ("p95", 9), ("p99", 9)):
            line += f"{cell(middle(runs[name], metric), 0):>{width}}"
        for metric, width in (("proxy", 11), ("server", 11), ("client", 10)):
            line += f"{cell(middle(runs[name], metric), 2):>{width}}"
        for other in others:
            metric = "tps" if "direct" in (name, other) else "proxy"
            pairs = [a[metric] / b[metric] for a, b in zip(runs[name], runs[other]) if b[metric]]
            mark = "x" if metric == "tps" else ""
            line += f"{(cell(median(pairs), 2) + mark) if pairs else '-':>13}"
        print(line + (f"   {share:.0f} % hits" if share else ""))
    for name, why in work.skip.items():
        print(f"  {name}: {why}")


def targets(rows, results):
    print(f"\n{'':2}{'target':58}{'measured':>10}{'limit':>10}   ")
    group = None
    met = missed = 0
    for row in rows:
        value, good = row.judge(results)
        if value is None:
            continue
        if row.group != group:
            group = row.group
            print(f"  {group}")
        met, missed = met + bool(good), missed + (not good)
        sign = ">=" if row.at_least else "<="
        limit = f"{sign} {row.limit:.2f}"
        print(f"    {row.text:56}{value:>10.2f}{limit:>10}   {'met' if good else 'NOT MET'}{'  (' + row.note + ')' if row.note else ''}")
    print(f"\n{met} met, {missed} not met")
