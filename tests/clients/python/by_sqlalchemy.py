"""SQLAlchemy 1.4 on psycopg2: BEGIN .. ROLLBACK around every read, RETURNING, version counters, savepoints."""
import below
from sqlalchemy import Column, ForeignKey, Integer, Text, create_engine, event, text
from sqlalchemy.orm import Session, declarative_base, joinedload, relationship, selectinload
from sqlalchemy.orm.exc import StaleDataError
from steps import LONG, URL, ZONES, fails, ok, serve

Base = declarative_base()
engine = create_engine(URL, pool_size=4, max_overflow=0, pool_pre_ping=True)


class Item(Base):
    __tablename__ = "item"
    id = Column(Integer, primary_key=True)
    name = Column(Text, nullable=False)
    n = Column(Integer, unique=True)


class Owner(Base):
    __tablename__ = "owner"
    id = Column(Integer, primary_key=True)
    name = Column(Text)
    version = Column(Integer, nullable=False)
    things = relationship("Thing", back_populates="owner", cascade="all, delete-orphan")
    __mapper_args__ = {"version_id_col": version}


class Thing(Base):
    __tablename__ = "thing"
    id = Column(Integer, primary_key=True)
    owner_id = Column(ForeignKey("owner.id"))
    owner = relationship(Owner, back_populates="things")


def connect():
    Base.metadata.create_all(engine)
    conns = [engine.connect() for _ in ZONES]
    assert [conn.scalar(text("SELECT 1")) for conn in conns[:2]] == [1, 1]
    for conn in conns:
        conn.close()


def settings():
    @event.listens_for(engine, "connect")
    def zone(connection, _record):
        with connection.cursor() as cur:
            cur.execute(f"SET TimeZone TO '{ZONES[zone.n % 4]}'")
        connection.commit()
        zone.n += 1
    zone.n = 0
    engine.dispose()
    conns = []
    for _ in ZONES:  # a Connection begins a transaction with its first statement, and two may have one
        conns.append(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
    for _ in range(3):
        assert sorted(conn.scalar(text("SHOW TimeZone")) for conn in conns) == sorted(ZONES)
    for conn in conns:
        conn.close()


def crud():
    with Session(engine) as session:
        for name in ("it's \\ ü", LONG):
            item = Item(name=name)
            session.add(item)
            session.commit()
            assert session.get(Item, item.id).name == name
            item.name = "new"
            session.commit()
            assert session.query(Item).filter(Item.id == item.id).one().name == "new"
            row = item.id
            session.delete(item)
            session.commit()
            assert session.get(Item, row) is None
        session.bulk_save_objects([Item(id=i, name="v") for i in range(500, 520)])
        session.commit()
        assert session.query(Item).filter(Item.name == "v").count() == 20
        assert [one.id for one in session.query(Item).filter(Item.name == "v").order_by(Item.id).offset(5).limit(5)] == list(range(505, 510))
        owner = Owner(name="o", things=[Thing(), Thing()])
        session.add(owner)
        session.commit()
        for way in (joinedload, selectinload):
            session.expunge_all()
            assert len(session.query(Owner).options(way(Owner.things)).one().things) == 2


def transactions():
    with Session(engine) as one, Session(engine) as two:
        one.add(Item(id=600, name="a"))
        one.flush()
        assert two.get(Item, 600) is None
        two.rollback()
        inner = one.begin_nested()
        one.get(Item, 600).name = "b"
        one.flush()
        inner.rollback()
        one.commit()
        assert two.get(Item, 600).name == "a"
        two.rollback()
        one.delete(one.get(Item, 600))
        one.flush()
        one.rollback()
        assert two.get(Item, 600).name == "a"
    with Session(engine) as one, Session(engine) as two:
        first, second = one.query(Owner).one(), two.query(Owner).one()
        first.name, second.name = "first", "second"
        one.commit()
        try:
            two.commit()
        except StaleDataError:
            two.rollback()
        else:
            raise AssertionError("the version was not seen")
        assert two.query(Owner).one().name == "first"


def prepared():
    """Compiled once, bound often; psycopg2 sends literals."""
    query = text("SELECT name FROM item WHERE id = :id")
    with engine.connect() as conn:
        assert [conn.scalar(query, {"id": i}) for i in range(1, 9)] == [f"item {i}" for i in range(1, 9)]


def errors():
    for state, sql in (("23505", "INSERT INTO item (id, name) VALUES (1, 'twice')"), ("42P01", "SELECT * FROM nope"), ("22012", "SELECT 1/0")):
        with engine.connect() as conn, conn.begin() as tx:
            fails(state, lambda: conn.execute(text(sql)))
            fails("25P02", lambda: conn.execute(text("SELECT 1")))
            tx.rollback()
    with Session(engine) as session:
        session.add(Item(id=1, name="twice"))
        fails("23505", session.commit)


def timeout():
    with engine.begin() as conn:
        conn.execute(text("SET LOCAL statement_timeout = 100"))
        fails("57014", lambda: conn.execute(text("SELECT pg_sleep(30)")))
    with engine.connect() as conn:
        assert conn.scalar(text("SHOW statement_timeout")) == "0"


def driver():
    """The steps that SQLAlchemy has no words for, by the connections that it lends."""
    lent = [engine.raw_connection() for _ in range(2)]
    below.steps(*[one.driver_connection for one in lent])
    for one in lent:
        one.close()


def get(_conn, row):
    with Session(engine) as session:
        return session.get(Item, row).name


def put(_conn, row, name):
    with Session(engine) as session, session.begin():
        session.get(Item, row, with_for_update=True).name = name


for step in (connect, settings, crud, transactions, prepared, errors, timeout):
    step()
    ok(step.__name__)
driver()
serve(get, put)
