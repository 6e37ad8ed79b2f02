"""Reads everything one environment needs to decide its flags from the metadata database."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from cairn.db.tables import (
    attribute_lists,
    environments,
    flag_groups,
    flag_states,
    flags,
    holdouts,
    rules,
    segment_states,
    workspaces,
)
from cairn.flags.audience import with_lists
from cairn.flags.model import Flag, Forced, Group, Holdout, LeftOut, Rule, Ruleset
from cairn.flags.records import DefinitionUnreadable, Kept, flag_of, group_of, holdout_of, rule_of
from cairn.workspace.environment import EnvironmentNotFound

Lists = dict[int, str]  # segment id -> its list's id in the environment


def load_ruleset(connection: sa.Connection, environment_id: int) -> Ruleset:
    """Flags in key order, rules in theirs, archived flags left out. Raises EnvironmentNotFound."""
    query = (
        sa.select(environments.c.project_id, environments.c.inlines_lists, workspaces.c.account_id)
        .join(workspaces, workspaces.c.id == environments.c.workspace_id)
        .where(environments.c.id == environment_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise EnvironmentNotFound(f"there is no environment {environment_id}", field="environment_id")
    lists = _lists(connection, environment_id)
    stored = _flags(connection, row.project_id, environment_id, lists)
    left_out = {flag.key: LeftOut(why, flag.is_on) for flag in stored if (why := _why_left_out(flag))}
    loaded = tuple(flag for flag in stored if flag.key not in left_out)
    unknown: list[str] = []
    return Ruleset(
        account_id=row.account_id,
        environment_id=environment_id,
        flags=loaded,
        groups=_groups(
            connection, environment_id, {rule.id for flag in loaded for rule in flag.rules}, unknown
        ),
        holdouts=_holdouts(connection, environment_id, lists, unknown),
        folding_lists=_folding_lists(connection, environment_id),
        inlines_lists=row.inlines_lists,
        left_out=left_out,
        unknown=tuple(unknown),
    )


def _why_left_out(flag: Flag) -> str:
    """Empty: it can be read, with its rules that are on. Without one of them the next would take its users."""
    for name, why in flag.unreadable.items():
        return f"{name}: {why}"
    return next(
        (f"rule {rule.key!r}: {rule.unreadable}" for rule in flag.rules if rule.is_on and rule.unreadable), ""
    )


def _lists(connection: sa.Connection, environment_id: int) -> Lists:
    query = sa.select(segment_states.c.segment_id, segment_states.c.list_id).where(
        segment_states.c.environment_id == environment_id
    )
    return {row.segment_id: row.list_id for row in connection.execute(query)}


def _folding_lists(connection: sa.Connection, environment_id: int) -> frozenset[str]:
    query = sa.select(attribute_lists.c.id).where(
        attribute_lists.c.environment_id == environment_id, attribute_lists.c.folds_case
    )
    return frozenset(connection.execute(query).scalars())


def _flags(connection: sa.Connection, project_id: int, environment_id: int, lists: Lists) -> tuple[Flag, ...]:
    is_on = set(
        connection.execute(
            sa.select(flag_states.c.flag_id).where(
                flag_states.c.environment_id == environment_id, flag_states.c.is_on
            )
        ).scalars()
    )
    of_flag = _rules(connection, environment_id, lists)
    query = sa.select(flags).where(flags.c.project_id == project_id, flags.c.archived_at.is_(None))
    return tuple(
        msgspec.structs.replace(flag_of(row), is_on=row.id in is_on, rules=of_flag.get(row.id, ()))
        for row in connection.execute(query.order_by(flags.c.key, flags.c.id))
    )


def _rules(connection: sa.Connection, environment_id: int, lists: Lists) -> dict[int, tuple[Rule, ...]]:
    query = sa.select(rules).where(rules.c.environment_id == environment_id)
    rules_of_flag: dict[int, tuple[Rule, ...]] = {}
    for row in connection.execute(query.order_by(rules.c.flag_id, rules.c.position, rules.c.id)):
        rule = rule_of(row)
        resolved = msgspec.structs.replace(
            rule,
            condition=with_lists(rule.condition, lists),
            whitelist=tuple(
                Forced(forced.variation_id, with_lists(forced.condition, lists)) for forced in rule.whitelist
            ),
        )
        rules_of_flag[row.flag_id] = (*rules_of_flag.get(row.flag_id, ()), resolved)
    return rules_of_flag


def _groups(
    connection: sa.Connection, environment_id: int, rule_ids: set[int], unknown: list[str]
) -> tuple[Group, ...]:
    """Rules that were deleted, or whose flag was archived, leave their group."""
    query = sa.select(flag_groups).where(flag_groups.c.environment_id == environment_id)
    return tuple(
        msgspec.structs.replace(
            group,
            rule_ids=tuple(rule_id for rule_id in group.rule_ids if rule_id in rule_ids),
            priority=tuple(rule_id for rule_id in group.priority if rule_id in rule_ids),
            weights={rule_id: weight for rule_id, weight in group.weights.items() if rule_id in rule_ids},
        )
        for group in _readable(
            "group", group_of, connection.execute(query.order_by(flag_groups.c.id)), unknown
        )
    )


def _holdouts(
    connection: sa.Connection, environment_id: int, lists: Lists, unknown: list[str]
) -> tuple[Holdout, ...]:
    query = sa.select(holdouts).where(holdouts.c.environment_id == environment_id)
    return tuple(
        msgspec.structs.replace(holdout, condition=with_lists(holdout.condition, lists))
        for holdout in _readable(
            "holdout", holdout_of, connection.execute(query.order_by(holdouts.c.id)), unknown
        )
    )


def _readable(
    what: str, read: Callable[[sa.Row[Any]], Kept], rows: Iterable[sa.Row[Any]], unknown: list[str]
) -> Iterator[Kept]:
    """Those that can be read; the others are named in `unknown`."""
    for row in rows:
        try:
            yield read(row)
        except DefinitionUnreadable as error:
            unknown.append(f"{what} {row.name!r}: {error}")
