"""A core filled by hand; two environments whose users share every id."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.analysis.query.asker import Asker
from cairn.clock import to_ms
from cairn.event import Draft, Kind, Refused
from cairn.identity.merges import Merge, merge
from cairn.ids import event_id, identified_user_id
from cairn.outcomes import Reason
from cairn.store.schema import IDENTITY_KEY
from cairn.store.store import PropertyChange
from tests.world import World

NOW = datetime(2026, 11, 22, 10, 42, tzinfo=UTC)
HERE, ELSEWHERE = 7, 8  # environments


class Past(World):
    """Writes what happened, in minutes before NOW."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clock=lambda: NOW)
        self.questions = self.core.questions
        self.ask = self.questions.ask
        self._count, self._environments = 0, itertools.count(100)

    def did(
        self,
        user_id: int,
        name: str = "Viewed",
        *,
        ago: float = 1,
        kind: str = Kind.CUSTOM,
        environment: int = HERE,
        source: str = "Server",
        library: str = "test",
        received_ago: float | None = None,
        **properties: str | float,
    ) -> int:
        self._count += 1
        number = event_id(str(environment), str(self._count))
        received = ago if received_ago is None else received_ago
        self.store.insert_events(
            [
                Draft(
                    environment,
                    kind,
                    name,
                    _ms(ago),
                    _ms(received),
                    user_id=user_id,
                    event_id=number,
                    source=source,
                    library=library,
                    properties=dict(properties),
                )
            ]
        )
        return number

    def set(self, user_id: int, key: str, value: str, *, ago: float = 60, environment: int = HERE) -> None:
        at = _ms(ago)
        self.store.insert_properties([PropertyChange(environment, user_id, key, value, at, at << 22)])

    def identified(self, identity: str, *raw: int, environment: int = HERE) -> int:
        """A user with an identity, and these raw ids merged into it."""
        user_id = identified_user_id(environment, identity)
        self.set(user_id, IDENTITY_KEY, identity, environment=environment)
        with self.engine.begin() as connection:
            for each in raw:
                done = merge(connection, environment, each, identity, "test", NOW)
                assert isinstance(done, Merge)
                self.store.insert_user_map([done.change])
        return user_id

    def asker(self, environment: int) -> Asker:
        return Asker(self.questions, environment)

    def next_environment(self) -> int:
        """One that nothing was written to yet."""
        return next(self._environments)

    def refused(
        self, reason: Reason, *, ago: float = 1, environment: int = HERE, name: str = "", user: str = ""
    ) -> None:
        self.store.insert_refusals(
            [Refused(environment, _ms(ago), reason, f"told {reason}", name, user, "Server", '{"sent": "so"}')]
        )

    def reading(self) -> sa.Connection:
        return self.engine.connect().execution_options(read=True)


def _ms(ago: float) -> int:
    return to_ms(NOW) - int(ago * 60_000)


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    past = Past(tmp_path)
    yield past
    past.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """One for tests that take an environment of their own."""
    past = Past(tmp_path_factory.mktemp("past"))
    yield past
    past.close()
