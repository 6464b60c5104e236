"""What one pass is made of: the kernel's calls, who sleeps and is woken, where the time goes, and how many instructions are ours.
Needs perf (linux-perf) and valgrind, and the right to trace the kernel."""
import re
import shutil
import statistics
import subprocess
import time

from pgweir_test.tools import new_dir

from . import load

EVENTS = {
    "syscalls": "raw_syscalls:sys_enter", "sends": "syscalls:sys_enter_sendto", "receives": "syscalls:sys_enter_recvfrom",
    "waits": "syscalls:sys_enter_epoll_wait", "switches": "sched:sched_switch", "wakings": "sched:sched_waking",
}
ROUNDS = 3
CALLS = 200     # transactions of a client under callgrind, behind the first ones, whose logins are taken off
LOGINS = 20


def lacks():
    """What is missing for it, or None."""
    if any(shutil.which(program) is None for program in ("perf", "valgrind", "callgrind_annotate")):
        return "perf (linux-perf) or valgrind is not installed"
    return None


def _perf(command, pid, run):
    """perf beside run(); what that returned."""
    watcher = subprocess.Popen(["perf", *command, "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.3)
        return run()
    finally:
        watcher.send_signal(2)
        watcher.wait()


def _perf_counts(pid, run):
    out = new_dir("perf") / "counts"
    result = _perf(["stat", "-x,", "-e", ",".join(EVENTS.values()), "-o", out], pid, run)
    found = {}
    for line in out.read_text().splitlines():
        words = line.split(",")
        if len(words) > 2 and words[0].isdigit():
            found[words[2]] = int(words[0])
    if len(found) < len(EVENTS):
        raise load.Failed("perf may not trace the kernel here")
    return result, {name: found[event] for name, event in EVENTS.items()}


def counts(party, run):
    """Events of the proxy for one transaction, medians; run() makes a load and says how many transactions that was."""
    rows = []
    for _ in range(ROUNDS):
        n, found = _perf_counts(party.pid, run)
        rows.append({name: number / n for name, number in found.items()})
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def shares(party, run):
    """Per cent of the proxy's time in the kernel, in libraries, and in its own code."""
    out = new_dir("perf") / "record"
    _perf(["record", "-q", "-F", "9000", "-e", "cpu-clock", "-o", out], party.pid, run)
    text = subprocess.run(["perf", "report", "-i", out, "--sort", "dso", "--stdio", "-q"], check=True, capture_output=True,
                          text=True).stdout
    rows = [(match[2], float(match[1])) for match in re.finditer(r"(?m)^\s*([\d.]+)%\s+(\S+)", text)]
    kernel = sum(share for name, share in rows if name.startswith("["))
    libraries = sum(share for name, share in rows if ".so" in name)
    total = sum(share for _, share in rows)
    return {"kernel": kernel / total * 100, "libraries": libraries / total * 100, "own": (total - kernel - libraries) / total * 100}


def _total(directory):
    """All instructions of the process that has ended and written its profile there."""
    profile = next(directory.glob("callgrind.*"))
    text = subprocess.run(["callgrind_annotate", profile], check=True, capture_output=True, text=True).stdout
    return int(re.search(r"([\d,]+) \([\d.]+%\)\s+PROGRAM TOTALS", text)[1].replace(",", ""))


def instructions(start, run):
    """Instructions outside of the kernel for one transaction: start(within) gives a party inside of that command, run(party, n) has each
    of its clients do n transactions and says how many that was in all."""
    seen = []
    for n in (LOGINS, LOGINS + CALLS):
        directory = new_dir("callgrind")
        directory.chmod(0o777)
        party = start(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={directory}/callgrind.%p"])
        try:
            done = run(party, n)
        finally:
            party.stop()
        seen.append((done, _total(directory)))
    (few, before), (many, after) = seen
    return (after - before) / (many - few)
