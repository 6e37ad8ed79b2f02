"""Conditions over users as SQL: one SELECT for everybody, and the same one for a few users. Pure.

Both forms take several conditions at once and answer all of them in one pass: a row per user with a flag per
condition. Whatever a person wrote is bound as a parameter, never part of the text.

How a statement is built: events are counted per raw user for each `Did`, the newest value per canonical user is tested
for each property, and both are added up per canonical user, where the tree becomes one boolean expression. Nothing is
joined. Users of whom neither says anything count as "did nothing, has no properties"; only when a condition holds for
such a user are all users listed as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from msgspec import Struct, structs

from cairn.conditions.check import ConditionNotAccepted, refuse_flag_leaf
from cairn.conditions.clause import (
    COUNTS,
    NEGATIVE,
    Operand,
    Window,
    all_of,
    filtered,
    in_window,
    named,
    passes,
    positive,
    reach,
)
from cairn.conditions.due import NEVER_MS, boundaries
from cairn.conditions.tree import (
    UNIT_MS,
    And,
    Attribute,
    Condition,
    CountOperator,
    Device,
    Did,
    EventMatch,
    InList,
    Last,
    Leaf,
    Location,
    Not,
    Or,
    OtherFlag,
    ResolvedMatch,
    UserProperty,
    Visitor,
)
from cairn.conditions.walk import replaced
from cairn.query.canonical import canonical_among
from cairn.query.scope import Scope
from cairn.query.time_range import TIME_MS
from cairn.store.schema import FIRST_SEEN_KEY, IDENTITY_KEY, INITIAL
from cairn.store.statement import Statement

# The longest text of one statement. Several conditions are asked in as many statements as it takes; one that is longer
# by itself is refused when it is saved.
STATEMENT_BYTES = 200_000

# The n-th newest event of a window is known exactly up to this n; beyond, a due time is when the oldest one leaves.
MOST_NEWEST = 100


class Users(Struct, frozen=True):
    """Canonical users to look at, each with all its raw ids, itself included."""

    raw_ids: Mapping[int, Sequence[int]]
    known: frozenset[int] = frozenset()  # those that are sure to have an event or a property; spares a look


def everybody(
    environment_id: int, conditions: Sequence[Condition], now_ms: int, *, with_due: bool = False
) -> Statement:
    """Every user of the environment for whom at least one of the conditions holds at `now_ms`, or has a due time.

    Rows: (canonical user id, identity or "", then 1 or 0 for each condition). With due times, after these one for each
    condition: the earliest epoch millisecond at which time alone can change its answer, never later than it does, or
    NEVER_MS. Raises ConditionNotAccepted for leaves that only flags know and for patterns RE2 cannot read.
    """
    scope = Scope(environment_id)
    canonical = scope.canonical()
    return scope.statement(everybody_rows(scope, conditions, now_ms, canonical=canonical, with_due=with_due))


def everybody_rows(
    scope: Scope,
    conditions: Sequence[Condition],
    now_ms: int,
    *,
    canonical: str,
    with_due: bool = False,
) -> str:
    """The text of `everybody`. `canonical`: whose a row is, over its columns."""
    return _everybody(_Pass(scope, conditions, now_ms, with_due=with_due), canonical)


def how_many(scope: Scope, condition: Condition, now_ms: int, *, canonical: str) -> str:
    """For how many users it holds, and how many of these have an identity. One row. Raises as `everybody`.

    `canonical`: whose a row is, over its columns.
    """
    pass_ = _Pass(scope, [condition], now_ms)
    return f"SELECT count(), countIf(`max(known_as)` != '') FROM ({_everybody(pass_, canonical)})"


def _everybody(pass_: "_Pass", canonical: str) -> str:
    sources = [
        f"SELECT {canonical} AS canonical_id, {pass_.columns(did='d')} FROM {pass_.scope.raw_users(rows)}"
        for rows in pass_.counted_events()
    ]
    sources.append(pass_.tested_properties(canonical))
    if pass_.needs_unknown_users:
        sources += [
            f"SELECT DISTINCT {canonical} AS canonical_id, {pass_.columns()} FROM {pass_.scope.raw_users(rows)}"
            for rows in pass_.existing()
        ]
    having = [f"holds_{n}" for n in range(pass_.size)]
    having += [f"due_{n} < {NEVER_MS}" for n in range(pass_.size) if pass_.with_due]
    return pass_.select(sources, having=" OR ".join(having))


def only(
    environment_id: int,
    conditions: Sequence[Condition],
    now_ms: int,
    users: Users,
    *,
    with_due: bool = False,
) -> Statement:
    """The same question about these users only. A user without a row does not exist: no condition holds.

    Rows and errors as of `everybody`.
    """
    pass_ = _Pass(Scope(environment_id), conditions, now_ms, with_due=with_due)
    pairs = [(raw, user) for user, raws in users.raw_ids.items() for raw in raws]
    raws = tuple(raw for raw, _ in pairs)
    canonical = canonical_among(users.raw_ids, pass_.bindings)
    among = pass_.bindings.contains("user_id", raws, "UInt64")
    sources = [
        f"SELECT {canonical} AS canonical_id, {pass_.columns(did='d')} FROM ({rows})"
        for rows in pass_.counted_events(among)
    ]
    sources.append(pass_.tested_properties(canonical, among))
    if pass_.needs_unknown_users:
        known = pass_.bindings.bind(tuple(sorted(users.known)), "Array(UInt64)")
        sources.append(f"SELECT arrayJoin({known}) AS canonical_id, {pass_.columns()}")
        unsure = tuple(raw for raw, user in pairs if user not in users.known)
        among = pass_.bindings.contains("user_id", unsure, "UInt64")
        sources += [
            f"SELECT DISTINCT {canonical} AS canonical_id, {pass_.columns()} FROM ({rows})"
            for rows in pass_.existing(among)
            if unsure
        ]
    return pass_.scope.statement(pass_.select(sources))


def check_size(condition: Condition) -> None:
    """Raises ConditionNotAccepted when the event store could not be asked about it in one statement."""
    # A defined event's own size is not the condition's: what it means grows and shrinks with what was captured.
    size = len(everybody(0, [replaced(condition, _without_meaning)], 0, with_due=True).sql)
    if size > STATEMENT_BYTES:
        raise ConditionNotAccepted(
            f"condition is too long to be counted: it makes {size:,} bytes of a question, at most "
            f"{STATEMENT_BYTES:,} are possible; use fewer conditions, or fewer tests of their events",
            field="condition",
        )


def _without_meaning(leaf: Leaf) -> Condition:
    if isinstance(leaf, Did) and leaf.event.defined:
        return structs.replace(leaf, event=ResolvedMatch(any_of=()))
    return leaf


class _Pass:
    """The distinct leaves of some conditions, and the pieces of SQL that answer them together."""

    def __init__(
        self, scope: Scope, conditions: Sequence[Condition], now_ms: int, *, with_due: bool = False
    ) -> None:
        self.scope = scope
        self.bindings = self.scope.bindings
        self.size, self.with_due = len(conditions), with_due
        self.dids: dict[tuple[EventMatch, Window], int] = {}
        self.tests: dict[tuple[str, str, Operand], int] = {}  # (key, positive operator, value)
        self.nth: dict[tuple[int, int], int] = {}  # (number of a did, n): the n-th newest in its window
        self._now_ms = now_ms
        self._due: dict[str, None] = {}  # of the condition being read
        self._expressions: list[str] = []
        self._dues: list[str] = []
        for number, node in enumerate(conditions):
            self._expressions.append(self._expression(node, f"condition {number}"))
            dues = ", ".join([f"{NEVER_MS}", *self._due])
            self._dues.append(f"least({dues})" if self._due else dues)
            self._due = {}
        self.needs_unknown_users = any(holds_for_unknown_users(node) for node in conditions)

    def select(self, sources: Iterable[str], *, having: str = "") -> str:
        flags = "".join(f", {text} AS holds_{n}" for n, text in enumerate(self._expressions))
        if self.with_due:
            flags += "".join(f", toInt64({text}) AS due_{n}" for n, text in enumerate(self._dues))
        return f"""
            SELECT canonical_id, max(known_as){flags}
            FROM ({" UNION ALL ".join(sources)})
            GROUP BY canonical_id {f"HAVING {having}" if having else ""}
        """

    def columns(self, *, did: str = "", test: str = "", known_as: str = "''") -> str:
        """What every source of the union says of a user: the named columns' values, and nothing of the rest."""
        counts = [f"{did}{n} AS d{n}" if did else f"toUInt64(0) AS d{n}" for n in self.dids.values()]
        tests = [f"{test}{n} AS u{n}" if test else f"toUInt8(0) AS u{n}" for n in self.tests.values()]
        times = [f"w{n}" if did else f"{self._no_time(nth)} AS w{n}" for (_, nth), n in self.nth.items()]
        if self.with_due and self.dids:
            times.append("later" if did else f"toInt64({NEVER_MS}) AS later")
        return ", ".join([f"{known_as} AS known_as", *counts, *tests, *times])

    def counted_events(self, *among: str) -> list[str]:
        """Per raw user how often each `Did` happened; only rows that one of them names are read. Empty without one."""
        if not self.dids:
            return []
        read = [
            all_of([*named(event, self.bindings), *reach(window, self._now_ms, self.bindings)])
            for event, window in self.dids
        ]
        # Each test has a name, and is said once: the engine's time to read a text grows faster than the text.
        names: dict[str, str] = {}
        matches = [
            all_of([names.setdefault(test, f"t{len(names)}") for test in self._tests(event, window)])
            for event, window in self.dids
        ]
        counts = [f"countIf({match}) AS d{n}" for n, match in enumerate(matches)]
        if self.with_due:
            counts += [self._nth_newest(matches[did], nth, n) for (did, nth), n in self.nth.items()]
            later = f"ms > {self.bindings.whole(self._now_ms)}"
            counts.append(f"ifNull(minIfOrNull(ms, {later}), {NEVER_MS}) AS later")
        tests = ", ".join(f"{test} AS {name}" for test, name in names.items())
        rows = self.scope.events(" OR ".join(dict.fromkeys(read)), *among)
        return [
            f"""SELECT user_id, {", ".join(counts)}
                FROM (SELECT user_id, {TIME_MS} AS ms, {tests} FROM {rows})
                GROUP BY user_id"""
        ]

    def existing(self, *among: str) -> list[str]:
        """Every raw user there is, by event or by property."""
        tables = (self.scope.events(*among), self.scope.user_properties(*among))
        return [f"SELECT DISTINCT user_id FROM {rows}" for rows in tables]

    def _tests(self, event: EventMatch, window: Window) -> list[str]:
        """All of them hold for an event that a `Did` counts."""
        name = all_of(named(event, self.bindings))
        return [name, *in_window(window, self._now_ms, self.bindings), *filtered(event, self.bindings)]

    def _nth_newest(self, match: str, nth: int, number: int) -> str:
        """One raw user's part in finding when the n-th newest event happened."""
        if nth == 1:
            return f"maxIf(ms, {match}) AS w{number}"
        if nth > MOST_NEWEST:
            return f"ifNull(minIfOrNull(ms, {match}), {NEVER_MS}) AS w{number}"
        return f"groupArraySortedIf({nth})(-ms, {match}) AS w{number}"

    def _no_time(self, nth: int) -> str:
        if nth == 1:
            return "toInt64(0)"
        return f"toInt64({NEVER_MS})" if nth > MOST_NEWEST else "CAST([], 'Array(Int64)')"

    def _leaves_at(self, did: int, nth: int, window_ms: int) -> str:
        """When the n-th newest leaves the window; of very many, when the first one does."""
        number = self.nth.setdefault((did, nth), len(self.nth))
        if nth == 1:
            return f"if(max(w{number}) > 0, max(w{number}) + {window_ms}, {NEVER_MS})"
        if nth > MOST_NEWEST:
            return f"if(sum(d{did}) >= {nth}, min(w{number}) + {window_ms}, {NEVER_MS})"
        # Times are negative, so that the smallest are the newest.
        times = f"arraySort(groupArrayArray(w{number}))"
        return f"if(sum(d{did}) >= {nth}, {window_ms} - arrayElement({times}, {nth}), {NEVER_MS})"

    def tested_properties(self, canonical: str, *among: str) -> str:
        """Per canonical user which tests its newest values pass, and its identity.

        The newest value's answer is the newest answer, so no value is carried around, only 1 or 0. Without a value it
        is 0, as no positive test holds for a property that is not set.
        """
        keys = tuple(dict.fromkeys([key for key, _, _ in self.tests] + [IDENTITY_KEY]))
        if any(key in INITIAL for key in keys):
            keys = tuple(dict.fromkeys((*keys, FIRST_SEEN_KEY)))
        tests = "".join(
            f", {self._newest(key, passes(operator, operand, 'value', '1', self.bindings))} AS t{n}"
            for (key, operator, operand), n in self.tests.items()
        )
        identity = self.bindings.text(IDENTITY_KEY)
        return f"""
            SELECT canonical_id, {self.columns(test="t", known_as="own_identity")} FROM (
                SELECT {canonical} AS canonical_id{tests},
                    argMaxIf(value, version, key = {identity} AND user_id = canonical_id) AS own_identity
                FROM {self.scope.user_properties(self.bindings.contains("key", keys, "String"), *among)}
                GROUP BY canonical_id)"""

    def _newest(self, key: str, test: str) -> str:
        """Whether a user's newest value passes; of an initial property only when it is of the first session."""
        named = f"key = {self.bindings.text(key)}"
        newest = f"argMaxIf({test}, version, {named})"
        if key not in INITIAL or key == FIRST_SEEN_KEY:
            return newest
        first = f"maxIf(version, key = {self.bindings.text(FIRST_SEEN_KEY)})"
        return f"if(maxIf(version, {named}) >= {first}, {newest}, 0)"

    def _expression(self, node: Condition, path: str) -> str:
        match node:
            case And(nodes):
                return all_of([self._expression(child, path) for child in nodes])
            case Or(nodes):
                return (
                    "(" + " OR ".join(self._expression(child, path) for child in nodes) + ")"
                    if nodes
                    else "0"
                )
            case Not(child):
                return f"NOT {self._expression(child, path)}"
            case Did():
                number = self.dids.setdefault((node.event, node.window), len(self.dids))
                self._add_due(number, node)
                return f"(sum(d{number}) {COUNTS[node.operator]} {self.bindings.whole(node.count)})"
            case UserProperty():
                operator, value = positive(node)
                number = self.tests.setdefault((node.key, operator, value), len(self.tests))
                return f"({'NOT ' if node.operator in NEGATIVE else ''}max(u{number}))"
            case Attribute() | InList() | Visitor() | Location() | Device() | OtherFlag():
                raise refuse_flag_leaf(node, path)
            case _:
                assert_never(node)

    def _add_due(self, number: int, node: Did) -> None:
        if not self.with_due:
            return
        if isinstance(node.window, Last):
            window_ms = node.window.amount * UNIT_MS[node.window.unit]
            self._due |= dict.fromkeys(
                self._leaves_at(number, nth, window_ms) for nth in boundaries(node.operator, node.count)
            )
        self._due["min(later)"] = None


def holds_for_unknown_users(node: Condition) -> bool:
    """Does it hold for a user who did nothing and has no properties?"""
    match node:
        case And(nodes):
            return all(holds_for_unknown_users(child) for child in nodes)
        case Or(nodes):
            return any(holds_for_unknown_users(child) for child in nodes)
        case Not(child):
            return not holds_for_unknown_users(child)
        case UserProperty():
            return node.operator in NEGATIVE
        case Did():
            return count_holds(node.operator, 0, node.count)
        case _:
            return False


def count_holds(operator: CountOperator, counted: int, count: int) -> bool:
    return {
        "at_least": counted >= count,
        "at_most": counted <= count,
        "exactly": counted == count,
        "more_than": counted > count,
        "less_than": counted < count,
    }[operator]
