"""psql through the proxy, as a person would use it."""
from pgweir_test.tools import pg_version, psql


def test_answers_a_query(proxy):
    assert proxy.psql("SELECT 6 * 7").stdout.strip() == "42"


def test_describes_a_table(proxy, cluster, database):
    cluster.sql("CREATE TABLE weir (id int PRIMARY KEY, name text NOT NULL)", database)
    shown = proxy.psql(r"\d weir", dbname=database).stdout
    assert "id|integer" in shown and "name|text" in shown


def test_lists_tables_functions_and_roles(proxy, cluster, database):
    cluster.sql("CREATE TABLE weir (id int PRIMARY KEY)", database)
    for command, word in ((r"\dt", "weir"), (r"\df pg_catalog.lower", "lower"), (r"\du", "postgres"), (r"\l", "template1")):
        if command == r"\l" and pg_version() > 16:
            continue  # the catalog is another one, and psql that of 15
        assert word in proxy.psql(command, dbname=database).stdout


def test_shows_errors_with_sqlstate(proxy):
    result = psql(proxy.dsn(), None, "-v", "VERBOSITY=verbose", "-c", "SELECT 1/0", check=False)
    assert result.returncode != 0 and "22012" in result.stderr


def test_runs_several_statements_in_one_message(proxy):
    assert proxy.psql("SELECT 1; SELECT 2").stdout.split() == ["1", "2"]


def test_runs_a_script_with_a_transaction(proxy, database):
    script = "BEGIN; CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2); COMMIT; SELECT sum(i) FROM t;"
    assert psql(proxy.dsn(database), stdin=script).stdout.strip() == "3"


def test_copies_out_and_in(proxy, database):
    proxy.psql("CREATE TABLE t (i int, s text)", dbname=database)
    data = "".join(f"{i}\tline {i}\n" for i in range(5000))
    psql(proxy.dsn(database), stdin=f"COPY t FROM STDIN;\n{data}\\.\n")
    assert psql(proxy.dsn(database), "COPY (SELECT * FROM t ORDER BY i) TO STDOUT").stdout == data


def test_takes_a_url(proxy):
    assert psql(proxy.url(), "SELECT current_user").stdout.strip() == "postgres"


def test_unknown_database_is_a_clear_error(proxy):
    result = psql(proxy.dsn("no_such_database"), "SELECT 1", check=False)
    assert result.returncode != 0 and 'database "no_such_database" does not exist' in result.stderr
