"""Two who do the same at the same time: one is done, the other is told what is taken, on every engine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from cairn.clock import utc_now
from cairn.conditions.tree import EVERYBODY
from cairn.db.engine import Lock, reading, take
from cairn.db.failure import explained
from cairn.db.tables import metadata, user_map, workspaces
from cairn.errors import CairnError, Conflict, Unavailable
from cairn.flags.definition import NewFlag, create_flag
from cairn.flags.model import Allocation
from cairn.flags.rule_definition import NewRule, add_rule
from cairn.identity.merges import Merge, MergeRequest, merge_all
from cairn.privacy.capture import CaptureSettings, write_capture
from cairn.segments.definition import NewSegment, create_segment
from cairn.workspace.account_key import write_account_key
from cairn.workspace.edits import record_edit
from cairn.workspace.environment import create_environment, list_environments, list_projects
from cairn.workspace.label_site import name_site
from cairn.workspace.member import create_member
from cairn.workspace.permission import Role
from cairn.workspace.sealed import open_seal
from cairn.workspace.source import create_source
from cairn.workspace.workspace import SignUpClosed, create_workspace, sign_up
from tests.databases import open_test_metadata

WRITERS = 4
Write = Callable[[sa.Connection], object]


class Here:
    """A workspace with a flag, and what may be made in it."""

    def __init__(self, folder: Path) -> None:
        self.now, self.seal = utc_now(), open_seal(folder)
        self.engine = open_test_metadata(folder)
        with self.engine.begin() as connection:
            self.workspace = create_workspace(connection, self.seal, name="one", now=self.now).id
            self.project = list_projects(connection, self.workspace)[0].id
            self.environment = list_environments(connection, self.workspace)[0].id
            flag = create_flag(connection, self.workspace, self.project, NewFlag(key="there"), self.now)
            self.flag = flag.flag.id

    def segment(self, connection: sa.Connection) -> object:
        new = NewSegment(key="same", name="Same", condition=EVERYBODY)
        return create_segment(connection, self.workspace, self.project, new, self.now)

    def make_flag(self, connection: sa.Connection) -> object:
        return create_flag(connection, self.workspace, self.project, NewFlag(key="same"), self.now)

    def rule(self, connection: sa.Connection) -> object:
        new = NewRule(kind="rollout", key="same", allocations=(Allocation(1),))
        return add_rule(connection, self.workspace, self.flag, self.environment, new, self.now)

    def member(self, connection: sa.Connection) -> object:
        return create_member(
            connection,
            self.workspace,
            email="a@b.test",
            name="A",
            password="long enough to keep",
            role=Role.VIEWER,
            now=self.now,
        )

    def make_environment(self, connection: sa.Connection) -> object:
        return create_environment(
            connection, self.workspace, self.project, self.seal, key="same", name="Same", now=self.now
        )

    def source(self, connection: sa.Connection) -> object:
        return create_source(
            connection, self.workspace, self.environment, self.seal, name="Same", kind="web", now=self.now
        )

    def account_key(self, connection: sa.Connection) -> object:
        return write_account_key(connection, self.project, "company", self.now)

    def capture(self, connection: sa.Connection) -> object:
        return write_capture(connection, self.environment, CaptureSettings(), self.now)

    def site(self, connection: sa.Connection) -> object:
        address = "https://shop.test/"
        return name_site(
            connection, self.environment, address, by="a", own="https://cairn.test", now=self.now
        )


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    here = Here(tmp_path)
    yield here
    here.engine.dispose()


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """As use cases write."""
    with explained(), engine.begin() as connection:
        take(connection, Lock.DEFINITIONS)
        yield connection


def at_once(write: Callable[[], object]) -> list[CairnError]:
    """What went wrong; anything but an error of ours fails the test."""
    start, failures = threading.Barrier(WRITERS), []

    def run() -> None:
        start.wait()
        try:
            write()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(failure, CairnError) for failure in failures), failures
    return failures


@pytest.mark.parametrize(
    ("thing", "field"),
    [
        ("segment", "key"),
        ("make_flag", "key"),
        ("rule", "key"),
        ("member", "email"),
        ("make_environment", "key"),
        ("source", "name"),
    ],
)
def test_of_those_who_make_the_same_one_does_and_others_are_told_the_field(
    here: Here, thing: str, field: str
) -> None:
    def write() -> None:
        with writing(here.engine) as connection:
            getattr(here, thing)(connection)

    failures = at_once(write)
    assert [(type(failure).status, failure.field) for failure in failures] == [(409, field)] * (WRITERS - 1)


@pytest.mark.parametrize("thing", ["account_key", "capture", "site"])
def test_what_may_be_said_again_may_be_said_at_once(here: Here, thing: str) -> None:
    def write() -> None:
        with writing(here.engine) as connection:
            getattr(here, thing)(connection)

    assert at_once(write) == []


def test_of_first_visitors_one_becomes_the_owner(here: Here) -> None:
    with here.engine.begin() as connection:
        connection.execute(sa.delete(workspaces))

    def write() -> None:
        with writing(here.engine) as connection:
            email = f"{threading.get_ident()}@shop.test"
            sign_up(
                connection,
                here.seal,
                email=email,
                name="A",
                password="long enough to keep",
                workspace_name="Shop",
                now=here.now,
            )

    failures = at_once(write)
    assert [type(failure) for failure in failures] == [SignUpClosed] * (WRITERS - 1)


@pytest.mark.parametrize(
    ("write", "field"),
    [
        (Here.segment, "key"),
        (Here.make_flag, "key"),
        (Here.member, "email"),
        (Here.source, "name"),
        (
            lambda here, c: record_edit(c, here.workspace, "flag", 1, ["name"], by="a", now=here.now),
            "version",
        ),
    ],
)
def test_a_writer_who_did_not_see_the_other_is_told_the_field(
    here: Here, write: Callable[[Here, sa.Connection], object], field: str
) -> None:
    """A unique constraint is the last to know, and says as much as a check."""
    with here.engine.begin() as connection:
        write(here, connection)
        table = {
            "key": "flags" if write is Here.make_flag else "segments",
            "email": "members",
            "name": "sources",
            "version": "edits",
        }
        row = connection.execute(sa.select(metadata.tables[table[field]])).mappings().all()[-1]
    with pytest.raises(Conflict) as refused, explained(), here.engine.begin() as connection:
        columns = {name: value for name, value in row.items() if name != "id"}
        if "write_key_hash" in columns:  # every source has a key of its own
            columns["write_key_hash"] = "another"
        connection.execute(sa.insert(metadata.tables[table[field]]).values(**columns))
    assert refused.value.field == field


def test_merges_are_numbered_in_the_order_of_their_commits(here: Here) -> None:
    """Whoever has read the history to its end has read what a later number follows."""
    ends: list[list[int]] = []
    lock = threading.Lock()

    def write() -> None:
        user = threading.get_ident() % 2**31
        request = MergeRequest(
            here.environment, user, f"{user}@shop.test", "test", here.now, is_explicit=True
        )
        with here.engine.begin() as connection:
            (merged,) = merge_all(connection, [request])
            assert isinstance(merged, Merge)
        with lock, reading(here.engine) as connection:
            seen = sa.select(sa.func.count()).select_from(user_map)
            ends.append([merged.version, connection.execute(seen).scalar_one()])

    assert at_once(write) == []
    assert all(count >= number for number, count in ends), ends
    assert sorted(number for number, _ in ends) == [1, 2, 3, 4]


def test_reading_sees_one_state_of_the_database(here: Here) -> None:
    with reading(here.engine) as connection:
        before = connection.execute(sa.select(workspaces.c.name)).scalar_one()
        with here.engine.begin() as other:
            other.execute(sa.update(workspaces).values(name="changed"))
        assert connection.execute(sa.select(workspaces.c.name)).scalar_one() == before
    with reading(here.engine) as connection:
        assert connection.execute(sa.select(workspaces.c.name)).scalar_one() == "changed"


def test_a_lock_that_is_held_too_long_is_said_to_be_busy(here: Here) -> None:
    with here.engine.begin() as connection:
        take(connection, Lock.DEFINITIONS)
        connection.execute(sa.update(workspaces).values(name="held"))
        with pytest.raises(Unavailable, match="busy"), writing(here.engine) as other:
            other.execute(sa.update(workspaces).values(name="waiting"))
