"""Attribute lists of a team's own: made, renamed and deleted here; their values are in the members store.

Also what is known of every list that rules may ask about, whatever fills it: a segment, a Heap account, the team.
"""

from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import heap_audiences
from cairn.db.tables import attribute_lists, segment_states
from cairn.errors import Conflict, LimitExceeded, NotFound
from cairn.ids import new_list_id
from cairn.lists.offered import may_be_asked
from cairn.workspace.naming import clean_name

MOST_LISTS = 1_000  # of a team's own in one environment

Kind = Literal["segment", "heap", "static"]
OWN: Kind = "static"  # as it is stored


class ListNotFound(NotFound):
    """There is no such attribute list in this environment, or it is a segment's or an audience's."""

    code = "list_not_found"


class ListNameTaken(Conflict):
    """The environment has an own list of this name. Choose another name."""

    code = "list_name_taken"


class TooManyLists(LimitExceeded):
    """An environment may have 1,000 lists of its own. Delete those that no rule asks about."""

    code = "too_many_lists"


class OwnList(Struct, frozen=True):
    id: str
    environment_id: int
    name: str
    folds_case: bool  # values are compared without regard to capitals
    created_at: datetime
    updated_at: datetime  # when its values, or its name, were changed last


class AnyList(Struct, frozen=True):
    """A list of any kind. `source_id`: of the segment or audience behind it; 0: a team's own."""

    id: str
    name: str
    kind: Kind
    folds_case: bool
    source_id: int
    changed_at: datetime | None  # None: it was not filled yet


_COLUMNS = [attribute_lists.c[name] for name in OwnList.__struct_fields__]


def list_all(connection: sa.Connection, environment_id: int) -> list[AnyList]:
    """Those that rules may ask about, by name. An audience that nobody added is none of them."""
    query = (
        sa.select(
            attribute_lists.c.id,
            attribute_lists.c.name,
            attribute_lists.c.kind,
            attribute_lists.c.folds_case,
            sa.func.coalesce(segment_states.c.segment_id, heap_audiences.c.id, 0),
            attribute_lists.c.updated_at,
            segment_states.c.counted_at,
            heap_audiences.c.synced_at,
        )
        .outerjoin(segment_states, segment_states.c.list_id == attribute_lists.c.id)
        .outerjoin(heap_audiences, heap_audiences.c.list_id == attribute_lists.c.id)
        .where(attribute_lists.c.environment_id == environment_id)
        .where(may_be_asked())
        .order_by(attribute_lists.c.name, attribute_lists.c.id)
    )
    return [
        AnyList(
            list_id, name, kind, folds_case, source_id, {"segment": counted, "heap": synced}.get(kind, own)
        )
        for list_id, name, kind, folds_case, source_id, own, counted, synced in connection.execute(query)
    ]


def get_list(connection: sa.Connection, environment_id: int, list_id: str) -> OwnList:
    """Raises ListNotFound."""
    query = sa.select(*_COLUMNS).where(_is(environment_id, list_id))
    row = connection.execute(query).first()
    if row is None:
        raise ListNotFound(f"this environment has no own list {list_id!r}", field="list_id")
    return OwnList(*row)


def create_list(
    connection: sa.Connection, environment_id: int, name: str, *, folds_case: bool, now: datetime
) -> OwnList:
    """An empty one. Raises InvalidInput, ListNameTaken and TooManyLists."""
    named = clean_name(name)
    _check_free(connection, environment_id, named)
    of_environment = (attribute_lists.c.environment_id == environment_id) & (attribute_lists.c.kind == OWN)
    count = sa.select(sa.func.count()).select_from(attribute_lists).where(of_environment)
    if connection.execute(count).scalar_one() >= MOST_LISTS:
        raise TooManyLists(f"this environment has {MOST_LISTS} own lists; delete those that nobody needs")
    made = OwnList(new_list_id(), environment_id, named, folds_case, now, now)
    values = {name: getattr(made, name) for name in OwnList.__struct_fields__}
    connection.execute(sa.insert(attribute_lists).values(kind=OWN, **values))
    return made


def rename_list(
    connection: sa.Connection, environment_id: int, list_id: str, name: str, now: datetime
) -> OwnList:
    """Rules name it by its id and go on. Raises InvalidInput, ListNotFound and ListNameTaken."""
    before, named = get_list(connection, environment_id, list_id), clean_name(name)
    if named == before.name:
        return before
    _check_free(connection, environment_id, named)
    change = sa.update(attribute_lists).where(_is(environment_id, list_id))
    connection.execute(change.values(name=named, updated_at=now))
    return get_list(connection, environment_id, list_id)


def touch(connection: sa.Connection, environment_id: int, list_id: str, now: datetime) -> None:
    """Its values were changed. Raises ListNotFound when it is gone meanwhile."""
    get_list(connection, environment_id, list_id)
    connection.execute(sa.update(attribute_lists).where(_is(environment_id, list_id)).values(updated_at=now))


def delete_list(connection: sa.Connection, environment_id: int, list_id: str) -> None:
    """Whether rules ask about it is the caller's to know. Raises ListNotFound."""
    get_list(connection, environment_id, list_id)
    connection.execute(sa.delete(attribute_lists).where(_is(environment_id, list_id)))


def _is(environment_id: int, list_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        attribute_lists.c.environment_id == environment_id,
        attribute_lists.c.id == list_id,
        attribute_lists.c.kind == OWN,
    )


def _check_free(connection: sa.Connection, environment_id: int, name: str) -> None:
    query = sa.select(attribute_lists.c.id).where(
        attribute_lists.c.environment_id == environment_id,
        attribute_lists.c.kind == OWN,
        attribute_lists.c.name == name,
    )
    if connection.execute(query).first() is not None:
        raise ListNameTaken(f"name: this environment has an own list {name!r}; choose another", field="name")
