"""Audiences of the Heap account: which segments are on offer, which were added, and how their syncs go."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from msgspec import Struct, structs

from cairn.app.call import Call
from cairn.app.editions import record
from cairn.errors import CairnError, Conflict, InvalidInput, NotFound
from cairn.members.sets import list_set
from cairn.segments.used_by import Use, lists_used_by
from cairn.sync import audiences, heap_client, receiver
from cairn.sync.audience_state import Condition, condition_of
from cairn.sync.audiences import Audience
from cairn.sync.heap_account import FORMER, HeapNotEnabled
from cairn.sync.heap_connection import HeapConnection, connection_of
from cairn.sync.receiver import Task, TaskState
from cairn.sync.webhook import shown_name
from cairn.workspace.environment import Environment

GAPS = 12  # tasks looked at for the usual time between two
MOST_CHOSEN = 300


class AudienceInUse(Conflict):
    """Flags ask about this audience. Take it out of their rules first; the message names them."""

    code = "audience_in_use"


class ShownAudience(Struct, frozen=True):
    audience: Audience
    members: int
    condition: Condition
    uses: list[Use]


class OfferedSegment(Struct, frozen=True):
    heap_id: str
    name: str
    members: int | None  # None: it was never synced


class MembersPage(Struct, frozen=True):
    size: int
    members: list[tuple[str, int]]  # with since
    next: str | None


def list_added(call: Call, environment: Environment) -> list[ShownAudience]:
    """By name."""
    with call.reading() as connection:
        account = _account(connection, call, environment)
        stored = audiences.list_audiences(connection, account.id, is_added=True) if account else []
        return _shown(call, connection, account, stored) if account else []


def get_added(call: Call, environment: Environment, audience_id: int) -> ShownAudience:
    """On offer or added. Raises AudienceNotFound."""
    with call.reading() as connection:
        account = _existing(connection, call, environment)
        audience = audiences.get_audience(connection, account.id, audience_id)
        return _shown(call, connection, account, [audience])[0]


def _account(connection: sa.Connection, call: Call, environment: Environment) -> HeapConnection | None:
    """The one whose lists are this environment's."""
    account = connection_of(connection, call.workspace_id)
    return account if account is not None and account.environment_id == environment.id else None


def _existing(connection: sa.Connection, call: Call, environment: Environment) -> HeapConnection:
    account = _account(connection, call, environment)
    if account is None:
        raise NotFound("no Heap account is set up in this environment")
    return account


def _shown(
    call: Call, connection: sa.Connection, account: HeapConnection, stored: Sequence[Audience]
) -> list[ShownAudience]:
    history = receiver.list_tasks(connection, [audience.id for audience in stored], limit=GAPS)
    history = {audience_id: _with_pages(call, tasks) for audience_id, tasks in history.items()}
    uses = lists_used_by(connection, call.workspace_id, [audience.list_id for audience in stored])
    return [
        ShownAudience(
            audience,
            call.core.members.size(list_set(audience.list_id)),
            condition_of(
                audience,
                history[audience.id],
                is_connected=account.is_connected and not audience.heap_id.startswith(FORMER),
                now=call.now,
            ),
            uses[audience.list_id],
        )
        for audience in stored
    ]


def list_offered(call: Call, environment: Environment) -> tuple[list[OfferedSegment], str]:
    """Segments that can be added, by name, and what could not be asked; empty if all was.

    Those that webhooks have named, and those that the other side names when asked.
    """
    with call.reading() as connection:
        account = _existing(connection, call, environment)
        stored = audiences.list_audiences(connection, account.id)
    members = call.core.members
    is_added = {audience.heap_id for audience in stored if audience.is_added}
    offered = {
        audience.heap_id: OfferedSegment(
            audience.heap_id, audience.name, members.size(list_set(audience.list_id))
        )
        for audience in stored
        if not audience.is_added and not audience.heap_id.startswith(FORMER)
    }
    listed, failure = _segments_offered(call, account)
    for segment in listed:
        heap_id = str(segment.id)[:64]
        if heap_id not in is_added:
            offered.setdefault(heap_id, OfferedSegment(heap_id, shown_name(segment.name, heap_id), None))
    return sorted(offered.values(), key=lambda segment: (segment.name.lower(), segment.heap_id)), failure


