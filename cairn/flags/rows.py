"""Rows of the metadata database as flags and rules, and back. The tables keep what is asked for in columns."""

from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.conditions.tree import EVERYBODY, Condition
from cairn.errors import Misconfigured
from cairn.flags.model import Allocation, Flag, Forced, Group, Holdout, Metric, Rule, Variable, Variation

Kept = TypeVar("Kept")


class DefinitionUnreadable(Misconfigured):
    """A stored flag, rule, group or holdout cannot be read: written by a newer release, or damaged. Restore it."""

    code = "definition_unreadable"


class _RuleBody(Struct, frozen=True):
    """The part of a rule that has no column."""

    condition: Condition = EVERYBODY
    traffic: float = 100
    allocations: tuple[Allocation, ...] = ()
    salt: str = ""
    whitelist: tuple[Forced, ...] = ()
    campaign_number: int = 0
    campaign_key: str = ""
    visitor_ids_are_uuids: bool = False


def rule_of(row: sa.Row[Any]) -> Rule:
    body = _read(row.body, _RuleBody)
    return Rule(
        id=row.id,
        kind=row.kind,
        key=row.key,
        name=row.name,
        is_on=row.is_on,
        **{name: getattr(body, name) for name in _RuleBody.__struct_fields__},
    )


def rule_columns(rule: Rule) -> dict[str, Any]:
    body = _RuleBody(**{name: getattr(rule, name) for name in _RuleBody.__struct_fields__})
    return {"kind": rule.kind, "key": rule.key, "name": rule.name, "is_on": rule.is_on, "body": body}


def flag_of(row: sa.Row[Any]) -> Flag:
    """A row of `flags` as a flag without rules."""
    return Flag(
        id=row.id,
        key=row.key,
        name=row.name,
        description=row.description,
        lifetime=row.lifetime,
        variables=_read(row.variables, tuple[Variable, ...]),
        variations=_read(row.variations, tuple[Variation, ...]),
        metrics=_read(row.metrics, tuple[Metric, ...]),
    )


def flag_columns(flag: Flag) -> dict[str, Any]:
    names = ("key", "name", "description", "lifetime", "variables", "variations", "metrics")
    return {name: getattr(flag, name) for name in names}


def group_of(row: sa.Row[Any]) -> Group:
    return _read({"id": row.id, "name": row.name, **row.body}, Group, str_keys=True)


def holdout_of(row: sa.Row[Any]) -> Holdout:
    return _read({"id": row.id, "name": row.name, **row.body}, Holdout)


def _read(stored: Any, kind: type[Kept], *, str_keys: bool = False) -> Kept:  # Any: a Json column's content
    try:
        return msgspec.convert(stored, kind, str_keys=str_keys)
    except msgspec.ValidationError as error:
        raise DefinitionUnreadable(f"a stored {kind} cannot be read: {error}") from error
