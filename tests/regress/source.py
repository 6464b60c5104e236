"""The sources of Debian packages, fetched outside of the repository."""
import pathlib
import shutil
import subprocess


def shell(command, cwd):
    done = subprocess.run(command, cwd=cwd, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stdout[-3000:]}")
    return done.stdout


def release():
    """Without its updates, whose sources mirrors may lack."""
    return shell(". /etc/os-release && printf %s $VERSION_CODENAME", "/")


def fetch(package, of, into):
    """Unpacks the source of `package`, without Debian's patches, in the version of the installed binary package `of`, or else in one that the
    mirror has, into the directory; its top is returned."""
    into.mkdir(parents=True, exist_ok=True)
    into.chmod(0o755)
    mark = into / f".{package}"
    if mark.exists():
        return pathlib.Path(mark.read_text())
    lists = into / "apt"
    (lists / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    known = shell("apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian'", into)
    (lists / "sources.list").write_text("".join(f"deb-src {keys} {line}\n" for line in sorted(set(known.splitlines()))))
    apt = (f"apt-get -o Dir::Etc::sourcelist={lists}/sources.list -o Dir::Etc::sourceparts=/dev/null "
           f"-o Dir::State::lists={lists}/lists -o APT::Sandbox::User=root")
    version = shell("dpkg-query -W -f '${source:Version}' " + of, into)
    print(f"fetching the source of {package} {version}", flush=True)
    shell(f"{apt} -q update", into)
    shell(f"{apt} -q source --tar-only {package}={version} || {apt} -q source --tar-only -t {release()} {package}", into)
    shutil.rmtree(lists)
    before = set(into.iterdir())
    shell(f"tar xf {package}_*.orig.tar.*", into)
    top = next(path for path in set(into.iterdir()) - before if path.is_dir())
    mark.write_text(str(top))
    return top
