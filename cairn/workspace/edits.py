"""Who changed what of the things people edit, and when: one entry for each change, numbered by its edition.

The edition is what an editor has seen. A save that names an older one than the newest is refused, so that nobody's
change is lost. Two saves at once cannot both take the next number: it is unique.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import edits
from cairn.errors import Conflict

# "flag switch": a flag turned on or off; "rule order": which of its rules is tried first. Neither is a change of what
# its editors hold, and both are an environment's: `what` ends with its name.
Kind = Literal[
    "segment",
    "flag",
    "flag switch",
    "rule",
    "rule order",
    "defined event",
    "source",
    "connection",
    "environment",
    "capture settings",
    "account ID property",
    "snapshot",
    "partner app",
    "sync",
    "sync target",
    "webhook",
    "heap account",
]
NAMED_EDITS = 3  # changes named in a refusal; the newest says most


class Edit(Struct, frozen=True):
    """One change of one thing."""

    edition: int
    by: str  # a member's e-mail address, or "token" and its name
    at: datetime
    what: tuple[str, ...]  # the fields


class StaleVersion(Conflict):
    """Somebody changed it since it was read. The message says who, what and when; read it again and repeat."""

    code = "stale_version"
    status = 412

    def __init__(self, kind: Kind, newer: Sequence[Edit]) -> None:
        self.kind, self.newer = kind, tuple(newer)  # newest first; empty: the edition never was
        changes = "; ".join(_described(edit) for edit in newer[:NAMED_EDITS])
        super().__init__(
            f"this {kind} was changed since you read it: {changes}. Read it again and repeat your change"
            if changes
            else f"this {kind} never had such a version; read it again and repeat your change",
            field="version",
        )


def _described(edit: Edit) -> str:
    return f"{edit.by} changed {', '.join(edit.what)} on {edit.at:%Y-%m-%d at %H:%M} UTC"


def edition_of(connection: sa.Connection, kind: Kind, thing_id: int) -> int:
    """0: not changed since editions are counted."""
    return editions_of(connection, kind, [thing_id]).get(thing_id, 0)


def editions_of(connection: sa.Connection, kind: Kind, thing_ids: Iterable[int]) -> dict[int, int]:
    """Those that were changed since editions are counted."""
    query = (
        sa.select(edits.c.thing_id, sa.func.max(edits.c.edition))
        .where(edits.c.kind == kind, edits.c.thing_id.in_(list(thing_ids)))
        .group_by(edits.c.thing_id)
    )
    return {thing_id: edition for thing_id, edition in connection.execute(query)}


def list_edits(
    connection: sa.Connection,
    kind: Kind,
    thing_id: int,
    *,
    after: int = 0,
    limit: int = 50,
    of: int | None = None,
) -> list[Edit]:
    """The newest first; only those of a later edition than `after`. `of`: of this workspace only."""
    columns = [edits.c[name] for name in Edit.__struct_fields__]
    query = sa.select(*columns).where(
        edits.c.kind == kind, edits.c.thing_id == thing_id, edits.c.edition > after
    )
    if of is not None:
        query = query.where(edits.c.workspace_id == of)
    rows = connection.execute(query.order_by(edits.c.edition.desc()).limit(limit))
    return [
        Edit(edition, by, at, tuple(what) if isinstance(what, list) else ("something",))
        for edition, by, at, what in rows
    ]


def newest_edits(
    connection: sa.Connection, kind: Kind, thing_ids: Iterable[int], *, limit: int
) -> list[tuple[int, Edit]]:
    """What was changed last of these things, with the thing, newest first."""
    columns = [edits.c[name] for name in Edit.__struct_fields__]
    query = (
        sa.select(edits.c.thing_id, *columns)
        .where(edits.c.kind == kind, edits.c.thing_id.in_(list(thing_ids)))
        .order_by(edits.c.at.desc(), edits.c.id.desc())
        .limit(limit)
    )
    rows = connection.execute(query)
    return [(thing_id, Edit(edition, by, at, tuple(what))) for thing_id, edition, by, at, what in rows]


def check_edition(connection: sa.Connection, kind: Kind, thing_id: int, expected: int | None) -> None:
    """`expected`: what the caller has seen; None: whatever it is. Raises StaleVersion."""
    if expected is not None and expected != edition_of(connection, kind, thing_id):
        raise StaleVersion(kind, list_edits(connection, kind, thing_id, after=max(expected, 0)))


def check_edition_in(
    connection: sa.Connection, kind: Kind, thing_id: int, environment: str, expected: int | None
) -> None:
    """As `check_edition`, where only what changed in the environment of that name counts. Raises StaleVersion."""
    if expected is None:
        return
    if not 0 <= expected <= edition_of(connection, kind, thing_id):
        raise StaleVersion(kind, ())
    newer = [
        edit
        for edit in list_edits(connection, kind, thing_id, after=expected)
        if any(what.endswith(f" in {environment}") for what in edit.what)
    ]
    if newer:
        raise StaleVersion(kind, newer)


def record_edit(
    connection: sa.Connection,
    workspace_id: int,
    kind: Kind,
    thing_id: int,
    what: Sequence[str],
    *,
    by: str,
    now: datetime,
) -> int:
    """The new edition; the one before when nothing was changed."""
    edition = edition_of(connection, kind, thing_id)
    if not what:
        return edition
    row = {
        "workspace_id": workspace_id,
        "kind": kind,
        "thing_id": thing_id,
        "edition": edition + 1,
        "by": by,
        "at": now,
        "what": list(what),
    }
    connection.execute(sa.insert(edits).values(**row))
    return edition + 1


def differences(before: Struct, after: Struct, names: Iterable[str]) -> list[str]:
    """The fields whose values differ, as people call them."""
    return [
        name.replace("_", " ").removeprefix("is ")
        for name in names
        if getattr(before, name) != getattr(after, name)
    ]
