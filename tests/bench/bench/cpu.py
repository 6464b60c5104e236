"""CPU time of process trees, from /proc: what runs by the scheduler's nanoseconds, what was reaped by ticks."""
import os

TICK = os.sysconf("SC_CLK_TCK")


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _tree(pid):
    """The process and its descendants."""
    children = {}
    for one in filter(str.isdigit, os.listdir("/proc")):
        fields = _read(f"/proc/{one}/stat").rpartition(")")[2].split()
        if fields:
            children.setdefault(int(fields[1]), []).append(int(one))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _threads(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []


def seconds(pid):
    """CPU seconds of a process, its threads, its children, and those of its children that have ended."""
    total = 0.0
    for one in _tree(pid):
        total += sum(int(_read(f"/proc/{one}/task/{task}/schedstat").split(" ")[0] or 0)
                     for task in _threads(one)) / 1e9
        fields = _read(f"/proc/{one}/stat").rpartition(")")[2].split()
        if fields:
            total += (int(fields[13]) + int(fields[14])) / TICK
    return total


def private_kib(pid):
    """Memory that is this process's own."""
    rows = dict(line.split(":", 1) for line in _read(f"/proc/{pid}/smaps_rollup").splitlines() if ": " in line)
    return sum(int(rows[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
