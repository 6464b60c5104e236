"""The suite's sources: fetched from Debian, built outside of the repository."""
import re
import shutil
import subprocess

# Used by the suite's CREATE FUNCTION .. LANGUAGE C.
LIBRARIES = ("src/test/regress/regress.c", "contrib/spi/refint.c", "contrib/spi/autoinc.c")
# The last tests of the schedule that drop what others need run last anyway; these others need objects of these.
NEEDS = ("test_setup", "create_index", "create_misc")


def shell(command, cwd, log=None):
    done = subprocess.run(command, cwd=cwd, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stdout[-3000:]}")
    return done.stdout


class Suite:
    def __init__(self, work):
        self.dir = work
        self.lib = work / "lib"
        work.mkdir(parents=True, exist_ok=True)
        work.chmod(0o755)
        if not list(work.glob("postgresql-15*/configure")):
            self.fetch()
        self.source = next(path.parent for path in work.glob("postgresql-15*/configure"))
        if not self.lib.exists():
            self.build()

    def fetch(self):
        lists = self.dir / "apt"
        (lists / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
        known = shell("apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian'", self.dir)
        (lists / "sources.list").write_text("".join(f"deb-src {keys} {line}\n" for line in sorted(set(known.splitlines()))))
        apt = (f"apt-get -o Dir::Etc::sourcelist={lists}/sources.list -o Dir::Etc::sourceparts=/dev/null "
               f"-o Dir::State::lists={lists}/lists -o APT::Sandbox::User=root")
        version = shell("dpkg-query -W -f '${Version}' postgresql-15", self.dir)
        print(f"fetching the source of postgresql-15 {version}", flush=True)
        shell(f"{apt} -q update", self.dir)
        shell(f"{apt} -q source --download-only postgresql-15={version}", self.dir)
        shell("tar xf *.orig.tar.*", self.dir)
        shutil.rmtree(lists)

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
