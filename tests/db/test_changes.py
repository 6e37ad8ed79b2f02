"""What is published is published once after each committed change, whichever connection made it, and not otherwise."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.clock import utc_now
from cairn.db.changes import NOT_PUBLISHED, changes_counted
from cairn.db.engine import open_engine, reading
from cairn.db.tables import environments, jobs, metadata
from cairn.jobs.queue import enqueue
from cairn.publisher import Publisher
from cairn.workspace.sealed import open_seal
from cairn.workspace.workspace import create_workspace
from tests.databases import database_url, open_test_metadata, settings_of
from tests.seams import open_members

TICKS = 20


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_test_metadata(tmp_path)
    with engine.begin() as connection:
        create_workspace(connection, open_seal(tmp_path), name="one", now=utc_now())
    yield engine
    engine.dispose()


class Watched:
    """A publisher, and how often it read everything in order to publish it."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self._members = open_members(folder / "members")
        self._publisher = Publisher(engine, self._members, settings_of(folder))
        self._everything = 0
        sa.event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self._everything += statement.split() == ["SELECT", "environments.id", "FROM", "environments"]

    def ticks(self, number: int) -> int:
        before = self._everything
        for _ in range(number):
            self._publisher.publish_due()
        return self._everything - before

    def close(self) -> None:
        self._members.close()


@pytest.fixture
def watched(engine: sa.Engine, tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(engine, tmp_path)
    yield watched
    watched.close()


def test_three_pooled_connections_and_no_write_publish_nothing(engine: sa.Engine, watched: Watched) -> None:
    assert watched.ticks(1) == 1
    _leave_connections_in_the_pool(engine, 3)
    published = []
    for held in range(TICKS):
        with ExitStack() as stack:
            for _ in range(held % 3):  # each tick then takes another connection of the pool
                stack.enter_context(reading(engine)).execute(sa.select(environments.c.id))
            published.append(watched.ticks(1))
    assert published == [0] * TICKS


def _leave_connections_in_the_pool(engine: sa.Engine, number: int) -> None:
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(reading(engine)).execute(sa.select(environments.c.id))


def test_a_write_by_this_or_another_engine_is_published_once(
    engine: sa.Engine, watched: Watched, tmp_path: Path
) -> None:
    watched.ticks(1)
    other = open_engine(database_url(tmp_path))
    for writer in (engine, other):
        with writer.begin() as connection:
            connection.execute(sa.update(environments).values(name="renamed"))
            connection.execute(sa.update(environments).values(name="renamed again"))
        assert watched.ticks(TICKS) == 1
    other.dispose()


def test_what_is_not_published_or_not_committed_is_not_counted(engine: sa.Engine, watched: Watched) -> None:
    watched.ticks(1)
    with engine.begin() as connection:
        enqueue(connection, "work", run_at=utc_now(), now=utc_now())
        connection.execute(sa.update(jobs).values(error="none"))
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        connection.execute(sa.update(environments).values(name="never"))
        raise ZeroDivisionError
    with engine.begin() as connection:
        connection.execute(sa.select(environments.c.id))
    assert watched.ticks(TICKS) == 0


def test_each_transaction_is_counted_once(engine: sa.Engine) -> None:
    with reading(engine) as connection:
        before = changes_counted(connection)
    for _ in range(5):
        with engine.begin() as connection:
            connection.execute(sa.update(environments).values(name="again"))
    with reading(engine) as connection:
        assert changes_counted(connection) == before + 5


def test_names_of_what_is_not_published_are_tables() -> None:
    assert set(metadata.tables) > NOT_PUBLISHED
