"""Who changed what of a thing that people edit: read for its page and its version, written by the use cases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import sqlalchemy as sa

from cairn.app.call import Call
from cairn.workspace import edits
from cairn.workspace.edits import Edit, Kind

_Thing = TypeVar("_Thing")
CREATED = "created"  # what the first change of a thing is called
DELETED = "deleted"  # and its last one


@dataclass(frozen=True)
class Edited(Generic[_Thing]):
    """A thing as it is in one edition. Both are of one transaction: neither is newer than the other."""

    value: _Thing
    edition: int


def record(call: Call, connection: sa.Connection, kind: Kind, thing_id: int, what: Sequence[str]) -> int:
    """In the transaction of the change; the new edition. Nothing is written where nothing was changed."""
    return edits.record_edit(connection, call.workspace_id, kind, thing_id, what, by=call.by, now=call.now)


def list_edits(call: Call, kind: Kind, thing_id: int) -> list[Edit]:
    """The newest first, of something that the caller may see."""
    with call.reading() as connection:
        return edits.list_edits(connection, kind, thing_id)


def deletion_of(call: Call, kind: Kind, thing_id: int) -> Edit | None:
    """Who deleted it, where that is known."""
    with call.reading() as connection:
        newest = edits.list_edits(connection, kind, thing_id, of=call.workspace_id, limit=1)
    return newest[0] if newest and newest[0].what == (DELETED,) else None


def editions_of(call: Call, kind: Kind, thing_ids: Iterable[int]) -> dict[int, int]:
    """Thing -> its edition, 0 where nothing was changed; of things that the caller may see."""
    ids = list(thing_ids)
    with call.reading() as connection:
        return {**dict.fromkeys(ids, 0), **edits.editions_of(connection, kind, ids)}
