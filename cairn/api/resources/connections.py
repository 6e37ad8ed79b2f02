"""Connections from a source to destinations: made, read, changed, copied and deleted."""

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from cairn.api.endpoint import Endpoint, EnvironmentName, Id, Key, Versioned
from cairn.api.resources.users import EnvironmentQuery
from cairn.app import connection_trial, connections
from cairn.app.call import Call
from cairn.app.connections import ConnectionChanges, ConnectionView, RetryHours
from cairn.workspace.permission import Verb


class ConnectionAnswer(Struct, frozen=True):
    id: Id
    source_id: Id
    environment_id: Id
    destination: str  # its slug
    name: str
    is_enabled: bool
    settings: dict[str, Any]
    secrets: list[str]  # which are set; they are never shown
    rules: dict[str, Any]
    retry_hours: int
    created_at: datetime
    updated_at: datetime


class ConnectionList(Struct, frozen=True):
    connections: list[ConnectionAnswer]


class NewConnection(Struct, frozen=True, forbid_unknown_fields=True):
    destination: Key  # a slug of the catalogue
    name: str | UnsetType = UNSET  # the destination's, if it is left out
    is_enabled: bool = True
    settings: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    rules: dict[str, Any] = {}
    # 4 if it is left out
    retry_hours: RetryHours | UnsetType = UNSET


class ConnectionCopy(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the copy goes. It is switched off."""

    to_environment: EnvironmentName
    source_id: Id  # a source there


class TrialAnswer(Struct, frozen=True):
    is_right: bool
    detail: str  # what the destination said, or why it was not reached


def read_connections(call: Call, source_id: Id, query: EnvironmentQuery) -> ConnectionList:
    """List the connections of a source, without the one to the built-in analytics."""
    found = connections.list_connections(call, call.environment(query.environment), source_id=source_id)
    return ConnectionList([_answer(view) for view in found])


def create_a_connection(
    call: Call, source_id: Id, query: EnvironmentQuery, body: NewConnection
) -> Versioned[ConnectionAnswer]:
    """Connect a source to a destination. What arrives from now on is delivered."""
    wanted = ConnectionChanges(
        body.name, body.is_enabled, body.settings, body.secrets, body.rules, body.retry_hours
    )
    environment = call.environment(query.environment)
    return _versioned(connections.create_connection(call, environment, source_id, body.destination, wanted))


def read_connection(call: Call, connection_id: Id, query: EnvironmentQuery) -> Versioned[ConnectionAnswer]:
    """Read a connection."""
    return _versioned(connections.get_connection(call, call.environment(query.environment), connection_id))


def change_a_connection(
    call: Call, connection_id: Id, query: EnvironmentQuery, body: ConnectionChanges, expected: int | None
) -> Versioned[ConnectionAnswer]:
    """Change a connection. Of settings and secrets those that are named; rules are given whole."""
    environment = call.environment(query.environment)
    return _versioned(
        connections.change_connection(call, environment, connection_id, body, expected=expected)
    )


def remove_connection(call: Call, connection_id: Id, query: EnvironmentQuery, expected: int | None) -> None:
    """Delete a connection with its counts, samples and dead letters. What was delivered stays there."""
    environment = call.environment(query.environment)
    connections.delete_connection(call, environment, connection_id, expected=expected)


def copy_a_connection(
    call: Call, connection_id: Id, query: EnvironmentQuery, body: ConnectionCopy
) -> Versioned[ConnectionAnswer]:
    """Copy a connection to a source, also of another environment. It is switched off; its secrets are the same."""
    environment, target = call.environment(query.environment), call.environment(body.to_environment)
    return _versioned(connections.copy_connection(call, environment, connection_id, target, body.source_id))


def try_a_connection(call: Call, connection_id: Id, query: EnvironmentQuery) -> TrialAnswer:
    """Test a connection: one harmless request to the destination, with the stored settings."""
    tried = connection_trial.try_connection(call, call.environment(query.environment), connection_id)
    return TrialAnswer(tried.is_right, tried.detail)


def _versioned(view: ConnectionView) -> Versioned[ConnectionAnswer]:
    return Versioned(_answer(view), view.edition)


def _answer(view: ConnectionView) -> ConnectionAnswer:
    known = view.connection
    return ConnectionAnswer(
        known.id,
        known.source_id,
        known.environment_id,
        known.destination,
        known.name,
        known.is_enabled,
        known.settings,
        sorted(view.secrets),
        known.rules,
        known.retry_hours,
        known.created_at,
        known.updated_at,
    )


_OF_SOURCE, _CONNECTION = "/sources/{source_id}/connections", "/connections/{connection_id}"
ENDPOINTS = (
    Endpoint("GET", _OF_SOURCE, Verb.SEE, read_connections),
    Endpoint(
        "POST",
        _OF_SOURCE,
        Verb.CHANGE_SOURCES,
        create_a_connection,
        status=201,
        example={"destination": "heap_classic", "settings": {"app_id": "1234567890"}},
    ),
    Endpoint("GET", _CONNECTION, Verb.SEE, read_connection),
    Endpoint("PATCH", _CONNECTION, Verb.CHANGE_SOURCES, change_a_connection, example={"is_enabled": False}),
    Endpoint("DELETE", _CONNECTION, Verb.CHANGE_SOURCES, remove_connection),
    Endpoint("POST", _CONNECTION + "/test", Verb.CHANGE_SOURCES, try_a_connection),
    Endpoint(
        "POST",
        _CONNECTION + "/copy",
        Verb.CHANGE_SOURCES,
        copy_a_connection,
        status=201,
        example={"to_environment": "development", "source_id": 3},
    ),
)
