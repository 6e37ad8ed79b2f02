"""Two workspaces in a migrated database; the first has a project with two environments and a counted segment."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec import Struct

from cairn.conditions.tree import EVERYBODY
from cairn.db.tables import attribute_lists, segment_states, segments
from cairn.members.sets import MembersAndDocuments
from cairn.workspace.environment import list_environments, list_projects
from cairn.workspace.sealed import open_seal
from cairn.workspace.workspace import create_workspace
from tests.databases import open_test_metadata
from tests.seams import open_members

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Place(Struct):
    """Where a test works: ids of what exists."""

    workspace: int
    account: int
    project: int
    production: int
    staging: int
    segment: int
    segment_list: str = "lsegment"
    static_list: str = "lstatic"
    uncounted_segment: int = 0


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = open_test_metadata(tmp_path)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def members(tmp_path: Path) -> Iterator[MembersAndDocuments]:
    members = open_members(tmp_path / "members")
    yield members
    members.close()


def make_place(connection: sa.Connection, folder: Path, name: str) -> Place:
    workspace = create_workspace(connection, open_seal(folder), name=name, now=NOW)
    (project,) = list_projects(connection, workspace.id)
    production, staging = (environment.id for environment in list_environments(connection, workspace.id))
    place = Place(workspace.id, workspace.account_id, project.id, production, staging, 0)
    place.segment = make_segment(connection, place, "buyers")
    place.uncounted_segment = make_segment(connection, place, "uncounted")
    place.segment_list, place.static_list = f"lsegment{workspace.id}", f"lstatic{workspace.id}"
    for list_id, kind, folds in ((place.segment_list, "segment", False), (place.static_list, "static", True)):
        connection.execute(
            sa.insert(attribute_lists).values(
                id=list_id,
                environment_id=production,
                name=list_id,
                kind=kind,
                folds_case=folds,
                created_at=NOW,
                updated_at=NOW,
            )
        )
    connection.execute(
        sa.insert(segment_states).values(
            segment_id=place.segment, environment_id=production, list_id=place.segment_list
        )
    )
    return place


def make_segment(connection: sa.Connection, place: Place, key: str) -> int:
    values = {"workspace_id": place.workspace, "project_id": place.project, "key": key, "name": key}
    times = {"created_at": NOW, "updated_at": NOW}
    made = sa.insert(segments).values(**values, **times, condition=EVERYBODY).returning(segments.c.id)
    return int(connection.execute(made).scalar_one())


@pytest.fixture
def place(connection: sa.Connection, tmp_path: Path) -> Place:
    return make_place(connection, tmp_path, "ours")


@pytest.fixture
def other_place(connection: sa.Connection, tmp_path: Path) -> Place:
    return make_place(connection, tmp_path, "theirs")
