"""What events looked like, and a tracking plan made of it: names, properties with types, what is always there. Pure.

A proposal for a person to read, so it only says what was seen often enough to be meant.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from cairn.routing.fql.evaluate import type_name
from cairn.routing.json_schema import SchemaRefused
from cairn.routing.message import Message
from cairn.routing.paths import Path
from cairn.routing.plan import CheckedSchema, Plan, PlannedKind, Rule

# Of what is remembered: events by kind and name, properties of one event with those inside, and levels of them. What is
# beyond is not proposed. So a sender who makes up names fills no memory.
MOST_EVENTS, MOST_PROPERTIES, MOST_LEVELS = 500, 200, 4
_LONGEST_NAME = 200  # characters
# A property is required when every event had it, and there were so many.
_ENOUGH = 20
_TRAITS = "traits"
_OBJECT_OF = {"track": "properties", "page": "properties", "screen": "properties"}
_KINDS: dict[str, PlannedKind] = {
    "track": "track",
    "identify": "identify",
    "group": "group",
    "page": "page",
    "screen": "screen",
}
_JSON_TYPES = {"bool": "boolean", "list": "array"}


class SeenEvent(Struct):
    """Of one kind and name. By path: in how many events it was, with which types; the empty path is the whole."""

    counts: dict[Path, int] = field(default_factory=dict)
    objects: dict[Path, int] = field(default_factory=dict)  # in how many it was an object
    types: dict[Path, set[str]] = field(default_factory=dict)

    def add(self, value: dict[str, Any]) -> None:
        for path, inner in _members(value, ()):
            if path not in self.counts and len(self.counts) > MOST_PROPERTIES:
                continue
            self.counts[path] = self.counts.get(path, 0) + 1
            self.types.setdefault(path, set()).add(_json_type(inner))
            if isinstance(inner, dict):
                self.objects[path] = self.objects.get(path, 0) + 1


Seen = dict[tuple[PlannedKind, str], SeenEvent]


def add_seen(seen: Seen, messages: Iterable[Message]) -> None:
    """Remember what these messages look like."""
    for message in messages:
        kind = _KINDS.get(message.kind)
        if kind is None or len(message.event) > _LONGEST_NAME:
            continue
        key = (kind, message.event)
        if key in seen or len(seen) < MOST_EVENTS:
            value = message.body.get(_OBJECT_OF.get(kind, _TRAITS))
            seen.setdefault(key, SeenEvent()).add(value if isinstance(value, dict) else {})


def _members(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict) and len(path) < MOST_LEVELS:
        for name, inner in value.items():
            if len(name) <= _LONGEST_NAME:
                yield from _members(inner, (*path, name))


def plan_from_seen(name: str, seen: Seen) -> Plan:
    """By kind and name. Nothing is blocked or left out by it before somebody says so."""
    return Plan(
        name, tuple(_rule(kind, key, event) for (kind, key), event in sorted(seen.items(), key=_order))
    )


def _order(item: tuple[tuple[PlannedKind, str], SeenEvent]) -> tuple[str, str]:
    return item[0]


def _rule(kind: PlannedKind, key: str, seen: SeenEvent) -> Rule:
    """With as many levels as a schema may have bytes."""
    for levels in range(MOST_LEVELS, -1, -1):
        planned = {_OBJECT_OF.get(kind, _TRAITS): _schema(seen, (), levels)}
        try:
            return Rule(CheckedSchema({"type": "object", "properties": planned}), key, kind)
        except SchemaRefused:
            continue
    return Rule(CheckedSchema(True), key, kind)


def _schema(seen: SeenEvent, path: Path, levels: int) -> dict[str, Any]:
    types = sorted(seen.types[path])
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    members = sorted(known for known in seen.counts if known[:-1] == path and known)
    if not members or not levels:
        return schema
    schema["properties"] = {member[-1]: _schema(seen, member, levels - 1) for member in members}
    total = seen.objects[path]
    required = [member[-1] for member in members if seen.counts[member] == total >= _ENOUGH]
    return {**schema, "required": required} if required else schema


def _json_type(value: Any) -> str:
    name = type_name(value)
    return _JSON_TYPES.get(name, name)
