"""Asking for users to be deleted, and what is told of it. The deleting itself is `deletion`.

While it is pending the request names the users; once it is done only a receipt is left, which names nobody.
Source: contracts/heap.md 2.6.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from cairn.db.tables import deletions
from cairn.errors import InvalidInput, LimitExceeded, NotFound
from cairn.ids import MAX_USER_ID, key_hash
from cairn.jobs.queue import enqueue

JOB = "delete_users"  # the kind of its job
MOST_USERS = 10_000  # in one request; Heap's limit
PENDING, COMPLETE = "pending", "complete"
SHOWN = 100  # requests in a list, the newest


class DeletionNotFound(NotFound):
    """There is no such deletion request in this workspace."""

    code = "deletion_not_found"


class TooManyToDelete(LimitExceeded):
    """A request deletes at most 10,000 users. Send several."""

    code = "too_many_to_delete"


class ErasedUser(Struct, frozen=True, omit_defaults=True):
    """Whom to delete: by identity, or by a user id."""

    identity: str = ""
    user_id: int = 0

    @property
    def hash(self) -> str:
        """Proves to somebody who knows the user that this was the one; tells nobody else who it was."""
        return key_hash(self.identity or str(self.user_id))


class Counts(Struct, frozen=True):
    """What was deleted in one environment."""

    environment: str
    user_ids: int = 0
    events: int = 0
    properties: int = 0
    merges: int = 0
    refusals: int = 0
    elements: int = 0
    segments: int = 0  # memberships
    lists: int = 0  # entries of attribute lists
    aliases: int = 0


class Receipt(Struct, frozen=True):
    """Holds no personal data: hashes, counts, and where something of the users may be left and for how long."""

    users: tuple[str, ...]  # SHA-256 of each identity or id, as asked for
    deleted: tuple[Counts, ...]
    log_requests: int  # taken out of the event log
    remains: tuple[str, ...]


class Deletion(Struct, frozen=True):
    id: str
    state: str
    asked_by: str
    asked_at: datetime
    finished_at: datetime | None
    receipt: Receipt | None


def ask_deletion(
    connection: sa.Connection, workspace_id: int, users: Sequence[ErasedUser], *, by: str, now: datetime
) -> Deletion:
    """Enqueue it in the caller's transaction. Raises InvalidInput and TooManyToDelete."""
    if not users:
        raise InvalidInput("users: name at least one, by identity or user_id", field="users")
    if len(users) > MOST_USERS:
        raise TooManyToDelete(f"users: {len(users)} were sent, {MOST_USERS} are allowed", field="users")
    for index, user in enumerate(users):
        if bool(user.identity) == bool(user.user_id) or not 0 <= user.user_id <= MAX_USER_ID:
            raise InvalidInput(f"users[{index}]: send an identity or a user_id", field="users")
    deletion_id = str(uuid.uuid4())
    row = {
        "id": deletion_id,
        "workspace_id": workspace_id,
        "state": PENDING,
        "asked_by": by,
        "asked_at": now,
        "users": msgspec.to_builtins(list(users)),
    }
    connection.execute(sa.insert(deletions).values(**row))
    # The job's row outlives it by a week, so it names the request and nobody else.
    enqueue(connection, JOB, {"deletion_id": deletion_id}, run_at=now, now=now)
    return get_deletion(connection, workspace_id, deletion_id)


def get_deletion(connection: sa.Connection, workspace_id: int, deletion_id: str) -> Deletion:
    """Raises DeletionNotFound."""
    query = sa.select(deletions).where(
        deletions.c.workspace_id == workspace_id, deletions.c.id == deletion_id
    )
    row = connection.execute(query).first()
    if row is None:
        raise DeletionNotFound("no such deletion request in this workspace")
    return _deletion(row)


def list_deletions(connection: sa.Connection, workspace_id: int) -> list[Deletion]:
    """The newest first."""
    query = (
        sa.select(deletions)
        .where(deletions.c.workspace_id == workspace_id)
        .order_by(deletions.c.asked_at.desc(), deletions.c.id)
        .limit(SHOWN)
    )
    return [_deletion(row) for row in connection.execute(query)]


def _deletion(row: sa.Row[Any]) -> Deletion:
    try:
        receipt = None if row.receipt is None else msgspec.convert(row.receipt, Receipt)
    except msgspec.ValidationError:
        receipt = None  # damaged; that the users were deleted still stands
    return Deletion(row.id, row.state, row.asked_by, row.asked_at, row.finished_at, receipt)
