import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.db.among import among
from cairn.db.engine import open_engine
from tests.databases import empty_database_url

things = sa.Table(
    "things_among",
    sa.MetaData(),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
)
NUMBERS = [0, 1, -(2**63), 2**53 + 1, 2**63 - 1, *range(100, 1100)]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = open_engine(empty_database_url(tmp_path))
    with engine.begin() as opened:
        things.create(opened)
        opened.execute(sa.insert(things), [{"number": n, "name": f"it's {n}"} for n in NUMBERS])
        yield opened
        opened.rollback()
    engine.dispose()


@pytest.mark.parametrize("size", [0, 1, 2, 1_000, 100_000])
def test_lists_of_any_length(connection: sa.Connection, size: int) -> None:
    wanted = random.Random(size).sample(NUMBERS, min(size, len(NUMBERS)))
    wanted += range(2**40, 2**40 + size - len(wanted))
    found = (
        connection.execute(sa.select(things.c.number).where(among(things.c.number, wanted))).scalars().all()
    )
    assert sorted(found) == sorted(set(wanted) & set(NUMBERS))


def test_texts_and_the_opposite(connection: sa.Connection) -> None:
    query = sa.select(sa.func.count()).select_from(things)
    names = ["it's 1", 'no "such" thing', "it's 0", "it's 1"]
    assert connection.execute(query.where(among(things.c.name, names))).scalar_one() == 2
    assert connection.execute(query.where(~among(things.c.name, names))).scalar_one() == len(NUMBERS) - 2


def test_one_statement_for_every_length_by_its_index(connection: sa.Connection) -> None:
    texts = []
    sa.event.listen(connection, "before_cursor_execute", lambda *given: texts.append(given[2]))
    for size in (1, 2, 3_000):
        connection.execute(sa.select(things.c.name).where(among(things.c.number, range(size))))
    assert len(set(texts)) == 1
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + texts[0], ("[1]",)).all()
        assert "SEARCH things_among USING" in plan[0][3]
