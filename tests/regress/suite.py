"""The suite's sources: fetched from Debian, built outside of the repository."""
import os
import re

from source import fetch, shell

# Used by the suite's CREATE FUNCTION .. LANGUAGE C.
LIBRARIES = ("src/test/regress/regress.c", "contrib/spi/refint.c", "contrib/spi/autoinc.c")
# The last tests of the schedule that drop what others need run last anyway; these others need objects of these.
NEEDS = ("test_setup", "create_index", "create_misc")

SETTINGS = ("lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'", "bytea_output TO 'hex'",
            "timezone_abbreviations TO 'Default'")
# The tester asks which session waits by the process id of its BackendKeyData, which with a pooler is no server process; by its
# application_name it is found wherever it runs.
BY_NAME = (
    ('conns[i].backend_pid_str = psprintf("%d", conns[i].backend_pid);', "conns[i].backend_pid_str = pg_strdup(PQgetvalue(res, 0, 0));"),
    (r"""pg_isolation_test_session_is_blocked($1, '{");""",
     r"""pg_isolation_test_session_is_blocked((SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND state = 'active' LIMIT 1), """
     r"""ARRAY(SELECT pid FROM pg_stat_activity WHERE application_name IN ('");"""),
    (r"""appendPQExpBuffer(&wait_query, ",%s", conns""", r"""appendPQExpBuffer(&wait_query, "','%s", conns"""),
    (r"""appendPQExpBufferStr(&wait_query, "}')");""", r"""appendPQExpBufferStr(&wait_query, "')))");"""),
)


def environment(port, **more):
    """What pg_regress gives its tests."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
    return {**keep, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGTZ": "PST8PDT",
            "PGDATESTYLE": "Postgres, MDY", "PGOPTIONS": "-c intervalstyle=postgres_verbose",
            "LC_MESSAGES": "C", "PGSSLMODE": "disable", "PGGSSENCMODE": "disable", **more}


def make_database(cluster, name):
    cluster.sql(f"CREATE DATABASE {name} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    for setting in SETTINGS:
        cluster.sql(f"ALTER DATABASE {name} SET {setting}")


class Suite:
    def __init__(self, work):
        self.dir = work
        self.lib = work / "lib"
        self.source = fetch("postgresql-15", "postgresql-15", work)
        if not self.lib.exists():
            self.build()

    def build(self):
        print("building", flush=True)
        shell("./configure --without-readline --without-zlib CC=gcc >configure.log 2>&1 || tail -30 configure.log >&2",
              self.source)
        shell("make -s -C src/backend generated-headers", self.source)
        made = self.dir / "lib.new"
        made.mkdir(exist_ok=True)
        for file in LIBRARIES:
            name = re.sub(r".*/(\w+)\.c", r"\1.so", file)
            shell(f"gcc -O1 -w -fPIC -shared -fwrapv -fno-strict-aliasing -D_GNU_SOURCE -Isrc/include {file} -o {made}/{name}",
                  self.source)
        made.rename(self.lib)

    def sql(self, test, leave_out=None):
        """The text of a test, without what the pattern matches."""
        text = (self.source / "src/test/regress/sql" / f"{test}.sql").read_bytes()
        return leave_out.sub(b"", text) if leave_out else text

    def tests(self, only=None):
        """In the order of the schedule, one after the other."""
        names = []
        for line in (self.source / "src/test/regress/parallel_schedule").read_text().splitlines():
            if line.startswith("test:"):
                names += line[5:].split()
        return [name for name in names if not only or name in only or name in NEEDS]

    # --- src/test/isolation ---

    def isolation(self):
        return self.source / "src/test/isolation"

    def specs(self):
        """In the order of the schedule, and those that need prepared transactions."""
        lines = (self.isolation() / "isolation_schedule").read_text().splitlines()
        return [line.split()[1] for line in lines if line.startswith("test:")] + ["prepared-transactions", "prepared-transactions-cic"]

    def tester(self):
        """The path of isolationtester, made if it is not there."""
        made = self.dir / "isolationtester"
        if made.exists():
            return made
        text = (self.isolation() / "isolationtester.c").read_text()
        for theirs, ours in BY_NAME:
            if text.count(theirs) != 1:
                raise SystemExit(f"isolationtester.c does not have once: {theirs}")
            text = text.replace(theirs, ours)
        (self.dir / "isolationtester.c").write_text(text)
        shell("make -s -C src/port && make -s -C src/common", self.source)
        shell(f"gcc -O1 -w -Isrc/include -Isrc/interfaces/libpq -Isrc/test/isolation {self.dir}/isolationtester.c src/test/isolation/specparse.c "
              f"-o {made} -lpq src/common/libpgcommon.a src/port/libpgport.a -lm", self.source)
        return made
