"""What each merged id brought to its user: events, and the property values that show because of it.

So a merge says what it changed, and an un-merge what it will change back.
"""

from collections import defaultdict

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.query.asker import Asker
from cairn.analysis.query.plan import Plan, events
from cairn.analysis.user_questions import of_users
from cairn.analysis.users import raw_ids
from cairn.query.behaviour import BEHAVIOUR
from cairn.query.captured import MOST_SHOWN
from cairn.query.newest import NEWEST_VALUE
from cairn.query.scope import Scope
from cairn.store.schema import IDENTITY_KEY, INITIAL
from cairn.store.store import Row

MOST_VALUES = 20_000  # of the shown ids, all together


class Brought(Struct, frozen=True):
    """A property whose value came with this id."""

    key: str
    value: str
    without: str | None  # what it would be without this id; None: nothing


class MergedId(Struct, frozen=True):
    user_id: int
    events: int  # behaviour only
    first_ms: int  # 0: none
    last_ms: int
    properties: list[Brought]


class _Did(Struct, frozen=True):
    """Raw user -> how much it did, when first and when last."""

    raw_ids: tuple[int, ...]

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT user_id, count(), toUnixTimestamp64Milli(min(time)), toUnixTimestamp64Milli(max(time))
            FROM {events(plan, scope, of_users(self.raw_ids, scope), BEHAVIOUR)} GROUP BY user_id
        """

    def answer(self, rows: list[Row]) -> dict[int, tuple[int, int, int]]:
        return {int(raw): (int(count), int(first), int(last)) for raw, count, first, last in rows}


class _Brought(Struct, frozen=True):
    """Raw user -> the properties whose values show because of it."""

    raw_ids: tuple[int, ...]

    def plan(self) -> Plan:
        return Plan()

    def select(self, _plan: Plan, scope: Scope) -> str:
        own = scope.bindings.text(IDENTITY_KEY)
        return f"""
            SELECT key, user_id, {NEWEST_VALUE}, max(version)
            FROM {scope.user_properties(of_users(self.raw_ids, scope), f"key != {own}")}
            GROUP BY key, user_id ORDER BY key LIMIT {MOST_VALUES}
        """

    def answer(self, rows: list[Row]) -> dict[int, list[Brought]]:
        by_key: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for key, raw, value, version in rows:
            by_key[str(key)].append((int(version), int(raw), str(value)))
        brought_by_raw: defaultdict[int, list[Brought]] = defaultdict(list)
        for key, values in sorted(by_key.items(), key=lambda item: item[0] in INITIAL):  # those are said last
            values.sort(reverse=True)
            _, raw, value = values[0]
            without = values[1][2] if len(values) > 1 else None
            if value and value != without:
                brought_by_raw[raw].append(Brought(key, value, without or None))
        return brought_by_raw


def merged_ids(asker: Asker, connection: sa.Connection, user_id: int) -> tuple[list[MergedId], int]:
    """The raw ids of a canonical user, its own first, then rising; the first hundred, and how many more there are."""
    raws = raw_ids(connection, asker.environment_id, user_id)
    others = [raw for raw in raws if raw != user_id]
    ids = (user_id, *others)[:MOST_SHOWN]
    did, brought = asker.ask(_Did(ids)), asker.ask(_Brought(ids))
    shown = [MergedId(raw, *did.get(raw, (0, 0, 0)), brought.get(raw, [])[:MOST_SHOWN]) for raw in ids]
    return shown, len(raws) - len(ids)
