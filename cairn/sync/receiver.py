"""Pages of segment webhooks on their way into lists. They wait in the members store; tasks are in the metadata.

A task is applied when all its pages are there, in whatever order they came (applying.py). A page that is repeated
changes nothing. A page that contradicts its task ends the task, and the list stays as it is.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.among import among
from cairn.db.sync_tables import heap_audiences, heap_tasks
from cairn.errors import CairnError, LimitExceeded
from cairn.members.sets import Members, SetChange, incoming_set
from cairn.sync.audiences import note_failure, offer
from cairn.sync.heap_connection import HeapConnection
from cairn.sync.webhook import About, Page

MOST_OPEN = 64  # tasks of one account that wait for pages
OPEN_FOR = timedelta(hours=24)
MOST_REFUSALS = 200  # kept for one account


class TaskState:
    RECEIVING = "receiving"
    COMPLETE = "complete"  # every page is there; it is applied next
    APPLIED = "applied"
    REFUSED = "refused"
    EXPIRED = "expired"


class PageContradicts(CairnError):
    """A page of a segment webhook contradicts one that came before. The task is not applied."""

    code = "page_contradicts"
    status = 400


class TooManyTasks(LimitExceeded):
    """A Heap account may have 64 unfinished tasks here. Send the missing pages of those first, or wait a day."""

    code = "too_many_tasks"
    status = 429


class Task(Struct, frozen=True):
    id: int
    audience_id: int | None
    task_id: str
    action: str
    state: str
    pages: int
    pages_received: int
    added: int
    removed: int
    error: str
    started_at: datetime
    finished_at: datetime | None


TASK_COLUMNS = [heap_tasks.c[name] for name in Task.__struct_fields__]
# Made once: every page asks it.
_KNOWN = (
    sa.select(*TASK_COLUMNS, heap_audiences.c.heap_id, heap_audiences.c.name.label("heap_name"))
    .join(heap_audiences, heap_audiences.c.id == heap_tasks.c.audience_id)
    .where(
        heap_tasks.c.connection_id == sa.bindparam("account"),
        heap_tasks.c.task_id == sa.bindparam("task"),
        heap_tasks.c.action != TaskState.REFUSED,
    )
)


def find_task(connection: sa.Connection, account: HeapConnection, page: Page) -> Task | None:
    """The task of a page, where its first page was registered and its segment has the name that is known.

    Raises PageContradicts.
    """
    row = connection.execute(_KNOWN, _named_by(account, page)).first()
    if row is None or row.heap_name != page.segment_name:
        return None
    task = Task(*row[:-2])
    _check_agrees(task, page, is_same=row.heap_id == page.segment_id)
    return task


def _named_by(account: HeapConnection, page: Page) -> dict[str, object]:
    return {"account": account.id, "task": page.task_id}


def register(connection: sa.Connection, account: HeapConnection, page: Page, now: datetime) -> Task:
    """The task of a page, and its segment by its present name.

    Raises PageContradicts, TooManyTasks and TooManyAudiences.
    """
    row = connection.execute(_KNOWN, _named_by(account, page)).first()
    audience = offer(
        connection,
        account.id,
        account.environment_id,
        heap_id=page.segment_id,
        name=page.segment_name,
        now=now,
    )
    if row is None:
        _check_room(connection, account.id)
        values = {
            "connection_id": account.id,
            "audience_id": audience.id,
            "task_id": page.task_id,
            "action": page.action,
            "state": TaskState.RECEIVING,
            "pages": page.total,
            "started_at": now,
        }
        inserted = connection.execute(sa.insert(heap_tasks).values(**values).returning(*TASK_COLUMNS))
        return Task(*inserted.one())
    task = Task(*row[:-2])
    _check_agrees(task, page, is_same=row.heap_id == page.segment_id)
    return task


def _check_room(connection: sa.Connection, connection_id: int) -> None:
    is_open = (heap_tasks.c.connection_id == connection_id) & (heap_tasks.c.state == TaskState.RECEIVING)
    if connection.execute(sa.select(sa.func.count()).where(is_open)).scalar_one() >= MOST_OPEN:
        raise TooManyTasks(f"{MOST_OPEN} tasks of this account wait for pages; send those first")


def _check_agrees(task: Task, page: Page, *, is_same: bool) -> None:
    if task.state == TaskState.REFUSED:
        raise PageContradicts(f"data.sync_info.sync_task_id: this task was refused: {task.error}")
    if task.state == TaskState.EXPIRED:
        raise PageContradicts("data.sync_info.sync_task_id: this task has expired; begin a new one")
    if task.pages != page.total:
        raise PageContradicts(
            f"data.sync_info.total_pages: it is {page.total}, and was {task.pages} on an earlier page of this task"
        )
    if not is_same or task.action != page.action:
        raise PageContradicts(
            "data.sync_info.sync_task_id: another segment or action had it on an earlier page"
        )


def is_repeat(members: Members, task: Task, page: Page) -> bool:
    """Raises PageContradicts when the page has other members than the one that came before."""
    known = members.which(incoming_set(task.id, "pages"), (str(page.number), _marked(page)))
    if known and _marked(page) not in known:
        raise PageContradicts(
            f"data.sync_info.page_number: page {page.number} of this task came before with other members"
        )
    # The pages of tasks that were applied long ago are forgotten.
    return bool(known) or task.state in (TaskState.COMPLETE, TaskState.APPLIED)


def _marked(page: Page) -> str:
    return f"{page.number}/{page.digest}"


def keep(members: Members, task: Task, page: Page, now_ms: int) -> None:
    """A page, and that it came, until its task is applied: both or neither, whatever is killed."""
    parts = {"add": page.add, "remove": page.remove, "pages": (str(page.number), _marked(page))}
    members.apply_all(
        {
            incoming_set(task.id, part): SetChange(dict.fromkeys(values, now_ms), ())
            for part, values in parts.items()
            if values
        }
    )


def pages_kept(members: Members, task: Task) -> int:
    return members.size(incoming_set(task.id, "pages")) // 2  # its number, and its digest


def complete(connection: sa.Connection, members: Members, task: Task, now: datetime) -> None:
    """Every page is there. Idempotent."""
    is_open = (heap_tasks.c.id == task.id) & (heap_tasks.c.state == TaskState.RECEIVING)
    values = {
        "state": TaskState.COMPLETE,
        "finished_at": now,
        "pages_received": task.pages,
        "added": members.size(incoming_set(task.id, "add")),
        "removed": members.size(incoming_set(task.id, "remove")),
    }
    connection.execute(sa.update(heap_tasks).where(is_open).values(**values))


def note_refusal(
    connection: sa.Connection, account: HeapConnection, about: About, error: CairnError, now: datetime
) -> None:
    """Keep in the history that a webhook was refused, and why. One that contradicts its task ends the task."""
    text = str(error)[:1000]
    task_id = about.task_id
    if isinstance(error, PageContradicts):
        _end_task(connection, account, task_id, text, now)
    audience_id = note_failure(connection, account.id, about.segment_id, text, now)
    values = {"connection_id": account.id, "task_id": task_id, "action": TaskState.REFUSED, "error": text}
    same = sa.and_(*(heap_tasks.c[name] == value for name, value in values.items()))
    # The same refusal again, as a sender that tries for hours makes it, is one entry with how often it came.
    again = connection.execute(
        sa.update(heap_tasks)
        .where(same)
        .values(pages_received=heap_tasks.c.pages_received + 1, finished_at=now)
    )
    if not again.rowcount:
        row = {
            **values,
            "audience_id": audience_id,
            "state": TaskState.REFUSED,
            "pages_received": 1,
            "started_at": now,
            "finished_at": now,
        }
        connection.execute(sa.insert(heap_tasks).values(**row))
        _forget_refusals(connection, account.id)


def _end_task(
    connection: sa.Connection, account: HeapConnection, task_id: str, text: str, now: datetime
) -> None:
    of_task = (heap_tasks.c.connection_id == account.id) & (heap_tasks.c.task_id == task_id)
    is_open = heap_tasks.c.state == TaskState.RECEIVING  # what was acknowledged as a whole is applied
    connection.execute(
        sa.update(heap_tasks)
        .where(of_task, is_open)
        .values(state=TaskState.REFUSED, error=text, finished_at=now)
    )


def _forget_refusals(connection: sa.Connection, connection_id: int) -> None:
    of_account = (heap_tasks.c.connection_id == connection_id) & (heap_tasks.c.action == TaskState.REFUSED)
    newest = (
        sa.select(heap_tasks.c.id)
        .where(of_account)
        .order_by(heap_tasks.c.finished_at.desc(), heap_tasks.c.id.desc())
    )
    kept = connection.execute(newest.limit(MOST_REFUSALS)).scalars().all()
    if len(kept) == MOST_REFUSALS:
        connection.execute(sa.delete(heap_tasks).where(of_account, heap_tasks.c.id.not_in(kept)))


def newest_refusal(connection: sa.Connection, connection_id: int) -> Task | None:
    """What came last, if it was refused."""
    of_account = heap_tasks.c.connection_id == connection_id
    last = sa.func.coalesce(heap_tasks.c.finished_at, heap_tasks.c.started_at).desc()
    query = sa.select(*TASK_COLUMNS).where(of_account).order_by(last, heap_tasks.c.id.desc()).limit(1)
    row = connection.execute(query).first()
    return Task(*row) if row and row.action == TaskState.REFUSED else None


def list_refusals(connection: sa.Connection, connection_id: int, *, limit: int = 20) -> list[Task]:
    """Those of no known segment among them, newest first."""
    of_account = (heap_tasks.c.connection_id == connection_id) & (heap_tasks.c.action == TaskState.REFUSED)
    newest = (heap_tasks.c.finished_at.desc(), heap_tasks.c.id.desc())
    query = sa.select(*TASK_COLUMNS).where(of_account).order_by(*newest).limit(limit)
    return [Task(*row) for row in connection.execute(query)]


def list_tasks(
    connection: sa.Connection, audience_ids: Collection[int], *, limit: int, before: int | None = None
) -> dict[int, list[Task]]:
    """Audience -> the newest of its history, newest first. `before`: only those with a smaller id."""
    rank = sa.func.row_number().over(partition_by=heap_tasks.c.audience_id, order_by=heap_tasks.c.id.desc())
    query = sa.select(*TASK_COLUMNS, rank.label("rank")).where(among(heap_tasks.c.audience_id, audience_ids))
    if before is not None:
        query = query.where(heap_tasks.c.id < before)
    ranked = query.subquery()
    newest = sa.select(*(ranked.c[name] for name in Task.__struct_fields__)).where(ranked.c.rank <= limit)
    tasks: dict[int, list[Task]] = {audience_id: [] for audience_id in audience_ids}
    for row in connection.execute(newest.order_by(ranked.c.id.desc())):
        tasks[row.audience_id].append(Task(*row))
    return tasks
