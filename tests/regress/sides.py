"""What each of several tests prints directly and through pgweir, both at the same time on a cluster of its own."""
import threading

from doubler import Doubler
from pgweir_test.cluster import Cluster
from pgweir_test.proxy import Proxy

# Each database that pgweir caches has a slot. dblink and postgres_fdw look for the server where libpq does.
CLUSTER = {"max_prepared_transactions": "10", "max_connections": "400", "max_replication_slots": "80", "max_wal_senders": "80",
           "log_min_messages": "fatal", "unix_socket_directories": "'/var/run/postgresql'"}
PGWEIR = {"ignore_startup_parameters": None}


def _side(names, prepare, one, cache, settings, through, found):
    cluster = Cluster(CLUSTER)
    prepare(cluster)
    proxy = Proxy(cluster, {**PGWEIR, **({"probe_patience": "300ms"} if cache else {}), **settings}) if through else None
    port = proxy.port if through else cluster.port
    doubler = Doubler(port) if cache else None
    for name in names:
        found[name] = one(name, doubler.port if cache else port)
        for each in {cluster.port, port, doubler.port if cache else port}:
            found[name] = found[name].replace(str(each), "PORT")
    if cache:
        doubler.close()
    if through:
        print(f"pgweir: {proxy.metrics().count('cache_hits'):.0f} answers from the cache", flush=True)
        assert proxy.stop() == 0, proxy.log_text()[-3000:]
    cluster.stop()


def both(names, prepare, one, cache=False, settings=None):
    """{name: (directly, through pgweir)} of what one(name, port) returns. cache: every SELECT is sent twice, and the second answer shown. settings: more
    of pgweir's."""
    found = {}, {}
    threads = [threading.Thread(target=_side, args=(names, prepare, one, cache, settings or {}, through, found[through])) for through in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: (found[False].get(name, "NOT RUN"), found[True].get(name, "NOT RUN, EITHER")) for name in names}
