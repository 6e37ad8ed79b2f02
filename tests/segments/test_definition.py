"""Segments as people define them: what is accepted, what is refused and how, and whose it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.clock import from_ms
from cairn.conditions.tree import (
    EVERYBODY,
    And,
    Between,
    Condition,
    Did,
    EventMatch,
    Last,
    Not,
    Or,
    PropertyFilter,
    UserProperty,
)
from cairn.db.tables import attribute_lists, flags, holdouts, rules
from cairn.errors import CairnError, Conflict, InvalidInput, NotFound
from cairn.segments.definition import (
    NewSegment,
    add_missing_states,
    create_segment,
    delete_segment,
    get_segment,
    list_segments,
    states,
    update_segment,
)
from tests.databases import open_test_metadata
from tests.segments.histories import NOW_MS
from tests.world import add_environment, add_project

NOW, LATER = from_ms(NOW_MS), from_ms(NOW_MS + 1000)
PREMIUM = UserProperty("plan", "is", "premium")


class Place:
    def __init__(self, connection: sa.Connection, account_id: int) -> None:
        self.connection = connection
        self.workspace_id, self.project_id = add_project(connection, account_id=account_id, now=NOW)
        self.environments = [
            add_environment(connection, self.workspace_id, self.project_id, key, now=NOW)
            for key in ("production", "staging")
        ]

    def create(self, key: str = "premium", name: str = "Premium", condition: Condition = PREMIUM):
        new = NewSegment(key, name, condition, "Those who pay.")
        return create_segment(self.connection, self.workspace_id, self.project_id, new, NOW)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = open_test_metadata(tmp_path)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def ours(connection: sa.Connection) -> Place:
    return Place(connection, 1)


@pytest.fixture
def theirs(connection: sa.Connection) -> Place:
    return Place(connection, 2)


def test_a_segment_comes_with_a_list_in_every_environment(ours: Place, connection: sa.Connection) -> None:
    segment = ours.create()
    assert segment == get_segment(connection, ours.workspace_id, segment.id)
    assert (segment.version, segment.condition, segment.description) == (1, PREMIUM, "Those who pay.")
    found = states(connection, ours.workspace_id, segment.id)
    assert [state.environment_id for state in found] == ours.environments
    assert [(state.version, state.users, state.counted_at) for state in found] == [(0, 0, None)] * 2
    lists = connection.execute(sa.select(attribute_lists.c.id, attribute_lists.c.kind)).all()
    assert sorted(lists) == sorted((state.list_id, "segment") for state in found)


def test_an_environment_made_later_gets_its_list_too(ours: Place, connection: sa.Connection) -> None:
    segment = ours.create()
    later = add_environment(connection, ours.workspace_id, ours.project_id, "development", now=NOW)
    add_missing_states(connection, LATER)
    add_missing_states(connection, LATER)
    found = states(connection, ours.workspace_id, segment.id)
    assert [state.environment_id for state in found] == [*ours.environments, later]


def test_only_a_changed_condition_makes_a_new_version(ours: Place, connection: sa.Connection) -> None:
    segment = ours.create()
    renamed = update_segment(
        connection, ours.workspace_id, segment.id, name="Payers", condition=PREMIUM, now=LATER
    )
    assert (renamed.version, renamed.name, renamed.updated_at) == (1, "Payers", LATER)
    assert set(connection.execute(sa.select(attribute_lists.c.name)).scalars()) == {"Payers"}

    edited = update_segment(
        connection, ours.workspace_id, segment.id, condition=Not(PREMIUM), description=" new ", now=LATER
    )
    assert (edited.version, edited.condition, edited.description, edited.key) == (
        2,
        Not(PREMIUM),
        "new",
        "premium",
    )


def test_every_node_survives_being_stored(ours: Place, connection: sa.Connection) -> None:
    condition = And(
        (
            Or((UserProperty("größe", "in", values=("a", "ü😀")), Not(UserProperty("x", "is_set")))),
            Did(EventMatch("click", "Buy", (PropertyFilter("path", "starts_with", "/a"),)), "less_than", 3),
            Did(EventMatch("click", "Buy"), "at_most", 3, Last(2, "week")),
            Did(EventMatch(""), "exactly", 0, Between(1, 2)),
        )
    )
    assert ours.create(condition=condition).condition == condition


def test_another_workspace_sees_and_changes_nothing(
    ours: Place, theirs: Place, connection: sa.Connection
) -> None:
    segment = ours.create()
    for attempt in (
        lambda: get_segment(connection, theirs.workspace_id, segment.id),
        lambda: update_segment(connection, theirs.workspace_id, segment.id, name="Mine", now=NOW),
        lambda: delete_segment(connection, theirs.workspace_id, segment.id),
        lambda: states(connection, theirs.workspace_id, segment.id),
        lambda: create_segment(
            connection, theirs.workspace_id, ours.project_id, NewSegment("a", "A", PREMIUM), NOW
        ),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert list_segments(connection, theirs.workspace_id) == []
    assert list_segments(connection, ours.workspace_id) == [segment]
    assert list_segments(connection, ours.workspace_id, ours.project_id + 99) == []
    assert theirs.create().key == segment.key  # keys are the project's own


@pytest.mark.parametrize(
    ("key", "name", "error", "field"),
    [
        ("premium", "Again", Conflict, "key"),
        ("", "A", InvalidInput, "key"),
        ("Über uns", "A", InvalidInput, "key"),
        ("a/b", "A", InvalidInput, "key"),
        ("x" * 101, "A", InvalidInput, "key"),
        ("new", " ", InvalidInput, "name"),
        ("new", "x" * 101, InvalidInput, "name"),
    ],
)
def test_a_bad_key_or_name_is_refused_by_field(
    ours: Place, key: str, name: str, error: type[CairnError], field: str
) -> None:
    ours.create()
    with pytest.raises(error) as raised:
        ours.create(key, name)
    assert raised.value.field == field


def test_a_bad_condition_is_refused_when_made_and_when_edited(ours: Place, connection: sa.Connection) -> None:
    segment = ours.create(condition=EVERYBODY)
    bad = Did(EventMatch(name="x"), "at_least", -1)
    for attempt in (
        lambda: ours.create("other", "Other", bad),
        lambda: update_segment(connection, ours.workspace_id, segment.id, condition=bad, now=NOW),
    ):
        with pytest.raises(InvalidInput) as raised:
            attempt()
        assert raised.value.field == "condition.count"
    assert get_segment(connection, ours.workspace_id, segment.id) == segment


def test_a_segment_that_flags_use_cannot_be_deleted(ours: Place, connection: sa.Connection) -> None:
    segment, other = ours.create(), ours.create("other", "Other")
    flag_ids = {}
    for key in ("checkout", "banner", "free"):
        row = {"workspace_id": ours.workspace_id, "project_id": ours.project_id, "key": key, "name": key}
        query = sa.insert(flags).values(**row, created_at=NOW, updated_at=NOW).returning(flags.c.id)
        flag_ids[key] = connection.execute(query).scalar_one()
    list_id = states(connection, ours.workspace_id, segment.id)[1].list_id
    audiences = {
        "checkout": {"type": "and", "nodes": [{"type": "not", "node": _in_list(segment_id=segment.id)}]},
        "banner": _in_list(list_id=list_id),
        "free": _in_list(segment_id=other.id),
    }
    for position, (key, audience) in enumerate(audiences.items()):
        connection.execute(
            sa.insert(rules).values(
                flag_id=flag_ids[key],
                environment_id=ours.environments[0],
                position=position,
                kind="rollout",
                key="r",
                name="R",
                body={"condition": audience},
                created_at=NOW,
                updated_at=NOW,
            )
        )
    connection.execute(
        sa.insert(holdouts).values(
            environment_id=ours.environments[0],
            name="Control",
            body={"who": [_in_list(segment_id=segment.id)]},
        )
    )

    with pytest.raises(Conflict, match="flag 'banner', flag 'checkout', holdout 'Control'"):
        delete_segment(connection, ours.workspace_id, segment.id)

    connection.execute(sa.delete(rules).where(rules.c.flag_id != flag_ids["free"]))
    connection.execute(sa.delete(holdouts))
    delete_segment(connection, ours.workspace_id, segment.id)
    assert list_segments(connection, ours.workspace_id) == [other]
    left = set(connection.execute(sa.select(attribute_lists.c.id)).scalars())
    assert left == {state.list_id for state in states(connection, ours.workspace_id, other.id)}


def _in_list(**which: object) -> dict[str, object]:
    return {"type": "in_list", "attribute": "user", **which}
