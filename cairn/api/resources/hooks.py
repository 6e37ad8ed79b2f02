"""Webhooks about Cairn itself: that settings changed, that a sync fails."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Limit, Query
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import hooks
from cairn.app.call import Call
from cairn.sync.hooks import Hook, HookKind
from cairn.workspace.permission import Verb


class HookList(Struct, frozen=True):
    webhooks: list[Hook]


class NewHook(Struct, frozen=True, forbid_unknown_fields=True):
    kind: HookKind  # settings: what SDKs read has changed. notices: a sync fails, or is well again
    url: str


class HookMade(Struct, frozen=True):
    webhook: Hook
    secret: str  # not shown again


class MessagesQuery(Query, frozen=True):
    environment: EnvironmentName
    limit: Limit = 20


class MessageAnswer(Struct, frozen=True):
    id: str
    body: Any
    state: str  # waiting, done, failed
    attempts: int
    status: int  # of the last answer; 0: none
    error: str
    created_at: datetime
    finished_at: datetime | None


class MessageList(Struct, frozen=True):
    environment: str
    messages: list[MessageAnswer]


def read_hooks(call: Call, query: EnvironmentQuery) -> HookList:
    """List the webhooks of an environment."""
    return HookList(hooks.list_hooks(call, call.environment(query.environment)))


def create_a_hook(call: Call, query: EnvironmentQuery, body: NewHook) -> HookMade:
    """Add a webhook. The answer alone holds its secret."""
    return HookMade(*hooks.create_hook(call, call.environment(query.environment), body.kind, body.url))


def remove_hook(call: Call, hook_id: Id, query: EnvironmentQuery) -> None:
    """Delete a webhook with its history."""
    hooks.delete_hook(call, call.environment(query.environment), hook_id)


def read_messages(call: Call, hook_id: Id, query: MessagesQuery) -> MessageList:
    """List what a webhook was sent, newest first."""
    environment = call.environment(query.environment)
    messages = hooks.list_messages(call, environment, hook_id, limit=query.limit)
    answers = [
        MessageAnswer(
            message.id,
            message.body,
            message.state,
            message.attempts,
            message.status,
            message.error,
            message.created_at,
            message.finished_at,
        )
        for message in messages
    ]
    return MessageList(environment.name, answers)


_HOOK = "/webhooks/{hook_id}"
ENDPOINTS = (
    Endpoint("GET", "/webhooks", Verb.SEE, read_hooks),
    Endpoint(
        "POST",
        "/webhooks",
        Verb.CHANGE_INTEGRATIONS,
        create_a_hook,
        status=201,
        example={"kind": "settings", "url": "https://app.example/hooks/cairn"},
    ),
    Endpoint("DELETE", _HOOK, Verb.CHANGE_INTEGRATIONS, remove_hook),
    Endpoint("GET", _HOOK + "/messages", Verb.SEE, read_messages),
)
