"""Conditions made ready to be answered in Python, for some users and many segments at once. Pure.

Equal leaves of different segments become one object, so that a leaf is answered once for a user however many segments
ask it, and its events are read once. The meaning is that of `conditions.to_sql`; tests hold the two together.
"""

from collections.abc import Callable, Mapping
from typing import Any, assert_never
from weakref import WeakValueDictionary

from msgspec import Struct

from cairn.conditions.check import refuse_flag_leaf
from cairn.conditions.due import NEVER_MS, boundaries
from cairn.conditions.event_test import passes
from cairn.conditions.to_sql import MOST_NEWEST, count_holds, holds_for_unknown_users
from cairn.conditions.tree import (
    UNIT_MS,
    And,
    Attribute,
    Between,
    Condition,
    Device,
    Did,
    ElementMatch,
    EventMatch,
    InList,
    Last,
    Location,
    Not,
    Or,
    OtherFlag,
    PropertyFilter,
    ResolvedMatch,
    UserProperty,
    Visitor,
)
from cairn.store.schema import FIRST_SEEN_KEY, INITIAL

Passes = Callable[[str | None], bool]


class Alternative(Struct, frozen=True, eq=False):
    """One of the ways to be an event. Empty kind and name as in EventMatch."""

    kind: str
    name: str
    elements: frozenset[int] | None
    tests: tuple[tuple[str, Passes], ...]


class Source(Struct, frozen=True, eq=False, weakref=True):
    """Which events count, whenever they happened."""

    alternatives: tuple[Alternative, ...]
    unknown: int = 0  # a defined event whose meaning is not known: nothing can be said of it


class Happened(Struct):
    """The events of one source that one user did, gathered row by row."""

    by_span: dict[int, int]  # number of the span of time (`facts.Spans`) -> how many
    oldest_ms: dict[int, int]  # by span
    newest_ms: list[int]  # up to now, the newest first; as many as any leaf needs
    later_ms: int = NEVER_MS  # the first one that is still to come


class Moment(Struct, frozen=True):
    """What is the same for everybody who is looked at together."""

    now_ms: int
    spans: Mapping[int, int]  # boundary in epoch ms -> number of the span that begins there
    now_span: int  # events in this span and later ones are still to come


class Facts(Struct):
    """What the store knows of one user, as far as the conditions looked at ask, and the answers found so far."""

    moment: Moment
    identity: str = ""
    values: dict[str, str] = {}  # newest values of user properties
    happened: dict["Source", Happened] = {}
    counted: dict["Counter", tuple[bool, int]] = {}
    tested: dict["Test", bool] = {}


class Counter(Struct, frozen=True, eq=False, weakref=True):
    """A `Did`."""

    source: Source
    operator: Any  # CountOperator
    count: int
    window_ms: int  # of a rolling window; 0: another one
    fixed: Between | None
    boundaries: tuple[int, ...]

    @property
    def newest(self) -> int:
        """How many of the newest events must be known; 0: none, it is counted by spans of time."""
        most = self.boundaries[0] if self.boundaries else 0
        return most if self.window_ms and most <= MOST_NEWEST else 0

    def edges(self, now_ms: int) -> tuple[int, ...]:
        """The moments between which events must be counted apart."""
        if self.fixed is not None:
            return self.fixed.from_ms, self.fixed.to_ms
        return (now_ms - self.window_ms + 1,) if self.window_ms and not self.newest else ()

    def since_ms(self, now_ms: int) -> int:
        """Events up to this moment never count. 0: all do."""
        if self.fixed is not None:
            return self.fixed.from_ms - 1
        return now_ms - self.window_ms if self.window_ms else 0

    def answer(self, facts: Facts) -> tuple[bool, int]:
        """Whether it holds, and when time alone may change that."""
        answer = facts.counted.get(self)
        if answer is None:
            answer = facts.counted[self] = self._answer(facts)
        return answer

    def _answer(self, facts: Facts) -> tuple[bool, int]:
        happened = facts.happened.get(self.source)
        if happened is None:
            return count_holds(self.operator, 0, self.count), NEVER_MS
        moment = facts.moment
        if self.newest:
            since_ms = moment.now_ms - self.window_ms
            times = happened.newest_ms
            counted = sum(time_ms > since_ms for time_ms in times)
            ends_ms = next((times[m - 1] + self.window_ms for m in self.boundaries if counted >= m), NEVER_MS)
        else:
            spans = self._spans(moment)
            counted = sum(number for span, number in happened.by_span.items() if span in spans)
            ends_ms = NEVER_MS
            if self.window_ms and self.boundaries and counted >= self.boundaries[-1]:
                ends_ms = min(happened.oldest_ms[span] for span in happened.by_span if span in spans)
                ends_ms += self.window_ms
        return count_holds(self.operator, counted, self.count), min(ends_ms, happened.later_ms)

    def _spans(self, moment: Moment) -> range:
        if self.fixed is not None:
            until = moment.spans[self.fixed.to_ms]
            return range(moment.spans[self.fixed.from_ms], min(until, moment.now_span))
        first = moment.spans[moment.now_ms - self.window_ms + 1] if self.window_ms else 0
        return range(first, moment.now_span)


