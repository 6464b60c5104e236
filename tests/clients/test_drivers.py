"""Drivers of other languages, each a program of its own that is given only a URL."""
import pathlib

from pgweir_test.tools import run

HERE = pathlib.Path(__file__).parent


def test_node_postgres(proxy):
    result = run(["node", HERE / "node" / "crud.mjs"], env={"DATABASE_URL": proxy.url()})
    assert result.stdout.strip() == "ok"


def test_postgres_js_knex_sequelize_typeorm_drizzle(proxy):
    result = run(["node", HERE / "orms" / "crud.mjs"], env={"DATABASE_URL": proxy.url()})
    assert result.stdout.split() == ["postgresJs", "knex", "sequelize", "typeorm", "drizzle"]


def test_jdbc(proxy):
    url = f"jdbc:postgresql://127.0.0.1:{proxy.port}/postgres?user=postgres"
    result = run(["java", "-cp", "/usr/share/java/postgresql.jar", HERE / "jdbc" / "Crud.java", url])
    assert result.stdout.strip() == "ok"
