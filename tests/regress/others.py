"""Clients beside the suite that share its server connections, each under settings of its own, and check that they are."""
import threading

MINE = (
    {"DateStyle": "German, DMY", "app.me": "one", "work_mem": "1MB"},
    {"TimeZone": "Asia/Tokyo", "app.me": "two", "search_path": "pg_catalog"},
    {"IntervalStyle": "iso_8601", "app.me": "three", "enable_seqscan": "off", "bytea_output": "escape"},
)
PAUSE = 0.05
# What nobody may see of others: a role, temporary relations, cursors, locks, channels.
THEIRS = """SELECT current_user, (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
                   (SELECT count(*) FROM pg_cursors WHERE is_holdable),
                   (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
                   (SELECT count(*) FROM pg_listening_channels())"""


class Others:
    """They run from the start on; stop() ends them, `failures` tells what they saw of others."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.failures = []
        self.rounds = 0
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self._guarded, args=(mine,), daemon=True) for mine in MINE]
        for thread in self.threads:
            thread.start()

    def _guarded(self, mine):
        try:
            self._run(mine)
        except Exception as error:  # whatever it is, it is reported
            self.failures.append(f"{mine['app.me']}: {error!r}")

    def _run(self, mine):
        with self.proxy.connect("regression") as conn:
            for name, value in mine.items():
                conn.execute("SELECT set_config(%s, %s, false)", [name, value])
            while not self.end.wait(PAUSE):
                for name, value in mine.items():
                    got = conn.execute("SELECT current_setting(%s)", [name]).fetchone()[0]
                    if got != value:
                        self.failures.append(f"{mine['app.me']}: {name} is {got!r}, not {value!r}")
                got = conn.execute(THEIRS).fetchone()
                if got != ("postgres", 0, 0, 0, 0):
                    self.failures.append(f"{mine['app.me']}: user, temporary relations, cursors, locks and channels: {got}")
                self.rounds += 1

    def report(self):
        return f"{self.rounds} rounds"

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join(60)
