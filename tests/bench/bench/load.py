"""One measurement: runs a client program against a party and says what it cost."""
import contextlib
import glob
import os
import pathlib
import re
import subprocess
import tempfile
import time

from pgweir_test.tools import PG_BIN

from . import cpu

SAMPLED = 0.05  # of the transactions have their latency written down


class Failed(Exception):
    pass


def number(value, digits):
    return "not measured" if value is None else f"{value:.{digits}f}"


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


@contextlib.contextmanager
def _ended(process):
    """Whatever happens here, it does not go on."""
    try:
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise


def _cpu(party):
    """CPU seconds so far of the proxy and of PostgreSQL."""
    postmaster = party.cluster.postmaster() if party.cluster else None
    return [cpu.seconds(pid) if pid else 0.0 for pid in (party.pid, postmaster)]


def _timed(command, party):
    """(stdout, wall, client, proxy, server): seconds of the run and CPU seconds of the three."""
    proxy, server = _cpu(party)
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        with _ended(process):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, errors = out.read(), err.read()
    wall = time.monotonic() - began
    if process.returncode != 0 or "aborted" in errors:
        raise Failed(f"{command[0]} against {party.name}: {errors[-600:]}")
    proxy, server = (now - was for now, was in zip(_cpu(party), (proxy, server)))
    return text, wall, usage.ru_utime + usage.ru_stime, proxy, server


def _number(pattern, text):
    found = re.search(pattern, text)
    return float(found.group(1)) if found else None


def _result(n, tps, client, proxy, server, p50=None, p95=None, p99=None):
    """Microseconds of CPU for one transaction, transactions per second, latencies in microseconds."""
    return {"n": n, "tps": tps, "client": client / n * 1e6, "proxy": proxy / n * 1e6, "server": server / n * 1e6,
            "p50": p50, "p95": p95, "p99": p99}


def _percentiles(times):
    """[p50, p95, p99], or nothing of nothing."""
    ordered = sorted(times)
    return [percentile(ordered, share) for share in (.5, .95, .99)] if ordered else []


def _hits(party):
    return party.proxy.metrics().count("cache_hits") if party.proxy else 0.0


def pgbench(party, scripts, protocol="simple", clients=32, seconds=2.0, tls=False, reconnect=False, latency=True, rate=0,
            transactions=0):
    """scripts: files, or file@weight. For so many seconds or, where that is not 0, so many transactions of each client."""
    with tempfile.TemporaryDirectory() as logs:
        command = [PG_BIN / "pgbench", "-n", "-M", protocol, "-c", clients, "-j", 1]
        command += ["-t", transactions] if transactions else ["-T", max(1, round(seconds))]
        for script in scripts:
            command += ["-f", script]
        if reconnect:
            command.append("-C")
        if rate:
            command += ["-R", rate]
        if latency:
            command += ["-l", f"--log-prefix={logs}/l", f"--sampling-rate={1 if clients == 1 or reconnect else SAMPLED}"]
        hits = _hits(party)
        text, wall, client, proxy, server = _timed(command + [party.dsn(tls)], party)
        hits = _hits(party) - hits
        n = _number(r"actually processed: (\d+)", text)
        tps = _number(r"(?m)^tps = ([\d.]+)", text)
        rows = [line.split() for name in glob.glob(f"{logs}/l*") for line in open(name)]
        times = [(int(row[2]), int(row[3])) for row in rows]  # microseconds, which script
    if not n or not tps:
        raise Failed(f"no transaction against {party.name}: {text}")
    result = _result(n, tps, client, proxy, server, *_percentiles(us for us, _ in times))
    parts = {pathlib.Path(str(script).partition("@")[0]).stem: _percentiles(us for us, of in times if of == i)
             for i, script in enumerate(scripts)} if len(scripts) > 1 else {}
    return {**result, "hits": hits / n * 100,
            **{f"{name} {title}": value for name, values in parts.items() for title, value in zip(("p50", "p95", "p99"), values)}}


def psql(party, script, n, clients=1):
    """A psql (or some at once) that runs a script of `n` statements."""
    one = f"exec {PG_BIN}/psql -X -q -v ON_ERROR_STOP=1 -d '{party.dsn()}' -f '{script}' >/dev/null"
    text = " & ".join([f"( {one} )"] * clients) + " & wait"
    _, wall, client, proxy, server = _timed(["sh", "-c", text], party)
    return _result(n * clients, n * clients / wall, client, proxy, server)


def redis(party, clients=32, n=100000):
    text, wall, client, proxy, _ = _timed(["redis-benchmark", "-p", party.port, "-c", clients, "-t", "get", "-r", 1000,
                                           "-n", n, "--csv"], party)
    row = text.strip().splitlines()[-1].replace('"', "").split(",")
    tps, _, _, p50, p95, p99 = map(float, row[1:7])
    return _result(n, tps, client, proxy, 0.0, p50 * 1000, p95 * 1000, p99 * 1000)


class Flood:
    """The client that costs little, tests/bench/flood.c: `block` queries of a file in one send, answers thrown away."""

    def __init__(self, party, program, file, seconds, connections=16, block=300):
        # The null server answers all the same; nobody but PostgreSQL says what is right.
        reference = party.cluster.port if party.cluster else 0
        self.party = party
        self.process = subprocess.Popen([str(part) for part in (program, party.port, reference, connections, block, seconds, file)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _phase(self):
        """(queries, seconds, [CPU seconds of the client], CPU of the proxy, of PostgreSQL) of what it does next."""
        before, hits = _cpu(self.party), _hits(self.party)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if not words:
            raise Failed(f"flood against {self.party.name}: {self.process.stderr.read()}")
        n, seconds, client = int(words[1]), float(words[2]), float(words[3]) if len(words) > 3 else 0.0
        proxy, server = (now - was for now, was in zip(_cpu(self.party), before))
        return {**_result(n, n / seconds, client, proxy, server), "hits": (_hits(self.party) - hits) / n * 100}

    def run(self, once=False):
        """What the second phase cost, or, with `once`, what it cost to ask each query once."""
        with _ended(self.process):
            first = self._phase()
            second = None if once else self._phase()
            _, errors = self.process.communicate("" if once else "\n")
        if self.process.returncode != 0:
            raise Failed(f"flood against {self.party.name}: {errors}")
        return second or first
