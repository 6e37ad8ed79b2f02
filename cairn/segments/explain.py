"""Why a user is in a segment, or is not: the condition's tree with an answer and the evidence at every node.

The answers come from the very SQL that decides membership; the evidence is read beside it.
"""

from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct

from cairn.clock import to_ms
from cairn.conditions.clause import event_clause, time_clause
from cairn.conditions.to_sql import Users, only
from cairn.conditions.tree import And, Condition, Did, Not, Or, UserProperty
from cairn.conditions.walk import leaves
from cairn.definitions.matching import Definitions
from cairn.errors import NotFound
from cairn.event import Element
from cairn.identity.merges import canonical, raw_ids
from cairn.query.captured import FACTS_MAP, with_element
from cairn.query.elements import read_elements
from cairn.query.scope import Scope
from cairn.store.store import Store

LATEST = 5  # events shown as evidence


class CountedEvent(Struct, frozen=True):
    """An event that counted."""

    event_id: int
    time: datetime
    kind: str
    name: str
    properties: dict[str, str]
    facts: dict[str, str]
    element: Element | None


class Why(Struct, frozen=True):
    """One node of the condition for one user."""

    condition: Condition
    holds: bool
    nodes: tuple["Why", ...] = ()  # of and, or, not
    value: str | None = None  # of a user property: its newest value; None: not set
    set_at: datetime | None = None
    count: int = 0  # of events: how many counted
    latest: tuple[CountedEvent, ...] = ()


class UserNotFound(NotFound):
    """No event and no property of such a user is stored in this environment."""

    code = "user_not_found"


def explain(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    canonical_id: int,
    condition: Condition,
    now: datetime,
    definitions: Definitions | None = None,
) -> Why:
    """A merged id stands for its user. Raises UserNotFound, and ConditionNotAccepted for leaves only flags know."""
    user = canonical(connection, environment_id, [canonical_id]).get(canonical_id, canonical_id)
    resolve = (definitions or Definitions(store)).resolve
    resolved: dict[Condition, Condition] = {
        leaf: resolve(connection, environment_id, leaf) for leaf in dict.fromkeys(leaves(condition))
    }
    raws = raw_ids(connection, environment_id, [user])
    return _Evidence(store, environment_id, raws, now, resolved).why(condition)


class _Evidence:
    def __init__(
        self,
        store: Store,
        environment_id: int,
        raws: dict[int, list[int]],
        now: datetime,
        resolved: dict[Condition, Condition],
    ) -> None:
        self._resolved = resolved  # each leaf with its defined event as it is now
        self._store, self._environment_id, self._now_ms = store, environment_id, to_ms(now)
        self._raws = raws
        self._holds: dict[Condition, bool] = {}
        self._properties: dict[str, tuple[str, datetime]] = {}

    def why(self, condition: Condition) -> Why:
        known_leaves = tuple(self._resolved)
        statement = only(
            self._environment_id, [*self._resolved.values(), And(())], self._now_ms, Users(self._raws)
        )
        rows = self._store.query(statement)
        if not rows:
            user = next(iter(self._raws))
            raise UserNotFound(f"no event and no property of user {user} is stored", field="user_id")
        self._holds = {leaf: bool(answer) for leaf, answer in zip(known_leaves, rows[0][2:], strict=False)}
        self._properties = self._newest({leaf.key for leaf in known_leaves if isinstance(leaf, UserProperty)})
        return self._why(condition)

    def _why(self, node: Condition) -> Why:
        match node:
            case And(nodes):
                parts = tuple(self._why(child) for child in nodes)
                return Why(node, all(part.holds for part in parts), parts)
            case Or(nodes):
                parts = tuple(self._why(child) for child in nodes)
                return Why(node, any(part.holds for part in parts), parts)
            case Not(child):
                inner = self._why(child)
                return Why(node, not inner.holds, (inner,))
            case UserProperty():
                value, set_at = self._properties.get(node.key, (None, None))
                return Why(node, self._holds[node], value=value, set_at=set_at)
            case Did():
                count, latest = self._counted(node)
                return Why(node, self._holds[node], count=count, latest=latest)
            case _:
                raise AssertionError("leaves that only flags know were refused by `only`")

    def _newest(self, keys: set[str]) -> dict[str, tuple[str, datetime]]:
        if not keys:
            return {}
        scope = Scope(self._environment_id)
        properties = scope.user_properties("key IN {keys:Array(String)}", "user_id IN {raws:Array(UInt64)}")
        sql = f"""SELECT key, argMax(value, version), argMax(user_properties.time, version)
                  FROM {properties} GROUP BY key"""
        rows = self._store.query(scope.statement(sql, keys=sorted(keys), raws=self._all_raws()))
        return {key: (value, set_at) for key, value, set_at in rows}

    def _counted(self, node: Did) -> tuple[int, tuple[CountedEvent, ...]]:
        scope = Scope(self._environment_id)
        resolved = self._resolved[node]
        assert isinstance(resolved, Did)
        events = scope.events(
            event_clause(resolved.event, scope.bindings),
            time_clause(node.window, self._now_ms, scope.bindings),
            "user_id IN {raws:Array(UInt64)}",
        )
        sql = f"""SELECT count() OVER (), event_id, time, kind, name, properties, {FACTS_MAP}, element
                  FROM {events} ORDER BY time DESC, log_position DESC, event_id LIMIT {LATEST}"""
        rows = self._store.query(scope.statement(sql, raws=self._all_raws()))
        elements = read_elements(self._store, self._environment_id, (row[-1] for row in rows))
        latest = tuple(CountedEvent(*with_element(row[1:], elements)) for row in rows)
        return (rows[0][0] if rows else 0), latest

    def _all_raws(self) -> list[int]:
        return [raw for raws in self._raws.values() for raw in raws]
