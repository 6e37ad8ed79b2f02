"""Environments and the sources that send into them. Keys are not shown here: pages show them to those who may."""

from msgspec import Struct

from cairn.api.endpoint import Call, Endpoint, EnvironmentName, Id, Query
from cairn.workspace.environment import Environment, get_environment, list_environments
from cairn.workspace.permission import Verb
from cairn.workspace.source import SourceKind, list_connections, list_sources


class EnvironmentList(Struct, frozen=True):
    environments: list[Environment]


class ConnectionAnswer(Struct, frozen=True):
    destination: str  # "heap": the built-in analytics
    environment_id: Id
    is_enabled: bool


class SourceAnswer(Struct, frozen=True):
    id: Id
    environment_id: Id
    name: str
    kind: SourceKind
    is_enabled: bool
    connections: list[ConnectionAnswer]


class SourceList(Struct, frozen=True):
    sources: list[SourceAnswer]


class SourceQuery(Query, frozen=True):
    environment: EnvironmentName | None = None


def read_environments(call: Call) -> EnvironmentList:
    """List the environments of the workspace."""
    return EnvironmentList(list_environments(call.connection, call.workspace_id))


def read_sources(call: Call, query: SourceQuery) -> SourceList:
    """List the sources, and what each is connected to; of one environment when it is given."""
    only: int | None = None
    if query.environment is not None:
        only = get_environment(call.connection, call.workspace_id, query.environment).id
    connected: dict[int, list[ConnectionAnswer]] = {}
    for each in list_connections(call.connection, call.workspace_id):
        answer = ConnectionAnswer(each.destination, each.environment_id, each.is_enabled)
        connected.setdefault(each.source_id, []).append(answer)
    return SourceList(
        [
            SourceAnswer(
                each.id,
                each.environment_id,
                each.name,
                each.kind,
                each.is_enabled,
                connected.get(each.id, []),
            )
            for each in list_sources(call.connection, call.workspace_id)
            if only in (None, each.environment_id)
        ]
    )


ENDPOINTS = (
    Endpoint("GET", "/environments", Verb.SEE, read_environments),
    Endpoint("GET", "/sources", Verb.SEE, read_sources),
)
