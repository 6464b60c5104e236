"""Certificates for the tests: a CA, server and client certificates, and a stranger's CA."""
import functools
import grp
import os
import pathlib

from .tools import new_dir, run


class Certs:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.ca = self.authority("ca", "pgweir test CA")
        self.other_ca = self.authority("other-ca", "a stranger's CA")
        self.server, self.server_key = self.issue("server", "localhost", hosts=("localhost",), ips=("127.0.0.1",))
        self.server2, self.server2_key = self.issue("server2", "localhost", hosts=("localhost",),
                                                    ips=("127.0.0.1",))
        self.wrong_host, self.wrong_host_key = self.issue("wrong-host", "example.test", hosts=("example.test",))

    def authority(self, name, subject):
        crt, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
             "30", "-subj", f"/CN={subject}", "-keyout", key, "-out", crt])
        return crt

    def issue(self, name, common_name, hosts=(), ips=(), ca="ca", days=30):
        """Returns the paths of a certificate signed by `ca` and of its key. With 0 days it has expired a second later."""
        crt, key, csr = (self.folder / f"{name}.{suffix}" for suffix in ("crt", "key", "csr"))
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
             f"/CN={common_name}", "-keyout", key, "-out", csr])
        names = [f"DNS:{host}" for host in hosts] + [f"IP:{ip}" for ip in ips]
        ext = self.folder / f"{name}.ext"
        ext.write_text("subjectAltName=" + ",".join(names) + "\n" if names else "")
        run(["openssl", "x509", "-req", "-in", csr, "-CA", self.folder / f"{ca}.crt", "-CAkey",
             self.folder / f"{ca}.key", "-CAcreateserial", "-days", days, "-extfile", ext, "-out", crt])
        key.chmod(0o600)
        if os.geteuid() == 0:  # so that a proxy that runs as postgres can read it, and libpq still takes it
            os.chown(key, 0, grp.getgrnam("postgres").gr_gid)
            key.chmod(0o640)
        return crt, key

    @functools.lru_cache
    def client(self, user, ca="ca", days=30):
        """A client certificate whose common name is `user`."""
        return self.issue(f"client-{user}-{ca}-{days}", user, ca=ca, days=days)

    @functools.cached_property
    def expired(self):
        """A server's certificate that was right until now, and its key."""
        return self.issue("expired", "localhost", hosts=("localhost",), ips=("127.0.0.1",), days=0)


@functools.lru_cache
def certs():
    """The certificates of this run, made once."""
    return Certs(new_dir("certs"))
