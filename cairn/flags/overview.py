"""Flags of one environment at a glance: how many rules each has, when it changed last, and since when it is on."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import flag_states, flags, rules


class Glance(Struct, frozen=True):
    """One flag in one environment."""

    rules: int
    changed_at: datetime  # the flag, a rule of this environment, or a switch of any


class FlagName(Struct, frozen=True):
    id: int
    key: str
    name: str


class FlagCount(Struct, frozen=True):
    flags: int  # that are not archived
    are_on: int


def name_flags(
    connection: sa.Connection, workspace_id: int, project_id: int, *, with_archived: bool = False
) -> list[FlagName]:
    """By key."""
    query = sa.select(flags.c.id, flags.c.key, flags.c.name).where(
        flags.c.workspace_id == workspace_id, flags.c.project_id == project_id
    )
    if not with_archived:
        query = query.where(flags.c.archived_at.is_(None))
    return [FlagName(*row) for row in connection.execute(query.order_by(flags.c.key))]


def glances(
    connection: sa.Connection, project_id: int, environment_id: int, only: Collection[int]
) -> dict[int, Glance]:
    """Flag -> what is to be seen of it, for these flags of the project."""
    own = (flags.c.project_id == project_id) & flags.c.id.in_(only)
    counted = (
        sa.select(rules.c.flag_id, sa.func.count(), sa.func.max(rules.c.updated_at))
        .where(rules.c.environment_id == environment_id, rules.c.flag_id.in_(only))
        .group_by(rules.c.flag_id)
    )
    counts = {flag_id: (number, at) for flag_id, number, at in connection.execute(counted)}
    latest = (
        sa.select(flag_states.c.flag_id, sa.func.max(flag_states.c.changed_at))
        .join(flags, flags.c.id == flag_states.c.flag_id)
        .where(own)
        .group_by(flag_states.c.flag_id)
    )
    switched = {flag_id: at for flag_id, at in connection.execute(latest)}
    glances = {}
    for flag_id, updated_at in connection.execute(sa.select(flags.c.id, flags.c.updated_at).where(own)):
        number, rule_at = counts.get(flag_id, (0, updated_at))
        glances[flag_id] = Glance(number, max(updated_at, rule_at, switched.get(flag_id, updated_at)))
    return glances


def on_since(connection: sa.Connection, flag_id: int, environment_id: int) -> datetime | None:
    """None: it is off."""
    return connection.scalar(
        sa.select(flag_states.c.changed_at).where(
            flag_states.c.flag_id == flag_id,
            flag_states.c.environment_id == environment_id,
            flag_states.c.is_on,
        )
    )


def count_flags(connection: sa.Connection, project_id: int, environment_id: int) -> FlagCount:
    is_here = (flag_states.c.flag_id == flags.c.id) & (flag_states.c.environment_id == environment_id)
    rows = connection.execute(
        sa.select(flag_states.c.is_on)
        .select_from(flags)
        .outerjoin(flag_states, is_here)
        .where(flags.c.project_id == project_id, flags.c.archived_at.is_(None))
    ).scalars()
    states = [bool(is_on) for is_on in rows]
    return FlagCount(len(states), sum(states))
