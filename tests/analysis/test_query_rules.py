"""Every rule changes the plans it is for and no other, and no rule changes an answer."""

from datetime import UTC, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cairn.analysis.overview import BehaviourByDay, BehaviourLately
from cairn.analysis.query.plan import Plan
from cairn.analysis.query.rules import RULES, rewritten
from cairn.analysis.query.run import Questions
from cairn.calendar import last_days
from cairn.conditions.tree import EventMatch
from cairn.event import Kind
from cairn.query.time_range import TimeRange
from cairn.store.data_state import DataState
from cairn.store.store import Store
from tests.analysis.conftest import NOW, Past

# The newest event lies at 100, and somebody was merged.
BUSY = DataState(version=1, newest_ms=100, has_merges=True)
QUIET = structs.replace(BUSY, has_merges=False)
NAMED = (EventMatch(name="Paid"),)


@pytest.mark.parametrize(
    ("rule", "plan", "state", "expected"),
    [
        ("answer an empty range", Plan(TimeRange(5, 4)), BUSY, {"is_empty": True}),
        ("answer an empty range", Plan(TimeRange(101)), BUSY, {"is_empty": True}),
        ("answer an empty range", Plan(TimeRange(100)), BUSY, {}),
        ("answer an empty range", Plan(TimeRange(101)), None, {}),
        ("open the end", Plan(TimeRange(1, 100)), BUSY, {"within": TimeRange(1, None)}),
        ("open the end", Plan(TimeRange(1, 99)), BUSY, {}),
        ("open the end", Plan(TimeRange(1, 100)), None, {}),
        ("say the days", Plan(TimeRange(1, 2)), None, {"says_days": True}),
        ("say the days", Plan(TimeRange(None, 2)), None, {}),
        ("read what counts", Plan(matches=NAMED), None, {"reads_matches_only": True}),
        ("read what counts", Plan(), None, {}),
        ("keep raw users", Plan(), QUIET, {"looks_up_users": False}),
        ("keep raw users", Plan(), BUSY, {}),
        ("keep raw users", Plan(), None, {}),
    ],
)
def test_a_rule_changes_what_it_is_for(
    rule: str, plan: Plan, state: DataState | None, expected: dict[str, object]
) -> None:
    [found] = [each for each in RULES if each.name == rule]
    assert found.rewrite(plan, state) == structs.replace(plan, **expected)


plans = st.builds(
    Plan,
    within=st.builds(TimeRange, st.none() | st.integers(0, 200), st.none() | st.integers(0, 200)),
    matches=st.sampled_from([(), NAMED]),
)
states = st.none() | st.builds(DataState, st.just(1), st.integers(0, 200), st.booleans())


@given(plan=plans, state=states)
def test_a_plan_that_was_rewritten_stays_as_it_is_and_every_change_has_a_reason(
    plan: Plan, state: DataState | None
) -> None:
    done = rewritten(plan, state)
    assert rewritten(done.plan, state).plan == done.plan
    assert bool(done.fired) == (done.plan != plan)
    assert all(rule.reason for rule in done.fired)


class Unknowing:
    """The same store as one that others write too: no rule can rely on what it knows."""

    def __init__(self, store: Store) -> None:
        self.query = store.query

    def state(self, _environment_id: int) -> None:
        return None


happenings = st.lists(
    st.tuples(
        st.integers(1, 3), st.integers(-2 * 1440, 3 * 1440), st.sampled_from([Kind.CUSTOM, Kind.EXPOSURE])
    ),
    max_size=8,
)


@given(here=happenings, is_merged=st.booleans())
@settings(max_examples=12, deadline=None)
def test_no_rule_changes_an_answer(shared: Past, here: list[tuple[int, int, str]], is_merged: bool) -> None:
    """Also of events that a fast clock put into the future, before a merge and after."""
    environment = shared.next_environment()
    for user_id, ago, kind in here:
        shared.did(user_id, ago=ago, kind=kind, environment=environment)
    if is_merged:
        shared.identified("ann@shop.test", 1, 2, environment=environment)
    plain = Questions(Unknowing(shared.store))  # type: ignore[arg-type]
    for question in (
        BehaviourByDay(last_days(NOW, UTC, 3)),
        BehaviourLately(NOW, (timedelta(hours=1), timedelta(days=1))),
    ):
        for _ in range(2):
            assert shared.ask(environment, question) == plain.ask(environment, question)


def test_explain_names_the_rules_that_fired_and_the_text_that_is_asked(shared: Past) -> None:
    here, question = shared.next_environment(), BehaviourByDay(last_days(NOW, UTC, 3))
    nothing = shared.questions.explain(here, question)
    assert (nothing.plan.is_empty, nothing.sql) == (True, "")
    shared.did(1, environment=here)
    explained = shared.questions.explain(here, question)
    assert [name for name, _ in explained.fired] == ["open the end", "say the days", "keep raw users"]
    assert "dictGet" not in explained.sql
    assert "toDate(time) >=" in explained.sql
    shared.identified("ann@shop.test", 1, environment=here)
    assert "dictGet" in shared.questions.explain(here, question).sql
