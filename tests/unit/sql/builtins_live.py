#!/usr/bin/env python3
"""Holds proxy/sql/builtins.def against the catalogs of a live server: PGHOST=.. PGUSER=.. builtins_live.py

Every name that the table calls harmless must be so in each of its overloads, whatever the server's version;
on PostgreSQL 15 the table must be what builtins.sh writes. Exits 1 and says why when not."""
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
DEF = os.path.join(ROOT, "proxy", "sql", "builtins.def")
# Volatile by label and read by a person: no effect on rows, locks or the session.
VOLATILE = re.compile(r"^(clock_timestamp|current_query|gen_random_uuid|random|timeofday|txid_status|pg_sleep.*|pg_stat_get_.*|"
                      r"pg_blocking_pids|pg_(database_)?collation_actual_version|pg_control_.*|pg_current_(logfile|wal.*)|"
                      r"pg_(database|indexes|relation|table|tablespace|total_relation)_size|pg_is_.*|pg_jit_available|"
                      r"pg_last_.*|pg_lock_status|pg_notification_queue_usage|pg_partition_(ancestors|tree)|"
                      r"pg_prepared_xact|pg_sequence_last_value|pg_show_.*|pg_xact_.*)$")


def psql(sql):
    out = subprocess.run(["psql", "-X", "-A", "-t", "-F", "\t", "-c", sql], check=True, capture_output=True, text=True)
    return [line.split("\t") for line in out.stdout.splitlines() if line]


def rows(kind):
    found = re.findall(r'^%s\("([^"]*)", (\w+)' % kind, open(DEF).read(), re.M)
    return dict(found)


def main():
    bad = []
    functions, operators = rows("FUNCTION"), rows("OPERATOR")
    live = psql("SELECT proname, bool_and(provolatile = 'i'), bool_and(provolatile <> 'v') FROM pg_proc "
                "WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1")
    for name, immutable, stable in live:
        cls = functions.get(name, "UNSAFE")
        if cls == "IMMUTABLE" and immutable != "t":
            bad.append("function %s is not immutable" % name)
        if cls in ("SETTINGS", "STABLE") and stable != "t":
            bad.append("function %s is volatile" % name)
        if cls == "VOLATILE" and not VOLATILE.match(name):
            bad.append("function %s is volatile and nobody looked at it" % name)
    for name, stable in psql("SELECT oprname, bool_and(provolatile <> 'v') FROM pg_operator o JOIN pg_proc p ON "
                             "p.oid = o.oprcode WHERE oprnamespace = 'pg_catalog'::regnamespace GROUP BY 1"):
        if name in operators and stable != "t":
            bad.append("operator %s is volatile" % name)
    for kind in ("FUNCTION", "OPERATOR", "TYPE", "SYSTEM_RELATION"):
        names = re.findall(r'^%s\("([^"]*)"' % kind, open(DEF).read(), re.M)
        if names != sorted(set(names), key=lambda n: n.encode()) or not names:
            bad.append("%s rows are not sorted, or one is there twice" % kind)
    if psql("SHOW server_version_num")[0][0].startswith("15"):
        made = subprocess.run(["sh", os.path.join(ROOT, "proxy", "sql", "builtins.sh")], check=True, capture_output=True,
                              text=True).stdout
        if made != open(DEF).read():
            bad.append("builtins.def is not what builtins.sh writes")
    for line in bad:
        print(line)
    print("%d functions, %d operators, %d problems" % (len(functions), len(operators), len(bad)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
