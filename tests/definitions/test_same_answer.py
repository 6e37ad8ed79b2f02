"""Counts of defined events in SQL are exactly what plain Python says of the same drafts. Always, and with merges."""

import itertools

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cairn.conditions.clause import event_clause
from cairn.conditions.to_sql import everybody
from cairn.conditions.tree import Did, EventMatch, Not
from cairn.db.engine import reading
from cairn.definitions.matching import Definitions, happened_as
from cairn.definitions.model import Definition
from cairn.event import Draft
from cairn.query.bindings import Bindings
from cairn.store.question import ad_hoc
from cairn.store.schema import DATABASE
from cairn.store.store import MapChange, Store
from tests.definitions import oracle
from tests.definitions.random_events import definitions, drafts, outer_filters
from tests.definitions.world import Project, load
from tests.segments.histories import NOW_MS

BATCH = 20
# A failing example is printed although it is long.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning"),
]
numbers = itertools.count(1, BATCH)

cases = st.tuples(drafts(), definitions, outer_filters, definitions)


@settings(
    max_examples=8,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(batch=st.lists(cases, min_size=BATCH, max_size=BATCH))
def test_counts_equal_plain_python(
    store: Store,
    tmp_path_factory: pytest.TempPathFactory,
    batch: list[tuple[list[Draft], Definition, tuple, Definition]],
) -> None:
    project = Project(tmp_path_factory.mktemp("db"), next(numbers), environments_in_it=BATCH)
    placed = [
        [replace(d, environment_id=at, event_id=at << 20 | d.event_id) for d in case[0]]
        for at, case in zip(project.environment_ids, batch, strict=True)
    ]
    load(store, [draft for each in placed for draft in each])
    engine = Definitions(store)
    for environment_id, happened, (_, definition, filters, other) in zip(
        project.environment_ids, placed, batch, strict=True
    ):
        one, two = project.define(definition), project.define(other)
        combo = project.define(Definition(events=(one.id, two.id)))
        known = {each.id: each.definition for each in (one, two, combo)}
        asked = [EventMatch(defined=each, filters=filters) for each in known]
        with reading(project.engine) as connection:
            resolved = engine.resolve_events(connection, environment_id, asked)
            unsaved = engine.matches_of(connection, environment_id, definition)
        counted = [_count(store, environment_id, event) for event in (*resolved, unsaved)]
        expected = [sum(oracle.counts(draft, event, known) for draft in happened) for event in asked]
        expected.append(sum(oracle.is_defined(draft, definition, (), known) for draft in happened))
        assert counted == expected, (definition, other, filters)
        alone = [happened_as(definition.parts, draft) for draft in happened]
        assert alone == [oracle.is_defined(draft, definition, (), known) for draft in happened]
    project.engine.dispose()


def _count(store: Store, environment_id: int, event: EventMatch) -> int:
    bindings = Bindings()
    sql = f"SELECT count() FROM {DATABASE}.events WHERE environment_id = {{environment:UInt32}} AND "
    return int(
        store.query(ad_hoc(environment_id, sql + event_clause(event, bindings), bindings.values))[0][0]
    )


merging = st.lists(
    st.tuples(cases, st.dictionaries(st.integers(2, 5), st.just(1), max_size=3)),
    min_size=BATCH,
    max_size=BATCH,
)


@settings(
    max_examples=3,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(batch=merging)
def test_users_after_merges_and_unmerges(
    store: Store, tmp_path_factory: pytest.TempPathFactory, batch: list[tuple]
) -> None:
    project = Project(tmp_path_factory.mktemp("db"), next(numbers), environments_in_it=BATCH)
    placed = list(zip(project.environment_ids, batch, strict=True))
    engine = Definitions(store)
    stored = {
        at: [replace(d, environment_id=at, event_id=at << 20 | d.event_id) for d in case[0][0]]
        for at, case in placed
    }
    load(store, [draft for each in stored.values() for draft in each])
    events = {at: project.define(case[0][1]) for at, case in placed}
    for version, is_merged in enumerate((False, True, False), start=1):  # merged, then taken apart again
        maps = {at: case[1] if is_merged else {} for at, case in placed}
        store.insert_user_map(
            [MapChange(at, raw, maps[at].get(raw, raw), version) for at, case in placed for raw in case[1]]
        )
        for at, ((_, definition, filters, _), _merges) in placed:
            did = Did(EventMatch(defined=events[at].id, filters=filters))
            with reading(project.engine) as connection:
                asked = [engine.resolve(connection, at, each) for each in (did, Not(did))]
            statement = everybody(at, asked, NOW_MS)
            rows = store.query(statement)
            known = {events[at].id: definition}
            users = {draft.event_id: maps[at].get(draft.user_id, draft.user_id) for draft in stored[at]}
            doers = {
                users[draft.event_id]
                for draft in stored[at]
                if draft.time_ms <= NOW_MS and oracle.counts(draft, did.event, known)
            }
            assert {row[0] for row in rows if row[2]} == doers, (definition, filters)
            assert {row[0] for row in rows if row[3]} == set(users.values()) - doers
    project.engine.dispose()
