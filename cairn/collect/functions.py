"""JavaScript snapshots on their way to the page: each function is a file of its own, the configuration names it.

So a page's content-security policy need not allow eval, and a function that does not parse breaks nothing else.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

Configuration = Mapping[str, Any]  # Any: what heap_config.js carries, section 4.2 of the contract


def functions_of(configuration: Configuration) -> dict[str, str]:
    """The bodies of an environment's functions by id."""
    return {_id(body): body for rule in _rules(configuration) for body in rule.get("j", {}).values()}


def without_bodies(configuration: Configuration) -> Configuration:
    """The configuration as a page gets it: with ids where the bodies were."""
    snapshots = {
        trigger: {place: _named(rule) for place, rule in places.items()}
        for trigger, places in configuration.get("snapshots", {}).items()
    }
    return {**configuration, "snapshots": snapshots} if snapshots else configuration


def without_functions(configuration: Configuration) -> Configuration:
    """For pages of our own origin: what customers write never runs beside the pages people are signed in to."""
    snapshots = {
        trigger: {
            place: {reading: named for reading, named in rule.items() if reading != "j"}
            for place, rule in places.items()
        }
        for trigger, places in configuration.get("snapshots", {}).items()
    }
    return {**configuration, "snapshots": snapshots} if snapshots else configuration


def file_of(identifier: str, body: str) -> bytes:
    """What `browser/capture/snapshots.ts` calls. A comment at the end of the body must not swallow the brace."""
    return f'cairn.boot["{identifier}"]=function(element){{\n{body}\n}}'.encode()


def _rules(configuration: Configuration) -> Iterator[dict[str, Any]]:
    for places in configuration.get("snapshots", {}).values():
        yield from places.values()


def _named(rule: dict[str, Any]) -> dict[str, Any]:
    return {**rule, "j": {name: _id(body) for name, body in rule["j"].items()}} if "j" in rule else rule


def _id(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:20]
