"""Rows of the metadata database as flags and rules, and back. The tables keep what is asked for in columns."""

from typing import Annotated, Any, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Meta, Struct

from cairn.conditions.tree import NOBODY, Condition
from cairn.errors import Misconfigured
from cairn.flags.model import Allocation, Flag, Forced, Group, Holdout, Metric, Rule, Variable, Variation

Kept = TypeVar("Kept")


class DefinitionUnreadable(Misconfigured):
    """A stored flag, rule, group or holdout cannot be read: written by a newer release, or damaged. Restore it."""

    code = "definition_unreadable"


_PARTS: dict[str, Any] = {
    "variables": tuple[Variable, ...],
    "variations": Annotated[tuple[Variation, ...], Meta(min_length=1)],
    "metrics": tuple[Metric, ...],
}


class _RuleBody(Struct, frozen=True):
    """The part of a rule that has no column. A body without one of the first three says nothing of who gets what."""

    condition: Condition
    traffic: float
    allocations: Annotated[tuple[Allocation, ...], Meta(min_length=1)]
    salt: str = ""
    whitelist: tuple[Forced, ...] = ()
    campaign_number: int = 0
    campaign_key: str = ""
    visitor_ids_are_uuids: bool = False


def rule_of(row: sa.Row[Any]) -> Rule:
    """One that cannot be read is a rule all the same, for nobody: it can be looked at, repaired and deleted."""
    try:
        body, unreadable = _read(row.body, _RuleBody), ""
    except DefinitionUnreadable as error:
        body, unreadable = _RuleBody(NOBODY, 0, ()), str(error)
    return Rule(
        id=row.id,
        kind=row.kind,
        key=row.key,
        name=row.name,
        is_on=row.is_on,
        unreadable=unreadable,
        **{name: getattr(body, name) for name in _RuleBody.__struct_fields__},
    )


def rule_columns(rule: Rule) -> dict[str, Any]:
    body = _RuleBody(**{name: getattr(rule, name) for name in _RuleBody.__struct_fields__})
    return {"kind": rule.kind, "key": rule.key, "name": rule.name, "is_on": rule.is_on, "body": body}


def flag_of(row: sa.Row[Any]) -> Flag:
    """A row of `flags` as a flag without rules. Parts that cannot be read are empty, and named in `unreadable`."""
    parts: dict[str, Any] = {"variables": (), "variations": (), "metrics": ()}
    unreadable: dict[str, str] = {}
    for name, kind in _PARTS.items():
        try:
            parts[name] = _read(getattr(row, name), kind)
        except DefinitionUnreadable as error:
            unreadable[name] = str(error)
    return Flag(
        id=row.id,
        key=row.key,
        name=row.name,
        description=row.description,
        lifetime=row.lifetime,
        unreadable=unreadable,
        **parts,
    )


def flag_columns(flag: Flag) -> dict[str, Any]:
    names = ("key", "name", "description", "lifetime", "variables", "variations", "metrics")
    return {name: getattr(flag, name) for name in names}


def group_of(row: sa.Row[Any]) -> Group:
    return _read(_with_columns(row), Group, str_keys=True)


def holdout_of(row: sa.Row[Any]) -> Holdout:
    return _read(_with_columns(row), Holdout)


def _with_columns(
    row: sa.Row[Any],
) -> Any:  # Any: a document, or what is not an object and is refused as it is
    return {"id": row.id, "name": row.name, **row.body} if isinstance(row.body, dict) else row.body


def _read(stored: Any, kind: type[Kept], *, str_keys: bool = False) -> Kept:  # Any: a Json column's content
    try:
        return msgspec.convert(stored, kind, str_keys=str_keys)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DefinitionUnreadable(f"what is stored cannot be read: {error}") from error
