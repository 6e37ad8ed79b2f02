"""Webhooks about Cairn itself: that an environment's settings changed, and that a sync fails or is well again.

A message is kept before it is sent, so a crash loses none, and is sent until it is taken or an hour is over.
"""

import base64
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import sqlalchemy as sa
from msgspec import Struct

from cairn.db.sync_tables import outbound_hooks, outbound_messages, segment_syncs, sync_targets
from cairn.db.tables import segments
from cairn.errors import Conflict, InvalidInput, NotFound
from cairn.sync.addresses import AddressRules, clean_webhook
from cairn.sync.history import keep_newest
from cairn.workspace.sealed import Seal

HookKind = Literal["settings", "notices"]
MOST_HOOKS = 20  # of an environment
KEPT_MESSAGES = 100  # of a hook's history
GIVE_UP = timedelta(hours=1)
FAILS_AFTER = timedelta(minutes=5)  # how long a sync fails before somebody is told

Document = dict[str, Any]  # Any: a JSON document


class Hook(Struct, frozen=True):
    id: int
    environment_id: int
    kind: HookKind
    url: str
    is_on: bool
    error: str  # why the newest message was not taken; empty: it was
    failed_at: datetime | None
    created_at: datetime


class Message(Struct, frozen=True):
    id: str
    hook_id: int
    body: Document
    state: str  # waiting, done, failed
    attempts: int
    next_at: datetime | None
    status: int  # of the last answer; 0: none
    error: str
    created_at: datetime
    finished_at: datetime | None


class HookNotFound(NotFound):
    """There is no such webhook in this environment."""

    code = "hook_not_found"


class HookExists(Conflict):
    """The environment has a webhook of this kind to this address."""

    code = "hook_exists"


class TooManyHooks(Conflict):
    """The environment has as many webhooks as it can have. Delete one."""

    code = "too_many_hooks"


_HOOK = [outbound_hooks.c[name] for name in Hook.__struct_fields__]


def create_hook(
    connection: sa.Connection,
    seal: Seal,
    environment_id: int,
    kind: str,
    url: str,
    rules: AddressRules,
    now: datetime,
) -> tuple[Hook, str]:
    """The hook, and its secret, to be shown once. Raises InvalidInput, HookExists and TooManyHooks."""
    if kind not in get_args(HookKind):
        raise InvalidInput(f"kind: {kind!r} is none of {', '.join(get_args(HookKind))}", field="kind")
    url = clean_webhook(url, rules, field="url")
    hooks = list_hooks(connection, environment_id)
    if any((hook.kind, hook.url) == (kind, url) for hook in hooks):
        raise HookExists("the environment has such a webhook to this address already", field="url")
    if len(hooks) >= MOST_HOOKS:
        raise TooManyHooks(f"an environment has at most {MOST_HOOKS} webhooks; delete one", field="url")
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    row = {
        "environment_id": environment_id,
        "kind": kind,
        "url": url,
        "secret_sealed": seal.close(secret),
        "created_at": now,
        "updated_at": now,
    }
    made = connection.execute(sa.insert(outbound_hooks).values(**row).returning(outbound_hooks.c.id))
    return get_hook(connection, environment_id, made.scalar_one()), secret


def get_hook(connection: sa.Connection, environment_id: int, hook_id: int) -> Hook:
    """Raises HookNotFound."""
    query = sa.select(*_HOOK).where(
        outbound_hooks.c.environment_id == environment_id, outbound_hooks.c.id == hook_id
    )
    row = connection.execute(query).first()
    if row is None:
        raise HookNotFound(f"no webhook {hook_id} in this environment", field="hook_id")
    return Hook(**row._mapping)


def list_hooks(connection: sa.Connection, environment_id: int) -> list[Hook]:
    """Oldest first."""
    query = sa.select(*_HOOK).where(outbound_hooks.c.environment_id == environment_id)
    return [Hook(**row._mapping) for row in connection.execute(query.order_by(outbound_hooks.c.id))]


def delete_hook(connection: sa.Connection, environment_id: int, hook_id: int) -> None:
    """With its history. Raises HookNotFound."""
    get_hook(connection, environment_id, hook_id)
    connection.execute(sa.delete(outbound_hooks).where(outbound_hooks.c.id == hook_id))


def messages_of(connection: sa.Connection, hook_id: int, limit: int = 20) -> list[Message]:
    """The newest first."""
    query = sa.select(outbound_messages).where(outbound_messages.c.hook_id == hook_id)
    rows = connection.execute(query.order_by(outbound_messages.c.created_at.desc()).limit(limit))
    return [Message(**row._mapping) for row in rows]


def tell_settings_changed(connection: sa.Connection, environment_ids: Iterable[int], now: datetime) -> None:
    """Keep a message for each hook that waits for this; a hook with one waiting learns of it by that one."""
    body = {
        "timestamp": int(now.timestamp()),
        "event": "settings_changed",
        "action": "campaign_settings_changed",
        "triggered_by": "vwo",
    }  # source: contracts/wingify.md section 13.1
    waiting = sa.select(outbound_messages.c.hook_id).where(
        outbound_messages.c.state == "waiting", outbound_messages.c.attempts == 0
    )
    _tell(connection, environment_ids, "settings", body, now, outbound_hooks.c.id.not_in(waiting))


