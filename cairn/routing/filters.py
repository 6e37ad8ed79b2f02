"""Destination filters: an FQL condition, and what happens to messages that it holds for. Pure.

Source: contracts/segment.md section 4 (order) and 3.3 (the same rules for the browser's client).
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from cairn.routing.fql.browser import NotForBrowser, browser_ir, browser_path
from cairn.routing.fql.evaluate import holds
from cairn.routing.message import Message
from cairn.routing.paths import Path, changed_at, path_text, value_at, without_all
from cairn.routing.sampling import is_kept
from cairn.routing.typed_texts import FieldPath, Fql

Action = Literal["sample", "drop", "drop_properties", "allow_properties"]
MOST_FILTERS = 10  # of a connection
# The order in which filters are applied, whatever order they are written in.
_ORDER: tuple[Action, ...] = ("sample", "drop", "drop_properties", "allow_properties")
# What delivery itself needs of a message.
PROTECTED = frozenset(("type", "messageId", "timestamp"))
Percent = Annotated[float, Meta(ge=0, le=100)]


class Filter(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    condition: Fql
    action: Action = "drop"
    name: str = ""
    is_enabled: bool = True
    properties: Annotated[
        tuple[FieldPath, ...], Meta(max_length=200)
    ] = ()  # of drop_properties and allow_properties
    percent: Percent = 100  # of sample: so many of those that the condition holds for are kept
    path: FieldPath = FieldPath("")  # of sample: the same value there is decided alike; empty: by the message

    def __post_init__(self) -> None:
        """Raises ValueError for what is missing."""
        if self.action not in ("drop_properties", "allow_properties"):
            return
        if not self.properties:
            raise ValueError(f"properties: {self.action} needs at least one path")
        for field in self.properties:
            check_droppable(field)
            if self.action == "allow_properties" and len(field.path) == 1:
                raise ValueError(f"properties: {field.text} must be inside an object, as properties.plan is")


def check_droppable(field: FieldPath) -> None:
    """Raises ValueError."""
    if field.path and field.path[0] in PROTECTED:
        raise ValueError(f"{field.text}: a message keeps its {field.path[0]}")


def in_order(filters: Sequence[Filter]) -> list[Filter]:
    return sorted((rule for rule in filters if rule.is_enabled), key=lambda rule: _ORDER.index(rule.action))


def filtered(message: Message, filters: Sequence[Filter]) -> Message | Filter:
    """What filters leave of a message, or the filter that leaves nothing of it."""
    body = message.body
    for rule in in_order(filters):
        if holds(rule.condition.test, body):
            left = _applied(rule, message, body)
            if left is None:
                return rule
            body = left
    return message if body is message.body else message.with_body(body)


def _applied(rule: Filter, message: Message, body: dict[str, Any]) -> dict[str, Any] | None:
    match rule.action:
        case "drop":
            return None
        case "sample":
            by = value_at(body, rule.path.path) if rule.path.path else message.message_id
            return body if is_kept(by, rule.percent) else None
        case "drop_properties":
            body = without_all(body, (field.path for field in rule.properties))
        case "allow_properties":
            for parent, names in _by_parent(rule.properties).items():
                body = changed_at(body, parent, partial(_only, names))
    return body


def _only(names: Sequence[str], holder: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in holder.items() if key in names}


def _by_parent(fields: Sequence[FieldPath]) -> dict[Path, list[str]]:
    parents: dict[Path, list[str]] = {}
    for field in fields:
        parents.setdefault(field.path[:-1], []).append(field.path[-1])
    return parents


def routing_rules(destination: str, filters: Sequence[Filter]) -> list[dict[str, Any]]:
    """For `middlewareSettings.routingRules` of the browser's settings. Raises NotForBrowser, naming the filter."""
    rules = in_order(filters)
    if not rules:
        return []
    return [
        {
            "destinationName": destination,
            "scope": "destinations",
            "target_type": "workspace::project::destination::config",
            "matchers": [_matcher(rule) for rule in rules],
            "transformers": [[_transformer(rule)] for rule in rules],
        }
    ]


def _matcher(rule: Filter) -> dict[str, Any]:
    try:
        ir = browser_ir(rule.condition.test)
    except NotForBrowser as refused:
        raise NotForBrowser(f"filter {rule.name or rule.condition.text}: {refused}") from refused
    return {
        "type": "fql",
        "ir": json.dumps(ir, separators=(",", ":")),
        "config": {"expr": rule.condition.text},
    }


def _transformer(rule: Filter) -> dict[str, Any]:
    match rule.action:
        case "drop":
            return {"type": "drop"}
        case "sample":
            if rule.path.path and 0 < rule.percent < 100:
                raise NotForBrowser(
                    f"filter {rule.name or rule.condition.text}: the browser's client keeps every event of a sample by "
                    f"{path_text(rule.path.path)}; leave the path empty, or use cloud mode"
                )
            return {"type": "sample_event", "config": {"sample": {"percent": rule.percent / 100, "path": ""}}}
        case "drop_properties" | "allow_properties":
            kept = {browser_path(parent): names for parent, names in _by_parent(rule.properties).items()}
            return {"type": rule.action, "config": {rule.action.removesuffix("_properties"): kept}}
