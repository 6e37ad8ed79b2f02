"""Snapshots: a property read from the page at the moment an event fires there. Not retroactive.

Source: contracts/heap.md 4.2 (`snapshots`) and section 9.
"""

import re
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import snapshots
from cairn.errors import Conflict, InvalidInput, LimitExceeded, NotFound

Trigger = Literal["click", "change", "submit", "pageview"]
Reading = Literal["text", "attribute", "value", "javascript"]
TRIGGERS: tuple[Trigger, ...] = ("click", "change", "submit", "pageview")
READINGS: tuple[Reading, ...] = ("text", "attribute", "value", "javascript")
THIS = "${this}"  # stands for the element that fired

LONGEST_NAME = 255  # characters
LONGEST_SELECTOR = 500  # characters
LONGEST_FUNCTION = 5_000  # characters
MOST_SNAPSHOTS = 200  # per environment: every page load carries them
_RETURNS = re.compile(r"\breturn\b")
_CLOSES = {"(": ")", "[": "]"}


class NewSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    name: str  # of the property it sets
    trigger: Trigger
    place: str  # CSS selector of the element acted on; for pageview a page pattern
    reading: Reading
    target: str  # CSS selector of what is read, or ${this}; for javascript the body of a function
    attribute: str = ""  # for reading attribute


class Snapshot(NewSnapshot, frozen=True, kw_only=True):
    id: int


class SnapshotNotFound(NotFound):
    """There is no such snapshot in this environment."""

    code = "snapshot_not_found"


class SnapshotTaken(Conflict):
    """The same trigger and place set this property already. Change that snapshot, or use another name."""

    code = "snapshot_taken"


class BadSelector(InvalidInput):
    """A selector is CSS as browsers read it: `form.checkout input[name=plan]`. The message says what is wrong."""

    code = "bad_selector"


class JavascriptNotAllowed(InvalidInput):
    """JavaScript snapshots are off. An owner can switch them on in the environment's privacy settings."""

    code = "javascript_not_allowed"


def list_snapshots(connection: sa.Connection, environment_id: int) -> list[Snapshot]:
    query = sa.select(snapshots).where(snapshots.c.environment_id == environment_id).order_by(snapshots.c.id)
    return [_snapshot(row) for row in connection.execute(query)]


def get_snapshot(connection: sa.Connection, environment_id: int, snapshot_id: int) -> Snapshot:
    """Raises SnapshotNotFound."""
    query = sa.select(snapshots).where(
        snapshots.c.environment_id == environment_id, snapshots.c.id == snapshot_id
    )
    row = connection.execute(query).first()
    if row is None:
        raise SnapshotNotFound(f"no snapshot {snapshot_id} in this environment")
    return _snapshot(row)


def add_snapshot(
    connection: sa.Connection,
    environment_id: int,
    new: NewSnapshot,
    now: datetime,
    *,
    may_run_javascript: bool,
) -> Snapshot:
    """Raises InvalidInput, BadSelector, JavascriptNotAllowed, SnapshotTaken and LimitExceeded."""
    values = _checked(new, may_run_javascript=may_run_javascript)
    count = sa.select(sa.func.count()).where(snapshots.c.environment_id == environment_id)
    if connection.execute(count).scalar_one() >= MOST_SNAPSHOTS:
        raise LimitExceeded(f"an environment has at most {MOST_SNAPSHOTS} snapshots; delete one")
    _check_free(connection, environment_id, values)
    inserted = (
        sa.insert(snapshots)
        .values(environment_id=environment_id, created_at=now, updated_at=now, **values)
        .returning(*snapshots.c)
    )
    return _snapshot(connection.execute(inserted).one())


def change_snapshot(
    connection: sa.Connection,
    environment_id: int,
    snapshot_id: int,
    new: NewSnapshot,
    now: datetime,
    *,
    may_run_javascript: bool,
) -> Snapshot:
    """Raises what `add_snapshot` raises, and SnapshotNotFound."""
    get_snapshot(connection, environment_id, snapshot_id)
    values = _checked(new, may_run_javascript=may_run_javascript)
    _check_free(connection, environment_id, values, besides=snapshot_id)
    connection.execute(
        sa.update(snapshots).where(snapshots.c.id == snapshot_id).values(updated_at=now, **values)
    )
    return get_snapshot(connection, environment_id, snapshot_id)


def delete_snapshot(connection: sa.Connection, environment_id: int, snapshot_id: int) -> None:
    """Raises SnapshotNotFound. What it has read stays with its events."""
    get_snapshot(connection, environment_id, snapshot_id)
    connection.execute(sa.delete(snapshots).where(snapshots.c.id == snapshot_id))


