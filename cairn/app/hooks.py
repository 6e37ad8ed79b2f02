"""Webhooks about Cairn itself: when settings change, and when a sync fails."""

from cairn.app.call import Call
from cairn.app.editions import CREATED, DELETED, record
from cairn.sync import hooks
from cairn.sync.addresses import rules_of
from cairn.sync.hooks import Hook, Message
from cairn.workspace.environment import Environment


def list_hooks(call: Call, environment: Environment) -> list[Hook]:
    with call.reading() as connection:
        return hooks.list_hooks(connection, environment.id)


def create_hook(call: Call, environment: Environment, kind: str, url: str) -> tuple[Hook, str]:
    """The hook, and its secret, to be shown once. Raises InvalidInput, HookExists and TooManyHooks."""
    with call.writing() as connection:
        hook, secret = hooks.create_hook(
            connection, call.core.seal, environment.id, kind, url, rules_of(call.core.settings), call.now
        )
        record(call, connection, "webhook", hook.id, [CREATED])
    return hook, secret


def delete_hook(call: Call, environment: Environment, hook_id: int) -> None:
    """With its history. Raises HookNotFound."""
    with call.writing() as connection:
        hooks.delete_hook(connection, environment.id, hook_id)
        record(call, connection, "webhook", hook_id, [DELETED])


def list_messages(call: Call, environment: Environment, hook_id: int, *, limit: int = 20) -> list[Message]:
    """The newest first. Raises HookNotFound."""
    with call.reading() as connection:
        hooks.get_hook(connection, environment.id, hook_id)
        return hooks.messages_of(connection, hook_id, limit)
