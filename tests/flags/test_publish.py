from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from cairn.conditions.tree import InList
from cairn.db.tables import flags, rules
from cairn.flags.definition import NewFlag, create_flag, set_flag_state
from cairn.flags.model import Allocation
from cairn.flags.publish import publish_environment
from cairn.flags.rule_definition import NewRule, add_rule
from cairn.members.sets import MembersAndDocuments, list_set
from cairn.workspace.environment import EnvironmentNotFound, set_inlines_lists
from tests.flags.conftest import NOW, Place


def publish(
    connection: sa.Connection, members: MembersAndDocuments, environment_id: int, *, limit: int = 100
) -> list[str]:
    return publish_environment(
        connection, members, members, environment_id, poll_interval_ms=30_000, inline_limit=limit
    )


def document(members: MembersAndDocuments, environment_id: int, sdk: str) -> Any:
    found = members.document(f"settings/{environment_id}/{sdk}")
    return None if found is None else msgspec.json.decode(found)


@pytest.fixture
def flag_id(connection: sa.Connection, place: Place) -> int:
    """A flag on in production, for the users of the segment."""
    made = create_flag(connection, place.workspace, place.project, NewFlag("f"), NOW).flag.id
    rule = NewRule("rollout", "r", (Allocation(1),), condition=InList("email", segment_id=place.segment))
    add_rule(connection, place.workspace, made, place.production, rule, NOW)
    set_flag_state(connection, place.workspace, made, place.production, True, NOW)
    set_inlines_lists(connection, place.workspace, place.production, inlines_lists=True)
    return made


def test_each_sdk_family_gets_its_own(
    connection: sa.Connection, members: MembersAndDocuments, place: Place, flag_id: int
) -> None:
    members.replace(list_set(place.segment_list), {"a@b.com": 1})
    assert publish(connection, members, place.production) == []
    node, python = (document(members, place.production, sdk) for sdk in ("node", "python"))
    assert node["accountId"] == python["accountId"] == place.account
    of = [
        each["campaigns"][0]["variations"][0]["segments"]["custom_variable"]["email"]
        for each in (node, python)
    ]
    assert of == [f"inlist({place.segment_list})", r"regex(^(?:a@b\.com)\Z)"]
    assert publish(connection, members, place.staging) == []
    assert document(members, place.staging, "node")["features"][0]["rules"] == []


def test_publishing_again_changes_only_what_changed(
    connection: sa.Connection, members: MembersAndDocuments, place: Place, flag_id: int
) -> None:
    publish(connection, members, place.production)
    changes, node = members.changes(), document(members, place.production, "node")
    publish(connection, members, place.production)
    assert members.changes() == changes
    members.replace(list_set(place.segment_list), {"new@b.com": 1})
    publish(connection, members, place.production)
    assert document(members, place.production, "node") == node
    assert "new@b" in str(document(members, place.production, "python"))


def test_lists_leave_the_document_of_an_environment_that_withholds_them(
    connection: sa.Connection, members: MembersAndDocuments, place: Place, flag_id: int
) -> None:
    members.replace(list_set(place.segment_list), {"a@b.com": 1})
    for inlines_lists in (True, False):
        set_inlines_lists(connection, place.workspace, place.production, inlines_lists=inlines_lists)
        publish(connection, members, place.production)
        assert (
            "a@b" in str(document(members, place.production, "python")).replace("\\", "")
        ) is inlines_lists


def test_warnings_come_back(
    connection: sa.Connection, members: MembersAndDocuments, place: Place, flag_id: int
) -> None:
    members.replace(list_set(place.segment_list), {f"u{number}": 1 for number in range(4)})
    (warning,) = publish(connection, members, place.production, limit=3)
    assert "more than 3 values" in warning


@pytest.mark.parametrize(
    "damage",
    [
        sa.update(rules).values(body={"allocations": [{"variation_id": 9}]}),
        sa.update(flags).values(metrics=[{"id": 1, "identifier": "e", "type": "t"}], variations=[]),
        sa.update(rules).values(
            body={
                "allocations": [{"variation_id": 1}],
                "condition": {"type": "user_property", "key": "k", "operator": "is"},
            }
        ),
        sa.update(rules).values(body={"condition": {"type": "unheard of"}}),
        sa.update(rules).values(body={}),
    ],
)
def test_the_last_good_documents_stay(
    connection: sa.Connection, members: MembersAndDocuments, place: Place, flag_id: int, damage: sa.Update
) -> None:
    publish(connection, members, place.production)
    before = [members.document(f"settings/{place.production}/{sdk}") for sdk in ("node", "python")]
    connection.execute(damage)
    assert any("stays as it is" in text for text in publish(connection, members, place.production))
    assert [members.document(f"settings/{place.production}/{sdk}") for sdk in ("node", "python")] == before


def test_an_unknown_environment_is_refused(connection: sa.Connection, members: MembersAndDocuments) -> None:
    with pytest.raises(EnvironmentNotFound):
        publish(connection, members, 999)
