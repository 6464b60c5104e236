"""What an answer belongs to: the same text of two sessions with other settings, or of another role, is another entry."""
import os

import psycopg
import pytest

from pgweir_test.proxy import PGWEIR
from pgweir_test.tools import SLOW

MUTANT = os.environ.get("TRUTH_MUTANT")
SQL = "SELECT v FROM same WHERE id = 1"


def others(cluster, pair, rounds):
    """How many answers were another session's."""
    cluster.sql("""CREATE SCHEMA IF NOT EXISTS alpha; CREATE SCHEMA IF NOT EXISTS beta;
        GRANT USAGE ON SCHEMA alpha TO PUBLIC; DROP TABLE IF EXISTS alpha.same, beta.same;
        CREATE TABLE alpha.same (id int PRIMARY KEY, v text); CREATE TABLE beta.same (id int PRIMARY KEY, v text);
        INSERT INTO alpha.same VALUES (1, 'alpha'); INSERT INTO beta.same VALUES (1, 'beta');
        DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$""")
    wrong = 0
    for proxy in pair:
        with proxy.connect() as alpha, proxy.connect() as beta, proxy.connect() as poor:
            alpha.execute("SET search_path = alpha")
            beta.execute("SET search_path = beta")
            poor.execute("SET search_path = alpha")
            poor.execute("SET ROLE reader")
            for _ in range(rounds):
                for conn, mine in ((alpha, "alpha"), (beta, "beta")):
                    got = conn.execute(SQL).fetchone()[0]
                    if got != mine:
                        wrong += 1
                        print(f"OTHER SESSION: {mine} got {got}")
                try:
                    poor.execute(SQL)
                    wrong += 1
                    print("OTHER ROLE: an answer without the right to it")
                except psycopg.errors.InsufficientPrivilege:
                    pass
    return wrong


@pytest.mark.skipif(not PGWEIR, reason="needs the cache")
def test_nobody_gets_anothers(cluster, pair):
    assert others(cluster, pair, 20 if SLOW else 60) == 0


@pytest.mark.mutant
@pytest.mark.skipif(MUTANT != "session", reason="needs that mutant; see tests/truth/mutants")
def test_the_mutant_is_caught(cluster, pair):
    assert others(cluster, pair, 300) > 0
