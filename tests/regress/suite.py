"""The suite's sources: fetched from Debian, built outside of the repository."""
import re

from source import fetch, shell

# Used by the suite's CREATE FUNCTION .. LANGUAGE C.
LIBRARIES = ("src/test/regress/regress.c", "contrib/spi/refint.c", "contrib/spi/autoinc.c")
# The last tests of the schedule that drop what others need run last anyway; these others need objects of these.
NEEDS = ("test_setup", "create_index", "create_misc")


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
