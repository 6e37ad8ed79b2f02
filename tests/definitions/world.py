"""One project with environments in the metadata database, and the loader's part of storing captured events."""

from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from cairn.clock import from_ms
from cairn.definitions.defined_event import create_defined_event, list_defined_events
from cairn.definitions.model import DefinedEvent, Definition, NewDefinedEvent
from cairn.event import Draft
from cairn.store.arrow_tables import element_id
from cairn.store.store import SeenElement, Store
from tests.databases import open_test_metadata
from tests.segments.histories import NOW_MS
from tests.world import add_environment, add_project

NOW = from_ms(NOW_MS)


class Project:
    """`start_id`: keeps its environments apart from others in the same event store."""

    def __init__(self, folder: Path, start_id: int, *, environments_in_it: int = 1) -> None:
        self.engine = open_test_metadata(folder)
        self._made = 0
        with self.engine.begin() as connection:
            self.workspace_id, self.project_id = add_project(connection, account_id=start_id, now=NOW)
            self.environment_ids = [
                add_environment(
                    connection,
                    self.workspace_id,
                    self.project_id,
                    f"e{number}",
                    now=NOW,
                    environment_id=number,
                )
                for number in range(start_id, start_id + environments_in_it)
            ]

    def define(self, definition: Definition, name: str = "", **more: object) -> DefinedEvent:
        self._made += 1
        new = NewDefinedEvent(name or f"Event {self._made}", definition, **more)  # type: ignore[arg-type]
        with self.engine.begin() as connection:
            return create_defined_event(connection, self.workspace_id, self.project_id, new, NOW)

    def active(self, connection: sa.Connection) -> list[DefinedEvent]:
        return list_defined_events(connection, self.workspace_id, self.project_id)


def load(store: Store, drafts: Iterable[Draft]) -> None:
    """As the loader: shapes first, then the events."""
    drafts = list(drafts)
    seen = {
        (draft.environment_id, element_id(draft.element)): SeenElement(
            draft.environment_id, element_id(draft.element), draft.element, draft.received_ms
        )
        for draft in drafts
        if draft.element is not None
    }
    store.insert_elements(list(seen.values()))
    store.insert_events(drafts)
