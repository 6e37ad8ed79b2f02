"""What live segments ask the event store: answers for some users, and everybody."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import sqlalchemy as sa
from msgspec import Struct

from cairn.analysis.query.plan import Plan, canonical_user
from cairn.analysis.query.run import Questions
from cairn.conditions.due import NEVER_MS
from cairn.conditions.to_sql import STATEMENT_BYTES, Users, everybody, everybody_rows, only
from cairn.conditions.tree import Condition
from cairn.identity.merges import raw_ids
from cairn.query.newest import identities
from cairn.query.scope import Scope
from cairn.segments.facts import TooManyRows, facts_of
from cairn.segments.leaves import Facts, Ready
from cairn.segments.membership import FullCount, UserVerdict
from cairn.segments.watched import Watched
from cairn.store.statement import Limits, Statement
from cairn.store.store import Row, Store

USERS_PER_QUESTION = 2_000  # canonical users; a few thousand raw ids still parse in milliseconds
# Conditions counted in full in one pass over the events. The engine reads the text of more in more than linear time:
# 25 ms of processor time for each of eight, 30 for each of twelve, with no events at all.
CONDITIONS_PER_QUESTION = 8
# A full count may take long; it keeps nobody waiting but the other segments.
COUNTING = Limits(timeout_s=120.0)

ToEvaluate = Sequence[tuple[Watched, Set[int]]]  # segments of one environment, each with the users to look at


def answers_for(
    store: Store, connection: sa.Connection, to_evaluate: ToEvaluate, known_users: Set[int], now_ms: int
) -> list[dict[int, UserVerdict]]:
    """Shape: for each segment, canonical user -> answer; users that do not exist are left out."""
    verdicts: list[dict[int, UserVerdict]] = [{} for _ in to_evaluate]
    for users in _chunks(set().union(*(users for _, users in to_evaluate))):
        _answer_chunk(store, connection, to_evaluate, users, known_users, now_ms, verdicts)
    return verdicts


def _answer_chunk(
    store: Store,
    connection: sa.Connection,
    to_evaluate: ToEvaluate,
    users: frozenset[int],
    known_users: Set[int],
    now_ms: int,
    verdicts: list[dict[int, UserVerdict]],
) -> None:
    environment_id = to_evaluate[0][0].environment_id
    conditions = [watched.ready for watched, _ in to_evaluate]
    try:
        facts = facts_of(store, connection, environment_id, conditions, users, known_users, now_ms)
    except TooManyRows:
        for part in _halves(users):
            _answer_chunk(store, connection, to_evaluate, part, known_users, now_ms, verdicts)
        if len(users) == 1:
            _answer_by_sql(store, connection, to_evaluate, users, known_users, now_ms, verdicts)
        return
    for (watched, checked), answers in zip(to_evaluate, verdicts, strict=True):
        for user in checked & users & facts.keys():
            answers[user] = _answer(watched.ready, facts[user])


def _answer(condition: Ready, facts: Facts) -> UserVerdict:
    return UserVerdict(facts.identity, condition.holds(facts), condition.due_ms(facts))


def _answer_by_sql(
    store: Store,
    connection: sa.Connection,
    to_evaluate: ToEvaluate,
    users: frozenset[int],
    known_users: Set[int],
    now_ms: int,
    verdicts: list[dict[int, UserVerdict]],
) -> None:
    """For a user of too many different events: the store decides, which reads them all but returns one row."""
    environment_id = to_evaluate[0][0].environment_id
    of_users = Users(raw_ids(connection, environment_id, users), users & known_users)
    for part, indexes in _statements(
        [watched.ready for watched, _ in to_evaluate],
        lambda batch: only(
            environment_id, [ready.condition for ready in batch], now_ms, of_users, with_due=True
        ),
    ):
        for user, identity, *answers in store.query(part):
            for number, index in enumerate(indexes):
                if user in to_evaluate[index][1]:
                    holds, due_ms = answers[number], answers[len(indexes) + number]
                    verdicts[index][user] = UserVerdict(identity, bool(holds), due_ms)


class _Everybody(Struct, frozen=True):
    """Rows of `to_sql.everybody` with due times."""

    conditions: tuple[Condition, ...]
    now_ms: int

    def plan(self) -> Plan:
        return Plan(limits=COUNTING, can_be_kept=False)

    def select(self, plan: Plan, scope: Scope) -> str:
        canonical = canonical_user(plan, scope)
        return everybody_rows(scope, self.conditions, self.now_ms, canonical=canonical, with_due=True)

    def answer(self, rows: list[Row]) -> list[Row]:
        return rows


def count_everybody(
    store: Store, environment_id: int, conditions: Sequence[Ready], now_ms: int
) -> list[FullCount]:
    """Everybody for whom they hold, and whom time alone concerns, one after the other."""
    counts = [FullCount({}, {}) for _ in conditions]
    questions = Questions(store)
    for _, indexes in _statements(
        conditions,
        lambda batch: everybody(environment_id, [ready.condition for ready in batch], now_ms, with_due=True),
    ):
        counted = tuple(conditions[index].condition for index in indexes)
        rows = questions.ask(environment_id, _Everybody(counted, now_ms))
        for number, index in enumerate(indexes):
            at, due_at = 2 + number, 2 + len(indexes) + number
            counts[index].holding.update((row[0], row[1]) for row in rows if row[at])
            counts[index].dues.update((row[0], row[due_at]) for row in rows if row[due_at] < NEVER_MS)
    return counts


def _statements(
    conditions: Sequence[Ready], statement_of: Callable[[Sequence[Ready]], Statement]
) -> Iterator[tuple[Statement, range]]:
    """Statements that answer all of the conditions, each short enough for the engine; with which of them it answers."""
    waiting = [
        range(start, min(start + CONDITIONS_PER_QUESTION, len(conditions)))
        for start in range(0, len(conditions), CONDITIONS_PER_QUESTION)
    ]
    while waiting:
        indexes = waiting.pop(0)
        statement = statement_of([conditions[index] for index in indexes])
        if len(statement.sql.encode()) > STATEMENT_BYTES and len(indexes) > 1:
            middle = indexes.start + len(indexes) // 2
            waiting[:0] = [range(indexes.start, middle), range(middle, indexes.stop)]
        else:
            yield statement, indexes


def identities_of(store: Store, environment_id: int, users: Set[int]) -> Mapping[int, str]:
    """Identities set on these very ids, merged ones too. Shape: user id -> identity; anonymous ones are left out."""
    names: dict[int, str] = {}
    for chunk in _chunks(users):
        names |= identities(store, environment_id, chunk)
    return names


def _chunks(users: Set[int]) -> Iterator[frozenset[int]]:
    ordered = sorted(users)
    for start in range(0, len(ordered), USERS_PER_QUESTION):
        yield frozenset(ordered[start : start + USERS_PER_QUESTION])


def _halves(users: Set[int]) -> Iterator[frozenset[int]]:
    ordered = sorted(users)
    if len(ordered) > 1:
        yield frozenset(ordered[: len(ordered) // 2])
        yield frozenset(ordered[len(ordered) // 2 :])