def tell_of_syncs(connection: sa.Connection, now: datetime) -> None:
    """Say which syncs began to fail, some minutes ago, and which are well again."""
    begun, ended = _syncs(connection, _begun(now)), _syncs(connection, _ended())
    for rows, kind in ((begun, "sync.failing"), (ended, "sync.recovered")):
        for row in rows:
            data = {
                "segment": row.segment,
                "target": row.target,
                "environment_id": row.environment_id,
                "since": row.failed_at,
                "reason": row.error,
            }
            _tell(connection, [row.environment_id], "notices", {"type": kind, "data": data}, now)
            change = sa.update(segment_syncs).where(segment_syncs.c.id == row.id)
            connection.execute(change.values(is_noticed=kind == "sync.failing"))


def has_news_of_syncs(connection: sa.Connection, now: datetime) -> bool:
    """Whether `tell_of_syncs` has something to say."""
    query = sa.select(segment_syncs.c.id).where(_begun(now) | _ended()).limit(1)
    return connection.execute(query).first() is not None


def _begun(now: datetime) -> sa.ColumnElement[bool]:
    is_long = segment_syncs.c.failed_at <= now - FAILS_AFTER
    return sa.and_(is_long, ~segment_syncs.c.is_noticed, segment_syncs.c.is_on)


def _ended() -> sa.ColumnElement[bool]:
    return sa.and_(segment_syncs.c.failed_at.is_(None), segment_syncs.c.is_noticed)


def _syncs(
    connection: sa.Connection, which: sa.ColumnElement[bool]
) -> list[sa.Row[Any]]:  # Any: a joined row
    query = (
        sa.select(
            segment_syncs.c.id,
            segment_syncs.c.environment_id,
            segment_syncs.c.failed_at,
            segment_syncs.c.error,
            segments.c.name.label("segment"),
            sync_targets.c.name.label("target"),
        )
        .join(segments, segments.c.id == segment_syncs.c.segment_id)
        .join(sync_targets, sync_targets.c.id == segment_syncs.c.target_id)
        .where(which)
        .order_by(segment_syncs.c.id)
    )
    return list(connection.execute(query))


def _tell(
    connection: sa.Connection,
    environment_ids: Iterable[int],
    kind: HookKind,
    body: Document,
    now: datetime,
    *which: sa.ColumnElement[bool],
) -> None:
    hooks = sa.select(outbound_hooks.c.id).where(
        outbound_hooks.c.environment_id.in_(list(environment_ids)),
        outbound_hooks.c.kind == kind,
        outbound_hooks.c.is_on,
        *which,
    )
    for hook_id in list(connection.execute(hooks).scalars()):
        row = {
            "id": str(uuid.uuid4()),
            "hook_id": hook_id,
            "body": body,
            "state": "waiting",
            "created_at": now,
        }
        connection.execute(sa.insert(outbound_messages).values(**row))
        keep_newest(
            connection, outbound_messages.c.hook_id, hook_id, outbound_messages.c.created_at, KEPT_MESSAGES
        )


def due_messages(connection: sa.Connection, now: datetime) -> list[tuple[Hook, Message]]:
    """The oldest waiting message of each hook, if it is due: a hook gets messages in their order."""
    query = (
        sa.select(outbound_messages)
        .where(outbound_messages.c.state == "waiting")
        .order_by(outbound_messages.c.created_at, outbound_messages.c.id)
    )
    first: dict[int, Message] = {}
    for row in connection.execute(query):
        first.setdefault(row.hook_id, Message(**row._mapping))
    due = {
        hook_id: message
        for hook_id, message in first.items()
        if message.next_at is None or message.next_at <= now
    }
    hooks = connection.execute(sa.select(*_HOOK).where(outbound_hooks.c.id.in_(due)))
    return [(Hook(**row._mapping), due[row.id]) for row in hooks]


def secret_of(connection: sa.Connection, seal: Seal, hook: Hook) -> str:
    """Raises HookNotFound when it was deleted meanwhile."""
    query = sa.select(outbound_hooks.c.secret_sealed).where(outbound_hooks.c.id == hook.id)
    sealed = connection.execute(query).scalar()
    if sealed is None:
        raise HookNotFound("the webhook is gone", field="hook_id")
    return seal.open(sealed)


def save_answer(
    connection: sa.Connection,
    hook: Hook,
    message: Message,
    *,
    status: int,
    error: str,
    wait_s: float,
    now: datetime,
) -> None:
    """How an attempt went. Without an error it is done; an hour after the first attempt it is given up."""
    is_over = bool(error) and now - message.created_at >= GIVE_UP
    connection.execute(
        sa.update(outbound_messages)
        .where(outbound_messages.c.id == message.id)
        .values(
            state="failed" if is_over else "waiting" if error else "done",
            attempts=message.attempts + 1,
            status=status,
            error=error,
            next_at=now + timedelta(seconds=wait_s) if error and not is_over else None,
            finished_at=None if error and not is_over else now,
        )
    )
    failed_at = (hook.failed_at or now) if error else None
    change = sa.update(outbound_hooks).where(outbound_hooks.c.id == hook.id)
    connection.execute(change.values(error=error, failed_at=failed_at))