def _segments_offered(call: Call, account: HeapConnection) -> tuple[list[heap_client.Offered], str]:
    if account.token_sealed is None:
        return [], "the Heap account is not connected; authenticate first"
    try:
        token = call.core.seal.open(account.token_sealed)
        return heap_client.read_offered(call.core.client, account.host, token), ""
    except CairnError as error:
        return [], str(error)


def add(call: Call, environment: Environment, heap_ids: Collection[str]) -> list[Audience]:
    """Raises InvalidInput and HeapNotEnabled."""
    if not heap_ids:
        raise InvalidInput("segment: choose at least one", field="segment")
    names = {segment.heap_id: segment.name for segment in list_offered(call, environment)[0]}
    with call.writing() as connection:
        account = _existing(connection, call, environment)
        if not account.targets_visitors:
            raise HeapNotEnabled("switch on “Enable use of Heap segment for visitor targeting” first")
        by_heap_id = {
            audience.heap_id: audience for audience in audiences.list_audiences(connection, account.id)
        }
        added = []
        for heap_id in sorted(set(heap_ids)):
            audience = by_heap_id.get(heap_id)
            if audience is None and heap_id not in names:
                raise InvalidInput(
                    f"segment: {heap_id[:64]!r} is not on offer; load the page again", field="segment"
                )
            if audience is None:
                audience = audiences.offer(
                    connection,
                    account.id,
                    account.environment_id,
                    heap_id=heap_id,
                    name=names[heap_id],
                    now=call.now,
                )
            audiences.add_audience(connection, audience.id)
            added.append(audience)
        record(call, connection, "heap account", account.id, [f"added {audience.name}" for audience in added])
    call.changed([environment.id])
    return added


def remove(call: Call, environment: Environment, audience_id: int) -> bool:
    """Whether it stays on offer, because it is still synced. Raises AudienceNotFound and AudienceInUse."""
    with call.writing() as connection:
        account = _existing(connection, call, environment)
        audience = audiences.get_audience(connection, account.id, audience_id)
        uses = lists_used_by(connection, call.workspace_id, [audience.list_id])[audience.list_id]
        if uses:
            raise AudienceInUse(
                f"{audience.name!r} is used by {', '.join(map(str, uses))}: for everybody its rules would not hold "
                f"any more. Take it out of them first"
            )
        is_synced = account.is_connected and not audience.heap_id.startswith(FORMER)
        is_synced = is_synced and audience.synced_at is not None
        audiences.remove_audience(connection, audience, is_synced=is_synced)
        record(call, connection, "heap account", account.id, [f"removed {audience.name}"])
    if not is_synced:
        call.core.members.drop(list_set(audience.list_id))
    call.changed([environment.id])
    return is_synced


def history(
    call: Call, environment: Environment, audience_id: int, *, before: int | None = None, limit: int = 50
) -> list[Task]:
    """Newest first. Raises AudienceNotFound."""
    with call.reading() as connection:
        account = _existing(connection, call, environment)
        audience = audiences.get_audience(connection, account.id, audience_id)
        tasks = receiver.list_tasks(connection, [audience.id], limit=limit, before=before)[audience.id]
    return _with_pages(call, tasks)


def _with_pages(call: Call, tasks: Sequence[Task]) -> list[Task]:
    """Open tasks with the pages that have come so far."""
    return [
        structs.replace(task, pages_received=receiver.pages_kept(call.core.members, task))
        if task.state == TaskState.RECEIVING
        else task
        for task in tasks
    ]


def list_refusals(call: Call, environment: Environment) -> list[Task]:
    with call.reading() as connection:
        account = _account(connection, call, environment)
        return receiver.list_refusals(connection, account.id) if account else []


def members_of(call: Call, audience: Audience, *, after: str = "", limit: int = 50) -> MembersPage:
    name, members = list_set(audience.list_id), call.core.members
    values = members.values(name, after=after, limit=limit + 1)
    return MembersPage(
        members.size(name), values[:limit], values[limit - 1][0] if len(values) > limit else None
    )


def member_since(call: Call, audience: Audience, value: str) -> int | None:
    """Since when, epoch milliseconds; None: it is not in. Exactly as the list has it."""
    return call.core.members.since(list_set(audience.list_id), value)


def needing_attention(call: Call, environment: Environment) -> list[ShownAudience]:
    """Those whose sync fails or has gone silent, for Home."""
    return [shown for shown in list_added(call, environment) if shown.condition.needs_attention]