class Test(Struct, frozen=True, eq=False, weakref=True):
    """A user property's."""

    key: str
    passes: Passes

    def answer(self, facts: Facts) -> bool:
        passed = facts.tested.get(self)
        if passed is None:
            passed = facts.tested[self] = self.passes(facts.values.get(self.key))
        return passed


Answering = Callable[[Facts], bool]


class Ready(Struct, frozen=True, eq=False):
    """A condition ready to be answered."""

    condition: Condition
    holds: Answering
    counters: tuple[Counter, ...]
    keys: frozenset[str]  # user properties whose change can change the answer
    holds_for_unknown_users: (
        bool  # for a user who did nothing and has no properties: then any new user matters
    )

    def due_ms(self, facts: Facts) -> int:
        """When time alone may change the answer: never later than it does."""
        return min([NEVER_MS, *(counter.answer(facts)[1] for counter in self.counters)])


class Leaves:
    """Makes conditions ready. Leaves that no condition uses any more are forgotten by themselves."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[Any, Any] = WeakValueDictionary()  # tree's leaf -> ours

    def ready(self, condition: Condition) -> Ready:
        """Raises ConditionNotAccepted for leaves that only flags know."""
        counters: dict[Counter, None] = {}
        keys: set[str] = set()
        holds = self._read(condition, counters, keys)
        if keys & INITIAL.keys():
            keys.add(FIRST_SEEN_KEY)  # an earlier first session can take one away without naming it
        return Ready(condition, holds, tuple(counters), frozenset(keys), holds_for_unknown_users(condition))

    def _read(self, node: Condition, counters: dict[Counter, None], keys: set[str]) -> Answering:
        match node:
            case And(nodes):
                every = tuple(self._read(child, counters, keys) for child in nodes)
                return lambda facts: all(holds(facts) for holds in every)
            case Or(nodes):
                alternatives = tuple(self._read(child, counters, keys) for child in nodes)
                return lambda facts: any(holds(facts) for holds in alternatives)
            case Not(child):
                inner = self._read(child, counters, keys)
                return lambda facts: not inner(facts)
            case Did():
                counter = self._counter(node)
                counters[counter] = None
                return lambda facts: counter.answer(facts)[0]
            case UserProperty():
                keys.add(node.key)
                return self._test(node).answer
            case Attribute() | InList() | Visitor() | Location() | Device() | OtherFlag():
                raise refuse_flag_leaf(node, "condition")
            case _:
                assert_never(node)

    def _counter(self, node: Did) -> Counter:
        # The event is left out of the key: it is known by its source, and long ones are hashed once only.
        source = self._source(node.event)
        key = (id(source), node.operator, node.count, node.window)
        counter: Counter | None = self._known.get(key)
        if counter is None or counter.source is not source:
            window = node.window
            counter = self._known[key] = Counter(
                source=source,
                operator=node.operator,
                count=node.count,
                window_ms=window.amount * UNIT_MS[window.unit] if isinstance(window, Last) else 0,
                fixed=window if isinstance(window, Between) else None,
                boundaries=boundaries(node.operator, node.count),
            )
        return counter

    def _source(self, event: EventMatch) -> Source:
        source: Source | None = self._known.get(event)
        if source is None:
            is_known = isinstance(event, ResolvedMatch) or not event.defined
            ways = event.any_of if isinstance(event, ResolvedMatch) else (event,) if is_known else ()
            source = Source(tuple(_alternative(way) for way in ways), 0 if is_known else event.defined)
            self._known[event] = source
        return source

    def _test(self, node: UserProperty) -> Test:
        test: Test | None = self._known.get(node)
        if test is None:
            filter = PropertyFilter(node.key, node.operator, node.value, node.values)
            test = self._known[node] = Test(node.key, passing(filter))
        return test


def _alternative(way: EventMatch | ElementMatch) -> Alternative:
    elements = way.elements if isinstance(way, ElementMatch) else None
    tests = tuple((filter.key, passing(filter)) for filter in way.filters)
    return Alternative(way.kind, way.name, None if elements is None else frozenset(elements), tests)


def passing(test: PropertyFilter) -> Passes:
    """The test as a function of a value; None: not set."""
    if test.operator == "is":
        operand = test.value
        return lambda value: value == operand
    if test.operator in ("in", "not_in"):
        values, is_in = frozenset(test.values), test.operator == "in"
        return lambda value: (value in values) is is_in
    return lambda value: passes(test, value)
