"""Attribute lists: those of every kind with who asks about them, and making, filling and deleting a team's own."""

from collections.abc import Iterator

import sqlalchemy as sa
from msgspec import Struct

from cairn.app.call import Call
from cairn.clock import to_ms
from cairn.errors import Conflict
from cairn.lists import own
from cairn.lists.changing import Action, Changed, Target, change
from cairn.lists.own import OWN, AnyList, ListNotFound
from cairn.lists.upload import Reading, Upload
from cairn.members.sets import folded, list_set
from cairn.segments.used_by import Use, lists_used_by, used_by
from cairn.workspace.environment import Environment

DOWNLOADED = 10_000  # values that are read at once for a download


class ListInUse(Conflict):
    """Flags ask about this list. Take it out of their rules first; the message names them."""

    code = "list_in_use"


class ShownList(Struct, frozen=True):
    known: AnyList
    size: int
    version: int  # rises with every change of the values
    uses: list[Use]


class ValuesPage(Struct, frozen=True):
    size: int
    values: list[tuple[str, int]]  # with since when, epoch milliseconds
    next: str | None


class Uploaded(Struct, frozen=True):
    """What an upload did."""

    changed: Changed
    heading: str  # the first line, where it was taken for the column's name
    columns: int  # of which the first was read


def list_lists(call: Call, environment: Environment) -> list[ShownList]:
    """Those that rules can ask about, of every kind, by name."""
    with call.reading() as connection:
        return _shown(call, connection, environment, own.list_all(connection, environment.id))


def get_list(call: Call, environment: Environment, list_id: str) -> ShownList:
    """Raises ListNotFound, also for a list that is not a team's own."""
    with call.reading() as connection:
        own_list = own.get_list(connection, environment.id, list_id)
        known = AnyList(own_list.id, own_list.name, OWN, own_list.folds_case, 0, own_list.updated_at)
        return _shown(call, connection, environment, [known])[0]


def _shown(
    call: Call, connection: sa.Connection, environment: Environment, lists: list[AnyList]
) -> list[ShownList]:
    members = call.core.members
    by_list = lists_used_by(connection, call.workspace_id, [offered.id for offered in lists])
    of_segments = [offered.source_id for offered in lists if offered.kind == "segment"]
    by_segment = used_by(connection, call.workspace_id, of_segments)
    return [
        ShownList(
            offered,
            members.size(list_set(offered.id)),
            members.version(list_set(offered.id)),
            [
                use
                for use in (
                    by_segment[offered.source_id] if offered.kind == "segment" else by_list[offered.id]
                )
                if use.environment_id == environment.id
            ],
        )
        for offered in lists
    ]


def create_list(call: Call, environment: Environment, name: str, *, folds_case: bool = False) -> ShownList:
    """An empty one. Raises InvalidInput, ListNameTaken and TooManyLists."""
    with call.writing() as connection:
        made = own.create_list(connection, environment.id, name, folds_case=folds_case, now=call.now)
    call.changed([environment.id])
    return get_list(call, environment, made.id)


def rename_list(call: Call, environment: Environment, list_id: str, name: str) -> ShownList:
    """Raises InvalidInput, ListNotFound and ListNameTaken."""
    with call.writing() as connection:
        own.rename_list(connection, environment.id, list_id, name, call.now)
    return get_list(call, environment, list_id)


def delete_list(call: Call, environment: Environment, list_id: str) -> None:
    """With its values. Raises ListNotFound, and ListInUse naming who asks about it."""
    with call.writing() as connection:
        own_list = own.get_list(connection, environment.id, list_id)
        if uses := lists_used_by(connection, call.workspace_id, [list_id])[list_id]:
            named = ", ".join(dict.fromkeys(map(str, uses)))
            raise ListInUse(
                f"list {own_list.name!r} is used by {named}; take it out there first", field="list_id"
            )
        own.delete_list(connection, environment.id, list_id)
    call.core.members.drop(list_set(list_id))
    call.changed([environment.id])


def change_values(
    call: Call, environment: Environment, list_id: str, action: Action, upload: Upload
) -> Uploaded:
    """All of it or nothing; readers see the list before or after.

    Raises ListNotFound, ValuesRefused naming the lines, ListFull and UploadsBusy.
    """
    with call.reading() as connection:
        own_list = own.get_list(connection, environment.id, list_id)
    target, reading = Target(own_list.id, environment.id, own_list.folds_case), Reading(upload)
    with call.core.spools.turn():
        changed = change(call.core.members, target, action, reading.pieces(), now_ms=to_ms(call.now))
    _note_change(call, environment, list_id)
    return Uploaded(changed, reading.heading, reading.columns)


def _note_change(call: Call, environment: Environment, list_id: str) -> None:
    try:
        with call.writing() as connection:
            own.touch(connection, environment.id, list_id, call.now)
    except ListNotFound:  # deleted meanwhile: its values must not stay
        call.core.members.drop(list_set(list_id))
        raise
    call.changed([environment.id])


def contains(call: Call, environment: Environment, list_id: str, value: str) -> int | None:
    """Since when the value is in, as rules would find it; None: it is not. Raises ListNotFound."""
    with call.reading() as connection:
        own_list = own.get_list(connection, environment.id, list_id)
    stripped = value.strip()
    return call.core.members.since(list_set(list_id), folded(stripped) if own_list.folds_case else stripped)


def list_values(
    call: Call, environment: Environment, list_id: str, *, after: str = "", limit: int = 50
) -> ValuesPage:
    """In a stable order. Raises ListNotFound."""
    with call.reading() as connection:
        own.get_list(connection, environment.id, list_id)
    name, members = list_set(list_id), call.core.members
    values = members.values(name, after=after, limit=limit + 1)
    following = values[limit - 1][0] if len(values) > limit else None
    return ValuesPage(members.size(name), values[:limit], following)


def every_value(call: Call, environment: Environment, list_id: str) -> Iterator[list[str]]:
    """All of them in pieces, for a download. Raises ListNotFound."""
    after: str | None = ""
    while after is not None:
        page = list_values(call, environment, list_id, after=after, limit=DOWNLOADED)
        yield [value for value, _ in page.values]
        after = page.next
