"""One question to the event store for what many conditions need to know of some users.

Its text does not grow with the conditions. Events come grouped by what conditions tell them apart by (kind, name,
element, the values of the properties that filters name, the span of time), each group with its size and its newest
times; user properties come as their newest values. What the conditions make of them is decided in Python (`leaves`).
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import sqlalchemy as sa

from cairn.conditions.check import ConditionNotAccepted
from cairn.conditions.clause import fact
from cairn.conditions.due import NEVER_MS
from cairn.identity.merges import raw_ids
from cairn.query.behaviour import BEHAVIOUR, NOT_BEHAVIOUR
from cairn.query.bindings import Bindings
from cairn.query.scope import Scope
from cairn.query.time_range import TIME_MS, TimeRange
from cairn.query.user_rows import exist
from cairn.segments.leaves import Alternative, Facts, Happened, Moment, Ready, Source
from cairn.store.schema import FIRST_SEEN_KEY, IDENTITY_KEY, INITIAL
from cairn.store.statement import Statement
from cairn.store.store import Row, Store

# Rows of an answer; a second's work to read. More means properties with a value for every event.
MOST_ROWS = 50_000
# Different lengths of history read in one question; more of them read as far as the next longer.
MOST_REACHES = 6


class TooManyRows(Exception):
    """The users did too many different things: ask about fewer, or another way."""


def facts_of(
    store: Store,
    connection: sa.Connection,
    environment_id: int,
    conditions: Sequence[Ready],
    users: Set[int],
    known_users: Set[int],
    now_ms: int,
) -> dict[int, Facts]:
    """Shape: canonical user -> facts. One of whom nothing is found is there only when known to exist.

    `known`: users that are sure to exist. Raises TooManyRows.
    """
    question = _Question(conditions, now_ms)
    raws = raw_ids(connection, environment_id, users)
    rows = store.query(question.statement(environment_id, tuple(raw for ids in raws.values() for raw in ids)))
    if len(rows) > MOST_ROWS:
        raise TooManyRows
    leads = {raw: user for user, ids in raws.items() for raw in ids}
    facts = question.read(rows, leads)
    missing = users - facts.keys()
    if missing and any(condition.holds_for_unknown_users for condition in conditions):
        unsure = [raw for user in missing - known_users for raw in raws[user]]
        existing = {leads[raw] for raw in exist(store, environment_id, unsure)}
        for user in missing & (existing | known_users):
            facts[user] = Facts(question.moment)
    return facts


class _Question:
    def __init__(self, conditions: Sequence[Ready], now_ms: int) -> None:
        counters = list(dict.fromkeys(counter for condition in conditions for counter in condition.counters))
        for counter in counters:
            if counter.source.unknown:
                raise ConditionNotAccepted(
                    f"defined event {counter.source.unknown} is not known here", field="defined"
                )
        self._newest = max((counter.newest for counter in counters), default=0)
        self._since_ms: dict[Source, int] = {}
        for counter in counters:
            since_ms = counter.since_ms(now_ms)
            self._since_ms[counter.source] = min(self._since_ms.get(counter.source, since_ms), since_ms)
        edges = {edge for counter in counters for edge in counter.edges(now_ms)} | {now_ms + 1}
        self._edges = sorted(edges)
        spans = {edge: number for number, edge in enumerate(self._edges, 1)}
        self.moment = Moment(now_ms, spans, spans[now_ms + 1])
        # By kind and name as a condition says them, so that a row finds what it may belong to.
        self._ways: defaultdict[tuple[str, str], list[tuple[Source, Alternative]]] = defaultdict(list)
        for source in self._since_ms:
            for way in source.alternatives:
                self._ways[way.kind, way.name].append((source, way))
        self._filters = list(
            dict.fromkeys(key for ways in self._ways.values() for _, way in ways for key, _ in way.tests)
        )
        self._keys = frozenset().union(*(condition.keys for condition in conditions)) | {IDENTITY_KEY}
        self._matches: dict[tuple[Any, ...], list[Source]] = {}  # by what tells groups of events apart

    def statement(self, environment_id: int, raws: tuple[int, ...]) -> Statement:
        """Rows: raw user, then of a property: key, value, 0, [], 0, version, [], 0; of a group of events: kind, name,
        element, the values of `_filters`, the span, how many, the newest times as negative numbers, the oldest."""
        scope = Scope(environment_id)
        bindings = scope.bindings
        among = bindings.contains("user_id", raws, "UInt64")
        keys = bindings.contains("key", tuple(sorted(self._keys)), "String")
        parts = [
            f"""SELECT user_id, toString(key) AS said, argMax(value, version) AS also, toUInt64(0) AS shape,
                    CAST([], 'Array(Nullable(String))') AS facts, toUInt64(0) AS span, max(version) AS number,
                    CAST([], 'Array(Int64)') AS newest, toInt64(0) AS oldest
                FROM {scope.user_properties(keys, among)}
                GROUP BY user_id, key"""
        ]
        if self._ways:
            parts.append(self._events(scope, among))
        limited = (f"SELECT * FROM ({part} LIMIT {MOST_ROWS + 1})" for part in parts)
        return scope.statement(" UNION ALL ".join(limited))

    def _events(self, scope: Scope, among: str) -> str:
        bindings = scope.bindings
        is_shaped = any(way.elements is not None for ways in self._ways.values() for _, way in ways)
        newest = (
            f"groupArraySorted({self._newest})(-{TIME_MS})" if self._newest else "CAST([], 'Array(Int64)')"
        )
        edges = bindings.bind(tuple(self._edges), "Array(Int64)")
        values = ", ".join(self._value(key, bindings) for key in self._filters)
        return f"""SELECT user_id, toString(kind) AS said, toString(name) AS also,
                {"element" if is_shaped else "toUInt64(0)"} AS shape,
                CAST([{values}], 'Array(Nullable(String))') AS facts,
                toUInt64(arrayCount(edge -> {TIME_MS} >= edge, {edges})) AS span,
                count() AS number, {newest} AS newest, min({TIME_MS}) AS oldest
            FROM {scope.events(" OR ".join(self._named(bindings)), among)}
            GROUP BY user_id, kind, name, shape, facts, span"""

    def _value(self, key: str, bindings: Bindings) -> str:
        """A fact's value; NULL for events whose filters do not ask for it, which it would part into more groups."""
        value, is_set = fact(key, bindings)
        names = {name for (_, name), ways in self._ways.items() if any(_asks(way, key) for _, way in ways)}
        if "" not in names:
            is_set = f"{bindings.contains('name', tuple(sorted(names)), 'String')} AND {is_set}"
        return f"if({is_set}, toString({value}), NULL)"

    def _named(self, bindings: Bindings) -> Iterator[str]:
        """What the table's order finds quickly: kinds and names, each as far back as a condition looks."""
        by_kind: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
        reaches = self._reaches()
        for (kind, name), ways in self._ways.items():
            since_ms = min(self._since_ms[source] for source, _ in ways)
            by_kind[reaches[bisect_right(reaches, since_ms) - 1], kind].add(name)
        for (since_ms, kind), names in by_kind.items():
            parts = [f"kind = {bindings.text(kind)}" if kind else BEHAVIOUR]
            if "" not in names:
                parts.append(bindings.contains("name", tuple(sorted(names)), "String"))
            if since_ms:
                parts.append(TimeRange(since_ms + 1).clause(bindings))
            yield f"({' AND '.join(parts)})"

    def _reaches(self) -> list[int]:
        """Since when history is read, oldest first; few of them."""
        distinct = sorted({min(self._since_ms[source] for source, _ in ways) for ways in self._ways.values()})
        step = -(-len(distinct) // MOST_REACHES)
        return distinct[::step]

    def read(self, rows: Iterable[Row], leads: Mapping[int, int]) -> dict[int, Facts]:
        found: dict[int, Facts] = {}
        versions: dict[tuple[int, str], int] = {}
        for raw, said, also, shape, values, span, number, newest, oldest in rows:
            user = leads[raw]
            facts = found.get(user)
            if facts is None:
                facts = found[user] = Facts(self.moment)
            if not span and not oldest:
                self._take_property(facts, versions, user, raw, said, also, number)
            else:
                for source in self._sources(said, also, shape, tuple(values)):
                    self._take_events(facts, source, span, number, newest, oldest)
        for (user, key), version in versions.items():
            if key in INITIAL and version < versions.get((user, FIRST_SEEN_KEY), 0):
                del found[user].values[
                    key
                ]  # of a later session than the first, of another id that was merged
        return found

    def _take_property(
        self,
        facts: Facts,
        versions: dict[tuple[int, str], int],
        user: int,
        raw: int,
        key: str,
        value: str,
        version: int,
    ) -> None:
        if key == IDENTITY_KEY and raw == user:
            facts.identity = value
        if version >= versions.get((user, key), 0):
            versions[user, key] = version
            facts.values[key] = value

    def _take_events(
        self, facts: Facts, source: Source, span: int, number: int, newest: Sequence[int], oldest_ms: int
    ) -> None:
        happened = facts.happened.get(source)
        if happened is None:
            happened = facts.happened[source] = Happened({}, {}, [])
        if span >= self.moment.now_span:
            happened.later_ms = min(happened.later_ms, oldest_ms)
            return
        happened.by_span[span] = happened.by_span.get(span, 0) + number
        happened.oldest_ms[span] = min(happened.oldest_ms.get(span, NEVER_MS), oldest_ms)
        if newest:
            times = [*happened.newest_ms, *(-time for time in newest)]
            happened.newest_ms = sorted(times, reverse=True)[: self._newest]

    def _sources(self, kind: str, name: str, element: int, values: tuple[str | None, ...]) -> list[Source]:
        """Which sources a group of events belongs to."""
        key = (kind, name, element, values)
        rows = self._matches.get(key)
        if rows is None:
            facts = dict(zip(self._filters, values, strict=True))
            kinds = (kind,) if kind in NOT_BEHAVIOUR else (kind, "")
            ways = [
                pair
                for kind_ in kinds
                for name_ in dict.fromkeys((name, ""))
                for pair in self._ways.get((kind_, name_), ())
            ]
            rows = self._matches[key] = list(
                dict.fromkeys(
                    source
                    for source, way in ways
                    if (way.elements is None or element in way.elements)
                    and all(passes(facts[key]) for key, passes in way.tests)
                )
            )
        return rows


def _asks(way: Alternative, key: str) -> bool:
    return any(key == own for own, _ in way.tests)
