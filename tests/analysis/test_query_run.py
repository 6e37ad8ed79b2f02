"""Answers that are kept, limits, and questions that nobody waits for any more, on the real engine."""

import threading
from collections.abc import Callable
from datetime import UTC, timedelta

import pytest
from msgspec import Struct

from cairn.analysis.overview import BehaviourByDay, RefusedByReason, Senders
from cairn.analysis.query.kept import (
    MOST_CHARACTERS,
    MOST_CHARACTERS_IN_ALL,
    MOST_ENTRIES,
    MOST_ROWS,
    KeptRows,
)
from cairn.analysis.query.plan import Plan
from cairn.analysis.query.run import Questions
from cairn.analysis.suggestions import PropertyKeys
from cairn.calendar import last_days
from cairn.outcomes import Reason
from cairn.query.scope import Scope
from cairn.store.erase import UserErasure
from cairn.store.errors import QuestionCancelled, QuestionTooExpensive
from cairn.store.running import Running
from cairn.store.statement import USUAL, Limits, Statement
from cairn.store.store import Row, Store
from tests.analysis.conftest import HERE, NOW, Past
from tests.patience import eventually

DAYS = BehaviourByDay(last_days(NOW, UTC, 3))
ENDLESS = 10**13


class Watched:
    """The real store, which counts what it is asked, and can be made to do something meanwhile."""

    def __init__(self, store: Store) -> None:
        self.asked = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self.state = store.state
        self._query = store.query

    def query(
        self, statement: Statement, limits: Limits = USUAL, running: Running | None = None
    ) -> list[Row]:
        self.asked += 1
        rows = self._query(statement, limits, running)
        act, self.meanwhile = self.meanwhile, lambda: None
        act()
        return rows


@pytest.fixture
def watched(past: Past) -> Watched:
    past.did(1)
    return Watched(past.store)


@pytest.fixture
def questions(watched: Watched) -> Questions:
    return Questions(watched)  # type: ignore[arg-type]


def behaviour(questions: Questions, *, later: timedelta = timedelta()) -> tuple[int, int]:
    """Users and events of three days."""
    days = questions.ask(HERE, BehaviourByDay(last_days(NOW + later, UTC, 3)))
    return sum(day.users for day in days), sum(day.events for day in days)


