"""Defining, changing, archiving: what is accepted, what is refused and how, and whom it concerns."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cairn.conditions.check import ConditionNotAccepted
from cairn.conditions.tree import And, Did, EventMatch, PropertyFilter
from cairn.db.engine import reading
from cairn.definitions.defined_event import (
    DefinedEventInUse,
    DefinedEventNameTaken,
    DefinedEventNotFound,
    archive_defined_event,
    create_defined_event,
    get_defined_event,
    list_defined_events,
    restore_defined_event,
    update_defined_event,
    used_in,
)
from cairn.definitions.model import Changes, Definition, NewDefinedEvent, Part
from cairn.errors import InvalidInput, NotFound
from cairn.segments.definition import NewSegment, create_segment, get_segment
from tests.definitions.world import NOW, Project
from tests.world import add_project

CLICKS = Definition((Part("click", selector=".buy"),))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, 1)


@pytest.mark.parametrize(
    ("definition", "field", "said"),
    [
        pytest.param(Definition(), "definition.parts", "is empty", id="nothing"),
        pytest.param(Definition((Part(),) * 21), "definition.parts", "21 parts", id="too many parts"),
        pytest.param(
            Definition((Part(selector="a +"),)), "definition.parts[0].selector", "read", id="selector"
        ),
        pytest.param(
            Definition((Part(), Part(selector="a ~ b"))),
            "definition.parts[1].selector",
            "'~'",
            id="second part",
        ),
        pytest.param(
            Definition((Part("pageview", selector="a"),)), "definition.parts[0].selector", "leave", id="page"
        ),
        pytest.param(
            Definition((Part("click", name="x"),)), "definition.parts[0].name", "only custom", id="name"
        ),
        pytest.param(
            Definition((Part("custom", name="x" * 1_025),)),
            "definition.parts[0].name",
            "1025",
            id="long name",
        ),
        pytest.param(
            Definition((Part(tests=(PropertyFilter("text", "matches", "("),)),)),
            "definition.parts[0].tests[0].value",
            "regular expression",
            id="pattern",
        ),
        pytest.param(
            Definition((Part(tests=(PropertyFilter("path", "greater", "x"),)),)),
            "definition.parts[0].tests[0].value",
            "not a number",
            id="number",
        ),
        pytest.param(
            Definition((Part(tests=(PropertyFilter("", "is", "x"),)),)),
            "definition.parts[0].tests[0].key",
            "empty",
            id="no key",
        ),
        pytest.param(Definition(events=(99,)), "definition.events[0]", "another active", id="unknown event"),
    ],
)
def test_what_is_wrong_is_named(project: Project, definition: Definition, field: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        project.define(definition)
    assert refused.value.field == field
    assert said in str(refused.value)


def test_from_defining_to_restoring(project: Project) -> None:
    made = project.define(CLICKS, "Bought", category="Shop", verified=True)
    assert (made.version, made.state, made.verified, made.category) == (1, "active", True, "Shop")
    with project.engine.begin() as connection:
        renamed = update_defined_event(connection, project.workspace_id, made.id, Changes(name="Buys"), NOW)
        assert (renamed.name, renamed.version) == ("Buys", 1)
        same = update_defined_event(
            connection, project.workspace_id, made.id, Changes(definition=CLICKS), NOW
        )
        assert same.version == 1
        other = Changes(definition=Definition((Part("submit"),)), verified=False)
        edited = update_defined_event(connection, project.workspace_id, made.id, other, NOW)
        assert (edited.version, edited.verified, edited.name) == (2, False, "Buys")
        archive_defined_event(connection, project.workspace_id, made.id, NOW)
        assert list_defined_events(connection, project.workspace_id) == []
        assert len(list_defined_events(connection, project.workspace_id, with_archived=True)) == 1
    project.define(CLICKS, "buys")  # free again, and told apart without case
    with project.engine.begin() as connection, pytest.raises(DefinedEventNameTaken):
        restore_defined_event(connection, project.workspace_id, made.id, NOW)
    with pytest.raises(DefinedEventNameTaken):
        project.define(CLICKS, "BUYS")


def test_used_ones_are_not_archived_and_segments_follow_changes(project: Project) -> None:
    one, two = project.define(CLICKS, "One"), project.define(Definition((Part("submit"),)), "Two")
    combo = project.define(Definition(events=(one.id, two.id)), "Both")
    with project.engine.begin() as connection:
        new = NewSegment("s", "S", And((Did(EventMatch(defined=combo.id)),)))
        segment = create_segment(connection, project.workspace_id, project.project_id, new, NOW)
        assert [(use.what, use.name) for use in used_in(connection, one)] == [("defined event", "Both")]
        assert [(use.what, use.name) for use in used_in(connection, combo)] == [("segment", "S")]
        for event in (one, combo):
            with pytest.raises(DefinedEventInUse):
                archive_defined_event(connection, project.workspace_id, event.id, NOW)
        update_defined_event(connection, project.workspace_id, one.id, Changes(description="d"), NOW)
        assert get_segment(connection, project.workspace_id, segment.id).version == 1
        changed = Changes(definition=Definition((Part("click", selector=".pay"),)))
        update_defined_event(connection, project.workspace_id, one.id, changed, NOW)
        assert get_segment(connection, project.workspace_id, segment.id).version == 2, "through the combo"


def test_combos_name_simple_events_only(project: Project) -> None:
    one = project.define(CLICKS, "One")
    combo = project.define(Definition(events=(one.id,)), "Combo")
    with pytest.raises(InvalidInput, match="is a combo itself"):
        project.define(Definition(events=(combo.id,)))
    other = project.define(CLICKS, "Other")
    for event, members in ((one, (other.id,)), (one, (one.id,))):
        with project.engine.begin() as connection, pytest.raises(InvalidInput):
            changes = Changes(definition=Definition(events=members))
            update_defined_event(connection, project.workspace_id, event.id, changes, NOW)


def test_another_workspace_has_nothing_here(project: Project) -> None:
    event = project.define(CLICKS, "Ours")
    with project.engine.begin() as connection:
        theirs, their_project = add_project(connection, account_id=77, now=NOW)
    calls: list[Any] = [
        lambda c: get_defined_event(c, theirs, event.id),
        lambda c: update_defined_event(c, theirs, event.id, Changes(name="x"), NOW),
        lambda c: archive_defined_event(c, theirs, event.id, NOW),
        lambda c: restore_defined_event(c, theirs, event.id, NOW),
    ]
    for call in calls:
        with project.engine.begin() as connection, pytest.raises(DefinedEventNotFound):
            call(connection)
    with project.engine.begin() as connection:
        with pytest.raises(NotFound):
            create_defined_event(connection, theirs, project.project_id, NewDefinedEvent("x", CLICKS), NOW)
        with pytest.raises(InvalidInput):
            combo = NewDefinedEvent("x", Definition(events=(event.id,)))
            create_defined_event(connection, theirs, their_project, combo, NOW)
        with pytest.raises(ConditionNotAccepted):
            new = NewSegment("s", "S", Did(EventMatch(defined=event.id)))
            create_segment(connection, theirs, their_project, new, NOW)
    with reading(project.engine) as connection:
        assert list_defined_events(connection, theirs) == []
        assert connection.execute(sa.text("SELECT count(*) FROM defined_events")).scalar() == 1
