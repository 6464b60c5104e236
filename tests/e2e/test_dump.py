"""pg_dump and restore through the proxy."""
import pytest

from pgweir_test.tools import PG_BIN, pg_version, run

pytestmark = pytest.mark.skipif(pg_version() > 15, reason="pg_dump is that of 15")

FILL = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE author (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, born date);
CREATE TABLE book (id bigserial PRIMARY KEY, author int REFERENCES author, title text, body bytea, m mood, tags text[]);
INSERT INTO author (name, born) SELECT 'author ' || i, date '1900-01-01' + i FROM generate_series(1, 500) i;
INSERT INTO book (author, title, body, m, tags)
SELECT 1 + i % 500, E'tab\\tand\\nline ' || i, decode(md5(i::text), 'hex'), 'high', ARRAY['a', NULL, 'c']
FROM generate_series(1, 5000) i;
CREATE INDEX ON book (author);
CREATE VIEW recent AS SELECT * FROM author WHERE born > '1901-01-01';
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2';
"""
CHECK = "SELECT md5(string_agg(b::text, '|' ORDER BY id)) || (SELECT count(*) FROM recent) || twice(21) FROM book b"


def test_dumps_and_restores(cluster, proxy, database, tmp_path):
    cluster.sql(FILL, database)
    dump = tmp_path / "dump.sql"
    run([PG_BIN / "pg_dump", "-d", proxy.dsn(database), "-f", dump])
    cluster.sql(f'CREATE DATABASE "{database}_copy" TEMPLATE template0')
    try:
        run([PG_BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", proxy.dsn(database + "_copy"), "-f", dump])
        assert cluster.sql(CHECK, database + "_copy") == cluster.sql(CHECK, database)
    finally:
        cluster.drop_database(database + "_copy")


def test_dumps_the_same_as_without_proxy(cluster, proxy, database, tmp_path):
    cluster.sql(FILL, database)
    for name, dsn in (("through", proxy.dsn(database)), ("straight", cluster.dsn(database))):
        run([PG_BIN / "pg_dump", "-d", dsn, "-f", tmp_path / name])
    through, straight = ([line for line in (tmp_path / name).read_text().splitlines() if "restrict " not in line]
                         for name in ("through", "straight"))
    assert through == straight


def test_restores_a_custom_archive_in_one_transaction(cluster, proxy, database, tmp_path):
    cluster.sql(FILL, database)
    archive = tmp_path / "dump"
    run([PG_BIN / "pg_dump", "-Fc", "-d", proxy.dsn(database), "-f", archive])
    cluster.sql(f'CREATE DATABASE "{database}_copy" TEMPLATE template0')
    try:
        run([PG_BIN / "pg_restore", "-1", "-d", proxy.dsn(database + "_copy"), archive])
        assert cluster.sql(CHECK, database + "_copy") == cluster.sql(CHECK, database)
    finally:
        cluster.drop_database(database + "_copy")
