"""What the sender reads of a sync before it sends, and what it clears away of syncs that are gone."""

from collections.abc import Iterable

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.engine import reading
from cairn.db.sync_tables import segment_syncs, sync_tasks
from cairn.db.tables import environments, segment_states, segments
from cairn.members.sets import Members, list_set
from cairn.sync.deliver.page import Page
from cairn.sync.syncs import Sync, Task
from cairn.sync.targets import Target, read_targets

_ENDED = ("done", "failed")


class Sending(Struct, frozen=True):
    """A sync with all that it takes to send."""

    sync: Sync
    target: Target
    segment_key: str
    segment_name: str
    environment_name: str
    list_id: str
    is_counted: bool  # has the segment members yet?
    task: Task | None  # being sent
    sample: Task | None  # asked for

    @property
    def may_reach(self) -> bool:
        return self.target.can_send

    @property
    def may_send(self) -> bool:
        return self.sync.is_on and self.may_reach

    def page(self, task: Task, number: int, added: list[str], removed: list[str]) -> Page:
        sync = self.sync
        return Page(
            task.id,
            number,
            task.pages,
            sync.segment_id,
            self.segment_key,
            self.segment_name,
            sync.environment_id,
            self.environment_name,
            added,
            removed,
        )


def read_sending(connection: sa.Connection, sync_id: int) -> Sending | None:
    return next(iter(_read(connection, segment_syncs.c.id == sync_id)), None)


def read_sendings(connection: sa.Connection) -> list[Sending]:
    """Of every sync that somebody wants, oldest first."""
    has_sample = sa.exists().where(
        sync_tasks.c.sync_id == segment_syncs.c.id, sync_tasks.c.state == "sending"
    )
    return _read(connection, segment_syncs.c.is_on | has_sample)


def _read(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Sending]:
    query = (
        sa.select(
            segment_syncs,
            segments.c.key.label("segment_key"),
            segments.c.name.label("segment_name"),
            environments.c.name.label("environment_name"),
            segment_states.c.list_id,
            segment_states.c.version.label("counted_version"),
        )
        .join(segments, segments.c.id == segment_syncs.c.segment_id)
        .join(environments, environments.c.id == segment_syncs.c.environment_id)
        .join(
            segment_states,
            (segment_states.c.segment_id == segment_syncs.c.segment_id)
            & (segment_states.c.environment_id == segment_syncs.c.environment_id),
        )
        .where(which)
        .order_by(segment_syncs.c.id)
    )
    rows = connection.execute(query).all()
    if not rows:
        return []
    targets = read_targets(connection, {row.target_id for row in rows})
    open_tasks = _open_tasks(connection, {row.id for row in rows})
    return [
        Sending(
            Sync(**{name: getattr(row, name) for name in Sync.__struct_fields__}),
            targets[row.target_id],
            row.segment_key,
            row.segment_name,
            row.environment_name,
            row.list_id,
            row.counted_version > 0,
            next((task for task in open_tasks.get(row.id, ()) if task.kind != "sample"), None),
            next((task for task in open_tasks.get(row.id, ()) if task.kind == "sample"), None),
        )
        for row in rows
    ]


def _open_tasks(connection: sa.Connection, sync_ids: Iterable[int]) -> dict[int, list[Task]]:
    query = sa.select(sync_tasks).where(
        sync_tasks.c.state.not_in(_ENDED), sync_tasks.c.sync_id.in_(list(sync_ids))
    )
    tasks: dict[int, list[Task]] = {}
    for row in connection.execute(query):
        tasks.setdefault(row.sync_id, []).append(Task(**row._mapping))
    return tasks


def clean_up(engine: sa.Engine, members: Members) -> None:
    """Empty the sets of tasks and syncs that are gone, and keep feeds only of lists that are synced."""
    with reading(engine) as connection:
        open_tasks = set(
            connection.execute(sa.select(sync_tasks.c.id).where(sync_tasks.c.state.not_in(_ENDED))).scalars()
        )
        syncs = set(connection.execute(sa.select(segment_syncs.c.id)).scalars())
        synced = sa.select(segment_syncs.c.environment_id, segment_syncs.c.segment_id)
        lists = connection.execute(
            sa.select(segment_states.c.list_id).where(
                sa.tuple_(segment_states.c.environment_id, segment_states.c.segment_id).in_(synced)
            )
        ).scalars()
        followed = {list_set(list_id) for list_id in lists}
    for name in members.sets("task/"):
        if name.split("/")[1] not in open_tasks and members.size(name):
            members.drop(name)
    for prefix in ("synced/", "mapped/"):
        for name in members.sets(prefix):
            if int(name.split("/")[1]) not in syncs and members.size(name):
                members.drop(name)
    for name in members.followed():
        if name not in followed:
            members.unfollow(name)
