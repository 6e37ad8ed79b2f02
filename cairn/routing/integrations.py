"""The `integrations` object of a call: which destinations its sender wants it to reach. Pure.

Source: contracts/segment.md 1.5. Names are case-sensitive and are the destinations' own.
"""

from collections.abc import Iterable
from typing import Any

ALL = "All"
# Keys of an integrations object that name no destination: the browser client puts its own name there.
_NOT_DESTINATIONS = frozenset((ALL, "Segment.io"))


def is_allowed(value: Any) -> bool:  # Any: foreign JSON
    """Of one destination's entry. An object allows, also an empty one: it carries options."""
    return isinstance(value, dict) or bool(value)


def choice(integrations: Any, name: str, *, is_storage: bool = False) -> bool | None:
    """What is said of a destination: by its own name, else by `All`; None: nothing."""
    if not isinstance(integrations, dict):
        return None
    if name in integrations:
        return is_allowed(integrations[name])
    if ALL in integrations and not is_storage:
        return is_allowed(integrations[ALL])
    return None


def options(integrations: Any, name: str) -> dict[str, Any]:
    """What the sender passes to a destination with its entry."""
    value = integrations.get(name) if isinstance(integrations, dict) else None
    return value if isinstance(value, dict) else {}


def warnings(integrations: Any, known: Iterable[str]) -> list[str]:
    """About names that no destination has. `known`: the names of all destinations of the catalogue."""
    if not isinstance(integrations, dict):
        return []
    names = frozenset(known)
    by_lower = {name.lower(): name for name in (*names, ALL)}
    return [
        _warning(name, by_lower.get(name.lower()))
        for name in list(integrations)[:_MOST_WARNINGS]
        if name not in names and name not in _NOT_DESTINATIONS
    ]


# Of one call; a person reads no more.
_MOST_WARNINGS = 20


def _warning(name: str, meant: str | None) -> str:
    shown = name[:100]
    if meant:
        return f"integrations.{shown}: names are case-sensitive; write {meant!r}"
    return f"integrations.{shown}: no destination has this name, so it has no effect"
