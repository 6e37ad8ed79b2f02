"""What is asked about users: who was seen last, who did something, who goes by a name, what is known of some."""

from msgspec import Struct

from cairn.analysis.query.plan import Plan, canonical_user, events
from cairn.calendar import Days
from cairn.conditions.tree import EventMatch
from cairn.query.behaviour import BEHAVIOUR
from cairn.query.captured import MOST_SHOWN
from cairn.query.cursor import Cursor, older
from cairn.query.scope import Scope
from cairn.query.time_range import TimeRange, of_days
from cairn.store.schema import IDENTITY_KEY, INITIAL
from cairn.store.store import Row

# User properties that a search looks into.
SEARCHED_KEYS = (IDENTITY_KEY, "email", "_email", "name")


class LastSeen(Struct, frozen=True):
    """(canonical user, when it did something last), newest first."""

    since_ms: int
    after: Cursor | None
    limit: int
    with_never_seen: bool  # those of whom only properties are known, last

    def plan(self) -> Plan:
        # Those who were never seen are in the answer whatever the range holds, so it is not the plan's.
        return Plan(TimeRange() if self.with_never_seen else TimeRange(self.since_ms), can_be_kept=False)

    def select(self, plan: Plan, scope: Scope) -> str:
        whose = canonical_user(plan, scope)
        never_seen = f"UNION ALL SELECT DISTINCT {whose}, toInt64(0) FROM {scope.user_properties()}"
        return f"""
            SELECT canonical, max(last) AS seen FROM (
                SELECT {whose} AS canonical, toUnixTimestamp64Milli(maxIf(time, {BEHAVIOUR})) AS last
                FROM {events(plan, scope)}
                GROUP BY canonical
                {never_seen if self.with_never_seen else ""})
            GROUP BY canonical
            HAVING seen >= {0 if self.with_never_seen else 1}
               AND {older("seen", "canonical", self.after, scope.bindings)}
            ORDER BY seen DESC, canonical DESC LIMIT {int(self.limit)}
        """

    def answer(self, rows: list[Row]) -> list[tuple[int, int]]:
        return [(int(user_id), int(seen_ms)) for user_id, seen_ms in rows]


class Doers(Struct, frozen=True):
    """(canonical user, when it did one event last, how often in these days), who did it last first."""

    match: EventMatch
    days: Days
    after: Cursor | None
    limit: int

    def plan(self) -> Plan:
        return Plan(of_days(self.days), (self.match,))

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT {canonical_user(plan, scope)} AS canonical, toUnixTimestamp64Milli(max(time)) AS seen, count()
            FROM {events(plan, scope)}
            GROUP BY canonical HAVING {older("seen", "canonical", self.after, scope.bindings)}
            ORDER BY seen DESC, canonical DESC LIMIT {int(self.limit)}
        """

    def answer(self, rows: list[Row]) -> list[tuple[int, int, int]]:
        return [(int(user_id), int(seen_ms), int(count)) for user_id, seen_ms, count in rows]


class Named(Struct, frozen=True):
    """Canonical users with a text in one of some properties, any case, by id."""

    text: str
    keys: tuple[str, ...]
    limit: int
    after_id: int = 0

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        rows = scope.user_properties(
            scope.bindings.contains("key", self.keys, "String"),
            f"positionCaseInsensitiveUTF8(value, {scope.bindings.text(self.text)}) > 0",
        )
        return f"""
            SELECT {canonical_user(plan, scope)} AS canonical FROM {rows}
            GROUP BY canonical HAVING canonical > {scope.bindings.bind(self.after_id, "UInt64")}
            ORDER BY canonical LIMIT {int(self.limit)}
        """

    def answer(self, rows: list[Row]) -> list[int]:
        return [int(row[0]) for row in rows]


class Did(Struct, frozen=True):
    """(raw user, when it did something last since then, how many things) of some raw users."""

    raw_ids: tuple[int, ...]
    since_ms: int

    def plan(self) -> Plan:
        return Plan(TimeRange(self.since_ms))

    def select(self, plan: Plan, scope: Scope) -> str:
        return f"""
            SELECT user_id, toUnixTimestamp64Milli(maxIf(time, {BEHAVIOUR})), countIf({BEHAVIOUR})
            FROM {events(plan, scope, of_users(self.raw_ids, scope))} GROUP BY user_id
        """

    def answer(self, rows: list[Row]) -> list[tuple[int, int, int]]:
        return [(int(raw), int(last_ms), int(count)) for raw, last_ms, count in rows]


class Properties(Struct, frozen=True):
    """Of the users whose raw ids these are, for each property the newest value; of each user the first hundred.

    Rows: canonical user, key, value, when it was set, its version, how many different keys the user has.
    """

    raw_ids: tuple[int, ...]

    def plan(self) -> Plan:
        return Plan()

    def select(self, plan: Plan, scope: Scope) -> str:
        first = scope.bindings.bind((*SEARCHED_KEYS, *INITIAL), "Array(String)")
        return f"""
            SELECT canonical, key, value, set_ms, newest, count() OVER (PARTITION BY canonical) AS keys FROM (
                SELECT {canonical_user(plan, scope)} AS canonical, key, argMax(value, version) AS value,
                       toUnixTimestamp64Milli(argMax(time, version)) AS set_ms, max(version) AS newest
                FROM {scope.user_properties(of_users(self.raw_ids, scope))}
                GROUP BY canonical, key)
            ORDER BY canonical, has({first}, key) DESC, key LIMIT {MOST_SHOWN} BY canonical
        """

    def answer(self, rows: list[Row]) -> list[Row]:
        return rows


def of_users(raw_ids: tuple[int, ...], scope: Scope) -> str:
    """A boolean over a table's columns: is the row one of these raw users'?"""
    return f"user_id IN {scope.bindings.bind(raw_ids, 'Array(UInt64)')}"