class TestKept:
    def test_a_question_is_not_asked_again_while_nothing_changes(
        self, questions: Questions, watched: Watched
    ) -> None:
        assert {behaviour(questions, later=timedelta(seconds=second)) for second in range(5)} == {(1, 1)}
        assert watched.asked == 1

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            pytest.param(lambda past: past.did(2), (2, 2), id="an event"),
            pytest.param(lambda past: past.did(1, ago=-1), (1, 1), id="an event of the future"),
            pytest.param(lambda past: past.identified("ann@shop.test", 1, 2), (1, 1), id="a merge"),
            pytest.param(
                lambda past: past.store.erase_users([UserErasure(HERE, (1,), ())]), (0, 0), id="a deletion"
            ),
        ],
    )
    def test_a_change_is_in_the_next_answer(
        self,
        questions: Questions,
        past: Past,
        change: Callable[[Past], object],
        expected: tuple[int, int],
    ) -> None:
        assert behaviour(questions) == (1, 1)
        change(past)
        assert behaviour(questions) == expected

    def test_a_property_is_in_the_next_answer(self, questions: Questions, past: Past) -> None:
        assert questions.ask(HERE, PropertyKeys()) == []
        past.set(1, "plan", "pro")
        assert questions.ask(HERE, PropertyKeys()) == ["plan"]

    def test_what_other_environments_change_costs_nothing(
        self, questions: Questions, past: Past, watched: Watched
    ) -> None:
        behaviour(questions)
        past.did(1, environment=HERE + 100)
        behaviour(questions)
        assert watched.asked == 1

    def test_an_event_of_the_future_counts_once_its_time_has_come(
        self, questions: Questions, past: Past
    ) -> None:
        past.did(2, ago=-30)
        assert behaviour(questions) == (1, 1)
        assert behaviour(questions, later=timedelta(minutes=29)) == (1, 1)
        assert behaviour(questions, later=timedelta(minutes=31)) == (2, 2)

    def test_a_change_while_the_engine_is_at_it_makes_the_answer_old(
        self, questions: Questions, past: Past, watched: Watched
    ) -> None:
        watched.meanwhile = lambda: past.did(2)
        assert behaviour(questions) == (1, 1)
        assert behaviour(questions) == (2, 2)

    def test_an_event_of_the_future_that_comes_meanwhile_is_not_counted(
        self, questions: Questions, past: Past, watched: Watched
    ) -> None:
        """The rule that leaves the end away was right when the question began."""
        watched.meanwhile = lambda: past.did(2, ago=-30)
        assert behaviour(questions) == (1, 1)
        assert watched.asked == 2

    def test_a_merge_that_comes_meanwhile_is_looked_up(
        self, questions: Questions, past: Past, watched: Watched
    ) -> None:
        past.did(2)
        watched.meanwhile = lambda: past.identified("ann@shop.test", 1, 2)
        assert behaviour(questions) == (1, 2)

    def test_what_vanishes_by_age_is_asked_every_time(
        self, questions: Questions, past: Past, watched: Watched
    ) -> None:
        past.refused(Reason.BOT)
        for _ in range(2):
            assert [refusal.count for refusal in questions.ask(HERE, RefusedByReason(NOW))] == [1]
        assert watched.asked == 2

    def test_all_that_is_kept_is_bounded(self) -> None:
        kept = KeptRows()

        def statement(number: int) -> Statement:
            scope = Scope(HERE)
            return scope.statement(f"SELECT {scope.bindings.whole(number)} FROM {scope.events()}")

        for number in range(2 * MOST_ENTRIES):
            kept.put(statement(number), 1, [(number,)])
        present = [number for number in range(2 * MOST_ENTRIES) if kept.get(statement(number), 1)]
        assert present == list(range(MOST_ENTRIES, 2 * MOST_ENTRIES))
        for number, rows in ((-1, [(0,)] * (MOST_ROWS + 1)), (-2, [("x" * MOST_CHARACTERS,)])):
            kept.put(statement(number), 1, rows)
            assert kept.get(statement(number), 1) is None
        half = [("x" * (MOST_CHARACTERS // 2),)]
        for number in range(MOST_ENTRIES):
            kept.put(statement(number), 1, half)
        present = [number for number in range(MOST_ENTRIES) if kept.get(statement(number), 1) == half]
        assert 0 < len(present) <= 2 * MOST_CHARACTERS_IN_ALL // MOST_CHARACTERS
        assert present[-1] == MOST_ENTRIES - 1
        assert kept.get(statement(MOST_ENTRIES - 1), 2) is None


class Counting(Struct, frozen=True):
    """Something that takes the engine longer than a test."""

    numbers: int = ENDLESS
    limits: Limits = Limits(timeout_s=300.0)

    def plan(self) -> Plan:
        return Plan(limits=self.limits)

    def select(self, _plan: Plan, scope: Scope) -> str:
        scope.events()
        return f"SELECT count() FROM numbers({self.numbers}) WHERE modulo(number, 7) = 3"

    def answer(self, rows: list[Row]) -> int:
        return int(rows[0][0])


class Manual(Struct, frozen=True):
    """A question whose limits are at fault."""

    sql: str
    limits: Limits

    def plan(self) -> Plan:
        return Plan(limits=self.limits)

    def select(self, _plan: Plan, scope: Scope) -> str:
        scope.events()
        return self.sql

    def answer(self, rows: list[Row]) -> int:
        return len(rows)


class TestLimits:
    @pytest.mark.parametrize(
        "question",
        [
            pytest.param(Counting(limits=Limits(timeout_s=0.2)), id="time"),
            pytest.param(
                Manual("SELECT groupArray(toString(number)) FROM numbers(5000000)", Limits(memory_mb=20)),
                id="memory",
            ),
            pytest.param(Manual("SELECT number FROM numbers(11)", Limits(rows=10)), id="rows"),
        ],
    )
    def test_a_question_beyond_a_limit_ends(self, past: Past, question: Counting | Manual) -> None:
        with pytest.raises(QuestionTooExpensive):
            past.ask(HERE, question)

    def test_a_limit_of_one_question_is_not_the_next_ones(self, past: Past) -> None:
        with pytest.raises(QuestionTooExpensive):
            past.ask(HERE, Manual("SELECT number FROM numbers(11)", Limits(rows=10)))
        assert past.ask(HERE, Manual("SELECT number FROM numbers(11)", Limits())) == 11

    def test_the_caller_may_wait_for_less(self, past: Past) -> None:
        with pytest.raises(QuestionTooExpensive):
            past.ask(HERE, Counting(), timeout_s=0.2)


class TestCancelled:
    def test_a_question_that_nobody_waits_for_is_stopped_in_the_engine(self, past: Past) -> None:
        past.did(1)
        running, ended = Running(), list[object]()

        def ask() -> None:
            try:
                ended.append(past.ask(HERE, Counting(), running=running))
            except QuestionCancelled as error:
                ended.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        eventually(lambda: (running.progress() is not None and running.progress().read_rows > 0) or ended)
        running.cancel()
        asking.join()
        assert isinstance(ended[0], QuestionCancelled)
        assert running.progress() is None

    def test_one_that_is_cancelled_before_it_starts_never_reaches_the_engine(
        self, questions: Questions, watched: Watched
    ) -> None:
        running = Running()
        running.cancel()
        running.cancel()
        with pytest.raises(QuestionCancelled):
            questions.ask(HERE, DAYS, running=running)
        assert watched.asked == 0

    def test_the_store_answers_others_after_one_was_stopped(self, past: Past) -> None:
        past.did(1)
        for _ in range(3):
            running = Running()
            timer = threading.Thread(target=running.cancel)
            timer.start()
            with pytest.raises(QuestionCancelled):
                past.ask(HERE, Counting(), running=running)
            timer.join()
            assert len(past.ask(HERE, Senders(NOW))) == 1
