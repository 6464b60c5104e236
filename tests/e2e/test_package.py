"""What is installed: the Debian package on a machine of its own, man pages, completion, units."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from pgweir_test.proxy import BINARY, PGWEIR
from pgweir_test.tools import free_port, new_dir, psql, reap, run, spawn, wait_for

pytestmark = pytest.mark.skipif(not PGWEIR, reason="about pgweir's own package")
ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(BINARY).resolve().parents[1]

# A root directory that is this machine's, written to nowhere; and a fresh Debian, in memory.
OVERLAY = """
set -e
mount -t tmpfs none {work}
mkdir {work}/up {work}/tmp {work}/root
mount -t overlay -o lowerdir=/,upperdir={work}/up,workdir={work}/tmp none {work}/root
"""
CLEAN = """
set -e
mount -t tmpfs none {work}
mkdir {work}/root
mmdebstrap --mode=root --variant=apt --skip=cleanup/apt --include=passwd bookworm {work}/root {mirror} >{work}/log 2>&1 || (cat {work}/log; exit 1)
"""
INSTALL = """
root={work}/root
mount --rbind /proc $root/proc
mount --rbind /dev $root/dev
cp {deb} $root/tmp/pgweir.deb
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
{install} >{work}/installed 2>&1 || (cat {work}/installed; exit 1)
as_user="chroot $root setpriv --reuid=pgweir --regid=pgweir --init-groups --"
$as_user pgweir --check-config /etc/pgweir/pgweir.ini
sed -i 's/^listen_port.*/listen_port = {port}/; s/^;stats_port.*/stats_port = {stats}/; s/^auth_type.*/auth_type = trust/;
	s/^[*] = .*/* = host=127.0.0.1 port={server}/' $root/etc/pgweir/pgweir.ini
echo '"postgres" ""' >$root/etc/pgweir/userlist.txt
[ "$(chroot $root stat -c %a:%G /etc/pgweir/userlist.txt)" = 640:pgweir ]
chroot $root install -d -o pgweir -g pgweir /run/pgweir
(exec $as_user pgweir /etc/pgweir/pgweir.ini) >{work}/log 2>&1 &
until grep -q 'pgweir is ready' {work}/log; do kill -0 $! || (cat {work}/log; exit 1); sleep 0.05; done
touch {work}.ready
until [ -e {work}.stop ]; do sleep 0.05; done
kill $!
wait $!
chroot $root dpkg --no-triggers -P pgweir >/dev/null
! ls -d $root/etc/pgweir $root/usr/bin/pgweir $root/usr/share/doc/pgweir 2>/dev/null
echo all is well
"""


@pytest.fixture(scope="module")
def package():
    """The package, from the build of the binary under test."""
    options = json.loads(run(["meson", "introspect", "--buildoptions", BUILD]).stdout)
    if not any(option["name"] == "prefix" and option["value"] == "/usr" for option in options):
        pytest.skip("this build is not for /usr: meson setup -Dprefix=/usr")
    return run([ROOT / ".ci" / "package", new_dir("deb"), BUILD]).stdout.strip()


def mirror():
    """Where this machine has its Debian from."""
    known = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Label: Debian", "Codename: bookworm", "Component: main",
                 "Identifier: Packages"], check=False).stdout.split()
    assert known, "apt knows no Debian: apt-get update"
    return known[0]


@pytest.mark.slow
@pytest.mark.parametrize("root", ["overlay", "clean"])
def test_the_package_is_installed_serves_and_leaves_nothing_behind(cluster, package, root):
    """Clean: what apt takes for it from Debian is enough, on a machine that has never had a compiler."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    work, port, stats = new_dir("root"), free_port(), free_port()
    script = (OVERLAY if root == "overlay" else CLEAN) + INSTALL
    install = ("chroot $root dpkg --no-triggers -i /tmp/pgweir.deb" if root == "overlay" else
               "chroot $root apt-get install -y -q --no-install-recommends /tmp/pgweir.deb")
    script = script.format(work=work, deb=package, install=install, port=port, stats=stats, server=cluster.port,
                           mirror=mirror())
    log = pathlib.Path(f"{work}.log")
    process = spawn(["unshare", "-m", "bash", "-c", script], log)
    try:
        wait_for("the installed pgweir", lambda: process.poll() is not None or os.path.exists(f"{work}.ready"), 600)
        assert process.poll() is None, log.read_text()
        dsn = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
        assert psql(dsn, "SELECT 42").stdout.strip() == "42"
        pathlib.Path(f"{work}.stop").touch()
        assert process.wait(60) == 0 and "all is well" in log.read_text(), log.read_text()
    finally:
        if process.poll() is None:
            reap(process)
        shutil.rmtree(work, ignore_errors=True)


def test_the_package_has_what_belongs_to_it(package):
    listed = run(["dpkg-deb", "-c", package]).stdout
    for path in ("usr/bin/pgweir", "etc/pgweir/pgweir.ini", "lib/systemd/system/pgweir.service", "man/man1/pgweir.1.gz",
                 "man/man5/pgweir.ini.5.gz", "bash-completion/completions/pgweir", "doc/pgweir/copyright",
                 "doc/pgweir/frameworks.md", "doc/pgweir/console.md", "examples/pgweir.ini"):
        assert f"{path}\n" in listed, path
    version = run([BINARY, "--version"]).stdout.split()[1]
    assert run(["dpkg-deb", "-f", package, "Version"]).stdout.strip() == version
    depends = run(["dpkg-deb", "-f", package, "Depends"]).stdout
    assert "libpq5" in depends and "libssl3" in depends


def test_the_documents_stand_by_themselves():
    """All are installed, and refer to nothing that only the sources have."""
    docs = ROOT / "docs"
    installed = (docs / "meson.build").read_text()
    for path in sorted(docs.glob("*.md")):
        assert f"'{path.name}'" in installed, path.name
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            if "://" not in link:
                assert not link.startswith("..") and (docs / link).is_file(), (path.name, link)


def long_options(*command):
    return set(re.findall(r"--[a-z][a-z-]+", run([BINARY, *command, "--help"]).stdout))


def test_manual_and_completion_know_every_option():
    wanted = {"": long_options(), "setup": long_options("setup"), "doctor": long_options("doctor")}
    assert all(wanted.values())
    manual = (ROOT / "docs" / "pgweir.1").read_text().replace("\\-", "-")
    complete = ROOT / "docs" / "examples" / "pgweir.bash"
    for command, options in wanted.items():
        words = ["pgweir", *([command] if command else []), "--"]
        script = (f"source {complete}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _pgweir; "
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        offered = set(subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split())
        assert options <= offered | {"--help"}, command
        assert options - {"--help"} <= set(re.findall(r"--[a-z][a-z-]+", manual)), command


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_the_units_are_sound(tmp_path):
    for unit in ("pgweir.service", "pgweir.socket"):
        text = (BUILD / "docs" / unit).read_text()
        assert "@BINDIR@" not in text
        (tmp_path / unit).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={BINARY}", text, flags=re.M))
    verified = run(["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())])
    assert "pgweir" not in verified.stderr, verified.stderr
    score = run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", tmp_path / "pgweir.service"])
    assert "OK" in score.stdout


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
@pytest.mark.parametrize("page", [ROOT / "docs" / "pgweir.1", BUILD / "config" / "pgweir.ini.5"])
def test_the_man_pages_are_sound(page):
    shown = run(["groff", "-man", "-Tascii", "-ww", "-P-cbou", page])
    assert shown.stderr == ""
    assert "NAME" in shown.stdout and "SEE ALSO" in shown.stdout
    if page.suffix == ".5":
        for name in ("feed_user", "pool_mode", "drain_timeout", "pool_size", "target_session_attrs"):
            assert name in shown.stdout
