"""Django 3.2 on psycopg2: autocommit, atomic blocks, server-side cursors WITH HOLD."""
from urllib.parse import urlsplit

import below
import django
from django.conf import settings as conf
from steps import LONG, URL, ZONES, fails, ok, serve

url = urlsplit(URL)
conf.configure(USE_TZ=True, TIME_ZONE="UTC", DEFAULT_AUTO_FIELD="django.db.models.AutoField", DATABASES={
    "default" if i == 0 else f"db{i}": {
        "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username, "HOST": url.hostname,
        "PORT": url.port, "TIME_ZONE": zone, "CONN_MAX_AGE": None}
    for i, zone in enumerate(ZONES)})
django.setup()

from django.db import connections, models, transaction  # noqa: E402

ALIASES = list(conf.DATABASES)


class Item(models.Model):
    name = models.TextField()
    n = models.IntegerField(null=True, unique=True)

    class Meta:
        app_label, db_table = "client", "item"


class Part(models.Model):
    item = models.ForeignKey(Item, on_delete=models.CASCADE)
    data = models.JSONField()

    class Meta:
        app_label, db_table = "client", "part"


def value(alias, sql, args=None):
    with connections[alias].cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchone()[0]


def connect():
    assert [value(alias, "SELECT 1") for alias in ALIASES] == [1] * 4
    with connections["default"].schema_editor() as editor:
        editor.create_model(Part)


def settings():
    for _ in range(3):
        assert tuple(value(alias, "SHOW TimeZone") for alias in ALIASES) == ZONES


def crud():
    for alias in ALIASES:
        items = Item.objects.using(alias)
        for name in ("it's \\ ü", LONG):
            item = items.create(name=name)
            assert items.get(pk=item.pk).name == name
            item.name = "new"
            item.save()
            assert items.get(pk=item.pk).name == "new"
            row = item.pk
            item.delete()
            assert not items.filter(pk=row).exists()
    items = Item.objects
    items.bulk_create([Item(id=i, name="v") for i in range(500, 520)])
    assert items.filter(name="v").count() == 20
    assert [one.pk for one in items.filter(name="v").order_by("pk").iterator(chunk_size=7)] == list(range(500, 520))
    assert items.in_bulk([501, 502])[502].name == "v"
    item = items.create(name="parent")
    Part.objects.create(item=item, data={"k": "é"})
    assert Part.objects.select_related("item").get(data__k="é").item.name == "parent"
    assert len(items.prefetch_related("part_set").get(pk=item.pk).part_set.all()) == 1
    assert Part.objects.all().delete()[0] == 1
    made, new = items.update_or_create(n=7, defaults={"name": "x"})
    assert new and not items.update_or_create(n=7, defaults={"name": "y"})[1]
    assert items.get(pk=made.pk).name == "y"


def transactions():
    items, others = Item.objects, Item.objects.using("db1")
    with transaction.atomic():
        items.create(id=600, name="a")
        assert not others.filter(pk=600).exists()
        try:
            with transaction.atomic():
                items.filter(pk=600).update(name="b")
                raise KeyError
        except KeyError:
            pass
    assert others.get(pk=600).name == "a"
    try:
        with transaction.atomic():
            items.select_for_update().get(pk=600).delete()
            raise KeyError
    except KeyError:
        pass
    assert others.get(pk=600).name == "a"


def prepared():
    """The same query with other literals."""
    assert [Item.objects.get(pk=i).name for i in range(1, 9)] == [f"item {i}" for i in range(1, 9)]


def errors():
    for alias in ALIASES:
        fails("23505", lambda: Item.objects.using(alias).create(id=1, name="twice"))
        fails("42P01", lambda: value(alias, "SELECT * FROM nope"))
        with transaction.atomic(using=alias):
            try:
                with transaction.atomic(using=alias):
                    fails("22012", lambda: value(alias, "SELECT 1/0"))
                    fails("25P02", lambda: value(alias, "SELECT 1"))
                    raise KeyError
            except KeyError:
                pass
            assert value(alias, "SELECT 1") == 1


def timeout():
    with connections["db2"].cursor() as cur:
        cur.execute("SET statement_timeout = 100")
        fails("57014", lambda: cur.execute("SELECT pg_sleep(30)"))
        assert value("db1", "SHOW statement_timeout") == "0"
        cur.execute("RESET statement_timeout")


for step in (connect, settings, crud, transactions, prepared, errors, timeout):
    step()
    ok(step.__name__)
below.steps(connections["db1"].connection, connections["db2"].connection)
serve(lambda conn, row: Item.objects.using(ALIASES[conn]).get(pk=row).name,
      lambda conn, row, name: Item.objects.using(ALIASES[conn]).filter(pk=row).update(name=name))
