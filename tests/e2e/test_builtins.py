"""What is said of PostgreSQL's own functions and operators, held against the catalogs of the server that is here."""
import os
import pathlib
import re
import subprocess

import pytest

from pgweir_test.proxy import PGWEIR

pytestmark = [pytest.mark.skipif(not PGWEIR, reason="the table is pgweir's"), pytest.mark.versions]
SQL = pathlib.Path(__file__).resolve().parents[2] / "proxy" / "sql"
TABLE = (SQL / "builtins.def").read_text()
# Volatile by label and read by a person: no effect on rows, locks or the session.
VOLATILE = re.compile(r"^(clock_timestamp|current_query|gen_random_uuid|random|timeofday|timezone|txid_status|pg_sleep.*|pg_stat_get_.*|"
                      r"pg_blocking_pids|pg_(database_)?collation_actual_version|pg_control_.*|pg_current_(logfile|wal.*)|"
                      r"pg_(database|indexes|relation|table|tablespace|total_relation)_size|pg_is_.*|pg_jit_available|"
                      r"pg_last_.*|pg_lock_status|pg_notification_queue_usage|pg_partition_(ancestors|tree)|"
                      r"pg_prepared_xact|pg_sequence_last_value|pg_show_.*|pg_xact_.*)$")


def said(kind):
    return dict(re.findall(rf'^{kind}\("([^"]*)", (\w+)', TABLE, re.M))


def test_functions_are_what_is_said_of_them(cluster):
    """Each overload, whatever the server's version."""
    functions = said("FUNCTION")
    with cluster.connect("postgres") as conn:
        live = conn.execute("SELECT proname, bool_and(provolatile = 'i'), bool_and(provolatile <> 'v') FROM pg_proc "
                            "WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1").fetchall()
    assert len(live) > 2000
    for name, immutable, stable in live:
        class_ = functions.get(name, "UNSAFE")
        assert immutable or class_ != "IMMUTABLE", name
        assert stable or class_ not in ("SETTINGS", "STABLE") or VOLATILE.match(name), name
        assert class_ != "VOLATILE" or VOLATILE.match(name), name


def test_no_operator_is_volatile(cluster):
    with cluster.connect("postgres") as conn:
        live = conn.execute("SELECT oprname, bool_and(provolatile <> 'v') FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode "
                            "WHERE oprnamespace = 'pg_catalog'::regnamespace GROUP BY 1").fetchall()
    operators = said("OPERATOR")
    assert operators and {name for name, stable in live if not stable} & set(operators) == set()


@pytest.mark.parametrize("kind", ["FUNCTION", "OPERATOR", "TYPE", "SYSTEM_RELATION"])
def test_names_are_sorted(kind):
    names = re.findall(rf'^{kind}\("([^"]*)"', TABLE, re.M)
    assert names and names == sorted(set(names), key=str.encode)


# What other versions say is safer than what the table says.
SAFER = {("FUNCTION", "interval_out")}


def test_the_table_is_what_the_script_writes(cluster):
    made = subprocess.run(["sh", SQL / "builtins.sh"], check=True, capture_output=True, text=True,
                          env={**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(cluster.port), "PGUSER": "postgres", "PGDATABASE": "postgres"})
    with cluster.connect("postgres") as conn:
        version = conn.info.server_version // 10000
    if version != 15:
        # What both know both say the same of; what only the other version has counts as unsafe.
        here, there = (dict(re.findall(r'^(\w+\("[^"]*)", (.*)\)$', text, re.M)) for text in (TABLE, made.stdout))
        differ = {tuple(name.split('("')) for name in here.keys() & there.keys() if here[name] != there[name]}
        assert len(here.keys() & there.keys()) > 2500 and differ - SAFER == set()
        return
    # Minor versions differ by functions of their own. None that this table does not know may be called by anybody, and of those that it knows
    # and this server does not have, none may count as more than unsafe.
    differ = set(made.stdout.splitlines()) ^ set(TABLE.splitlines())
    assert {line for line in differ if not re.match(r'FUNCTION\("\w+", UNSAFE\)$', line)} == set()
