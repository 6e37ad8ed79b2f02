"""Data quality beside a plain count of the same events: health, duplicates and unplanned names of random histories."""

from collections import Counter
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from cairn.analysis.event_health import (
    BROKEN_SHARE,
    LEAST_ALIKE,
    LEAST_EXPECTED,
    LEAST_HISTORY_DAYS,
    RECENT_DAYS,
    duplicates,
    reports,
    unplanned,
)
from cairn.analysis.query.asker import Asker
from cairn.analysis.query.run import Questions
from cairn.analysis.volume import DAY_MS, DAYS, NamesSeen
from cairn.calendar import last_days
from cairn.clock import from_ms
from cairn.db.engine import reading
from cairn.definitions.expected import expect_names, list_expected, planned_names
from cairn.definitions.matching import Definitions
from cairn.definitions.model import Definition, Part
from cairn.event import Draft
from cairn.store.store import Store
from tests.definitions.oracle import is_defined
from tests.definitions.random_events import definitions, drafts
from tests.definitions.world import NOW, Project, load
from tests.segments.histories import NOW_MS

environments = count(600_000)
ZONE = ZoneInfo("America/New_York")
NAMES = ["Order", "order", "Buy", "Sign up", "", "é", "Ordér ‘x’"]


@st.composite
def histories(draw: st.DrawFn) -> list[Draft]:
    """Some events, each on several days, so that there is a usual volume, and it may end."""
    found = []
    for draft in draw(drafts()):
        stops = draw(st.sampled_from([0, 0, 1, 4]))
        for day in range(stops, draw(st.sampled_from([6, 12, 35]))):
            for _ in range(draw(st.sampled_from([1, 3]))):
                at = NOW_MS - day * DAY_MS - draw(st.integers(0, DAY_MS - 1))
                found.append(structs.replace(draft, time_ms=at, received_ms=NOW_MS))
    return found


def counted(history: list[Draft], definition: Definition) -> list[Draft]:
    return [
        one
        for one in history
        if days_ago(one) < DAYS and one.time_ms <= NOW_MS and is_defined(one, definition, (), {})
    ]


def days_ago(draft: Draft) -> int:
    """On the calendar of New York."""
    return (NOW.astimezone(ZONE).date() - from_ms(draft.time_ms).astimezone(ZONE).date()).days


def per_day(events: list[Draft]) -> list[int]:
    days = Counter(days_ago(one) for one in events)
    return [days[number] for number in reversed(range(DAYS))]


def state(days: list[int], everything: list[int]) -> str:
    """The rule, said once more."""
    if not any(days):
        return "silent"
    before, after = days[: DAYS - RECENT_DAYS], days[DAYS - RECENT_DAYS :]
    if len([day for day in before if day]) < LEAST_HISTORY_DAYS:
        return "new"
    all_before, all_after = everything[: DAYS - RECENT_DAYS], everything[DAYS - RECENT_DAYS :]
    expected = sum(before) / sum(all_before) * sum(all_after)
    return "broken" if expected >= LEAST_EXPECTED and sum(after) < expected * BROKEN_SHARE else "good"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories(), defined=st.lists(definitions, min_size=2, max_size=4))
def test_health_and_duplicates(
    store: Store,
    tmp_path_factory: pytest.TempPathFactory,
    history: list[Draft],
    defined: list[Definition],
) -> None:
    project, here = _project(tmp_path_factory.mktemp("quality"))
    history = [structs.replace(one, environment_id=here, event_id=at) for at, one in enumerate(history, 1)]
    load(store, history)
    events = [project.define(definition) for definition in [*defined, defined[0]]]
    with reading(project.engine) as connection:
        known = reports(
            Asker(Questions(store), here),
            connection,
            Definitions(store),
            project.active(connection),
            last_days(NOW, ZONE, DAYS),
        )
    everything = per_day(
        [one for one in history if one.kind not in ("identify", "exposure") and one.time_ms <= NOW_MS]
    )
    ids: dict[int, frozenset[int]] = {}
    for report in known:
        some = counted(history, report.event.definition)
        assert report.days == per_day(some)
        assert report.volume.last_ms == max((one.time_ms for one in some), default=0)
        assert report.state == state(report.days, everything)
        ids[report.event.id] = frozenset(one.event_id for one in some)
    groups = [{event.id for event in group} for group in duplicates(known)]
    together = {(a, b) for group in groups for a in group for b in group}
    assert (events[0].id, events[-1].id) in together, "written alike, whatever it counts"
    for a, some in ids.items():
        for b, others in ids.items():
            if a != b and max(len(some), len(others)) >= LEAST_ALIKE:
                assert ((a, b) in together) == (some == others), "the same events, and only then"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sent=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 40 * DAY_MS)), max_size=30),
    defined=st.sets(st.sampled_from([name for name in NAMES if name]), max_size=2),
    expected=st.sets(st.sampled_from([name for name in NAMES if name]), max_size=2),
)
def test_unplanned_names(
    store: Store,
    tmp_path_factory: pytest.TempPathFactory,
    sent: list[tuple[str, int]],
    defined: set[str],
    expected: set[str],
) -> None:
    project, here = _project(tmp_path_factory.mktemp("names"))
    history = [
        Draft(here, "custom", name, NOW_MS - ago, NOW_MS, user_id=1, event_id=at, source=f"source {at}")
        for at, (name, ago) in enumerate(sent, 1)
    ]
    load(store, history)
    named = [project.define(Definition((Part("custom", name),))) for name in defined]
    with project.engine.begin() as connection:
        expect_names(connection, project.project_id, sorted(expected), by="ann@shop.test", now=NOW)
        planned = planned_names(named, list_expected(connection, project.project_id))
    found = unplanned(Questions(store).ask(here, NamesSeen(NOW_MS)), planned)
    assert {each.name for each in found} == {one.name for one in history} - defined - expected
    for each in found:
        times = [one.time_ms for one in history if one.name == each.name]
        assert (each.first_ms, each.last_ms, each.events) == (min(times), max(times), len(times))
    assert [each.first_ms for each in found] == sorted((each.first_ms for each in found), reverse=True)


def _project(folder: Path) -> tuple[Project, int]:
    here = next(environments)
    return Project(folder, here), here
