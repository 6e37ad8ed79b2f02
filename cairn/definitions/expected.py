"""Names of custom events that are expected, so that a new name, mistyped or made up, stands out.

A project's plan is these names and those that its defined events name.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import expected_names
from cairn.definitions.model import MAX_NAME, DefinedEvent
from cairn.errors import InvalidInput
from cairn.event import Kind


class ExpectedName(Struct, frozen=True):
    name: str
    marked_by: str
    marked_at: datetime


def list_expected(connection: sa.Connection, project_id: int) -> list[ExpectedName]:
    """By name."""
    row = expected_names.c
    query = (
        sa.select(row.name, row.marked_by, row.marked_at)
        .where(row.project_id == project_id)
        .order_by(row.name)
    )
    return [ExpectedName(*row) for row in connection.execute(query)]


def expect_names(
    connection: sa.Connection, project_id: int, names: Sequence[str], *, by: str, now: datetime
) -> int:
    """Return how many were not expected before. Raises InvalidInput."""
    unique = list(dict.fromkeys(names))
    if any(not name or len(name) > MAX_NAME for name in unique):
        raise InvalidInput(f"name: expected 1 to {MAX_NAME} characters", field="name")
    marked = {expected.name for expected in list_expected(connection, project_id)}
    rows = [
        {"project_id": project_id, "name": name, "marked_by": by, "marked_at": now}
        for name in unique
        if name not in marked
    ]
    if rows:
        connection.execute(sa.insert(expected_names), rows)
    return len(rows)


def no_longer_expect(connection: sa.Connection, project_id: int, name: str) -> None:
    gone = expected_names.c
    connection.execute(sa.delete(expected_names).where(gone.project_id == project_id, gone.name == name))


def planned_names(defined: Sequence[DefinedEvent], expected: Sequence[ExpectedName]) -> set[str]:
    named = {part.name for event in defined for part in event.definition.parts if part.kind == Kind.CUSTOM}
    return (named - {""}) | {entry.name for entry in expected}