def _checked(new: NewSnapshot, *, may_run_javascript: bool) -> dict[str, str]:
    """The columns of a snapshot that can be kept. Raises InvalidInput, BadSelector and JavascriptNotAllowed."""
    name = new.name.strip()
    if not 0 < len(name) <= LONGEST_NAME or any(ord(c) < 32 for c in name):
        raise InvalidInput(f"name: 1 to {LONGEST_NAME} characters are accepted", field="name")
    if new.trigger not in TRIGGERS:
        raise InvalidInput(f"trigger: expected one of {', '.join(TRIGGERS)}", field="trigger")
    if new.reading not in READINGS:
        raise InvalidInput(f"reading: expected one of {', '.join(READINGS)}", field="reading")
    if new.reading == "javascript":
        if not may_run_javascript:
            raise JavascriptNotAllowed("reading: JavaScript snapshots are off here", field="reading")
        target = check_function(new.target)
    else:
        target = check_selector(new.target, "target", is_this_allowed=True)
    attribute = new.attribute.strip() if new.reading == "attribute" else ""
    if new.reading == "attribute" and (
        not 0 < len(attribute) <= 100 or not all(c.isalnum() or c in "-_:." for c in attribute)
    ):
        raise InvalidInput(
            "attribute: name the HTML attribute to read, for instance data-plan", field="attribute"
        )
    if new.trigger == "pageview":
        place = new.place.strip()
        if not 0 < len(place) <= LONGEST_SELECTOR or any(c.isspace() or c in "?#" for c in place):
            raise InvalidInput("place: for pageviews a path such as /checkout/*", field="place")
    else:
        place = check_selector(new.place, "place")
    return {
        "name": name,
        "trigger": new.trigger,
        "place": place,
        "reading": new.reading,
        "target": target,
        "attribute": attribute,
    }


def check_function(text: str) -> str:
    """The body, trimmed. Raises InvalidInput. Whether it parses only the browser can say."""
    body = text.strip()
    if not 0 < len(body) <= LONGEST_FUNCTION:
        raise InvalidInput(f"target: 1 to {LONGEST_FUNCTION} characters are accepted", field="target")
    if not _RETURNS.search(body):
        raise InvalidInput(
            "target: the body of a function returns what it reads: return element.dataset.plan",
            field="target",
        )
    return body


def check_selector(text: str, field: str, *, is_this_allowed: bool = False) -> str:
    """The selector, trimmed. Raises BadSelector. Only what no browser could read is refused: brackets and quotes."""
    selector = text.strip()
    if is_this_allowed and selector == THIS:
        return selector
    if not selector:
        raise BadSelector(f"{field}: a CSS selector is needed", field=field)
    if len(selector) > LONGEST_SELECTOR:
        raise BadSelector(f"{field}: a selector may have {LONGEST_SELECTOR} characters", field=field)
    if any(ord(c) < 32 or c in "{};" for c in selector) or "${" in selector:
        raise BadSelector(f"{field}: {selector[:60]!r} is not a CSS selector", field=field)
    _check_pairs(selector, field)
    return selector


def _check_pairs(selector: str, field: str) -> None:
    """Raises BadSelector for a bracket or quote without its other half."""
    waiting: list[str] = []
    quote = ""
    for index, character in enumerate(selector):
        if index and selector[index - 1] == "\\":
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _CLOSES:
            waiting.append(_CLOSES[character])
        elif character in _CLOSES.values() and (not waiting or waiting.pop() != character):
            raise BadSelector(f"{field}: {character!r} closes nothing in {selector[:60]!r}", field=field)
    if waiting or quote:
        raise BadSelector(f"{field}: {(quote or waiting[-1])!r} is missing in {selector[:60]!r}", field=field)


def _check_free(
    connection: sa.Connection, environment_id: int, values: dict[str, str], *, besides: int = 0
) -> None:
    same = [snapshots.c[name] == values[name] for name in ("trigger", "place", "name")]
    query = sa.select(snapshots.c.id).where(
        snapshots.c.environment_id == environment_id, snapshots.c.id != besides, *same
    )
    if connection.execute(query).first():
        raise SnapshotTaken(
            f"name: {values['name']!r} is set by another snapshot of the same trigger and place", field="name"
        )


def _snapshot(row: sa.Row[tuple[object, ...]]) -> Snapshot:
    return Snapshot(**{name: getattr(row, name) for name in Snapshot.__struct_fields__})
